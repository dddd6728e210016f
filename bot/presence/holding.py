"""Holding: in which profiles to be on which boards, and for how much longer.

People reload pages, so a profile is held for a moment after the last one of its people has gone.
Who comes and goes and comes makes us hold it for longer: to come costs a membership, a delayed
leave and a LiveKit connection each time, to stay costs no event.
"""

from __future__ import annotations

from collections.abc import Collection, KeysView

from bot.commands.bucket import Bucket
from bot.presence.bridge import Side

HOLD = 10.0
"""Seconds to stay in a profile that nobody on the board speaks any more."""
HOLD_ON = 300.0
"""The same where it was needed again and again."""
COMINGS = 3
"""Times at once that it may be until that is so."""
COMINGS_EVERY = 60.0
"""Seconds in which one more becomes possible."""


class Holding:
    """The sides that are needed, or were lately."""

    def __init__(self) -> None:
        self._needed: dict[Side, float] = {}  # when each was last needed, monotonic
        self._comings: dict[Side, Bucket] = {}
        self._restless: set[Side] = set()

    @property
    def sides(self) -> KeysView[Side]:
        """Where to be."""
        return self._needed.keys()

    def follow(self, needed: Collection[Side], boards: Collection[str], now: float) -> None:
        """Take which sides are needed now.

        Args:
            needed: those.
            boards: on which to be at all; of no others a side is held.
            now: monotonic.
        """
        for side in needed:
            if side not in self._needed:
                self._come(side, now)
            self._needed[side] = now
        self._needed = {
            side: at
            for side, at in self._needed.items()
            if side[1] in boards and now - at < self._hold(side)
        }
        for side in [one for one in self._comings if one[1] not in boards]:
            del self._comings[side]
            self._restless.discard(side)

    def due(self, now: float) -> float | None:
        """Return the seconds until one is not held any more; None while all are needed."""
        ends = [at + self._hold(side) for side, at in self._needed.items() if at < now]
        return min(ends) - now + 0.01 if ends else None

    def _come(self, side: Side, now: float) -> None:
        comings = self._comings.setdefault(side, Bucket(COMINGS, COMINGS_EVERY))
        if comings.take(now):
            self._restless.discard(side)
        else:
            self._restless.add(side)

    def _hold(self, side: Side) -> float:
        return HOLD_ON if side in self._restless else HOLD
