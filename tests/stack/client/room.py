"""A room as a client sees it: the state that matters to boards, and what happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.stack.client import events
from tests.stack.client.events import BOARD, CREATE, MEMBER, WIDGET, Board
from tests.stack.client.matrix import Event, MatrixUser
from tests.stack.client.meeting import now_ts
from tests.stack.client.members import Member, present
from tests.stack.client.sticky import SLOT, STICKY, Stickies, slot_content, slot_id


class RoomView:
    """One room.

    Attributes:
        room_id: of the room.
        timeline: every event seen since the board was opened, in this order.
    """

    def __init__(self, room_id: str) -> None:
        self.room_id = room_id
        self.timeline: list[Event] = []
        self._state: dict[tuple[str, str], Event] = {}
        self._ids: set[str] = set()
        self._stickies = Stickies()

    async def load(self, user: MatrixUser) -> None:
        """Reads the state of the room."""
        for event in await user.state(self.room_id):
            self._state[event["type"], event["state_key"]] = event

    def remember(self, event: Event) -> None:
        """Takes an event from before the board was opened that still counts if it is sticky."""
        if event["type"] == STICKY:
            self._stickies.take(event, now_ts())
        elif event["type"] == "m.room.redaction":
            self._stickies.redact(str(event.get("redacts") or event["content"].get("redacts")))

    def apply(self, event: Event) -> bool:
        """Takes an event of the sync; returns whether it is new."""
        if event["event_id"] in self._ids:
            return False
        self._ids.add(event["event_id"])
        self.timeline.append(event)
        self.remember(event)
        if "state_key" in event:
            key = (event["type"], event["state_key"])
            known = self._state.get(key)
            # The sync may begin before what `load` has read.
            if known is None or known["origin_server_ts"] <= event["origin_server_ts"]:
                self._state[key] = event
        return True

    def state(self, event_type: str, state_key: str = "") -> Mapping[str, Any]:
        """The content of a state event; empty when there is none."""
        event = self._state.get((event_type, state_key))
        return event["content"] if event is not None else {}

    def board(self) -> Board:
        """The board that the client shows.

        It is the one that belongs to the widget, else the oldest.

        Raises:
            LookupError: the room has none.
        """
        boards = [
            event
            for (kind, _), event in self._state.items()
            if kind == BOARD and isinstance(event["content"].get("documentId"), str)
        ]
        widgets = {key for kind, key in self._state if kind == WIDGET}
        boards.sort(key=lambda e: (e["state_key"] not in widgets, e["origin_server_ts"]))
        if not boards:
            raise LookupError("The room has no board.")
        return Board(self.room_id, boards[0]["state_key"], boards[0]["content"]["documentId"])

    def members(self) -> list[Member]:
        """Everybody who is on any board of the room now."""
        events = [event for (kind, _), event in self._state.items() if kind == MEMBER]
        return present(events, now_ts())

    def sticky_members(self) -> list[Member]:
        """The same in the sticky profile: of boards with no closed slot, if still in the room."""
        return [
            member
            for member in self._stickies.members(now_ts())
            if self.slot(member.call_id) is not False
            and self.state("m.room.member", member.user_id).get("membership") == "join"
        ]

    def sender(self, identity: str) -> tuple[str, str] | None:
        """User and device of a sticky member by the identity that his membership gives him."""
        for member in self.sticky_members():
            if member.identity == identity:
                return member.user_id, member.device_id
        return None

    def slot(self, whiteboard_id: str) -> bool | None:
        """Whether a board's slot is open; None when it has none."""
        event = self._state.get((SLOT, f"{BOARD}#{whiteboard_id}"))
        if event is None:
            return None
        application = event["content"].get("application")
        type_ = application.get("type") if isinstance(application, dict) else None
        return event["content"].get("status") == "open" and type_ == BOARD

    def said(self, user_id: str) -> list[str]:
        """The texts that somebody has written since the board was opened."""
        return [
            event["content"].get("body", "")
            for event in self.timeline
            if event["type"] == "m.room.message" and event["sender"] == user_id
        ]


async def create_board(
    user: MatrixUser, widget_url: str, name: str, *, calls_allowed: bool, slot: bool = False
) -> Board:
    """Makes a room with a board as the standalone client does.

    Args:
        user: becomes its owner.
        widget_url: where the standalone client would be.
        name: of the room.
        calls_allowed: whether people without power may join the session; without it the room has
            the power levels that any client's rooms have.
        slot: whether it opens a slot for the board, as clients of the sticky profile do.
    """
    body = events.room_request(name) if calls_allowed else {"name": name}
    room_id = await user.create_room(body)
    document_id = await user.send_event(room_id, CREATE, {})
    board = Board(room_id, events.whiteboard_id(room_id), document_id)
    await user.put_state(room_id, BOARD, {"documentId": document_id}, board.whiteboard_id)
    if slot:
        await user.put_state(room_id, SLOT, slot_content(), slot_id(board))
    await user.put_state(room_id, WIDGET, events.widget_content(widget_url), "neoboard")
    await user.put_state(room_id, events.LAYOUT, events.LAYOUT_CONTENT)
    return board
