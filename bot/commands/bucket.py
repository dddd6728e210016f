"""How often the bot answers: as fast as people talk, but no flood can make it flood the room."""

from __future__ import annotations

BURST = 5
"""Answers in a row."""
EVERY = 10.0
"""Seconds after which one more may follow."""


class Bucket:
    """Tells whether one more answer is not too many.

    Args:
        burst: how many may come at once.
        every: seconds in which one more becomes possible.
    """

    def __init__(self, burst: int = BURST, every: float = EVERY) -> None:
        self._burst = burst
        self._every = every
        self._left = float(burst)
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Take one, if there is one, at this time (seconds, monotonic)."""
        if self._at is not None:
            gained = max(0.0, now - self._at) / self._every
            self._left = min(self._burst, self._left + gained)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
