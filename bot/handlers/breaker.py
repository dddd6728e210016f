"""When a lane that fails gives again: a circuit breaker. Pure: the time is an argument.

    closed ── failed, the `limit`th time in a row ──► open ◄─────────┐
      ▲                                                │             │
      │                             the pause is over, or an         │
      │                             operator says so: one trial      │
      │                                                ▼             │
      └───────────────── succeeded ────────────── half-open ── failed: a longer pause

Pauses double up to a bound, with jitter: what is broken is not asked all the time, and many lanes
do not ask at the same instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum

from bot.backoff import backoff


class State(StrEnum):
    """Of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Decides whether a call may be made.

    Args:
        random: returns a float in [0, 1).
        limit: failures in a row that open it.
        first: seconds of the first pause, at the most.
        cap: seconds of any pause, at the most.

    Attributes:
        state: closed: calls are made; open: none is; half-open: one is tried.
        since: when it took on this state, as the caller counts time; None before any change.
        until: when the pause ends; None unless it is open.
        failures: in a row.
    """

    def __init__(
        self, random: Callable[[], float], *, limit: int, first: float, cap: float
    ) -> None:
        self.state = State.CLOSED
        self.since: float | None = None
        self.until: float | None = None
        self.failures = 0
        self._limit = limit
        self._random = random
        self._first = first
        self._cap = cap
        self._pauses = self._fresh()

    def ask(self, now: float) -> bool:
        """Return whether a call may be made now; the first after a pause is a trial."""
        if self.state is State.OPEN and self.until is not None and now >= self.until:
            self._turn(State.HALF_OPEN, now)
        return self.state is not State.OPEN

    def failed(self, now: float, asked: float | None = None) -> None:
        """Note a failed call.

        Args:
            now: the time.
            asked: seconds of pause that it asked for, instead of ours.
        """
        self.failures += 1
        if self.state is State.OPEN:  # a call from before, or beside the lane: the pause stays
            return
        if self.state is State.HALF_OPEN or self.failures >= self._limit:
            self._turn(State.OPEN, now)
            self.until = now + (next(self._pauses) if asked is None else asked)

    def succeeded(self, now: float) -> None:
        """Note a call that was well, or that what failed is not tried any more: begin anew."""
        self.failures = 0
        self._pauses = self._fresh()
        if self.state is not State.CLOSED:
            self._turn(State.CLOSED, now)

    def hurry(self, now: float) -> None:
        """End the pause: an operator says so."""
        if self.state is State.OPEN:
            self.until = now

    def _fresh(self) -> Iterator[float]:
        return backoff(self._random, first=self._first, cap=self._cap)

    def _turn(self, state: State, now: float) -> None:
        self.state, self.since, self.until = state, now, None
