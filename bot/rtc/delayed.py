"""What we know of the leave that the server holds for us, to send should we die (MSC4140).

Pure bookkeeping, driven by `own.OwnMembership`: which delayed event is armed and when it fires,
which ones have to be cancelled, whether arming is possible at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from bot.rtc.timing import Timing

_LEAST_DELAY = 3.0  # a leave that fires sooner cannot be kept from firing


@dataclass(frozen=True, slots=True)
class Armed:
    """A delayed leave that the server holds.

    Attributes:
        delay_id: names it; a secret.
        delay: seconds from a restart to its firing.
        fires_at: when it fires unless restarted. Counted from the moment the request was made, so
            it never lies after the truth.
    """

    delay_id: str
    delay: float
    fires_at: float


class DelayedLeave:
    """The delayed leave of one membership.

    Attributes:
        armed: what the server holds, as far as we know.
        strays: ids to cancel: leftovers of a former life, and what we no longer want.
        listed: there are no delayed events of our key that we do not know of.
        degraded: arming is not possible for now.
        arm_at: when to try again while degraded; infinite when the server cannot do it.
        restart_at: when to restart next.
        proved_at: when it was last known for certain to be armed.
    """

    def __init__(self) -> None:
        self.armed: Armed | None = None
        self.strays: list[str] = []
        self.listed = False
        self.degraded = False
        self.arm_at = 0.0
        self.restart_at = 0.0
        self.proved_at = -inf
        self._crowded = False
        self._max_delay = inf
        self._last_id: str | None = None

    def delay(self, timing: Timing) -> float:
        """Return the delay to arm with: what is wished, if the server takes it."""
        return min(timing.delay, self._max_delay)

    def scheduled(self, delay_id: str, delay: float, asked_at: float, timing: Timing) -> None:
        """The server took it."""
        self._last_id = delay_id
        self.degraded = self._crowded = False
        self._set(Armed(delay_id, delay, asked_at + delay), asked_at, timing)

    def restarted(self, delay_id: str, asked_at: float, timing: Timing) -> None:
        """The server started its delay anew; nothing if it is not armed any more for us."""
        if self.armed is not None and self.armed.delay_id == delay_id:
            delay = self.armed.delay
            self._set(Armed(delay_id, delay, asked_at + delay), asked_at, timing)

    def found(self, delay_ids: Iterable[str]) -> None:
        """The server listed what it holds for our key; all but the armed one are strays."""
        known = self.armed.delay_id if self.armed is not None else None
        self.strays = [delay_id for delay_id in delay_ids if delay_id != known]
        self.listed = True

    def cancelled(self, delay_id: str) -> None:
        """The server does not hold it any more."""
        self.strays = [stray for stray in self.strays if stray != delay_id]

    def fired(self, delay_id: str) -> None:
        """The room shows that this one fired."""
        if self.armed is not None and self.armed.delay_id == delay_id:
            self.armed = None
        elif delay_id != self._last_id:
            self.listed = False  # a leftover of another life: there may be more

    def disarm(self) -> None:
        """Want it no more."""
        if self.armed is not None:
            self.strays.append(self.armed.delay_id)
            self.armed = None

    def degrade(self, again_at: float) -> None:
        """Do without; try again at that time."""
        self.degraded = True
        self.arm_at = again_at

    def crowded(self) -> bool:
        """The server holds too many. Return whether we have looked for our own strays already."""
        before, self._crowded = self._crowded, True
        self.listed = self.listed and before
        return before

    def lower(self, max_delay: float | None, timing: Timing) -> bool:
        """The delay was too large. Return whether a smaller one is worth a try."""
        wished = self.delay(timing)
        told = max_delay is not None and max_delay < wished
        self._max_delay = max_delay if max_delay is not None and told else wished / 2
        return self._max_delay >= _LEAST_DELAY

    def _set(self, armed: Armed, asked_at: float, timing: Timing) -> None:
        self.armed = armed
        self.proved_at = asked_at
        # A delay that the server has lowered wants more frequent restarts.
        longest = max(armed.delay / 3, armed.delay - timing.attempt - 1)
        self.restart_at = asked_at + min(timing.refresh, longest)
