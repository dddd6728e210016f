"""A handler in a thread of its own: what blocks it without `await` holds up nobody else.

A thread cannot be ended by force. One that does not answer is abandoned: nothing it says is heard
any more, and it ends when it comes to itself.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

from bot.handlers.base import Handler
from bot.handlers.isolated.desk import Desk
from bot.handlers.isolated.inside import Inside
from bot.handlers.isolated.messages import Stop
from bot.handlers.isolated.outside import Worker

GONE_WITHIN = 1.0
"""Seconds a thread that has nothing more to do gets to end."""


class ThreadWorker(Worker):
    """A thread with a handler in it.

    Args:
        name: the handler's.
        desk: answers what the handler asks for.
        kind: the handler's class.
        settings: the handler's.
    """

    def __init__(self, name: str, desk: Desk, kind: type[Handler], settings: Any) -> None:
        super().__init__(name, desk)
        self._loop = asyncio.get_running_loop()
        self._inside = Inside(name, lambda: kind(settings), self._hear)
        self._ready, self._over = asyncio.Event(), asyncio.Event()
        # A daemon: one that hangs must not keep the program from ending.
        self.thread = threading.Thread(target=self._run, name=f"handler {name}", daemon=True)

    async def _begin(self) -> None:
        self.thread.start()
        await self._ready.wait()

    def send(self, message: object) -> None:
        """Tell it something."""
        with suppress(RuntimeError):  # its loop is closed: it has ended
            self._inside.take(message)

    def _give_up(self) -> None:
        self.send(Stop())

    async def _gone(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(GONE_WITHIN):
                await self._over.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._inside.run(lambda: self._in_loop(self._ready.set)))
        finally:
            self._in_loop(self._ready.set)
            self._in_loop(self.end, "its thread ended")
            self._in_loop(self._over.set)

    def _hear(self, message: object) -> None:
        self._in_loop(self.take, message)

    def _in_loop(self, what: Any, *args: object) -> None:
        with suppress(RuntimeError):  # the bot has ended
            self._loop.call_soon_threadsafe(what, *args)
