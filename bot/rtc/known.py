"""What is known about our own membership; `own.OwnMembership` owns it, `ladder` reads it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf

from bot.rtc.actions import Action
from bot.rtc.delayed import DelayedLeave
from bot.rtc.timing import Timing


class Step(Enum):
    """The rungs of the ladders, drawn in `own`."""

    LIST = auto()
    CANCEL = auto()
    ARM = auto()
    JOIN = auto()
    RESTART = auto()
    SEND = auto()
    CLEAR = auto()


@dataclass(slots=True)
class Flight:
    """The action being carried out.

    Attributes:
        step: its step.
        action: the action.
        at: since when.
        dirty: what `Known.dirty` was before; so again if the server certainly did nothing.
        stale: the membership being sent no longer counts, as the room has moved on.
        outdated: it counts, but has to be sent again, as what it says has changed.
    """

    step: Step
    action: Action
    at: float
    dirty: bool
    stale: bool = False
    outdated: bool = False


@dataclass(slots=True)
class Known:
    """All that decides about the next step.

    Attributes:
        timing: the durations.
        once: the membership's name is good for one stay: whoever has left cannot come back by it.
        leave: the delayed leave.
        flight: what is being done.
        wanted: whether there is to be a membership.
        stopped: nothing may be done any more.
        ended: its name is spent, or may be; only of one that is there once.
        forbidden: the room does not let us.
        paused_until: we stay away until then.
        joined: the membership is in the room, as far as we know.
        dirty: one may be there although not `joined`: a request's outcome is unknown.
        event_id: of the membership; None unless joined.
        created_ts: of the membership, for renewals; None until sync has shown the join.
        renew_at: when to renew it.
        expires_at: when it ends unless renewed.
        rearm: another leave is to be armed in place of the armed one.
        waits: no step before its time here.
        failures: of each step, in a row.
    """

    timing: Timing
    once: bool = False
    leave: DelayedLeave = field(default_factory=DelayedLeave)
    flight: Flight | None = None
    wanted: bool = False
    stopped: bool = False
    ended: bool = False
    forbidden: bool = False
    paused_until: float | None = None
    joined: bool = False
    dirty: bool = False
    event_id: str | None = None
    created_ts: int | None = None
    renew_at: float = inf
    expires_at: float = inf
    rearm: bool = False
    waits: dict[Step, float] = field(default_factory=dict)
    failures: Counter[Step] = field(default_factory=Counter)

    @property
    def away(self) -> bool:
        """Whether we have to stay out although a membership is wanted."""
        return self.forbidden or self.paused_until is not None

    def start_over(self, *, in_room: bool) -> None:
        """Forget the membership; the next one is a join, not a renewal, if there may be one.

        Args:
            in_room: whether content of ours may still be there.
        """
        if self.once and (self.joined or self.dirty):
            self.ended = True
        self.joined = False
        self.dirty = in_room
        self.event_id = self.created_ts = None
        if self.flight is not None and self.flight.step is Step.JOIN:
            self.flight.stale = self.dirty = True
