"""`record`: writes what happens on boards to the archive; durable delivery counts from its commits.

Alone among handlers it has no lane: a board hands every entry to the Recorder at once, so that
nothing comes between what happened and its being kept. `Record` is only its place in the
configuration.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import Any, ClassVar, NoReturn, Protocol

from bot import metrics
from bot.backoff import backoff
from bot.errors import StoreError
from bot.handlers.base import Handler
from bot.whiteboard.entry import Entry, Kind

ROWS = 2000
"""Entries per transaction: building their rows holds up the event loop about a millisecond."""
ROW_BYTES = 8 * 2**20
"""Bytes of entries per transaction."""
OVERHEAD = 256
"""Bytes an entry takes in memory beyond its data."""

_DOCUMENT = frozenset({Kind.UPDATE, Kind.SNAPSHOT, Kind.BASELINE})

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordSettings:
    """Settings of the `record` handler.

    Attributes:
        cursors: where people point as well (most of the entries, little of the bytes).
    """

    cursors: bool = True


class Record(Handler):
    """Chooses in the configuration that boards are recorded; see Recorder."""

    settings_type: ClassVar[type[Any]] = RecordSettings


class Archive(Protocol):
    """What the Recorder writes to."""

    async def append(self, entries: Sequence[Entry]) -> list[int]:
        """Keep entries in one transaction; 0 for one that can never be kept."""


@dataclass(frozen=True, slots=True)
class _Waiter:
    """Somebody who waits for the commit of what was appended so far.

    Attributes:
        until: how many entries have to be settled.
        patient: whether to wait on when a commit fails.
        done: gets whether they are committed.
    """

    until: int
    patient: bool
    done: asyncio.Future[bool]


class Recorder:
    """The one writer of entries: collects them and commits them in groups.

    While the archive cannot be written, entries wait in memory, up to the bounds; what comes then
    is lost, counted, and its board named in `needs_baseline`. `run` has to run in a task.

    Args:
        archive: to write to.
        group: seconds from the first waiting entry to its commit at the most.
        max_pending_bytes: of entries that wait.
        max_pending: entries that wait.
        on_commit: told the entries of each commit, with their sequence numbers, in order. It must
            neither block nor raise.

    Attributes:
        needs_baseline: numbers of the boards whose recording lacks something; appending a
            baseline for one takes it out.
        failing: why the archive cannot be written; None while it can.
        failing_since: since when, by time.monotonic(); None likewise.
        dropped: entries lost so far.
    """

    def __init__(
        self,
        archive: Archive,
        *,
        group: float = 0.05,
        max_pending_bytes: int = 64 * 2**20,
        max_pending: int = 100_000,
        on_commit: Callable[[Sequence[Entry]], None] | None = None,
    ) -> None:
        self.needs_baseline: set[int] = set()
        self.failing: str | None = None
        self.failing_since: float | None = None
        self.dropped = 0
        self._archive = archive
        self._group = group
        self._max_bytes = max_pending_bytes
        self._max = max_pending
        self._on_commit = on_commit
        self._pending: deque[Entry] = deque()
        self._bytes = 0
        self._appended = 0
        self._settled = 0
        self._some = asyncio.Event()
        self._hurry = asyncio.Event()
        self._waiters: list[_Waiter] = []
        self._losing = False

    @property
    def pending(self) -> int:
        """Entries that wait for their commit."""
        return len(self._pending)

    def oldest(self) -> dict[int, int]:
        """Return the time (ms) of each board's oldest entry that waits for its commit."""
        return {entry.board_id: entry.ts for entry in reversed(self._pending)}

    # -- appending -----------------------------------------------------------------------------

    def append(self, entry: Entry) -> bool:
        """Take an entry. Never blocks.

        Returns:
            False when there is no room for it: it is lost.
        """
        size = len(entry.data) + OVERHEAD
        if len(self._pending) >= self._max or self._bytes + size > self._max_bytes:
            self._lost(entry)
            return False
        self._pending.append(entry)
        self._bytes += size
        self._appended += 1
        if entry.kind is Kind.BASELINE:
            self.needs_baseline.discard(entry.board_id)
        if len(self._pending) == 1:
            self._some.set()
        return True

    def _lost(self, entry: Entry) -> None:
        if not self._losing:
            self._losing = True
            _log.error("entries are lost: too many wait for the archive")
        self.dropped += 1
        metrics.ENTRIES_DROPPED.inc()
        if entry.kind in _DOCUMENT:
            self.needs_baseline.add(entry.board_id)

    async def flush(self) -> None:
        """Return once everything appended before is committed, however long that takes."""
        await self._wait(patient=True)

    async def committed(self) -> bool:
        """Wait until everything appended before is committed.

        Returns:
            False when the archive cannot be written now, or something was lost that no baseline
            has made good yet.
        """
        if self.failing is not None or self.needs_baseline:
            return False
        return await self._wait(patient=False)

    async def _wait(self, *, patient: bool) -> bool:
        if self._settled >= self._appended:
            return True
        if patient:
            self._hurry.set()
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters.append(_Waiter(self._appended, patient, done))
        return await done

    # -- committing ----------------------------------------------------------------------------

    async def run(self) -> NoReturn:
        """Commit groups, for ever.

        Cancelling it gives up what is pending: `flush` before.
        """
        waits = _waits()
        pause = self._group
        while True:
            await self._some.wait()
            await self._rest(pause)
            began = monotonic()
            try:
                await self._commit_all()
            except StoreError as error:
                self._failed(str(error))
                pause = next(waits)
            else:
                self._recovered()
                waits = _waits()
                # What came during the commit has waited that long already.
                spent = monotonic() - began if self._pending else 0.0
                pause = max(0.0, self._group - spent)

    async def _rest(self, pause: float) -> None:
        """Sleep, unless somebody wants everything committed now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._hurry.wait()

    async def _commit_all(self) -> None:
        """Commit what is pending now; what comes meanwhile makes the next group."""
        self._hurry.clear()
        until = self._appended
        while self._settled < until:
            group = self._next_group()
            seqs = await self._archive.append(group)
            self._settle(group, seqs)

    def _next_group(self) -> list[Entry]:
        group: list[Entry] = []
        size = 0
        for entry in islice(self._pending, ROWS):
            size += len(entry.data)
            if group and size > ROW_BYTES:
                break
            group.append(entry)
        return group

    def _settle(self, group: Sequence[Entry], seqs: Sequence[int]) -> None:
        for entry in group:
            self._pending.popleft()
            self._bytes -= len(entry.data) + OVERHEAD
        self._settled += len(group)
        if not self._pending:
            self._some.clear()
        kept = [seq for seq in seqs if seq]
        if len(kept) < len(group):  # their boards are no more: no baseline would help
            self.dropped += len(group) - len(kept)
            metrics.ENTRIES_DROPPED.inc(len(group) - len(kept))
        metrics.ENTRIES.inc(len(kept))
        metrics.ENTRIES_PENDING.set(len(self._pending))
        if self._on_commit is not None and kept:
            self._on_commit(
                [_numbered(one, seq) for one, seq in zip(group, seqs, strict=True) if seq]
            )
        self._answer(lambda waiter: waiter.until <= self._settled, committed=True)

    def _answer(self, whom: Callable[[_Waiter], bool], *, committed: bool) -> None:
        answered = [waiter for waiter in self._waiters if whom(waiter)]
        self._waiters = [waiter for waiter in self._waiters if not whom(waiter)]
        for waiter in answered:
            if not waiter.done.done():  # it may have been cancelled
                waiter.done.set_result(committed)

    # -- failing -------------------------------------------------------------------------------

    def _failed(self, reason: str) -> None:
        if reason != self.failing:
            _log.error(
                "the archive cannot be written: entries wait in memory",
                extra={"reason": reason, "entries": len(self._pending)},
            )
        if self.failing_since is None:
            self.failing_since = monotonic()
        self.failing = reason
        metrics.ENTRIES_PENDING.set(len(self._pending))
        self._answer(lambda waiter: not waiter.patient, committed=False)

    def _recovered(self) -> None:
        if self.failing is not None:
            _log.info(
                "the archive is written again",
                extra={"dropped": self.dropped, "boards": len(self.needs_baseline)},
            )
        self._losing = False
        self.failing = self.failing_since = None


def _waits() -> Iterator[float]:
    return backoff(random.random, first=0.25)


def _numbered(entry: Entry, seq: int) -> Entry:
    # Several times quicker than dataclasses.replace, and this is the hot path.
    return Entry(entry.board_id, entry.ts, entry.kind, entry.sender, entry.device, entry.data, seq)
