"""Admission: how many boards the homeserver's limits carry, and which ones are on.

Each board needs one delayed event and its restart every few seconds; a homeserver limits both per
account. Beyond what the limits carry every membership would flicker, so further boards wait until
another one is left, unless the operator has chosen longer intervals (`rtc.stretch`).

Limits are read and probed at the start (`matrix.probe`), and learned: restarts that are refused
again and again close admission. What is on is never put off; should it be more than the rate
carries, its intervals grow, as far as its delay allows. What was learned is doubted after a time
without refusals: a server that was busy for a minute must not slow us down for ever.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, inf, log2
from typing import Protocol

from bot import metrics

RESERVE = 1
"""Delayed events kept free: a board that is armed anew holds two for a moment."""
SHARE = 0.8
"""Of the restarts allowed; the rest is for leaving, cancelling and trying again."""
STRETCH = 8
"""Times as many boards at the most with longer intervals. Those that came first keep their short
delay, and need their share of the restarts."""
DELAY_BY_REFRESH = 3.6
"""Of the delay to the interval, when that is stretched: as 18 s to 5 s."""
AGAIN_AND_AGAIN = 5
"""Refused restarts within `WINDOW` that mean something; single ones happen when many join."""
WINDOW = 20.0
UNTOLD = 1.0
"""Seconds for one restart where the server refuses one and does not say when to come back."""
MAX_HINT = 10.0
"""Seconds for one restart that are believed; who says more is overloaded, which passes."""
RELAX_AFTER = 600.0
"""Seconds without refusals after which twice the learned rate is tried; twice as long each time
that was too much: a limit that stays is not run into every ten minutes."""
MAX_RELAX_AFTER = 86_400.0
CLOSED_FOR = 600.0
"""Seconds after the homeserver took no more delayed events until more boards are tried again."""

_log = logging.getLogger(__name__)

Place = tuple[str, str]
"""A room id and a whiteboard id."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the homeserver allows our account.

    Attributes:
        per_second: restarts of delayed events a second, for long.
        scheduled: delayed events at a time; None when it does not say.
    """

    per_second: float = inf
    scheduled: int | None = None


def boards_by_count(limits: Limits) -> float:
    """Return how many boards the number of delayed events carries."""
    return inf if limits.scheduled is None else max(limits.scheduled - RESERVE, 0)


def boards_by_rate(limits: Limits, refresh: float) -> float:
    """Return how many boards the allowed restarts carry at this interval (s); at least one."""
    carried = limits.per_second * refresh * SHARE
    return inf if carried == inf else max(int(carried + 1e-9), 1)


def capacity(limits: Limits, refresh: float, wished: int | None, *, stretch: bool) -> float:
    """Return how many boards are admitted at the most.

    Args:
        limits: the homeserver's.
        refresh: the interval (s) between two restarts.
        wished: the operator's number; None leaves it to the limits. It cannot change how many
            delayed events there may be, but does replace what we make of the rate.
        stretch: whether intervals may grow.
    """
    rate = boards_by_rate(limits, refresh) * (STRETCH if stretch else 1)
    return min(boards_by_count(limits), rate if wished is None else wished)


def stretched(limits: Limits, refresh: float, boards: int) -> float:
    """Return the interval (s) at which the allowed restarts carry so many boards.

    In steps of two, so that not every board that comes changes all others.
    """
    carried = boards_by_rate(limits, refresh)
    if boards <= carried:
        return refresh
    steps = ceil(log2(boards / carried))
    return float(max(refresh, carried * 2**steps / (limits.per_second * SHARE)))


class Admission:
    """Which boards have a place (`Places`).

    Args:
        refresh: the interval (s) wished for.
        wished: the operator's number of boards; None leaves it to the limits.
        stretch: whether intervals may grow instead of boards being refused.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        refresh: float,
        wished: int | None,
        *,
        stretch: bool,
        clock: Callable[[], float],
    ) -> None:
        self._refresh = refresh
        self._wished = wished
        self._stretch = stretch
        self._clock = clock
        self._freed: Callable[[str], None] = lambda _: None
        self._changed: Callable[[], None] = lambda: None
        self._limits = self._told = Limits()
        self._on: set[Place] = set()
        self._waiting: dict[Place, None] = {}
        self._refused: deque[tuple[float, float]] = deque(maxlen=AGAIN_AND_AGAIN)
        self._tried = False
        self._relaxed = False
        self._relax_after = RELAX_AFTER
        self._slow_since = -inf  # or since it was relaxed, or since the last refusal
        self._closed_at = inf
        self._closed_until = -inf
        self._show()

    def tell(self, freed: Callable[[str], None], changed: Callable[[], None]) -> None:
        """Tell somebody.

        Args:
            freed: of each board that may ask again, with its room's id.
            changed: that the interval has changed.
        """
        self._freed = freed
        self._changed = changed

    @property
    def capacity(self) -> float:
        """How many boards may be on; infinite when nothing limits them."""
        most = capacity(self._limits, self._refresh, self._wished, stretch=self._stretch)
        if self._tried:  # and found too much, whatever the operator thought
            most = min(most, capacity(self._limits, self._refresh, None, stretch=self._stretch))
        return min(most, self._closed_at) if self._clock() < self._closed_until else most

    @property
    def on(self) -> int:
        """How many boards have a place."""
        return len(self._on)

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._waiting)

    @property
    def refresh(self) -> float:
        """The interval (s) between two restarts of each membership."""
        if self._stretch:
            return stretched(self._limits, self._refresh, len(self._on))
        if len(self._on) <= boards_by_rate(self._limits, self._refresh):
            return self._refresh
        # More are on than the rate carries: it was learned too late, or a number was configured.
        return max(self._refresh, len(self._on) / (self._limits.per_second * SHARE))

    def learned(self, limits: Limits) -> None:
        """Take what the homeserver allows."""
        self._limits = self._told = limits
        _log.info(
            "what the homeserver's limits carry",
            extra={
                "boards": self.capacity,
                "restarts_per_second": round(limits.per_second, 2),
                "delayed_events": limits.scheduled,
            },
        )
        self._wake_waiting()

    def claim(self, room_id: str, whiteboard_id: str) -> bool:
        """Ask for a place; returns whether there is one. Idempotent."""
        self._relax()
        place = (room_id, whiteboard_id)
        if place in self._on:
            return True
        if len(self._on) >= self.capacity:
            if place not in self._waiting:
                self._waiting[place] = None
                _log.warning(
                    "the homeserver's limits carry no more boards: this one has to wait",
                    extra={"room": room_id, "boards": len(self._on)},
                )
            self._show()
            return False
        before = self.refresh
        self._waiting.pop(place, None)
        self._on.add(place)
        self._show()
        if self.refresh != before:
            _log.warning("intervals are stretched", extra={"refresh": self.refresh})
            self._changed()
        return True

    def release(self, room_id: str, whiteboard_id: str) -> None:
        """Give a place back, or stop waiting for one. Idempotent."""
        place = (room_id, whiteboard_id)
        self._waiting.pop(place, None)
        before = self.refresh
        if place in self._on:
            self._on.discard(place)
            self._wake_waiting()
        self._show()
        if self.refresh != before:
            self._changed()

    def restart_refused(self, hint: float | None) -> None:
        """Hear that a restart was one too many for the homeserver.

        Args:
            hint: seconds until another one fits, as exactly as it says; None when it does not.
        """
        now = self._slow_since = self._clock()
        self._refused.append((now, UNTOLD if hint is None else min(hint, MAX_HINT)))
        if len(self._refused) == AGAIN_AND_AGAIN and now - self._refused[0][0] <= WINDOW:
            longest = max(hint for _, hint in self._refused)
            self._refused.clear()
            self._slow_down(replace(self._limits, per_second=1 / max(longest, 0.001)))

    def _slow_down(self, limits: Limits) -> None:
        """Admit no more than the rate carries; what is on keeps its place, at longer intervals.

        Else restarts would be refused at random, and one membership after the other would go.
        Where no more are on than that, refusals mean nothing: many have joined at once.
        """
        slower = limits.per_second < self._limits.per_second
        if slower and len(self._on) > boards_by_rate(limits, self._refresh):
            self._limits = limits
            self._tried = True
            if self._relaxed:
                self._relax_after = min(2 * self._relax_after, MAX_RELAX_AFTER)
            self._relaxed = False
            _log.warning(
                "restarts are refused again and again: no further boards, longer intervals",
                extra={"boards": len(self._on), "refresh": round(self.refresh, 1)},
            )
            self._show()
            self._changed()

    def _relax(self) -> None:
        """Believe less of what was learned, some time after the last refusal.

        Asked for when places are claimed, which Rooms do again and again.
        """
        if not self._tried or self._clock() - self._slow_since < self._relax_after:
            return
        self._slow_since = self._clock()
        self._relaxed = True
        rate = min(2 * self._limits.per_second, self._told.per_second)
        if len(self._on) <= boards_by_rate(replace(self._limits, per_second=rate), self._refresh):
            rate = self._told.per_second  # whatever it is, it carries what is on: nothing to learn
        self._limits = replace(self._told, per_second=rate)
        self._tried = rate < self._told.per_second
        _log.info(
            "no restart was refused for a while: intervals are shorter again",
            extra={"boards": len(self._on), "refresh": round(self.refresh, 1)},
        )
        self._show()
        self._changed()

    def schedule_refused(self) -> None:
        """Hear that the homeserver holds as many delayed events of ours as it takes."""
        now = self._clock()
        if now >= self._closed_until:
            _log.warning(
                "the homeserver takes no more delayed events: no further boards for now",
                extra={"boards": len(self._on)},
            )
            self._closed_at = len(self._on)
        self._closed_until = now + CLOSED_FOR
        self._show()

    def _wake_waiting(self) -> None:
        for room_id, _ in list(self._waiting):
            self._freed(room_id)

    def _show(self) -> None:
        metrics.ADMITTED.set(len(self._on))
        metrics.CAPACITY.set(self.capacity)
        metrics.WAITING.set(len(self._waiting))


class Places(Protocol):
    """Who gives places."""

    def claim(self, room_id: str, whiteboard_id: str) -> bool:
        """Ask for a place; returns whether there is one. Idempotent."""

    def release(self, room_id: str, whiteboard_id: str) -> None:
        """Give a place back, or stop waiting for one. Idempotent."""


class Claims:
    """The places of one room's boards."""

    def __init__(self, places: Places, room_id: str) -> None:
        self._places = places
        self._room_id = room_id
        self._made: set[str] = set()

    def follow(self, wanted: frozenset[str], has_left: Callable[[str], bool]) -> frozenset[str]:
        """Claim places for these boards, release those of others; return which have one.

        Args:
            wanted: whiteboard ids.
            has_left: whether nothing of the board's membership is in the room any more.
        """
        for whiteboard_id in self._made - wanted:
            if has_left(whiteboard_id):
                self._places.release(self._room_id, whiteboard_id)
                self._made.discard(whiteboard_id)
        self._made |= wanted
        return frozenset(one for one in sorted(wanted) if self._places.claim(self._room_id, one))

    def end(self) -> None:
        """Release all."""
        for whiteboard_id in self._made:
            self._places.release(self._room_id, whiteboard_id)
        self._made.clear()
