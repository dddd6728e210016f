"""What handlers are handed in tests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bot.handlers.base import BoardView, Changes, DocumentUpdate, Event, PastSession, Span
from bot.rtc.past import past_sessions
from bot.whiteboard.board import BoardKey


@dataclass(slots=True)
class MemoryStore:
    """Keeps texts in memory."""

    kept: dict[str, str] = field(default_factory=dict)

    async def get(self, name: str) -> str | None:
        """Return one."""
        return self.kept.get(name)

    async def set(self, name: str, value: str) -> None:
        """Keep one."""
        self.kept[name] = value


@dataclass(slots=True)
class MemoryMetrics:
    """Keeps the numbers."""

    numbers: dict[str, float] = field(default_factory=dict)

    def count(self, name: str, amount: float = 1) -> None:
        """Add to one."""
        self.numbers[name] = self.numbers.get(name, 0) + amount

    def set(self, name: str, value: float) -> None:
        """Set one."""
        self.numbers[name] = value


@dataclass(slots=True)
class FakeContext:
    """Knows boards by key; keeps in memory; writes nowhere."""

    boards: dict[BoardKey, Any] = field(default_factory=dict)
    closed: set[BoardKey] = field(default_factory=set)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("boardkeeper.test"))
    store: MemoryStore = field(default_factory=MemoryStore)
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)
    posted: list[tuple[str, str]] = field(default_factory=list)
    ts: int = 1_000
    spans: list[Span] = field(default_factory=list)

    async def board(self, key: BoardKey) -> BoardView | None:
        """Return a board."""
        return None if key in self.closed else self.boards.get(key)

    def find(self, room_id: str, whiteboard_id: str | None = None) -> BoardKey | None:
        """Return a board's key."""
        for key in self.boards:
            if key.room_id == room_id and whiteboard_id in {None, key.whiteboard_id}:
                return key
        return None

    @property
    def http(self) -> aiohttp.ClientSession:
        """There is none."""
        raise AssertionError

    async def changes(self, event: DocumentUpdate) -> Changes:
        """Return what a live event changed."""
        return event.changes

    async def content_at(self, event: Event) -> Mapping[str, Any]:
        """Nothing is recorded."""
        raise AssertionError

    async def sessions(self, board: BoardKey, since_ts: int) -> list[PastSession]:
        """Return what the history says."""
        return past_sessions(self.spans)

    def power(self, room_id: str, user_id: str) -> int:
        """Nobody has any."""
        return 0

    def now_ts(self) -> int:
        """Return a time."""
        return self.ts

    async def post(self, room_id: str, text: str) -> None:
        """Note it."""
        self.posted.append((room_id, text))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it."""
        asyncio.get_running_loop().create_task(work)
