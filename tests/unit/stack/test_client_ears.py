"""Which packets count for a NeoBoard client, and which board of a room it shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stack.client import edits, elements, events
from tests.stack.client.document import BoardDocument
from tests.stack.client.ears import Ears
from tests.stack.client.elements import FIRST_SLIDE
from tests.stack.client.events import Board
from tests.stack.client.link import Link
from tests.stack.client.room import RoomView

ALICE = "@alice:localhost:8448:ALICEDEV"
USER = "@alice:localhost:8448"
BOARD = Board("!room", "!room_whiteboard", "$doc")


@pytest.fixture
def ears() -> Ears:
    return Ears(BOARD, BoardDocument(), Link())


def test_what_counts(ears: Ears) -> None:
    ears.hear(ALICE, events.cursor_packet("s", 1, 2.5))
    ears.hear(ALICE, events.focus_packet("s2"))
    ears.hear(ALICE, events.present_packet("slide", "s3", edit=True))
    assert (ears.cursors[USER].x, ears.cursors[USER].y, ears.slide) == (1, 2.5, "s2")
    assert ears.presentation is not None
    assert (ears.presentation.target, ears.presentation.edit) == ("s3", True)
    ears.gone(USER, "OTHERDEV")
    assert ears.presentation is not None
    ears.gone(USER, "ALICEDEV")
    assert ears.presentation is None
    ears.hear(ALICE, events.present_packet("frame", "f"))
    ears.hear(ALICE, events.present_packet("frame", None))
    assert ears.presentation is None
    assert ears.heard[USER, "present_frame"] == 2
    assert not ears.dropped


@pytest.mark.parametrize(
    ("identity", "payload", "reason"),
    [
        (None, events.focus_packet("s"), "sender not announced"),
        ("J+T45tGruxc+HrUOqJJlyQSV33m728Cme4", events.focus_packet("s"), "no sender"),
        (ALICE, b"\xff", "no message"),
        (ALICE, b"[]", "no message"),
        (ALICE, b'{"type":1,"content":{}}', "no message"),
        (ALICE, b'{"type":"net.nordeck.whiteboard.focus_on"}', "no message"),
        (ALICE, b"[" * 100_000, "no message"),
        (ALICE, events.packet("dance", {}), "unknown type"),
        (ALICE, events.packet("cursor_update", {"slideId": "s"}), "bad content"),
        (ALICE, events.packet("cursor_update", {"slideId": "s", "position": 1}), "bad content"),
        (ALICE, events.packet("document_update", {"documentId": "$doc", "data": 1}), "bad content"),
        (
            ALICE,
            events.packet("document_update", {"documentId": "$doc", "data": "A"}),
            "invalid update",
        ),
        (ALICE, events.update_packet("$doc", b"\xff\xff\xff\x7f"), "invalid update"),
        (ALICE, events.update_packet("$other", b"\x00\x00"), "another document"),
    ],
)
def test_what_does_not_count(ears: Ears, identity: str | None, payload: bytes, reason: str) -> None:
    ears.hear(identity, payload)
    assert dict(ears.dropped) == {reason: 1}
    assert not ears.heard


def test_updates_change_the_document() -> None:
    author, document = BoardDocument(), BoardDocument()
    ears = Ears(BOARD, document, Link(duplicate=1.0))
    update = author.change(edits.add_element(FIRST_SLIDE, "a", elements.shape()))
    ears.hear(ALICE, events.update_packet("$doc", update))
    assert document.content() == author.content()
    assert ears.heard[USER, "document_update"] == 2


def state(kind: str, key: str, ts: int, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": kind,
        "state_key": key,
        "event_id": f"${kind}{key}{ts}",
        "sender": USER,
        "origin_server_ts": ts,
        "content": content,
    }


def test_the_board_shown_is_the_widgets_else_the_oldest() -> None:
    room = RoomView("!room")
    with pytest.raises(LookupError):
        room.board()
    room.apply(state(events.BOARD, "old", 1, {"documentId": "$old"}))
    room.apply(state(events.BOARD, "new", 2, {"documentId": "$new"}))
    room.apply(state(events.BOARD, "removed", 0, {}))
    assert room.board() == Board("!room", "old", "$old")
    room.apply(state(events.WIDGET, "new", 3, {}))
    assert room.board() == Board("!room", "new", "$new")


def test_an_event_counts_once_and_an_older_state_does_not_come_back() -> None:
    room = RoomView("!room")
    new = state(events.MEMBER, "k", 5, {"a": 1})
    assert room.apply(new)
    assert not room.apply(new)
    assert room.apply(state(events.MEMBER, "k", 4, {}))
    assert room.state(events.MEMBER, "k") == {"a": 1}
    assert room.state(events.MEMBER, "other") == {}
    assert len(room.timeline) == 2
    said = {**state("m.room.message", "", 6, {"body": "hi"}), "event_id": "$said"}
    del said["state_key"]
    room.apply(said)
    assert room.said(USER) == ["hi"]
