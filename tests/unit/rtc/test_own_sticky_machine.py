"""A sticky membership of ours against a faulty homeserver, as Hypothesis thinks it up."""

from __future__ import annotations

from dataclasses import replace

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
    ClearState,
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
from bot.rtc.timing import Timing, sticky
from tests.unit.rtc.server import Server
from tests.unit.rtc.test_own_machine import DEGRADING, SURE, UNKNOWN, longest_wait

HOUR = sticky(Timing(), 0.0)
ENDING = ClearState | CancelDelayed


class Sticky(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.server = Server(once=True)
        self.own = OwnMembership(HOUR, once=True)
        self.wanted = False
        self.flight: Action | None = None
        # What a keeper may believe: a leave is armed, or the server would not arm one.
        self.held: str | None = None
        self.may_degrade = False
        self.spent = False  # a leave of ours was asked for, or seen
        self.untidy = False  # the server did not do what would have left nothing behind
        self.stays = False  # it refused to take us out
        self._told_until = 0.0

    @initialize(joined=st.booleans(), renew=st.sampled_from([8.0, 3240.0]))
    def begin(self, *, joined: bool, renew: float) -> None:
        self.own = OwnMembership(replace(HOUR, renew=renew), once=True)
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
    def somebody_redacts_it(self) -> None:
        self.server.redact()

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
            if shown.created_ts is None and shown.replaces is None:
                self.spent = True
            self.own.own_state(shown, self.server.now)

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.0, 5.0, 13.0, 20.0, 100.0, 3300.0, 4000.0]))
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
            at_rest = self.own.left or self.own.status is Status.FORBIDDEN
            assert deadline is not None or at_rest, "work, but no deadline"
        else:
            self._started(action, now)

    def _started(self, action: Action, now: float) -> None:
        self.flight = action
        assert action.timeout > 0
        assert not self.spent or isinstance(action, ENDING), "what is spent is only taken out"
        assert not isinstance(action, SendDelayed), "it says that nobody sent it"
        match action:
            case SendJoin():
                assert self.wanted
                assert not self.own.ended
                assert self.held is not None or self.may_degrade, "nothing armed behind the join"
                assert action.expires == 3600.0 if self.held else action.expires >= 300.0
                assert not self.own.probably_left(now)
            case ClearState():
                self.spent = True
                assert self.own.ended
            case CancelDelayed(delay_id) if delay_id == self.held:
                in_room = self.own.joined or self.server.join is not None
                assert not in_room or self._has_to_go(), "the only armed leave"
                self.held = None

    def _has_to_go(self) -> bool:
        """Whether the membership is over although it may still be seen."""
        return self.own.ended or not self.wanted or self.own.status is Status.FORBIDDEN

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
            self.untidy = self.untidy or not isinstance(action, SendJoin | Restart)
            if isinstance(action, ClearState):
                self.stays = self.stays or outcome.kind in SURE
        match action, outcome:
            case ScheduleLeave(), Scheduled(delay_id):
                self.held, self.may_degrade = delay_id, False
            case ScheduleLeave(), Failed(kind) if kind in DEGRADING | {Kind.DELAY_TOO_LARGE}:
                self.may_degrade = self.may_degrade or self.held is None
            case Restart(delay_id), Failed(Kind.NOT_FOUND) if delay_id == self.held:
                self.held = None
            case Restart(), Failed(Kind.UNSUPPORTED):
                self.held, self.may_degrade = None, True
                self.untidy = True
        self.own.done(outcome, self.server.now)

    # -- what always holds ---------------------------------------------------------------------

    @invariant()
    def no_deadline_in_flight(self) -> None:
        assert self.flight is None or self.own.deadline is None

    @invariant()
    def never_joined_without_an_armed_leave(self) -> None:
        """As for a legacy one: armed in the very next attempt, unless the server would not."""
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
    def nothing_is_left_behind(self) -> None:
        if self.own.left and not self.untidy:
            assert self.server.delayed == {}

    @invariant()
    def what_is_spent_stays_so(self) -> None:
        assert self.own.ended or not self.spent
        assert not (self.own.ended and self.own.status in {Status.JOINED, Status.JOINING})
        assert self.own.status is not Status.ENDED or self.own.ended
        assert self.own.status not in {Status.LEFT, Status.LEAVING} or not self.wanted
        assert self.own.status is not Status.PAUSED

    def teardown(self) -> None:
        """Whatever happened: an honest server brings us where we want to be, and it lasts."""
        self.own.permission_changed(self.server.now)
        self._live(20.0)  # whatever was armed unknown to us has fired by then
        over = self.own.ended
        self._live(200.0)
        if self.wanted and not over:
            assert not self.own.ended, "nothing happened, yet it is over"
            for _ in range(60):
                self._live(1.0)
                assert self.own.joined
                assert self.server.join is not None
                armed = self.own.status is Status.JOINED
                assert len(self.server.delayed) == armed
                assert self.own.healthy or not armed
            self.stays = False
            self.leave()
            self._live(0.0)
            assert self.server.delayed == {}
        assert self.own.left
        assert self.server.join is None or self.stays
        self._live(40.0)
        assert self.server.delayed == {}
        self._live(3600.0)
        assert self.server.join is None

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


Sticky.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestSticky = Sticky.TestCase
