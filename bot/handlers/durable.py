"""Durable lanes: what is recorded reaches a handler at least once, in order, across kill -9.

A durable lane is a cursor over the committed entries of one board (DESIGN rule 7): there is no
second queue that could overflow or get lost. The cursor moves when the handler has returned, and is
noted a moment later; what came in between is given again after a crash.

    idle ── an entry is committed ──► giving ── all given ──► idle
                                      │    ▲
                       it raised ─────┘    └───── the wait is over, or an operator says so
                          ▼                │
                        waiting ───────────┘
                          │ `MAX_TRIES` times, and it was not TryLater
                          ▼
                        dead letter: kept with the reason, passed by

While a lane waits (its breaker is open from the first failure on) it gives nothing: what breaks a
handler on one event breaks it on most others, and asking a broken receiver all the time heals
nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Protocol

from bot import metrics
from bot.errors import StoreError, Transient
from bot.handlers.base import METHODS, Event, Handler, TryLater
from bot.handlers.breaker import State
from bot.handlers.calling import LaneBreaker, contained, deadline, said
from bot.handlers.recorded import event_of, kinds
from bot.handlers.rooms import in_room
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry, Kind

MAX_TRIES = 5
"""Times an event is given that the handler fails on."""
FIRST_WAIT = 0.5
LONGEST_WAIT = 300.0
"""Seconds between two tries."""
MAX_ASKED = 3600.0
"""Seconds that a handler may ask to wait."""
PAGE = 200
"""Entries read at once."""
NOTE_EVERY = 0.25
"""Seconds between two notes of the cursor: what a crash gives again at the most."""

_log = logging.getLogger(__name__)


class Archive(Protocol):
    """What a durable lane reads and notes."""

    async def entries(
        self,
        board_id: int,
        *,
        after_seq: int = 0,
        kinds: Collection[Kind] | None = None,
        limit: int = PAGE,
    ) -> list[Entry]:
        """Return a board's next entries, oldest first."""

    async def cursor(self, handler: str, board_id: int) -> int:
        """Return the last entry of a board that a handler was given."""

    async def set_cursor(self, handler: str, board_id: int, seq: int) -> None:
        """Note it."""

    async def board_key(self, board_id: int) -> BoardKey | None:
        """Return what names a board in its room."""

    async def bury(
        self, handler: str, board_id: int, seq: int, *, ts: int, tries: int, reason: str
    ) -> None:
        """Keep a dead letter and pass its entry by."""


class DurableLane:
    """One durable handler on one board.

    Args:
        name: the handler's.
        handler: called for one event, or batch, at a time.
        board_id: the archive's number of the board.
        archive: holds entries, cursors, dead letters.
        turn: what is held while the handler is called for a board: live events of it have the same.
        tasks: the owner of the lane's task.

    Attributes:
        breaker: not closed while something is waited for, or tried once more.
        failures: calls that failed, so far.
        last_error: why (TryLater), or the kind of the last one and where; empty without any.
        last_error_ts: when, ms since 1970.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        board_id: int,
        archive: Archive,
        *,
        turn: Callable[[BoardKey], asyncio.Lock],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.board_id = board_id
        self.failures = 0
        self.last_error = ""
        self.last_error_ts: int | None = None
        self.breaker = LaneBreaker(name, limit=1, first=FIRST_WAIT, cap=LONGEST_WAIT)
        self._name = name
        self._handler = handler
        self._board: BoardKey | None = None
        self._archive = archive
        self._turn = turn
        self._tasks = tasks
        self._kinds = kinds(handler.wants())
        self._at: int | None = None
        self._noted = 0
        self._noted_at = float("-inf")
        self._more = False
        self._task: asyncio.Task[None] | None = None
        self._again = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether something is being given or waits for that."""
        return self._task is not None

    @property
    def waiting(self) -> bool:
        """Whether something failed and is tried again later, or just now."""
        return self.busy and self.breaker.state is not State.CLOSED

    def wants(self, kind: Kind) -> bool:
        """Return whether the handler is given such entries."""
        return kind in self._kinds

    def wake(self) -> None:
        """There is something new; the lane's task runs for as long as there is."""
        self._more = True
        if self._task is None:
            self._task = self._tasks.create_task(self._run())

    def again(self) -> None:
        """Try at once what failed."""
        self._again.set()

    def end(self) -> None:
        """Begin nothing more: what waits is for the next start."""
        if self._task is not None and self.waiting:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._more:
                try:
                    await self._find_board()
                    await asyncio.sleep(self._handler.collect)
                    self._more = False
                    await self._give_all()
                    self.breaker.succeeded(time.monotonic())
                except Exception as error:  # noqa: BLE001 - the border of a lane
                    if not isinstance(error, StoreError):
                        what = {"handler": self._name, "error": type(error).__name__}
                        _log.error("a lane failed; it begins anew", extra=what)
                    self._more, self._at = True, None
                    await self._wait()
        finally:
            self._task = None

    async def _give_all(self) -> None:
        if self._at is None:
            self._at = self._noted = await self._archive.cursor(self._name, self.board_id)
        try:
            while page := await self._archive.entries(
                self.board_id, after_seq=self._at, kinds=self._kinds, limit=PAGE
            ):
                await self._give_page(page)
        finally:
            await self._note()  # also when we are ended: it need not be given again

    async def _give_page(self, page: Sequence[Entry]) -> None:
        size = self._handler.batch
        for first in range(0, len(page), size):
            await self._give(page[first : first + size])
            if time.monotonic() >= self._noted_at + NOTE_EVERY:
                await self._note()

    async def _note(self) -> None:
        if self._at is not None and self._at > self._noted:
            at = self._at
            with suppress(StoreError):  # later; the Recorder says what is amiss
                await self._archive.set_cursor(self._name, self.board_id, at)
                self._noted = max(self._noted, at)
        self._noted_at = time.monotonic()

    async def _give(self, entries: Sequence[Entry]) -> None:
        """Give some entries, for as long as it takes; bury the one that cannot be taken."""
        tries = 0
        while (error := await self.call(entries)) is not None:
            tries += not isinstance(error, TryLater | Transient)
            if tries >= MAX_TRIES:
                break
            if self.breaker.state is State.CLOSED:
                _log.warning(
                    "a handler's lane waits before it tries again",
                    extra={"handler": self._name, "error": self.last_error},
                )
            asked = _asked(error)
            await self._wait(None if asked is None else min(asked, MAX_ASKED))
        self.breaker.succeeded(time.monotonic())
        if error is None:
            self._at = entries[-1].seq
        elif len(entries) == 1:
            await self._bury(entries[0], tries)
        else:
            for entry in entries:  # one of them is at fault
                await self._give([entry])

    async def call(self, entries: Sequence[Entry], *, replayed: bool = False) -> Exception | None:
        """Give some entries once.

        Returns:
            What the handler raised; None when it has taken them.
        """
        board = await self._find_board()
        if board is None:  # erased meanwhile
            return None
        found = [
            event_of(entry, board, replayed=replayed)
            for entry in entries
            if entry.kind in self._kinds  # in this room
        ]
        events = [event for event in found if event is not None]
        if not events:
            return None
        try:
            async with self._turn(board), deadline(self._handler):
                with contained():
                    await self._hand_over(events)
        except Exception as error:  # noqa: BLE001 - the border: a handler's failure ends here
            self._failed(error)
            return error
        return None

    async def _find_board(self) -> BoardKey | None:
        """Return what names the board; its room says which instance of the handler it is for."""
        if self._board is None:
            self._board = await self._archive.board_key(self.board_id)
            if self._board is not None:
                self._handler = in_room(self._handler, self._board.room_id)
                self._kinds = kinds(self._handler.wants())
        return self._board

    async def _hand_over(self, events: Sequence[Event]) -> None:
        if self._handler.batch > 1:
            await self._handler.on_batch(events)
        else:
            for event in events:
                await getattr(self._handler, METHODS[type(event)])(event)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.last_error = said(error)
        self.last_error_ts = int(time.time() * 1000)
        metrics.HANDLER_FAILURES.labels(self._name).inc()

    async def _bury(self, entry: Entry, tries: int) -> None:
        await self._archive.bury(
            self._name,
            self.board_id,
            entry.seq,
            ts=int(time.time() * 1000),
            tries=tries,
            reason=self.last_error,
        )
        self._at = self._noted = entry.seq
        metrics.DEAD_LETTERS.labels(self._name).inc()
        _log.error(
            "a handler could not take an event; it is passed by: see “boardkeeper handlers dead”",
            extra={"handler": self._name, "entry": entry.seq, "error": self.last_error},
        )

    async def _wait(self, asked: float | None = None) -> None:
        """Wait until the next try."""
        self._again.clear()
        self.breaker.failed(time.monotonic(), asked)
        while not self.breaker.ask(now := time.monotonic()):
            with suppress(TimeoutError):
                async with asyncio.timeout((self.breaker.until or now) - now):
                    await self._again.wait()
                    self.breaker.hurry(time.monotonic())


def _asked(error: Exception) -> float | None:
    """Return how many seconds an error says to wait."""
    if isinstance(error, TryLater):
        return error.after
    return error.retry_after if isinstance(error, Transient) else None
