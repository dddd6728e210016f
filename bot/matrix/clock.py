"""The homeserver's clock, estimated from what it answers. Pure.

Memberships carry absolute times that others compare with their clocks (docs/matrixrtc.md, 2.7),
and entries are stamped with the homeserver's time, so a wrong clock of this machine must not show.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import IntEnum

DRIFT = 200e-6
"""Seconds per second that two clocks may run apart; computers are several times better."""

WRONG_FROM = 5.0
"""Seconds between the clocks from which on people should hear of it."""

FAR_FROM = 60.0
"""Seconds from which on others' programs go wrong, those that trust their own clocks."""


class Skew(IntEnum):
    """How far this machine's clock is from the homeserver's."""

    FINE = 0
    WRONG = 1
    FAR = 2


class SkewWatch:
    """Judges the difference of the clocks; says each new judgement once."""

    def __init__(self) -> None:
        self._told = Skew.FINE

    def look(self, seconds: float) -> Skew | None:
        """Return the judgement when it is another than before."""
        size = abs(seconds)
        skew = _judged(size)
        if skew < self._told:
            # The estimate moves by parts of a second: a little better is not well again.
            skew = min(_judged(size + 1), self._told)
        if skew is self._told:
            return None
        self._told = skew
        return skew


def _judged(size: float) -> Skew:
    return Skew((size > WRONG_FROM) + (size > FAR_FROM))


def http_date(text: str) -> float | None:
    """Return the seconds since 1970 that an HTTP date says; None when it is none."""
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


class ServerClock:
    """Estimates the homeserver's time from the `Date` headers of its answers.

    A header says the server's time only to the second, but at some instant between request and
    answer. Each answer thus gives bounds for the difference of the clocks; the bounds of many
    answers together are much closer than a second. Bounds that contradict the earlier ones mean
    that a clock was set: then only the newest count.

    The base is the monotonic clock: setting this machine's clock changes nothing.
    """

    def __init__(self) -> None:
        self._low = 0.0
        self._high = 0.0
        self._at: float | None = None

    @property
    def known(self) -> bool:
        """Whether there was an answer with a usable date."""
        return self._at is not None

    def saw(self, date: str | None, sent: float, received: float) -> None:
        """Take in an answer.

        Args:
            date: its `Date` header.
            sent: when the request left, seconds of the monotonic clock.
            received: when its answer was here, likewise.
        """
        second = http_date(date or "")
        if second is None:
            return
        # The header was written between the two instants, by servers that write it when the
        # request comes as by those that write it with the answer; it was cut to the second.
        low, high = second - received, second + 1.0 - sent
        if self._at is not None:
            slack = DRIFT * max(received - self._at, 0.0)
            low, high = max(low, self._low - slack), min(high, self._high + slack)
            if low > high:
                low, high = second - received, second + 1.0 - sent
        self._low, self._high, self._at = low, high, received

    def now(self, monotonic: float, wall: float) -> float:
        """Return the homeserver's time, seconds since 1970.

        Args:
            monotonic: now, seconds of the monotonic clock.
            wall: now by this machine's clock; the answer while nothing else is known.
        """
        return monotonic + (self._low + self._high) / 2 if self.known else wall
