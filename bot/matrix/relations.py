"""Reading a room's past in pages: what relates to an event, and what a sync left out."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from mautrix.api import Method, Path

from bot.errors import NotFound, ServerError, Transient
from bot.matrix.transport import Transport

MAX_PAGES = 400
"""Pages read of one listing: a server that always names a next page ends here."""

PAGE = 100

BACK_PAGES = 200
"""Pages read back at the most until our homeserver knows an event."""
BACK_PAGE = 50
"""Events of such a page; among them may be many of 45 kB."""
BACK_AGAIN = 3600.0
"""Seconds until a room is read back again for an event that was not found."""
MAX_ABSENT = 1_000
"""Events remembered that were not found; beyond, the oldest are forgotten."""


class Absent:
    """Events that our homeserver did not know after the room had been read back for them."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}

    def note(self, room_id: str, event_id: str) -> None:
        """Say that an event was not found."""
        self._until[room_id, event_id] = time.monotonic() + BACK_AGAIN
        while len(self._until) > MAX_ABSENT:
            del self._until[next(iter(self._until))]

    def holds(self, room_id: str, event_id: str) -> bool:
        """Whether an event was not found lately."""
        return self._until.get((room_id, event_id), 0.0) > time.monotonic()


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of a room's timeline.

    Attributes:
        events: in the order of the timeline.
        complete: whether nothing is missing; if not, the older part is.
    """

    events: tuple[dict[str, Any], ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a room's timeline.

    Attributes:
        events: in the order in which they were read.
        start: where it begins, as a token.
        end: where to read on; None when there is no more.
    """

    events: tuple[dict[str, Any], ...]
    start: str
    end: str | None


async def messages(
    transport: Transport,
    room_id: str,
    token: str | None,
    event_filter: Mapping[str, Any],
    *,
    forwards: bool,
    limit: int,
    patience: float = 10.0,
) -> Page:
    """Return a page of a room's timeline.

    Args:
        transport: asks the homeserver.
        room_id: where.
        token: where to begin; None for its end.
        event_filter: a RoomEventFilter.
        forwards: whether to read towards now.
        limit: events at the most; the homeserver may have a lower limit.
        patience: seconds in which it is asked again if that fails.
    """
    query = {
        "dir": "f" if forwards else "b",
        "limit": str(limit),
        "filter": json.dumps(event_filter),
    }
    if token is not None:
        query["from"] = token
    path = Path.v3.rooms[room_id].messages
    reply = await transport.ask("messages", Method.GET, path, query=query, patience=patience)
    start, end = reply.get("start"), reply.get("end")
    if not isinstance(start, str):
        raise Transient("messages: the answer does not say where it begins")
    events = tuple(_chunk("messages", reply))
    return Page(events, start, end if isinstance(end, str) else None)


async def relations(
    transport: Transport,
    absent: Absent,
    room_id: str,
    event_id: str,
    event_type: str,
    *,
    rel_type: str = "m.reference",
    limit: int = 50,
    oldest_first: bool = False,
    patience: float = 30.0,
) -> AsyncIterator[dict[str, Any]]:
    """Yield the events that relate to an event; pages are read as needed.

    A homeserver that has come to a room of other servers lately does not know its past, and does
    not ask the others for the event's sake; it does when somebody reads back. So that is done.

    Args:
        transport: asks the homeserver.
        absent: what need not be looked for again.
        room_id: where.
        event_id: what they relate to.
        event_type: of the relating events.
        rel_type: the kind of relation.
        limit: events per page.
        oldest_first: in which order; by default the newest comes first.
        patience: seconds in which a page that fails is asked for again.

    Raises:
        NotFound: nobody knows the event.
        ServerError: there are more than can be read: what is missing is not known.
    """
    path = Path.v1.rooms[room_id].relations[event_id][rel_type][event_type]
    query = {"dir": "f" if oldest_first else "b", "limit": str(limit)}
    for number in range(MAX_PAGES):
        try:
            reply = await transport.ask(
                "relations", Method.GET, path, query=query, patience=patience
            )
        except NotFound:
            if number or absent.holds(room_id, event_id):
                raise
            if not await _read_back(transport, room_id, event_id, patience):
                absent.note(room_id, event_id)
                raise
            reply = await transport.ask(
                "relations", Method.GET, path, query=query, patience=patience
            )
        for event in _chunk("relations", reply):
            yield event
        token = reply.get("next_batch")
        if not isinstance(token, str):
            return
        query["from"] = token
    raise ServerError("relations: there are more events than can be read")


async def _read_back(transport: Transport, room_id: str, event_id: str, patience: float) -> bool:
    """Have our homeserver learn of a room's past, until it knows an event; return whether it does.

    Unfiltered: a page that a filter leaves empty may have no token to read on with.
    """
    token = None
    for _ in range(BACK_PAGES):
        page = await messages(
            transport, room_id, token, {}, forwards=False, limit=BACK_PAGE, patience=patience
        )
        if any(event.get("event_id") == event_id for event in page.events):
            return True
        if page.end is None:
            return False
        token = page.end
    return False


async def messages_between(
    transport: Transport,
    room_id: str,
    newer: str,
    older: str,
    event_filter: Mapping[str, Any],
    *,
    max_events: int,
    patience: float = 10.0,
) -> Stretch:
    """Return the part of the timeline between two points of sync.

    It is read backwards, so that what a bound cuts off is the older part.

    Args:
        transport: asks the homeserver.
        room_id: where.
        newer: the `prev_batch` of the timeline that is there.
        older: the `since` of the sync that brought it.
        event_filter: a RoomEventFilter.
        max_events: returned at the most.
        patience: seconds in which a page that fails is asked for again.
    """
    events: list[dict[str, Any]] = []
    token = newer
    for _ in range(MAX_PAGES):
        query = {
            "dir": "b",
            "from": token,
            "to": older,
            "limit": str(min(PAGE, max_events - len(events))),
            "filter": json.dumps(event_filter),
        }
        path = Path.v3.rooms[room_id].messages
        reply = await transport.ask("messages", Method.GET, path, query=query, patience=patience)
        events += _chunk("messages", reply)
        end = reply.get("end")
        if not isinstance(end, str):
            return Stretch(tuple(reversed(events[:max_events])), complete=len(events) <= max_events)
        if len(events) >= max_events:
            break
        token = end
    return Stretch(tuple(reversed(events[:max_events])), complete=False)


def _chunk(what: str, reply: Mapping[str, Any]) -> list[dict[str, Any]]:
    chunk = reply.get("chunk")
    if not isinstance(chunk, list):
        raise Transient(f"{what}: the answer holds no events")
    return [event for event in chunk if isinstance(event, dict)]
