"""A board as one handler sees and changes it (handlers.base.BoardView)."""

from __future__ import annotations

import secrets
from asyncio import sleep, to_thread
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from bot.actions.rewriting import Place, check_power, new_id
from bot.boards.board import Board
from bot.errors import RateLimited, Transient, UsageError
from bot.permission import State
from bot.whiteboard.document import Document
from bot.whiteboard.edit import locked, rewrite
from bot.whiteboard.rebase import rebased
from bot.whiteboard.slides import Slide, read_slides, wanted

REWRITES, REWRITES_A_SECOND = 10, 1.0
"""Rewrites of a board in a row, and how many a second after that."""
CHANGES, CHANGES_A_SECOND = 500, 100.0
"""Updates likewise: a relay brings each stroke of everybody on a board."""
BYTES, BYTES_A_SECOND = 32 * 2**20, 2.0**20
"""Bytes of updates likewise."""
LEAST_WAIT, LONGEST_WAIT = 0.001, 30.0
"""Seconds that an update may have to wait; for less than the first it does not."""


class Budget:
    """What may be spent: so much at once, and so much a second.

    One that is spent beyond its end has to recover first: what is large is let through, what
    follows it waits.

    Args:
        burst: how much at once.
        a_second: how much becomes free.
    """

    def __init__(self, burst: float, a_second: float) -> None:
        self._burst = burst
        self._a_second = a_second
        self._left = float(burst)
        self._at = float("-inf")

    def wait(self, amount: float, now: float) -> float:
        """Return how many seconds to wait before spending so much (`now`: seconds, monotonic)."""
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._a_second)
        self._at = now
        return max(0.0, min(amount, self._burst) - self._left) / self._a_second

    def spend(self, amount: float) -> None:
        """Spend so much."""
        self._left -= amount


@dataclass(slots=True)
class Limits:
    """What a handler may write to one board."""

    rewrites: Budget = field(default_factory=lambda: Budget(REWRITES, REWRITES_A_SECOND))
    changes: Budget = field(default_factory=lambda: Budget(CHANGES, CHANGES_A_SECOND))
    bytes: Budget = field(default_factory=lambda: Budget(BYTES, BYTES_A_SECOND))


class View:
    """A board in the hands of one handler.

    Args:
        board: loaded.
        state: what its room says; None when the bot is not in it any more.
        limits: what the handler may write to it.
    """

    def __init__(self, board: Board, state: Callable[[], State | None], limits: Limits) -> None:
        self._board = board
        self._state = state
        self._limits = limits

    @property
    def version(self) -> str | None:
        """`"0"` slides, `"1"` infinite canvas, None while unknown."""
        return self._board.document.version

    def content(self) -> Mapping[str, Any]:
        """Return the content now."""
        return self._board.document.content()

    def slides(self) -> tuple[Slide, ...]:
        """Return the slides now, in their order."""
        return read_slides(self._board.document.content())

    def state_vector(self) -> bytes:
        """Return the document's Yjs state vector."""
        return self._board.document.state_vector()

    def diff(self, state_vector: bytes) -> bytes:
        """Return the update that a document with this state vector lacks.

        Raises:
            InvalidUpdate: it is no state vector.
        """
        return self._board.document.diff(state_vector)

    async def rewrite(
        self,
        slides: Sequence[Slide],
        *,
        was: Sequence[Slide] | None = None,
        unlock: bool = False,
    ) -> bool:
        """Make the board look like this; meaning and errors: handlers.base.BoardView."""
        # Before anything is awaited: what people draw from here on, it does not know and leaves.
        self._check_power()
        document = self._document()
        began = self.slides() if was is None else tuple(was)
        if tuple(slides) == began:
            return False
        if (seconds := self._limits.rewrites.wait(1, monotonic())) > 0:
            raise RateLimited("a handler may not rewrite a board that often", seconds)
        self._limits.rewrites.spend(1)

        def plan() -> tuple[list[dict[str, Any]], list[bytes]]:
            copy = document.copy()
            now = rebased(began, slides, read_slides(copy.content()))
            target = wanted(now, copy.root.name)
            _check_locks(copy, target, unlock=unlock)
            # Never 0, by which every document begins.
            client = 1 + secrets.randbelow(2**31 - 1)
            return target, rewrite(copy, target, client=client, new_id=new_id)

        # Beside the event loop: with some thousands of elements it takes seconds.
        target, updates = await to_thread(plan)
        if not updates:
            return False
        *unseen, last = updates
        for update in unseen:
            await self._board.change(update)

        def still_allowed() -> None:
            self._check_power()
            _check_locks(self._board.document, target, unlock=unlock)

        # Until the last one nobody sees anything of it: what has come meanwhile still counts.
        return await self._board.change(last, check=still_allowed)

    def _document(self) -> Document:
        document = self._board.document
        if not self._board.complete:
            raise Transient("the board is not loaded completely yet")
        if not document.supported:
            raise UsageError("the board is of a newer NeoBoard than this bot knows")
        if document.has_gap:
            raise UsageError("strokes are missing that nobody has sent again: try later")
        return document

    def _check_power(self) -> None:
        state = self._state()
        if state is None:
            raise UsageError("the bot is not in the board's room any more")
        check_power(Place(self._board, state, self._board.writes))

    async def change(self, update: bytes) -> bool:
        """Apply an update; meaning and errors: handlers.base.BoardView."""
        limits, size = self._limits, len(update)
        while True:
            now = monotonic()
            seconds = max(limits.changes.wait(1, now), limits.bytes.wait(size, now))
            if seconds > LONGEST_WAIT:
                raise RateLimited("a handler may not write that much to a board", seconds)
            if seconds < LEAST_WAIT:
                break
            await sleep(seconds)
        changed = await self._board.change(update)
        if changed:
            limits.changes.spend(1)
            limits.bytes.spend(size)
        return changed


def _check_locks(document: Document, target: list[dict[str, Any]], *, unlock: bool) -> None:
    if not unlock and (numbers := locked(document, target)):
        said = ", ".join(map(str, numbers))
        raise UsageError(f"locked slides would change ({said}): leave them, or say unlock=True")
