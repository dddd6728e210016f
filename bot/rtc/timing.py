"""The durations of our own membership, in seconds (docs/matrixrtc.md, 2.1)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import isfinite

STICKY_SECONDS = 3600.0
"""The longest that an event is sticky (MSC4354)."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How our own membership is kept. Why 18: it leaves seven attempts where 8 leaves two.

    Attributes:
        refresh: between two restarts of the delayed leave.
        delay: of the delayed leave; how long we stay visible after a crash.
        attempt: bound of one restart, clipped to the predicted firing; of one `send`.
        request: bound of every other call.
        expires: how long a membership is valid.
        renew: between two renewals; give each membership its own, some 10 % off, so that many
            do not renew at once.
        degraded_expires: as `expires`, while no delayed leave can be armed.
        degraded_renew: as `renew`, likewise.
        retry: after a failure that says nothing about when to come back.
        rate_limited: after a rate limit without a hint.
        refused: after an answer that makes no sense to us.
        fight_window: this long others' clearings of our key are remembered.
        fight_limit: so many of them are answered by joining again.
        fight_pause: then we stay away for this long.

    Raises:
        ValueError: A duration is not positive, or one does not fit into another.
    """

    refresh: float = 5.0
    delay: float = 18.0
    attempt: float = 2.0
    request: float = 10.0
    expires: float = 14_400.0
    renew: float = 10_800.0
    degraded_expires: float = 300.0
    degraded_renew: float = 120.0
    retry: float = 3.0
    rate_limited: float = 5.0
    refused: float = 30.0
    fight_window: float = 60.0
    fight_limit: int = 3
    fight_pause: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isfinite(value) and value > 0):
                raise ValueError(f"{field.name} must be a positive number")
        if self.delay < self.refresh + self.attempt + 1:
            raise ValueError("delay must be at least refresh + attempt + 1")
        if self.renew >= self.expires or self.degraded_renew >= self.degraded_expires:
            raise ValueError("a membership must be renewed before it expires")


def sticky(timing: Timing, luck: float) -> Timing:
    """Return the durations of a sticky membership.

    It is renewed a little before 90 % of the hour that an event may be sticky: as NeoBoard does,
    but not all at once.

    Args:
        timing: of a legacy one.
        luck: random, from 0 to 1.
    """
    expires = STICKY_SECONDS
    renew = expires * (0.9 - 0.05 * luck)
    return replace(timing, expires=expires, renew=renew)
