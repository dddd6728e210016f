"""Says who holds up the event loop: one handler that computes or waits without `await` stops all.

A thread looks several times a second whether the loop still turns. When it does not, the thread
sees in the loop's stack where it stands, and whose file that is.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Self

from bot import metrics
from bot.handlers.base import Handler
from bot.handlers.isolated.proxy import Isolated
from bot.handlers.rooms import instances

LONG = 1.0
"""Seconds without a turn that are too long; LiveKit's own part gives up after 20."""

_log = logging.getLogger(__name__)


class StallDetector:
    """Watches the running event loop. Use as `async with`.

    Args:
        handlers: by name; theirs are the files that are looked for.
        long: seconds without a turn that are reported, once each time.
    """

    def __init__(self, handlers: Mapping[str, Handler], long: float = LONG) -> None:
        self._files = {
            inspect.getfile(type(one)): name
            for name, handler in handlers.items()
            for one in instances(handler)
            if not isinstance(one, Isolated)  # whatever it does, it does elsewhere
        }
        self._long = long
        self._beat = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall detector", daemon=True)
        self._loop_thread = 0
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop_thread = threading.get_ident()
        self._beating = asyncio.create_task(self._keep_beating())
        self._thread.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._end.set()
        if self._beating is not None:
            self._beating.cancel()
        await asyncio.to_thread(self._thread.join)

    async def _keep_beating(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(self._long / 4)

    def _watch(self) -> None:
        reported = 0.0
        while not self._end.wait(self._long / 4):
            beat = self._beat
            if time.monotonic() - beat > self._long and beat != reported:
                reported = beat
                self._report()

    def _report(self) -> None:
        name, where = self._culprit(sys._current_frames().get(self._loop_thread))  # noqa: SLF001 - the documented way to see another thread's stack
        metrics.STALLS.labels(name or "none").inc()
        _log.warning(
            "the event loop stands still: all boards wait", extra={"handler": name, "where": where}
        )

    def _culprit(self, frame: FrameType | None) -> tuple[str, str]:
        """Return whose code a stack is in, and where that stands; else where it stands at all."""
        innermost = "" if frame is None else _place(frame)
        while frame is not None:
            if name := self._files.get(frame.f_code.co_filename):
                return name, _place(frame)
            frame = frame.f_back
        return "", innermost


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
