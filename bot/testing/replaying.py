"""Recordings, happening once more on a simulated board."""

from __future__ import annotations

import asyncio
from collections.abc import Container

from bot.errors import InvalidMessage
from bot.handlers.base import Participant, SessionChanged
from bot.services import Arrival
from bot.testing.homeserver import Clock
from bot.testing.life import Life
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.message import Message, Update, decode
from bot.whiteboard.snapshot import Snapshot

_PACKETS = frozenset({Kind.CURSOR, Kind.FOCUS, Kind.PRESENT})


class Player:
    """Has happen what was recorded, entry by entry.

    Args:
        life: of the bot.
        clock: goes with the recording.
        ours: users that are no people on the board.
        speed: times as fast as it was; None without any pause.
    """

    def __init__(self, life: Life, clock: Clock, ours: Container[str], speed: float | None) -> None:
        self._life = life
        self._clock = clock
        self._ours = ours
        self._speed = speed
        self._people: dict[Participant, None] = {}
        self._last: int | None = None

    async def play(self, entry: Entry) -> None:
        """Have one entry happen."""
        if self._last is not None and self._speed is not None:
            await asyncio.sleep(max(0, entry.ts - self._last) / 1000 / self._speed)
        self._last = entry.ts
        # Recordings are older than simulations.
        self._clock.ts = max(self._clock.ts, entry.ts) if self._people else entry.ts
        self._meet(entry)
        if entry.kind in {Kind.SNAPSHOT, Kind.BASELINE}:
            await self._snapshot(entry)
        else:
            self._packet(entry)
        await asyncio.sleep(0)

    def _meet(self, entry: Entry) -> None:
        """Have somebody come onto the board who does something for the first time."""
        if entry.sender is None or entry.device is None or entry.sender in self._ours:
            return
        who = Participant(entry.sender, entry.device)
        if who not in self._people:
            self._people[who] = None
            key = self._life.place.key
            self._life.lanes.offer(SessionChanged(key, entry.ts, tuple(self._people)))

    async def _snapshot(self, entry: Entry) -> None:
        key = self._life.place.key
        sender = entry.sender or self._life.place.state.own_user
        event_id = f"$recorded{entry.seq}"
        snapshot = Snapshot(event_id, sender, entry.ts, key.document_id, entry.data)
        await self._life.opened.merge_snapshot(snapshot)

    def _packet(self, entry: Entry) -> None:
        message: Message
        if entry.kind in _PACKETS:
            try:
                message = decode(entry.data)
            except InvalidMessage:  # anybody may have written the file
                return
        else:
            message = Update(self._life.place.key.document_id, entry.data)
        arrival = Arrival(message, entry.sender, entry.device, entry.ts, entry.data)
        self._life.opened.ingest([arrival])
