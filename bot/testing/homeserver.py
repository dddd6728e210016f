"""The room of a simulation: its time, its events, and what a handler has written into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

BEGIN = 1_750_000_000_000
"""When simulations begin, ms since 1970."""


@dataclass(frozen=True, slots=True)
class Post:
    """A message that the handler wrote into a room.

    Attributes:
        ts: when, ms since 1970.
        room_id: where.
        text: the message.
    """

    ts: int
    room_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a room's timeline; its tokens are places between events.

    Attributes:
        events: in the order in which they were read.
        start: where it begins.
        end: where to read on; None when there is no more.
    """

    events: tuple[Mapping[str, Any], ...]
    start: str
    end: str | None


class Clock:
    """The homeserver's clock, as events have it: it moves when people do something, or by hand.

    What a handler waits for itself (`asyncio.sleep`, `collect`) takes its real time.

    Attributes:
        ts: now, ms since 1970.
    """

    def __init__(self) -> None:
        self.ts = BEGIN

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ts += round(seconds * 1000)

    def reach(self, ts: int) -> None:
        """Let time pass until an instant; one that is over already changes nothing."""
        self.ts = max(self.ts, ts)


class Homeserver:
    """Takes what goes into the room, and gives what refers to an event.

    Args:
        clock: the time.
        own_user: the bot.
        posted: told what the bot writes into a room.
    """

    def __init__(self, clock: Clock, own_user: str, posted: Callable[[Post], None]) -> None:
        self._posted = posted
        self._clock = clock
        self._own_user = own_user
        self._events: list[dict[str, Any]] = []

    def server_ts(self) -> int:
        """Return the time by its clock, ms since 1970."""
        return self._clock.ts

    async def send_event(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        """Take an event of the bot's."""
        event = self.put(room_id, self._own_user, event_type, content)
        if event_type == "m.room.message":
            self._posted(Post(self._clock.ts, room_id, str(content.get("body", ""))))
        return str(event["event_id"])

    def put(
        self,
        room_id: str,
        sender: str,
        event_type: str,
        content: Mapping[str, Any],
        **more: Any,
    ) -> Mapping[str, Any]:
        """Keep an event; returns it as the room has it.

        Args:
            room_id: where.
            sender: whose.
            event_type: which.
            content: what it says.
            more: other fields, such as `state_key`.
        """
        event = {
            "room_id": room_id,
            "type": event_type,
            "event_id": f"$event{len(self._events) + 1}",
            "sender": sender,
            "origin_server_ts": self._clock.ts,
            "content": dict(content),
            **more,
        }
        self._events.append(event)
        return event

    async def relations(
        self, room_id: str, event_id: str, event_type: str, *, oldest_first: bool = False
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Iterate over the events that refer to an event."""
        found = [
            event
            for event in self._events
            if (event["room_id"], event["type"]) == (room_id, event_type)
            and event["content"].get("m.relates_to", {}).get("event_id") == event_id
        ]
        for event in found if oldest_first else reversed(found):
            yield event

    async def messages(
        self,
        room_id: str,
        token: str | None,
        event_filter: Mapping[str, Any],
        *,
        forwards: bool,
        limit: int,
    ) -> Page:
        """Return a page of a room's timeline; tokens are places between its events."""
        at = len(self._events) if token is None else int(token)
        if forwards:
            found, end = self._events[at : at + limit], min(at + limit, len(self._events))
        else:
            found, end = self._events[max(0, at - limit) : at][::-1], max(0, at - limit)
        wanted = [
            event
            for event in found
            if event["room_id"] == room_id and event["type"] in event_filter["types"]
        ]
        return Page(tuple(wanted), str(at), str(end) if found else None)
