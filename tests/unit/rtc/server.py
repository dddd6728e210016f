"""A homeserver's part in our own membership, simulated, and one who carries actions out.

As Synapse does (docs/matrixrtc.md, section 2): own state changes leave delayed events alone, those
of other users cancel them, a delayed event fires at its instant. The test moves the time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, TypeVar

from bot.rtc.actions import (
    Action,
    CancelDelayed,
    ClearState,
    Done,
    Failed,
    Kind,
    ListDelayed,
    Listed,
    Outcome,
    Restart,
    Scheduled,
    ScheduleLeave,
    SendDelayed,
    SendJoin,
    Sent,
    Shown,
)
from bot.rtc.own import OwnMembership, Status
from bot.rtc.timing import Timing, sticky

A = TypeVar("A")

FAIL = {kind: Failed(kind) for kind in Kind}


@dataclass
class Server:
    """Holds one membership in one room and the delayed events of it: a state key or, for one that
    is there `once`, a sticky key, which a leave spends.
    """

    now: float = 0.0
    once: bool = False
    spent: bool = False
    expires_at: float = 0.0
    join: SendJoin | None = None
    delayed: dict[str, tuple[float, float]] = field(default_factory=dict)  # delay, fires at
    sync: deque[Shown] = field(default_factory=deque)
    _event_id: str | None = None
    _count: int = 0

    def schedule(self, delay: float) -> str:
        self._count += 1
        delay_id = f"syd_{self._count}"
        self.delayed[delay_id] = (delay, self.now + delay)
        return delay_id

    def advance(self, now: float) -> None:
        for delay_id, (_, fires_at) in sorted(self.delayed.items(), key=lambda item: item[1][1]):
            if fires_at <= now:
                self.now = max(self.now, fires_at) if self.once else self.now
                self.fire(delay_id)
        self.now = now
        if self.once and now >= self.expires_at:
            self.join = None

    def fire(self, delay_id: str) -> None:
        del self.delayed[delay_id]
        self._set(None, delay_id=delay_id)

    def clear_by_other(self) -> None:
        self.delayed.clear()
        self._set(None, by_us=False)

    def clear_by_twin(self) -> None:
        """Another process of our account takes us out."""
        self._set(None)

    def redact(self) -> None:
        """A moderator redacts the membership."""
        if self.join is not None:
            self.join = None
            self._count += 1
            self.sync.append(Shown(f"$event{self._count}", False, None, None, self._event_id))

    def carry_out(self, action: Action) -> Outcome:
        match action:
            case ListDelayed():
                return Listed(tuple(self.delayed))
            case ScheduleLeave(delay):
                return Scheduled(self.schedule(delay))
            case SendJoin():
                return Sent(self._set(action))
            case ClearState():
                self._set(None)
                return Done()
        return self._manage(action)

    def _manage(self, action: CancelDelayed | Restart | SendDelayed) -> Outcome:
        if action.delay_id not in self.delayed:
            return Failed(Kind.NOT_FOUND)
        match action:
            case CancelDelayed(delay_id):
                del self.delayed[delay_id]
            case Restart(delay_id):
                delay, _ = self.delayed[delay_id]
                self.delayed[delay_id] = (delay, self.now + delay)
            case SendDelayed(delay_id):
                self.fire(delay_id)
        return Done()

    def _set(
        self, join: SendJoin | None, *, by_us: bool = True, delay_id: str | None = None
    ) -> str:
        if self.once:
            return self._stick(join, delay_id)
        if join is None and self.join is None:
            return self._event_id or ""  # the same content again is no new event
        self.join = join
        self._count += 1
        replaces, self._event_id = self._event_id, f"$event{self._count}"
        created_ts = None
        if join is not None:
            created_ts = join.created_ts or self.ts
        self.sync.append(Shown(self._event_id, by_us, created_ts, delay_id, replaces))
        return self._event_id

    def _stick(self, join: SendJoin | None, delay_id: str | None) -> str:
        self.spent = self.spent or join is None
        if self.spent:
            self.join = None  # a leave beats any join
        elif join is not None:
            self.join = join
            self.expires_at = max(self.expires_at, self.now + join.expires)
        self._count += 1
        self._event_id = f"$event{self._count}"
        created_ts = None if join is None else self.ts
        self.sync.append(Shown(self._event_id, True, created_ts, delay_id))
        return self._event_id

    @property
    def ts(self) -> int:
        return 1_700_000_000_000 + int(self.now * 1000)


class Run:
    """A machine with its server: actions take no time, sync shows everything at once.

    `says` makes the server answer an action of a type otherwise, in order: an outcome is given
    instead of carrying it out, or `LATE` to have it carried out and time out.
    """

    def __init__(
        self, timing: Timing | None = None, server: Server | None = None, *, once: bool = False
    ) -> None:
        self.server = server or Server(once=once)
        self.own = OwnMembership(timing or Timing(), once=once)
        self.done: list[tuple[float, Action]] = []
        self._says: dict[type, deque[Outcome | None]] = {}
        self.synced = True

    @property
    def now(self) -> float:
        return self.server.now

    def says(self, kind: type, *outcomes: Outcome | None) -> Run:
        self._says.setdefault(kind, deque()).extend(outcomes)
        return self

    def always(self, kind: type, outcome: Failed) -> Run:
        return self.says(kind, *[outcome] * 1000)

    def honest(self) -> Run:
        self._says.clear()
        return self

    def join(self) -> Run:
        self.own.join(self.now)
        return self

    def leave(self) -> Run:
        self.own.leave(self.now)
        return self

    def show(self) -> None:
        while self.server.sync:
            self.own.own_state(self.server.sync.popleft(), self.now)

    def until(self, when: float) -> Run:
        """Let time pass and actions happen; a hanging one may end later."""
        while self.now <= when:
            if self.synced:
                self.show()
            action = self.own.take(self.now)
            if action is not None:
                self._do(action)
                continue
            instants = [fires_at for _, fires_at in self.server.delayed.values()]
            if self.own.deadline is not None:
                assert self.own.deadline > self.now
                instants.append(self.own.deadline)
            if min(instants, default=inf) > when:
                break
            self.server.advance(min(instants))
        self.server.advance(max(when, self.now))
        return self

    def rest(self, seconds: float = 0.0) -> Run:
        return self.until(self.now + seconds)

    def _do(self, action: Action) -> None:
        self.done.append((self.now, action))
        assert len(self.done) < 5000, "it runs in circles"
        script = self._says.get(type(action))
        said = script.popleft() if script else self.server.carry_out(action)
        if said is None:
            self.server.carry_out(action)
            said = Failed(Kind.TIMEOUT)
        if said == Failed(Kind.TIMEOUT):
            self.server.advance(self.now + action.timeout)
        self.own.done(said, self.now)

    # -- what happened ---------------------------------------------------------------------

    def status(self) -> Status:
        return self.own.status

    def all(self, kind: type[A]) -> list[A]:
        return [action for _, action in self.done if isinstance(action, kind)]

    def times(self, kind: type) -> list[float]:
        return [round(at, 3) for at, action in self.done if isinstance(action, kind)]

    def names(self) -> list[str]:
        return [type(action).__name__ for _, action in self.done]

    def forget(self) -> Run:
        self.done.clear()
        return self


LATE: Any = None
"""Carried out, but the answer came too late."""


def joined(**timing: Any) -> Run:
    """A machine that has just joined, with its history forgotten."""
    run = Run(Timing(**timing)).join().rest()
    assert run.own.joined
    return run.forget()


def seated(**timing: Any) -> Run:
    """A machine with a sticky membership that has just joined, with its history forgotten."""
    run = Run(replace(sticky(Timing(), 0.0), **timing), once=True).join().rest()
    assert run.own.joined
    return run.forget()


def taken(own: OwnMembership, now: float) -> Action:
    """The next action, which has to be due."""
    action = own.take(now)
    assert action is not None
    return action
