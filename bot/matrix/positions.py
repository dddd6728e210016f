"""The sync position that is safe to store: everything before it was handled."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from bot.matrix.login import SYNC_TOKEN, TokenStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Response:
    """A response that was handed over.

    Attributes:
        position: of sync, after it.
        rooms: per room, done once its batch was handled.
    """

    position: str
    rooms: Mapping[str, asyncio.Future[None]]

    @property
    def done(self) -> bool:
        return all(future.done() for future in self.rooms.values())


class Positions:
    """Keeps track of what was handed over, and stores how far it was handled.

    A future that ends with an exception counts as handled: the room gave up on that batch, and
    starts anew from the room's state. A cancelled one does not, the process is ending: from then
    on nothing is stored, and the next process sees those batches again.

    Args:
        tokens: keeps the position across restarts.
        limit: responses handed over but not handled, at the most.
    """

    def __init__(self, tokens: TokenStore, limit: int) -> None:
        self._tokens = tokens
        self._limit = limit
        self._waiting: deque[_Response] = deque()
        self._changed = asyncio.Event()
        self._storing = asyncio.Lock()
        self._handled: str | None = None
        self._stored: str | None = None
        self._frozen = False

    async def load(self) -> str | None:
        """Return the stored position; None when there is none."""
        self._stored = self._handled = await self._tokens.get(SYNC_TOKEN) or None
        return self._stored

    def add(self, position: str, rooms: Mapping[str, asyncio.Future[None]]) -> None:
        """Take note of a response that was handed over."""
        if not self._frozen:
            self._waiting.append(_Response(position, rooms))
            self._changed.set()

    async def wait_for_space(self) -> None:
        """Return once few enough responses wait; a room that hangs holds up the rest only here."""
        if len(self._waiting) < self._limit:
            return
        behind = [room_id for room_id, done in self._waiting[0].rooms.items() if not done.done()]
        _log.warning("sync waits for rooms that are behind", extra={"rooms": behind})
        while len(self._waiting) >= self._limit:
            await self._next_change()

    async def keep_storing(self) -> NoReturn:
        """Store the position whenever more was handled, for ever."""
        while True:
            while not self._waiting:
                await self._next_change()
            if not self._waiting[0].done:
                await asyncio.wait(self._waiting[0].rooms.values())
            await self.settle()

    async def settle(self) -> None:
        """Store how far all was handled by now."""
        async with self._storing:
            while self._waiting and self._waiting[0].done:
                self._finish(self._waiting.popleft())
            if self._handled is not None and self._handled != self._stored:
                await self._tokens.set(SYNC_TOKEN, self._handled)
                self._stored = self._handled
            self._changed.set()

    def _finish(self, response: _Response) -> None:
        if any(future.cancelled() for future in response.rooms.values()):
            self._frozen = True
            self._waiting.clear()
            _log.warning("a batch was dropped unhandled: the sync position stays before it")
            return
        for room_id, future in response.rooms.items():
            if future.exception() is not None:
                _log.warning("a room gave up on a batch", extra={"room": room_id})
        self._handled = response.position

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
