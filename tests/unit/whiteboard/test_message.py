from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InvalidMessage
from bot.whiteboard.message import (
    MAX_ID,
    MAX_PACKET,
    CursorMove,
    FocusOn,
    Message,
    Present,
    Update,
    decode,
    encode,
)
from tests.unit.whiteboard.recorded import packets

UPDATE = {"documentId": "$d", "data": "AAA="}
CURSOR = {"slideId": "s", "position": {"x": 1, "y": 2}}


def packet(kind: str, content: Any) -> bytes:
    return json.dumps({"type": f"net.nordeck.whiteboard.{kind}", "content": content}).encode()


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("document_update", UPDATE, Update("$d", b"\0\0")),
        ("cursor_update", CURSOR, CursorMove("s", 1.0, 2.0)),
        ("cursor_update", CURSOR | {"position": {"x": -1.5, "y": 2}}, CursorMove("s", -1.5, 2.0)),
        ("cursor_update", CURSOR | {"extra": 1}, CursorMove("s", 1.0, 2.0)),
        ("focus_on", {"slideId": "ü"}, FocusOn("ü")),
        (
            "present_slide",
            {"view": {"isEditMode": True, "slideId": "s"}},
            Present("slide", "s", True),
        ),
        ("present_frame", {"view": {"isEditMode": False, "frameId": "f"}}, Present("frame", "f")),
        ("present_slide", {}, Present("slide", None)),
    ],
)
def test_messages_are_read(kind: str, content: Any, message: Message) -> None:
    assert decode(packet(kind, content)) == message


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("document_update", None),
        ("document_update", []),
        ("document_update", {"documentId": "$d"}),
        ("document_update", UPDATE | {"data": ""}),
        ("document_update", UPDATE | {"data": 5}),
        ("document_update", UPDATE | {"data": "AAA"}),
        ("document_update", UPDATE | {"data": "A A="}),
        ("document_update", UPDATE | {"data": "äää="}),
        ("document_update", UPDATE | {"documentId": ""}),
        ("document_update", UPDATE | {"documentId": 1}),
        ("document_update", UPDATE | {"documentId": "x" * (MAX_ID + 1)}),
        ("cursor_update", {"slideId": "s"}),
        ("cursor_update", CURSOR | {"slideId": "\ud800"}),
        ("cursor_update", CURSOR | {"position": [1, 2]}),
        ("cursor_update", CURSOR | {"position": {"x": 1}}),
        ("cursor_update", CURSOR | {"position": {"x": True, "y": 1}}),
        ("cursor_update", CURSOR | {"position": {"x": "1", "y": 1}}),
        ("cursor_update", CURSOR | {"position": {"x": 1, "y": 2**1023}}),
        ("focus_on", {}),
        ("present_slide", {"view": None}),
        ("present_slide", {"view": {"slideId": "s"}}),
        ("present_slide", {"view": {"isEditMode": 1, "slideId": "s"}}),
        ("present_slide", {"view": {"isEditMode": True, "frameId": "s"}}),
        ("shout", {}),
    ],
)
def test_what_is_missing_or_wrong_is_refused(kind: str, content: Any) -> None:
    with pytest.raises(InvalidMessage):
        decode(packet(kind, content))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"type": 5, "content": {}}',
        b'{"type": ["a"], "content": {}}',
        b'{"type": "net.nordeck.whiteboard.focus_on"',
        packet("cursor_update", CURSOR).replace(b"1", b"NaN"),
        packet("cursor_update", CURSOR).replace(b"1", b"1e999"),
        packet("cursor_update", CURSOR).replace(b"1", b"1" * 5000),
        b"[" * 50_000,
        b" " * (MAX_PACKET + 1),
    ],
)
def test_what_is_no_packet_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode(raw)


ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
presents = st.builds(Present, st.sampled_from(["slide", "frame"]), ids, st.booleans())
messages = (
    st.builds(Update, ids, st.binary(min_size=1))
    | st.builds(CursorMove, ids, numbers, numbers)
    | st.builds(FocusOn, ids)
    | presents
    | st.builds(Present, st.sampled_from(["slide", "frame"]), st.none())
)


@given(messages)
def test_what_is_written_is_read(message: Message) -> None:
    assert decode(encode(message)) == message


def test_too_large_a_packet_is_not_written() -> None:
    with pytest.raises(InvalidMessage):
        encode(Update("$d", bytes(MAX_PACKET)))


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_garbage_only_ever_raises_invalid_message(raw: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
fields = st.sampled_from(["documentId", "data", "slideId", "position", "view", "frameId"])
kinds = st.sampled_from(
    ["document_update", "cursor_update", "focus_on", "present_slide", "present_frame"]
)


@given(kinds, st.dictionaries(fields, json_values))
def test_wrong_types_only_ever_raise_invalid_message(kind: str, content: dict[str, Any]) -> None:
    with suppress(InvalidMessage):
        decode(packet(kind, content))


@pytest.mark.parametrize("board", ["slides", "infinite"])
def test_real_packets_are_read_and_written_as_they_were(board: str) -> None:
    for one in packets(board):
        # The recording's Python participant writes JSON with spaces, NeoBoard without.
        compact = json.dumps(json.loads(one.raw), separators=(",", ":"), ensure_ascii=False)
        assert encode(decode(one.raw)) == compact.encode()
