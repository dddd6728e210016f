"""The runtime of handlers: lanes.

A lane is one handler's ordered place on one board. `Lanes.offer` never blocks and never awaits, so
nothing a handler does reaches ingest (DESIGN rule 6). A lane has no task while it has nothing to
do: idle boards cost nothing.

A live lane has a bounded queue (`queue`). A handler that fails several times in a row gets a pause
there (`breaker`), and its events wait in the queue. Durable lanes: see `durable`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Self
from weakref import WeakValueDictionary

from bot import metrics
from bot.handlers.base import METHODS, BoardGone, Event, Handler
from bot.handlers.breaker import State
from bot.handlers.calling import (
    LaneBreaker,
    breakers_now,
    contained,
    deadline,
    kind_of,
    said,
    where,
)
from bot.handlers.isolated.proxy import isolation_now
from bot.handlers.queue import Queue, Tally
from bot.handlers.recorded import SOURCES
from bot.handlers.rooms import in_room
from bot.whiteboard.board import BoardKey

FAILURES = 5
"""In a row, after which a live lane pauses."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds until a live lane tries again."""

_log = logging.getLogger(__name__)


class Lane:
    """One handler on one board: events in order, one call at a time.

    Args:
        name: the handler's.
        handler: called for one event at a time.
        turn: held while the handler is called for the board: its durable lane has the same.
        tasks: the owner of the lane's task.
        tally: counts for all lanes of the handler.
        ending: set when the program ends: pauses end too.

    Attributes:
        wanted: the events it may be offered.
        breaker: pauses the lane when the handler fails again and again.
        queue: what waits.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        turn: asyncio.Lock,
        *,
        tasks: asyncio.TaskGroup,
        tally: Tally,
        ending: asyncio.Event,
    ) -> None:
        self.wanted = _live(handler)
        self.breaker = LaneBreaker(name, limit=FAILURES, first=FIRST_PAUSE, cap=LONGEST_PAUSE)
        self.queue = Queue(tally)
        self._name = name
        self._handler = handler
        self._turn = turn
        self._tasks = tasks
        self._tally = tally
        self._ending = ending
        self._running = False
        self._retired = False

    @property
    def busy(self) -> bool:
        """Whether an event is being handled or waits for that, and there is no pause."""
        return self._running and self.breaker.state is State.CLOSED

    def offer(self, event: Event) -> None:
        """Queue an event; the lane's task runs for as long as there are any."""
        self.queue.put(event)
        if not self._running:
            self._running = True
            self._tasks.create_task(self._run())

    def retire(self) -> None:
        """There will be no more events: the board has gone."""
        self._retired = True
        if not self._running:
            self.breaker.succeeded(time.monotonic())

    async def _run(self) -> None:
        try:
            while self.queue and await self._may_call():
                await self._call(self.queue.take())
        finally:
            self._running = False
            if self._retired:
                self.breaker.succeeded(time.monotonic())

    async def _may_call(self) -> bool:
        """Wait until a pause is over; returns whether there is still something to be called for."""
        while not self.breaker.ask(now := time.monotonic()):
            if self._ending.is_set():
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout((self.breaker.until or now) - now):
                    await self._ending.wait()
        return True

    async def _call(self, event: Event) -> None:
        method = getattr(self._handler, METHODS[type(event)])
        try:
            async with self._turn, deadline(self._handler):
                with contained():
                    await method(event)
        except Exception as error:  # noqa: BLE001 - the border: a handler's failure ends here
            self._failed(event, error)
        else:
            if self.breaker.state is not State.CLOSED:
                _log.info("a handler's lane works again", extra={"handler": self._name})
            self.breaker.succeeded(time.monotonic())

    def _failed(self, event: Event, error: Exception) -> None:
        metrics.HANDLER_FAILURES.labels(self._name).inc()
        self._tally.failures += 1
        self._tally.last_error = said(error)
        self._tally.last_error_ts = int(time.time() * 1000)
        # Not the text: it may quote what is on the board.
        what = {"handler": self._name, "event": type(event).__name__, "error": kind_of(error)}
        _log.warning(
            "a handler failed on an event; its lane goes on", extra={**what, "where": where(error)}
        )
        now = time.monotonic()
        self.breaker.failed(now)
        if self.breaker.until is not None:
            pause = {"handler": self._name, "seconds": round(self.breaker.until - now, 1)}
            _log.warning("a handler fails again and again; its lane pauses", extra=pause)


def _live(handler: Handler) -> frozenset[type[Event]]:
    """Return the events a handler is told as they happen."""
    return handler.wants() - SOURCES.keys() if handler.durable else handler.wants()


class Lanes:
    """All live lanes: offers each event to every handler that wants it.

    Use as `async with`: leaving waits for what is queued, at most `drain` seconds.
    """

    def __init__(self, handlers: Mapping[str, Handler], drain: float = 5.0) -> None:
        self._handlers = {name: (handler, _live(handler)) for name, handler in handlers.items()}
        self._lanes: dict[tuple[str, BoardKey], Lane] = {}
        self._turns: WeakValueDictionary[tuple[str, BoardKey], asyncio.Lock] = WeakValueDictionary()
        self._tallies: defaultdict[str, Tally] = defaultdict(Tally)
        self._tasks = asyncio.TaskGroup()
        self._ended = False
        self._ending = asyncio.Event()
        self._drain = drain

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._ending.set()
        try:
            async with asyncio.timeout(self._drain):
                await self._tasks.__aexit__(None, None, None)
        except TimeoutError:
            _log.warning("handlers still had events when the time to end was over")
        finally:
            self._ended = True

    def offer(self, event: Event) -> None:
        """Give an event to the lanes of its board; after the end nobody is told any more."""
        if self._ended:
            return
        for name, (handler, events) in self._handlers.items():
            if type(event) not in events:
                continue
            lane = self._lanes.get((name, event.board))
            if lane is None:
                lane = self._lanes[name, event.board] = self._lane(name, handler, event.board)
            if type(event) in lane.wanted:
                lane.offer(event)
        if isinstance(event, BoardGone):
            for name in self._handlers:
                lane = self._lanes.pop((name, event.board), None)
                if lane is not None:
                    lane.retire()  # its task ends when it is empty

    def _lane(self, name: str, handler: Handler, board: BoardKey) -> Lane:
        return Lane(
            name,
            in_room(handler, board.room_id),
            self.turn(name, board),
            tasks=self._tasks,
            tally=self._tallies[name],
            ending=self._ending,
        )

    def turn(self, name: str, board: BoardKey) -> asyncio.Lock:
        """Return what is held while a handler is called for a board: one call at a time."""
        return self._turns.setdefault((name, board), asyncio.Lock())

    @property
    def busy(self) -> int:
        """How many lanes have something to do."""
        return sum(lane.busy for lane in self._lanes.values())

    def wants(self, event: type[Event]) -> bool:
        """Return whether any handler wants such events: what nobody wants is not even built."""
        return any(event in events for _, events in self._handlers.values())

    def status(self) -> dict[str, dict[str, Any]]:
        """Return how the live lanes of each handler are, by name."""
        found = {}
        for name in self._handlers:
            lanes = [lane for (one, _), lane in self._lanes.items() if one == name]
            waiting = [lane.queue.oldest_ts for lane in lanes]
            found[name] = {
                **isolation_now(self._handlers[name][0]),
                "queued": sum(len(lane.queue) for lane in lanes),
                "oldest_ts": min((ts for ts in waiting if ts is not None), default=None),
                **asdict(self._tallies[name]),
                **breakers_now(lane.breaker for lane in lanes),
            }
        return found
