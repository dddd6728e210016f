"""Durable handlers at work on a real archive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.handlers.base import Handler
from bot.handlers.delivery import Delivery
from bot.handlers.lanes import Lanes
from bot.store.archive import Archive
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry, Kind

KEY = BoardKey("!r", "w", "$d")


@dataclass
class Here:
    archive: Archive
    delivery: Delivery
    lanes: Lanes
    board: int
    entries: list[Entry] = field(default_factory=list)

    async def drawn(self, *updates: bytes, kind: Kind = Kind.UPDATE, board: int = 0) -> None:
        """Record, as the Recorder does."""
        number = board or self.board
        entries = [
            Entry(number, 1000 + at, kind, "@a:b", "D", one) for at, one in enumerate(updates)
        ]
        seqs = await self.archive.append(entries)
        self.delivery.committed(
            [
                Entry(number, one.ts, kind, one.sender, one.device, one.data, seq)
                for one, seq in zip(entries, seqs, strict=True)
            ]
        )

    async def settled(self) -> None:
        for _ in range(2000):
            if not self.delivery.busy:
                return
            await asyncio.sleep(0.005)
        raise TimeoutError

    async def letters(self) -> list[int]:
        return [letter.seq for letter in await self.archive.dead_letters()]


@asynccontextmanager
async def running(folder: Path, **handlers: Handler) -> AsyncIterator[Here]:
    async with Archive(folder) as archive:
        number = await archive.board_id(KEY, 1)
        async with (
            Lanes(handlers) as lanes,
            Delivery(handlers, archive, turn=lanes.turn, drain=0.2) as delivery,
        ):
            await delivery.begin()
            yield Here(archive, delivery, lanes, number)


async def until(check: Any) -> None:
    async with asyncio.timeout(15):
        while not check():
            await asyncio.sleep(0.002)


async def until_async(check: Any) -> None:
    async with asyncio.timeout(15):
        while not await check():
            await asyncio.sleep(0.002)
