"""The handler that lanes see in place of one in a thread or process of its own."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Any

from bot import metrics
from bot.backoff import backoff
from bot.handlers.base import METHODS, Context, Event, Handler
from bot.handlers.calling import Timed, kind_of, where
from bot.handlers.durable import LONGEST_WAIT
from bot.handlers.isolated.desk import Desk
from bot.handlers.isolated.outside import Interrupted, NotBegun, Worker
from bot.handlers.isolated.thread import ThreadWorker
from bot.handlers.rooms import instances

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
"""Seconds until a worker that ended is replaced."""
WELL_AFTER = 60.0
"""Seconds a worker has to live for the pauses to begin anew."""
READY_WITHIN = 60.0
"""Seconds a call waits for a new worker."""
CAREFUL = 2 * LONGEST_WAIT
"""Seconds for which calls are made one at a time after a worker ended: longer than a lane waits, so
that what ends it is sure to be alone with it, and nothing else is blamed."""
MAX_ABANDONED = 3
"""Threads that hang; after that no more are made."""
CALLS = 3
"""Times a call is made that the handler did not see."""

_HANGS = "a thread of a handler hangs and is left alone; a new one begins"
_ENDED = "a handler has ended; it is started again"

_log = logging.getLogger(__name__)


class Isolated(Timed, Handler):
    """Stands for a handler in a thread or process of its own.

    Args:
        inner: an instance that is never started: says what is wanted.
        name: the handler's.
        begin: makes a worker.
        isolation: `thread` or `process`.

    Attributes:
        stopped: why the handler is called no more; empty while it is.
        restarts: how many workers had to be replaced.
    """

    def __init__(
        self, inner: Handler, name: str, begin: Callable[[Desk], Worker], isolation: str
    ) -> None:
        super().__init__(inner.settings)
        self.isolation = isolation
        self.stopped = ""
        self.restarts = 0
        self._inner = inner
        self._name = name
        self._begin = begin
        self._desk: Desk
        self._worker: Worker | None = None
        self._up = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._one = asyncio.Lock()
        self._careful_until = float("-inf")
        self._abandoned: list[ThreadWorker] = []

    def wants(self) -> frozenset[type[Event]]:
        """Return what the handler wants."""
        return self._inner.wants()

    async def start(self, context: Context) -> None:
        """Make the worker and start the handler in it.

        Raises:
            Elsewhere: it cannot start.
            UsageError: there can be no such worker.
        """
        await super().start(context)
        self._desk = Desk(context)
        worker = await self._started()
        self._keeping = asyncio.create_task(self._keep(worker))

    async def stop(self) -> None:
        """Stop the handler and end the worker."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])  # it may be making a worker
        self._up.clear()
        if self._worker is not None:
            await self._worker.stop()

    async def _started(self) -> Worker:
        worker = self._begin(self._desk)
        self.collect = await worker.start()
        self._worker = worker
        self._up.set()
        return worker

    async def _keep(self, worker: Worker) -> None:
        """Have a worker at all times, and a new one when it has ended."""
        pauses, began = _pauses(), time.monotonic()
        while True:
            await worker.ended.wait()
            self._up.clear()
            self._careful_until = time.monotonic() + CAREFUL
            if time.monotonic() - began > WELL_AFTER:
                pauses = _pauses()
            what = {"handler": self._name, "why": worker.why}
            if self._too_many(worker):
                self._up.set()
                return
            hangs = worker in self._abandoned
            _log.warning(_HANGS if hangs else _ENDED, extra=what)
            worker, began = await self._replaced(pauses), time.monotonic()

    async def _replaced(self, pauses: Iterator[float]) -> Worker:
        while True:
            await asyncio.sleep(next(pauses))
            self.restarts += 1
            metrics.HANDLER_RESTARTS.labels(self._name).inc()
            try:
                return await self._started()
            except Exception as error:  # noqa: BLE001 - the border of a handler
                what = {"error": kind_of(error), "where": where(error)}
                _log.error(
                    "a handler could not be started again", extra={"handler": self._name, **what}
                )

    def _too_many(self, worker: Worker) -> bool:
        """Abandon a thread, which cannot be ended; returns whether too many of them hang."""
        if not isinstance(worker, ThreadWorker):
            return False
        hanging = [one for one in (*self._abandoned, worker) if one.thread.is_alive()]
        self._abandoned = hanging
        if len(hanging) < MAX_ABANDONED:
            return False
        self.stopped = f"{len(hanging)} of its threads hang: it is called no more"
        _log.error(
            "too many threads of a handler hang: it is called no more until the bot is started"
            " again; with “isolation: process” it could be ended",
            extra={"handler": self._name, "threads": len(hanging)},
        )
        return True

    async def _call(self, method: str, argument: Any) -> None:
        for _ in range(CALLS - 1):
            with suppress(NotBegun):
                return await self._call_once(method, argument)
        return await self._call_once(method, argument)

    async def _call_once(self, method: str, argument: Any) -> None:
        async with self._turn():
            try:
                async with asyncio.timeout(READY_WITHIN):
                    worker = await self._ready()
            except TimeoutError:
                raise Interrupted("it has ended and could not be started again yet") from None
            await worker.call(method, argument)

    async def _ready(self) -> Worker:
        while True:
            await self._up.wait()
            if self.stopped:
                raise Interrupted(self.stopped)
            if self._worker is not None and not self._worker.ended.is_set():
                return self._worker
            self._up.clear()  # `_keep` will see in a moment that it has ended

    def _turn(self) -> AbstractAsyncContextManager[None]:
        return self._one if time.monotonic() < self._careful_until else nullcontext()


def _forward(method: str) -> Callable[[Isolated, Any], Awaitable[None]]:
    async def told(self: Isolated, argument: Any) -> None:
        await self._call(method, argument)

    return told


for _method in ("on_batch", *METHODS.values()):
    setattr(Isolated, _method, _forward(_method))


def _pauses() -> Iterator[float]:
    return backoff(random.random, first=FIRST_PAUSE, cap=LONGEST_PAUSE)


def isolation_now(handler: Handler) -> dict[str, Any]:
    """Return how a handler's instances in threads or processes are; nothing when it has none.

    Returns:
        `isolation`; `restarts`; `stopped`, why it is called no more, empty while it is.
    """
    elsewhere = [one for one in instances(handler) if isinstance(one, Isolated)]
    if not elsewhere:
        return {}
    return {
        "isolation": elsewhere[0].isolation,
        "restarts": sum(one.restarts for one in elsewhere),
        "stopped": next((one.stopped for one in elsewhere if one.stopped), ""),
    }
