"""Mending: what blocks people on a board is taken out of their way.

A client that lacks an update shows nothing its author does afterwards. So when what this document
waited for has come by another way than everybody's packets, all are sent what they may still lack;
and an author whose update everybody refused is unblocked (`whiteboard.repair`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Protocol

from bot import metrics
from bot.boards.board import Board
from bot.errors import InvalidUpdate, StoreError, Transient
from bot.whiteboard.document import MAX_BYTES, Document
from bot.whiteboard.refused import Refused
from bot.whiteboard.repair import Kind, NewerError, Repair, repair
from bot.whiteboard.update import read_state_vector

MAX_LIVE = 47_000
"""Bytes of an update that fit into a packet."""
CLOSE_AFTER = 0.6
"""Seconds over which what has closed gaps is collected; its author may be sending more."""
PATIENCE = 5.0
"""Seconds an author has to correct himself what others refused."""
LOOK_EVERY = 1.0
"""Seconds between two looks at what blocks whom, at the least."""
REST = 10
"""How many times as long as the last try took there is none."""
LONGEST_WAIT = 300.0
"""Seconds between two tries to repair a board, at the most."""

_log = logging.getLogger(__name__)


class Saving(Protocol):
    """Sees to it that the room has what the board holds."""

    @property
    def writes(self) -> bool:
        """Whether the bot writes to boards at all."""

    def needed(self, board: Board) -> None:
        """Hear that people lack something that cannot be sent."""


class Mending:
    """Mends one board.

    Args:
        publish: sends an update to everybody on it.
        saving: saves it; when the bot only observes, nothing is mended.
        told: says what had to go to unblock somebody (a sentence's name), once; None says nothing.
        tasks: the Room's own group.
    """

    def __init__(
        self,
        publish: Callable[[bytes], Awaitable[None]],
        *,
        saving: Saving,
        told: Callable[[str], Awaitable[None]] | None,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._publish = publish
        self._saving = saving
        self._told = told
        self._tasks = tasks
        self._refused = Refused()
        self._since: dict[int, float] = {}  # per client, when we first saw it blocked
        self._before: bytes | None = None  # what the document had before gaps were closed
        self._looking = False
        self._stirred = asyncio.Event()
        self._not_before = float("-inf")
        self._failures = 0
        self._said: set[Kind] = set()

    # -- what happens on the board -------------------------------------------------------------

    @contextmanager
    def applying(self, board: Board) -> Iterator[None]:
        """Watch what becomes of gaps while something is applied to a loaded board."""
        document = board.document
        before = document.state_vector() if document.has_gap else None
        freed = document.freed
        yield
        document = board.document
        if before is not None and document.freed != freed:
            self._closed(board, before)
        if document.has_gap and len(self._refused):
            self._look_soon(board)

    def refused(self, board: Board, update: bytes) -> None:
        """Hear of an update that everybody refuses."""
        if self._saving.writes:
            self._refused.add(update, board.document.root.name)

    # -- gaps ----------------------------------------------------------------------------------

    def _closed(self, board: Board, before: bytes) -> None:
        if self._saving.writes and self._before is None:
            self._before = before
            self._tasks.create_task(self._close(board))

    async def _close(self, board: Board) -> None:
        """Send everybody what has come since there was a gap."""
        await asyncio.sleep(CLOSE_AFTER)
        before, self._before = self._before, None
        if before is None or not board.loaded:
            return
        update = board.document.diff(before)
        if len(update) > MAX_LIVE:
            self._saving.needed(board)
            return
        try:
            await self._publish(update)
        except Transient:
            # Nobody is connected: who comes gets what he lacks.
            _log.debug("what closes a gap could not be sent")
        metrics.REPAIRS.labels("gap").inc()

    # -- authors who are blocked ---------------------------------------------------------------

    def _look_soon(self, board: Board) -> None:
        self._stirred.set()
        if not self._looking:
            self._looking = True
            self._tasks.create_task(self._follow(board))

    async def _follow(self, board: Board) -> None:
        """Be there while somebody may be blocked."""
        try:
            while board.loaded and board.document.has_gap and len(self._refused):
                self._stirred.clear()
                wait = await self._look(board)
                await asyncio.sleep(LOOK_EVERY)
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._stirred.wait()
        finally:
            self._looking = False

    async def _look(self, board: Board) -> float | None:
        """Unblock who has been blocked for long enough; return when the next one may be (s)."""
        document, now = board.document, monotonic()
        clocks = read_state_vector(document.state_vector())
        self._refused.forget(clocks)
        behind = self._refused.behind(document.causes(), clocks)
        self._since = {client: self._since.get(client, now) for client in behind}
        if not behind:
            return None
        client = min(self._since, key=self._since.__getitem__)
        due = max(self._since[client] + PATIENCE, self._not_before)
        if due > now:
            return due - now
        if await self._unblock(board, behind[client]):
            del self._since[client]  # for what he may do next, he has as long again
            self._failures = 0
            wait = 0.0
        else:
            self._failures += 1  # it may never be possible
            wait = min(LONGEST_WAIT, PATIENCE * 2 ** min(self._failures, 8))
            self._since[client] = now  # others first
        # It costs as much as reading the whole document.
        took = monotonic() - now
        self._not_before = monotonic() + max(wait, REST * took)
        return 0.0

    async def _unblock(self, board: Board, refused: Sequence[bytes]) -> bool:
        document = board.document
        whole, waiting = document.diff(b"\0"), document.waits()
        try:
            found = await asyncio.to_thread(_repair, whole, document.root.name, refused, waiting)
            if found is not None:
                await board.change(found.update)
        except NewerError:
            what = "newer"
        except (
            InvalidUpdate,
            StoreError,
            Transient,
        ):  # it has changed meanwhile, or is not known completely
            what = "failed"
        else:
            if found is not None:
                await self._done(board, found.kind)
                return True
            what = "impossible"
        metrics.REPAIRS.labels(what).inc()
        _log.info("a refused update blocks its author", extra={**_keys(board), "why": what})
        return False

    async def _done(self, board: Board, kind: Kind) -> None:
        metrics.REPAIRS.labels(kind.value).inc()
        extra = {**_keys(board), "what": kind.value}
        _log.info("an author was unblocked whom a refused update blocked", extra=extra)
        if self._told is not None and kind is not Kind.CORRECTED and kind not in self._said:
            self._said.add(kind)
            await self._told(f"repair_{kind.value}")


def _repair(
    whole: bytes, version: str, refused: Sequence[bytes], waiting: Sequence[bytes]
) -> Repair | None:
    document = Document(whole, default_version=version, max_bytes=MAX_BYTES + 2 * len(whole))
    # Never 0, by which every document begins.
    return repair(document, refused, waiting, 1 + secrets.randbelow(2**31 - 1))


def _keys(board: Board) -> dict[str, str]:
    return {"room": board.key.room_id}
