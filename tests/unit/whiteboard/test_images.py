from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.whiteboard.images import kind_of_image


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"<svg>", "image/svg+xml"),
        (b"\xef\xbb\xbf \n<svg xmlns='x'>", "image/svg+xml"),
        (b'<?xml version="1.0"?>\n<!-- > --><svg >', "image/svg+xml"),
        (b"<!DOCTYPE svg><svg\n>", "image/svg+xml"),
        (b"<svgx>", None),
        (b"<html><svg>", None),
        (b"GIF88a", None),
        (b"", None),
    ],
)
def test_images_are_known_by_how_they_begin(data: bytes, kind: str | None) -> None:
    assert kind_of_image(data) == kind


@given(st.binary(max_size=40))
def test_any_bytes_can_be_looked_at(data: bytes) -> None:
    kind_of_image(b"<!" + data)
