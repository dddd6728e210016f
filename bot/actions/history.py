"""Boards as they were at an event, read from the archive beside everything else.

A durable handler asks for one event after the other: the document it was last asked about goes on
from there, so that each costs what it brought, and not the board.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from bot.actions.actions import BoardRow
from bot.errors import Transient, UsageError
from bot.handlers.base import Changes, DocumentUpdate, Event
from bot.services import Checkpoint
from bot.whiteboard.board import BoardKey
from bot.whiteboard.document import Document
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.replay import DOCUMENT_KINDS, apply_entry
from bot.whiteboard.verdict import Verdict

KEPT = 4
"""Documents that are kept for the next question."""
KEPT_FOR = 60.0
"""Seconds for which they are."""
PAGE = 1000
"""Entries read at once."""
LONGEST_TURN = 20.0
"""Seconds that a question waits for others; a call has a minute."""
IN_PLACE = 8_000
"""Bytes of updates that are applied at once; more are, in a thread."""
LAST = 2**63 - 1
"""No entry has a higher number."""

NOTHING = "nothing is recorded of this board at that time"


class Archive(Protocol):
    """What is read."""

    async def boards(self) -> Sequence[BoardRow]:
        """List the boards."""

    async def checkpoint(self, board_id: int, until_ts: int | None = None) -> Checkpoint | None:
        """Return the latest checkpoint."""

    async def entries(
        self,
        board_id: int,
        *,
        after_seq: int = 0,
        until_ts: int | None = None,
        kinds: Collection[Kind] | None = None,
        limit: int = 1000,
    ) -> list[Entry]:
        """Return a board's next entries, oldest first."""


@dataclass(slots=True)
class _Walk:
    """A document on its way through a recording.

    Attributes:
        seq: the last entry that it holds.
        known: whether anything was known of the board.
        changes: what that entry changed; None where a checkpoint has it.
        used_at: when it was last asked for, by the clock of the loop.
    """

    document: Document
    seq: int = 0
    known: bool = False
    changes: Changes | None = None
    used_at: float = 0.0

    def take(self, entries: Sequence[Entry]) -> None:
        """Go on by some entries; notes what the last of them changes."""
        for entry in entries:
            self.document.notes.on = entry is entries[-1]
            touched = apply_entry(self.document, entry).touched
            self.changes = touched.changes() if self.document.notes.on else None
            self.seq, self.known = entry.seq, True


class History:
    """Boards as they were.

    Args:
        archive: holds what is recorded.
        empty: makes a fresh document of the configured version and size.
        committed: waits until everything that has happened so far is in the archive.
    """

    def __init__(
        self,
        archive: Archive,
        *,
        empty: Callable[[], Document],
        committed: Callable[[], Awaitable[bool]],
    ) -> None:
        self._archive = archive
        self._empty = empty
        self._committed = committed
        self._ids: dict[BoardKey, int] = {}
        self._walks: OrderedDict[int, _Walk] = OrderedDict()
        self._one = asyncio.Lock()  # bounds what is in memory, and what the disk has to read

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for one's turn; who waits long has done nothing wrong, and asks again."""
        try:
            async with asyncio.timeout(LONGEST_TURN):
                await self._one.acquire()
        except TimeoutError:
            raise Transient("the recording is being read for other boards") from None
        try:
            yield
        finally:
            self._one.release()

    @property
    def kept(self) -> int:
        """How many documents are kept for the next question."""
        return len(self._walks)

    async def changes(self, event: DocumentUpdate) -> Changes:
        """Return what an event changed.

        Raises:
            UsageError: the recording has it not (any more).
            Transient: others are asked about first.
            StoreError: the archive cannot be read.
        """
        if event.seq is None or event.touched is not None:
            return event.changes
        async with self._turn():
            walk = await self._walked(event.board, event.seq, event.ts)
            if walk.seq != event.seq or walk.changes is None:
                raise UsageError(NOTHING)
            return walk.changes

    async def content_at(self, event: Event) -> Mapping[str, Any]:
        """Return the board's content right after an event.

        Raises:
            UsageError: nothing is recorded of it at that time.
            Transient: others are asked about first.
            StoreError: the archive cannot be read.
        """
        async with self._turn():
            if event.seq is None:
                await self._committed()
                walk = await self._until(event.board, event.ts)
            else:
                walk = await self._walked(event.board, event.seq, event.ts)
            if not walk.known:
                raise UsageError(NOTHING)
            return await asyncio.to_thread(walk.document.content)

    # -- reading -----------------------------------------------------------------------------

    async def _walked(self, key: BoardKey, seq: int, ts: int) -> _Walk:
        """Return the document as it was right after an entry."""
        board_id = await self._number(key)
        # Out of the way meanwhile: a thread goes on with it when we are cancelled.
        walk = self._walks.pop(board_id, None)
        if walk is None or walk.seq > seq:
            walk = await self._begun(board_id, seq, ts)
        limit = 1  # mostly it is the next one
        while page := await self._archive.entries(
            board_id, after_seq=walk.seq, kinds=DOCUMENT_KINDS, limit=limit
        ):
            due = [entry for entry in page if entry.seq <= seq]
            await _beside(walk.take, due)
            if len(due) < len(page) or walk.seq == seq:
                break
            limit = min(4 * limit, PAGE)
        self._keep(board_id, walk)
        return walk

    async def _begun(self, board_id: int, seq: int, ts: int) -> _Walk:
        """Return the document as a checkpoint has it that holds nothing of an entry or later."""
        walk = _Walk(self._empty())
        checkpoint = await self._archive.checkpoint(board_id, ts - 1)
        if checkpoint is not None and checkpoint.seq < seq:
            outcome = await asyncio.to_thread(walk.document.merge_snapshot, checkpoint.data)
            if outcome.verdict is Verdict.REFUSED:  # what follows it alone is no board
                raise UsageError(f"what is recorded cannot be read back: {outcome.reason}")
            walk.seq, walk.known = checkpoint.seq, True
        return walk

    async def _until(self, key: BoardKey, ts: int) -> _Walk:
        """Return the document as it was at an instant."""
        board_id = await self._number(key)
        walk = await self._begun(board_id, LAST, ts + 1)
        while page := await self._archive.entries(
            board_id, after_seq=walk.seq, until_ts=ts, kinds=DOCUMENT_KINDS
        ):
            await _beside(walk.take, page)
        return walk

    async def _number(self, key: BoardKey) -> int:
        """Return the archive's number of a board."""
        if key not in self._ids:
            self._ids = {row.key: row.id for row in await self._archive.boards()}
        if key not in self._ids:
            raise UsageError(NOTHING)
        return self._ids[key]

    # -- keeping -----------------------------------------------------------------------------

    def _keep(self, board_id: int, walk: _Walk) -> None:
        loop = asyncio.get_running_loop()
        walk.used_at = loop.time()
        self._walks[board_id] = walk
        while len(self._walks) > KEPT:
            self._walks.popitem(last=False)
        loop.call_later(KEPT_FOR, self._forget, board_id, walk, walk.used_at)

    def _forget(self, board_id: int, walk: _Walk, used_at: float) -> None:
        if self._walks.get(board_id) is walk and walk.used_at == used_at:
            del self._walks[board_id]


async def _beside(work: Callable[[Sequence[Entry]], None], entries: Sequence[Entry]) -> None:
    """Have something done to entries without holding up the event loop."""
    if sum(len(entry.data) for entry in entries) <= IN_PLACE:
        work(entries)
    else:
        await asyncio.to_thread(work, entries)
