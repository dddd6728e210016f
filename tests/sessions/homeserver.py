"""A homeserver with one room, in memory: slow, failing, and everybody syncs behind it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from bot.errors import RateLimited, Transient
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE
from tests.fakes.rooms import BOT, KEY, NOW, Server
from tests.sessions.clock import BEGIN
from tests.sessions.script import Script

TRAVEL = (0.02, 0.3)
"""Seconds a request takes, and until sync brings an event."""
VANISHING = 0.05
"""Share of the bot's chunks that are taken but do not get into the room."""
_ERRORS = (
    RateLimited("too many requests", retry_after=2.0),
    Transient("the homeserver does not answer"),
)
MEMBER = "org.matrix.msc3401.call.member"

Event = dict[str, Any]


class Homeserver(Server):
    """The room's events, and what the bot asks of a homeserver.

    Attributes:
        timeline: every event, oldest first.
    """

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.timeline: list[Event] = []
        self._related: dict[str, list[Event]] = {}
        self._script = script
        self._dice = random.Random(f"server {script.seed}")
        self._loop = asyncio.get_running_loop()
        self._followers: dict[Callable[[Event], None], float] = {}

    @property
    def now_ts(self) -> int:
        """By its clock, ms."""
        return NOW + int((self._loop.time() - BEGIN) * 1000)

    # -- the room ------------------------------------------------------------------------------

    def put(self, event: Event) -> str:
        """Take an event into the room; everybody's sync brings it."""
        event_id = f"$e{len(self.timeline)}"
        event = {**event, "event_id": event_id, "origin_server_ts": self.now_ts}
        self.timeline.append(event)
        target = event["content"].get("m.relates_to", {}).get("event_id")
        if target is not None:
            self._related.setdefault(target, []).append(event)
        for follower, last in self._followers.items():
            at = max(last + 1e-6, self._loop.time() + self._dice.uniform(*TRAVEL))
            self._followers[follower] = at
            self._loop.call_at(at, self._bring, follower, event)
        return event_id

    def follow(self, take: Callable[[Event], None]) -> None:
        """Sync."""
        self._followers[take] = 0.0

    def unfollow(self, take: Callable[[Event], None]) -> None:
        """Sync no more."""
        self._followers.pop(take, None)

    def _bring(self, follower: Callable[[Event], None], event: Event) -> None:
        if follower in self._followers:
            follower(event)

    def related(self, target: str, kind: str) -> list[Event]:
        """The events that refer to one, newest first."""
        found = self._related.get(target, ())
        return [event for event in reversed(found) if event["type"] == kind]

    def snapshots(self) -> list[tuple[Event, list[Event]]]:
        """The snapshots of the board with their chunks, newest first."""
        heads = self.related(KEY.document_id, SNAPSHOT_TYPE)
        return [(head, self.related(head["event_id"], CHUNK_TYPE)) for head in heads]

    # -- what the bot asks ---------------------------------------------------------------------

    async def _do(self, name: str) -> None:
        self.calls[name] += 1
        await asyncio.sleep(self._dice.uniform(*TRAVEL))
        self._fail()

    def _fail(self) -> None:
        if self._dice.random() < self._script.errors:
            raise self._dice.choice(_ERRORS)

    async def relations(
        self, room_id: str, event_id: str, event_type: str, *, oldest_first: bool = False
    ) -> AsyncIterator[Event]:
        await self._do("relations")
        events = self.related(event_id, event_type)
        for number, event in enumerate(reversed(events) if oldest_first else events):
            if number and number % 50 == 0:
                await self._do("relations")
            yield event

    async def send_event(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        self.calls["send_event"] += 1
        await self._try()
        event = {"type": event_type, "sender": BOT, "content": dict(content)}
        if event_type == CHUNK_TYPE and self._dice.random() < VANISHING:
            return "$vanished"
        event_id = self.put(event)
        await self._try()  # it is there, but nobody says so: asking again doubles nothing
        return event_id

    async def _try(self) -> None:
        """The bot tries to send for a minute: two tries that fail are only slow."""
        for _ in range(2):
            await asyncio.sleep(self._dice.uniform(*TRAVEL))
            if self._dice.random() >= self._script.errors:
                return
            await asyncio.sleep(2.0)
        self._fail()

    async def send_state(
        self,
        room_id: str,
        event_type: str,
        state_key: str,
        content: Mapping[str, Any],
        *,
        timeout: float = 1.0,
        patience: float = 1.0,
    ) -> str:
        await self._do("send_state")
        return self._put_state(event_type, state_key, content)

    async def send_delayed(self, delay_id: str, *, timeout: float) -> None:
        await self._do("send_delayed")
        self._put_state(MEMBER, self.delayed.pop(delay_id), {})

    def _put_state(self, event_type: str, state_key: str, content: Mapping[str, Any]) -> str:
        return self.put(
            {"type": event_type, "state_key": state_key, "sender": BOT, "content": dict(content)}
        )
