"""The runtime of handlers: lanes.

A lane is one handler's ordered place on one board. `Lanes.offer` never blocks and never awaits, so
nothing a handler does reaches ingest (DESIGN rule 6). A lane has no task while it has nothing to
do: idle boards cost nothing.

A live lane is a queue bounded in count and bytes. At its bound the document updates in it are
merged into one, and of cursors and presentations only each sender's latest stays. Durable lanes:
see `durable`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Self
from weakref import WeakValueDictionary

from bot import metrics
from bot.handlers.base import (
    METHODS,
    BoardGone,
    CursorMoved,
    DocumentUpdate,
    Event,
    Focused,
    Handler,
    Presented,
)
from bot.handlers.durable import CALL_DEADLINE, where
from bot.handlers.recorded import SOURCES
from bot.whiteboard.board import BoardKey
from bot.whiteboard.document import merge

_log = logging.getLogger(__name__)


class Queue:
    """A lane's bounded queue.

    Args:
        limit: events; at it the queue is condensed.
        max_bytes: of update bytes held; likewise.
    """

    def __init__(self, limit: int = 1000, max_bytes: int = 8 * 2**20) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self._events: deque[Event] = deque()
        self._bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> None:
        """Add an event; condense first when the queue is full."""
        self._events.append(event)
        self._bytes += _size(event)
        if len(self._events) > self._limit or self._bytes > self._max_bytes:
            self._condense()

    def take(self) -> Event:
        """Remove and return the oldest event.

        Raises:
            IndexError: the queue is empty.
        """
        event = self._events.popleft()
        self._bytes -= _size(event)
        return event

    def _condense(self) -> None:
        """Merge updates, keep each sender's latest signal, then drop the oldest if need be."""
        updates = [event for event in self._events if isinstance(event, DocumentUpdate)]
        latest = {_signal(event): event for event in self._events if _signal(event)}
        kept: deque[Event] = deque()
        for event in self._events:
            if isinstance(event, DocumentUpdate):
                if event is updates[-1]:
                    kept.append(_merged(updates))
            elif not _signal(event) or latest[_signal(event)] is event:
                kept.append(event)
        while len(kept) > self._limit:
            kept.popleft()
            self.dropped += 1
        self._events = kept
        # The merged update is what the board holds at the most: bounded by the document's size.
        self._bytes = 0 if len(updates) == 1 else sum(map(_size, kept))


def _size(event: Event) -> int:
    return len(event.update) if isinstance(event, DocumentUpdate) else 0


def _signal(event: Event) -> tuple[type[Event], str | None] | None:
    if isinstance(event, CursorMoved | Focused | Presented):
        return type(event), event.sender
    return None


def _merged(updates: list[DocumentUpdate]) -> DocumentUpdate:
    if len(updates) == 1:
        return updates[0]
    senders = {event.sender for event in updates}
    return replace(
        updates[-1],
        update=merge([event.update for event in updates]),
        sender=senders.pop() if len(senders) == 1 else None,
    )


class Lane:
    """One handler on one board: events in order, one call at a time."""

    def __init__(
        self, name: str, handler: Handler, turn: asyncio.Lock, tasks: asyncio.TaskGroup
    ) -> None:
        self._name = name
        self._handler = handler
        self._turn = turn
        self._tasks = tasks
        self._queue = Queue()
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether an event is being handled or waits for that."""
        return self._busy

    def offer(self, event: Event) -> None:
        """Queue an event; the lane's task runs for as long as there are any."""
        self._queue.put(event)
        if not self._busy:
            self._busy = True
            self._tasks.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._call(self._queue.take())
        finally:
            self._busy = False

    async def _call(self, event: Event) -> None:
        method = getattr(self._handler, METHODS[type(event)])
        try:
            async with self._turn, asyncio.timeout(CALL_DEADLINE):
                await method(event)
        except Exception as error:  # noqa: BLE001 - the border: a handler's failure ends here
            metrics.HANDLER_FAILURES.labels(self._name).inc()
            # Not the text: it may quote what is on the board.
            _log.warning(
                "a handler failed on an event; its lane goes on",
                extra={
                    "handler": self._name,
                    "event": type(event).__name__,
                    "error": type(error).__name__,
                    "where": where(error),
                },
            )


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
        self._tasks = asyncio.TaskGroup()
        self._drain = drain

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            async with asyncio.timeout(self._drain):
                await self._tasks.__aexit__(None, None, None)
        except TimeoutError:
            _log.warning("handlers still had events when the time to end was over")

    def offer(self, event: Event) -> None:
        """Give an event to the lanes of its board."""
        for name, (handler, events) in self._handlers.items():
            if type(event) not in events:
                continue
            lane = self._lanes.get((name, event.board))
            if lane is None:
                turn = self.turn(name, event.board)
                lane = self._lanes[name, event.board] = Lane(name, handler, turn, self._tasks)
            lane.offer(event)
        if isinstance(event, BoardGone):
            for name in self._handlers:
                self._lanes.pop((name, event.board), None)  # its task ends when it is empty

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
