"""Patience: how long anybody may keep us busy with updates that become part of no board.

A few bytes can delete all of a large board and be refused for one value: that costs as much as the
board is large, and its sender nothing. So who goes on like that is not tried any more for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, thread_time

from bot.whiteboard.document import Document
from bot.whiteboard.verdict import Outcome, Verdict

WINDOW = 4
"""Seconds over which it is counted."""
BUDGET = 0.2
"""Seconds of CPU in that time that one sender may waste in all boards together."""
FREE = 1e-4
"""Seconds that an update may always take, whatever becomes of it; as much as one that is drawn."""
FREE_PER_BYTE = 1e-6
"""Seconds more for each byte of it: reading them all."""


class Patience:
    """Tries updates on documents, as long as their sender has not wasted too much.

    Args:
        clock: seconds, for windows.
        spent: seconds of CPU of the calling thread: a machine that is busy is not the sender's
            fault.
    """

    def __init__(
        self, clock: Callable[[], float] = monotonic, spent: Callable[[], float] = thread_time
    ) -> None:
        self._clock = clock
        self._spent = spent
        self._window = 0
        self._wasted: dict[str | None, float] = {}

    def apply(self, document: Document, update: bytes, sender: str | None) -> Outcome:
        """Apply an update, or note it as lost if its sender has wasted too much."""
        window = int(self._clock()) // WINDOW
        if window != self._window:
            self._window = window
            self._wasted.clear()
        wasted = self._wasted.get(sender, 0.0)
        if wasted > BUDGET:
            return document.give_up(update)
        began = self._spent()
        outcome = document.apply([update])[0]
        if outcome.verdict is not Verdict.CHANGED:
            excess = self._spent() - began - FREE - FREE_PER_BYTE * len(update)
            if excess > 0:
                self._wasted[sender] = wasted + excess
        return outcome
