"""Memory: what is kept of a board while nobody needs us there by the sticky profile."""

from __future__ import annotations

from math import inf

from bot.commands.bucket import Bucket

LEAVES = 5
"""Memberships in a row that we take out because the room, or a homeserver, says now this, now that:
a slot closed and opened, a power taken and given."""
LEAVES_EVERY = 20.0
"""Seconds after which one more may follow; until then we stay away."""


class Memory:
    """Of one board.

    Attributes:
        ends: when (monotonic) memberships of ours were taken out by others.
        away_until: when (monotonic) we may come again.
    """

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.away_until = -inf
        self._leaves = Bucket(LEAVES, LEAVES_EVERY)

    def taken_out(self, now: float) -> None:
        """Note that our membership was taken out."""
        self.ends = [*self.ends[-9:], now]

    def left(self, now: float, *, away: float = 0.0) -> None:
        """Note that we have left by ourselves, and are to stay away for so many seconds."""
        if not self._leaves.take(now):
            away = max(away, LEAVES_EVERY)
        self.away_until = max(self.away_until, now + away)
