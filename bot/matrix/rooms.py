"""What we ask of the homeserver about rooms: entering, leaving, writing, reading."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from mautrix.api import Method, Path
from multidict import MultiDict

from bot.errors import NotFound, Transient
from bot.matrix.delayed import STICKY_DURATION
from bot.matrix.relations import Absent, Page, messages, relations
from bot.matrix.transport import ONE_TRY, PATIENCE, Transport

JOIN_TIMEOUT = 180.0
"""Seconds; joining a room of many servers takes this long."""


class Rooms:
    """The calls on rooms; part of Homeserver, whose docstring explains timeout and patience."""

    transport: Transport
    absent: Absent

    async def join(
        self, room_id: str, via: Sequence[str] = (), *, patience: float = PATIENCE
    ) -> None:
        """Join a room; being in it already is fine.

        Args:
            room_id: the room.
            via: servers that are in it, for a room of other servers.
            patience: see Homeserver.
        """
        query = MultiDict(
            [*(("via", server) for server in via), *(("server_name", server) for server in via)]
        )
        await self.transport.ask(
            "join",
            Method.POST,
            Path.v3.join[room_id],
            body={},
            query=query,
            seconds=JOIN_TIMEOUT,
            patience=patience,
        )

    async def leave(
        self, room_id: str, reason: str | None = None, *, patience: float = PATIENCE
    ) -> None:
        """Leave a room, or decline an invite to it."""
        await self.transport.ask(
            "leave",
            Method.POST,
            Path.v3.rooms[room_id].leave,
            body={"reason": reason} if reason else {},
            patience=patience,
        )

    async def forget(self, room_id: str, *, patience: float = PATIENCE) -> None:
        """Have the homeserver forget that we were in a room that we left."""
        path = Path.v3.rooms[room_id].forget
        await self.transport.ask("forget", Method.POST, path, body={}, patience=patience)

    async def send_event(
        self,
        room_id: str,
        event_type: str,
        content: Mapping[str, Any],
        txn_id: str | None = None,
        *,
        timeout: float = ONE_TRY,
        patience: float = PATIENCE,
    ) -> str:
        """Send an event and return its id; repeated tries cannot double it.

        Args:
            room_id: where.
            event_type: its type.
            content: its content.
            txn_id: give the same again to repeat an earlier call of this session.
            timeout: see Homeserver.
            patience: see Homeserver.
        """
        path = Path.v3.rooms[room_id].send[event_type][txn_id or uuid.uuid4().hex]
        return _event_id(
            await self.transport.ask(
                "send event", Method.PUT, path, body=content, seconds=timeout, patience=patience
            )
        )

    async def send_sticky(
        self,
        room_id: str,
        event_type: str,
        content: Mapping[str, Any],
        duration_ms: int,
        *,
        timeout: float = ONE_TRY,
        patience: float = PATIENCE,
        txn_id: str | None = None,
    ) -> str:
        """Send an event that sticks to the room for a while (MSC4354) and return its id.

        A homeserver that does not know sticky events sends an ordinary one.

        Args:
            room_id: where.
            event_type: its type.
            content: its content, which holds the sticky key.
            duration_ms: how long it sticks.
            timeout: see Homeserver.
            patience: see Homeserver.
            txn_id: give the same again to repeat an earlier call of this session.
        """
        # One transaction per call: repeated tries cannot double it, another call sends another.
        path = Path.v3.rooms[room_id].send[event_type][txn_id or uuid.uuid4().hex]
        return _event_id(
            await self.transport.ask(
                "send sticky event",
                Method.PUT,
                path,
                body=content,
                query={STICKY_DURATION: str(duration_ms)},
                seconds=timeout,
                patience=patience,
            )
        )

    async def send_notice(
        self, room_id: str, body: str, html: str | None = None, *, patience: float = PATIENCE
    ) -> str:
        """Send a notice, which notifies nobody, and return its event id."""
        content: dict[str, Any] = {"msgtype": "m.notice", "body": body, "m.mentions": {}}
        if html is not None:
            content |= {"format": "org.matrix.custom.html", "formatted_body": html}
        return await self.send_event(room_id, "m.room.message", content, patience=patience)

    async def send_state(
        self,
        room_id: str,
        event_type: str,
        state_key: str,
        content: Mapping[str, Any],
        *,
        timeout: float = ONE_TRY,
        patience: float = PATIENCE,
    ) -> str:
        """Set state and return the event's id; the same state again gives the same id."""
        path = Path.v3.rooms[room_id].state[event_type][state_key]
        return _event_id(
            await self.transport.ask(
                "send state", Method.PUT, path, body=content, seconds=timeout, patience=patience
            )
        )

    async def room_state(self, room_id: str, *, patience: float = PATIENCE) -> list[dict[str, Any]]:
        """Return all current state events of a room."""
        path = Path.v3.rooms[room_id].state
        events = await self.transport.ask_any("room state", Method.GET, path, patience=patience)
        if not isinstance(events, list):
            raise Transient("room state: the answer is not a list")
        return [event for event in events if isinstance(event, dict)]

    async def state_event(
        self, room_id: str, event_type: str, state_key: str = "", *, patience: float = PATIENCE
    ) -> dict[str, Any] | None:
        """Return the *content* of a state event; None when there is none."""
        path = Path.v3.rooms[room_id].state[event_type][state_key]
        try:
            return await self.transport.ask("state event", Method.GET, path, patience=patience)
        except NotFound:
            return None

    async def messages(
        self,
        room_id: str,
        token: str | None,
        event_filter: Mapping[str, Any],
        *,
        forwards: bool,
        limit: int,
        patience: float = PATIENCE,
    ) -> Page:
        """Return a page of a room's timeline; without a token the newest backwards."""
        return await messages(
            self.transport,
            room_id,
            token,
            event_filter,
            forwards=forwards,
            limit=limit,
            patience=patience,
        )

    def relations(
        self,
        room_id: str,
        event_id: str,
        event_type: str,
        rel_type: str = "m.reference",
        limit: int = 50,
        *,
        oldest_first: bool = False,
        patience: float = PATIENCE,
    ) -> AsyncIterator[dict[str, Any]]:
        """Iterate over the events relating to an event, `limit` per request.

        Raises:
            NotFound: no homeserver of the room has it.
            ServerError: also after very many.
        """
        return relations(
            self.transport,
            self.absent,
            room_id,
            event_id,
            event_type,
            rel_type=rel_type,
            limit=limit,
            oldest_first=oldest_first,
            patience=patience,
        )


def _event_id(reply: Mapping[str, Any]) -> str:
    event_id = reply.get("event_id")
    if not isinstance(event_id, str):
        raise Transient("send: the answer holds no event id")
    return event_id
