"""Our own membership against a faulty homeserver, every interleaving Hypothesis can think of."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from bot.rtc.actions import (
    Action,
    CancelDelayed,
    Failed,
    Kind,
    Outcome,
    Restart,
    Scheduled,
    ScheduleLeave,
    SendDelayed,
    SendJoin,
)
from bot.rtc.own import OwnMembership, Status
from bot.rtc.timing import Timing
from tests.unit.rtc.server import Server

DEGRADING = {Kind.NOT_FOUND, Kind.FORBIDDEN, Kind.UNSUPPORTED, Kind.REFUSED, Kind.TOO_MANY}
UNKNOWN = [Kind.TIMEOUT, Kind.TRANSIENT]
SURE = [
    Kind.RATE_LIMITED,
    Kind.FORBIDDEN,
    Kind.UNSUPPORTED,
    Kind.TOO_MANY,
    Kind.DELAY_TOO_LARGE,
    Kind.REFUSED,
]


class Membership(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.own = OwnMembership(Timing())
        self.wanted = False
        self.flight: Action | None = None
        # What a keeper may believe: a leave is armed, or the server would not arm one.
        self.held: str | None = None
        self.may_degrade = False
        self._joins = 0
        self._told_until = 0.0  # so long a failing server has made it wait, at the most

    @initialize(
        leftovers=st.integers(0, 2), joined=st.booleans(), renew=st.sampled_from([8.0, 10_800.0])
    )
    def begin(self, *, leftovers: int, joined: bool, renew: float) -> None:
        self.own = OwnMembership(Timing(renew=renew))
        for number in range(leftovers):
            self.server.schedule(5.0 + number)
        if joined:
            self.join()
            self._live(0.0)

    # -- wishes and the room -------------------------------------------------------------------

    @rule()
    def join(self) -> None:
        self.wanted = True
        self.own.join(self.server.now)

    @rule()
    def leave(self) -> None:
        self.wanted = False
        self.own.leave(self.server.now)

    @rule()
    def what_it_says_changes(self) -> None:
        self.own.renew(self.server.now)

    @rule()
    def permission_changed(self) -> None:
        self.own.permission_changed(self.server.now)

    @rule()
    def delayed_events_are_possible(self) -> None:
        self.own.arm_again(self.server.now)

    @rule()
    def another_application_takes_the_key(self) -> None:
        self.wanted = False
        self.own.give_way(self.server.now)
        self.server.join = None  # whatever stands there now is not ours

    @rule()
    def somebody_clears_us(self) -> None:
        self.server.clear_by_other()

    @rule()
    def twin_clears_us(self) -> None:
        self.server.clear_by_twin()

    @rule(known=st.booleans())
    def delayed_event_is_lost(self, *, known: bool) -> None:
        if self.server.delayed:
            self.server.delayed.pop(min(self.server.delayed) if known else max(self.server.delayed))

    @rule()
    def sync(self) -> None:
        if self.server.sync:
            shown = self.server.sync.popleft()
            if shown.delay_id == self.held:
                self.held = None
            self.own.own_state(shown, self.server.now)

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.0, 5.0, 13.0, 20.0, 100.0, 11_000.0, 15_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.server.advance(self.server.now + seconds)

    @rule(seconds=st.sampled_from([0.0, 0.0, 3.0, 17.0, 130.0]), synced=st.booleans())
    def good_times(self, *, seconds: float, synced: bool) -> None:
        self._live(seconds, synced=synced)

    # -- actions -------------------------------------------------------------------------------

    @rule()
    def take(self) -> None:
        now = self.server.now
        action = self.own.take(now)
        if self.flight is not None:
            assert action is None, "two in flight"
        elif action is None:
            deadline = self.own.deadline
            assert deadline is None or deadline > now, "a deadline that has passed"
            assert deadline is not None or self._at_rest(), "work, but no deadline"
        else:
            assert not isinstance(action, SendJoin) or self.wanted
            self._started(action, now)

    def _started(self, action: Action, now: float) -> None:
        self.flight = action
        assert action.timeout > 0
        match action:
            case SendJoin():
                self._joins += action.created_ts is None
                # Never two live joins: while one stands, and sync has shown it, only a renewal.
                if self.own.joined and self.server.join is not None and not self.server.sync:
                    assert action.created_ts is not None, "a second join"
                assert self.held is not None or self.may_degrade, "nothing armed behind the join"
                assert action.expires == (14_400.0 if self.held else 300.0)
                assert not self.own.probably_left(now)
            case CancelDelayed(delay_id) if delay_id == self.held:
                self.held = None

    @precondition(lambda self: self.flight is not None)
    @rule()
    def answered(self) -> None:
        assert self.flight is not None
        self._finish(self.server.carry_out(self.flight))

    @precondition(lambda self: self.flight is not None)
    @rule(kind=st.sampled_from(UNKNOWN), carried_out=st.booleans())
    def lost(self, *, kind: Kind, carried_out: bool) -> None:
        assert self.flight is not None
        if carried_out:
            self.server.carry_out(self.flight)
        self._finish(Failed(kind))

    @precondition(lambda self: self.flight is not None)
    @rule(kind=st.sampled_from(SURE), hint=st.sampled_from([None, 0.0, 1.0, 60.0]))
    def refused(self, kind: Kind, hint: float | None) -> None:
        self._finish(Failed(kind, retry_after=hint if kind is Kind.RATE_LIMITED else None))

    def _finish(self, outcome: Outcome) -> None:
        action, self.flight = self.flight, None
        if isinstance(outcome, Failed):
            self._told_until = max(self._told_until, self.server.now + longest_wait(outcome))
        match action, outcome:
            case ScheduleLeave(), Scheduled(delay_id):
                self.held, self.may_degrade = delay_id, False
            case ScheduleLeave(), Failed(kind) if kind in DEGRADING | {Kind.DELAY_TOO_LARGE}:
                self.may_degrade = True
            case SendDelayed(), _:
                self.held = None
            case Restart(delay_id), Failed(Kind.NOT_FOUND) if delay_id == self.held:
                self.held = None
            case Restart(), Failed(Kind.UNSUPPORTED):
                self.held, self.may_degrade = None, True
        self.own.done(outcome, self.server.now)

    # -- what always holds ---------------------------------------------------------------------

    def _at_rest(self) -> bool:
        return self.own.status in {Status.LEFT, Status.FORBIDDEN}

    @invariant()
    def no_deadline_in_flight(self) -> None:
        assert self.flight is None or self.own.deadline is None

    @invariant()
    def never_joined_without_an_armed_leave(self) -> None:
        """Joined with nothing armed: it arms in its very next attempt, which a failure may delay.

        Unless the server would not arm one (degraded).
        """
        own, now = self.own, self.server.now
        if self.flight is None and own.status is Status.JOINED and self.held is None:
            assert own.deadline is not None
            assert own.deadline <= max(now, self._told_until), "waits with nothing armed"

    @invariant()
    def never_sleeps_past_the_firing(self) -> None:
        if self.flight is None and self.own.status is Status.JOINED and self.held is not None:
            armed = self.server.delayed.get(self.held)
            if armed is not None:
                assert self.own.deadline is not None
                assert self.own.deadline <= armed[1], "sleeps past the firing"

    @invariant()
    def status_fits(self) -> None:
        status = self.own.status
        assert (status in {Status.LEFT, Status.LEAVING}) is not self.wanted
        assert self.own.left is (status is Status.LEFT)
        if status in {Status.JOINED, Status.DEGRADED}:
            assert self.own.joined

    def teardown(self) -> None:
        """Whatever happened: an honest server brings us where we want to be, and it lasts."""
        self.own.permission_changed(self.server.now)
        self._live(200.0)
        if self.wanted:
            joins, armed = self._joins, False
            for _ in range(60):
                self._live(1.0)
                assert self.own.joined
                assert self.server.join is not None
                armed = self.own.status is Status.JOINED
                assert len(self.server.delayed) == armed
                assert self.own.healthy or not armed
            assert self._joins - joins <= (0 if armed else 1), "nothing happened, yet it re-joined"
            self.leave()
            self._live(0.0)
        assert self.own.left
        assert self.server.join is None
        self._live(40.0)
        assert self.server.delayed == {}

    def _live(self, seconds: float, *, synced: bool = True) -> None:
        """Let time pass with a server that answers everything, at once."""
        end = self.server.now + seconds
        while True:
            while synced and self.server.sync:
                self.sync()
            if self.flight is not None:
                self.answered()
            self.take()
            if self.flight is None and not (synced and self.server.sync):
                instants = [fires_at for _, fires_at in self.server.delayed.values()]
                instants += [self.own.deadline] if self.own.deadline is not None else []
                if not instants or min(instants) > end:
                    break
                self.server.advance(min(instants))
        self.server.advance(end)


def longest_wait(failed: Failed) -> float:
    """How long a failure makes the machine wait at the most."""
    timing = Timing()
    longest = {
        Kind.TIMEOUT: 0.0,
        Kind.TRANSIENT: timing.retry,
        Kind.RATE_LIMITED: timing.rate_limited,
    }
    wait = longest.get(failed.kind, timing.refused)
    return max(wait if failed.retry_after is None else failed.retry_after, 0.5)


Membership.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestMembership = Membership.TestCase
