from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.whiteboard.board import BOARD_TYPE, BoardKey, read_board
from tests.unit.whiteboard.recorded import timeline

MISSING = object()


def event(state_key: Any = "w", document_id: Any = "$d") -> dict[str, Any]:
    made = {"state_key": state_key, "content": {"documentId": document_id}}
    if state_key is MISSING:
        del made["state_key"]
    return made


def test_a_board_is_named_by_its_room_its_state_key_and_its_document() -> None:
    assert read_board("!r", event("ü" * 127, "$d")) == BoardKey("!r", "ü" * 127, "$d")


@pytest.mark.parametrize("wrong", [None, "", 5, [], "x" * 256, "ü" * 128, "\ud800"])
def test_what_names_nothing_is_no_board(wrong: Any) -> None:
    assert read_board("!r", event(state_key=wrong)) is None
    assert read_board("!r", event(document_id=wrong)) is None


@pytest.mark.parametrize("content", [{}, None, [], "x", {"documentId": None}])
def test_an_emptied_event_removes_the_board(content: Any) -> None:
    assert read_board("!r", {"state_key": "w", "content": content}) is None


def test_what_is_no_state_is_no_board() -> None:
    assert read_board("!r", event(state_key=MISSING)) is None
    assert read_board("!r", {}) is None


@given(st.text(st.characters(exclude_categories=[])), st.text(st.characters()))
def test_any_text_is_read_or_passed_over(state_key: str, document_id: str) -> None:
    key = read_board("!r", event(state_key, document_id))
    if key is not None:
        assert f"{key.whiteboard_id}{key.document_id}".encode()


@pytest.mark.parametrize("session", ["slides", "infinite"])
def test_what_neoboard_wrote_is_read(session: str) -> None:
    written = [one for one in timeline(session) if one["type"] == BOARD_TYPE]
    assert written
    for one in written:
        key = read_board("!r", one)
        assert key is not None
        assert key.document_id == one["content"]["documentId"]
