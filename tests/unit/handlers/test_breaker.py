"""The circuit breaker of a lane: its transition table, and any sequence of calls."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bot.handlers.breaker import Breaker, State

LIMIT, FIRST, CAP = 3, 1.0, 8.0


def breaker(limit: int = LIMIT) -> Breaker:
    return Breaker(lambda: 0.999999, limit=limit, first=FIRST, cap=CAP)


def opened(now: float = 0.0) -> Breaker:
    one = breaker()
    for _ in range(LIMIT):
        one.failed(now)
    return one


def half_open() -> Breaker:
    one = opened()
    assert one.ask(FIRST)
    return one


@pytest.mark.parametrize(
    ("before", "what", "after"),
    [
        (breaker, "succeeded", State.CLOSED),
        (breaker, "failed", State.CLOSED),
        (breaker, "hurry", State.CLOSED),
        (opened, "succeeded", State.CLOSED),
        (opened, "failed", State.OPEN),
        (opened, "hurry", State.OPEN),
        (half_open, "succeeded", State.CLOSED),
        (half_open, "failed", State.OPEN),
        (half_open, "hurry", State.HALF_OPEN),
    ],
)
def test_the_table(before: Callable[[], Breaker], what: str, after: State) -> None:
    one = before()
    getattr(one, what)(2.0)
    assert one.state is after


def test_it_opens_only_when_failures_come_in_a_row() -> None:
    one = breaker()
    for _ in range(LIMIT - 1):
        one.failed(0.0)
    one.succeeded(0.0)
    for _ in range(LIMIT - 1):
        one.failed(0.0)
    assert one.state is State.CLOSED
    one.failed(5.0)
    assert (one.state, one.since) == (State.OPEN, 5.0)


def test_pauses_double_up_to_a_bound_and_begin_anew_after_a_success() -> None:
    one, now, pauses = opened(), 0.0, []
    for _ in range(6):
        assert one.until is not None
        pauses.append(one.until - now)
        assert not one.ask(now)
        now = one.until
        assert one.ask(now)
        one.failed(now)
    assert pauses == pytest.approx([1, 2, 4, 8, 8, 8], rel=1e-3)
    one.succeeded(now)
    for _ in range(LIMIT):
        one.failed(now)
    assert one.until == pytest.approx(now + FIRST, rel=1e-3)


def test_what_a_failure_asks_for_is_the_pause() -> None:
    one = breaker(limit=1)
    one.failed(10.0, asked=90.0)
    assert one.until == 100.0
    assert not one.ask(99.9)
    assert one.ask(100.0)


def test_an_operator_ends_a_pause() -> None:
    one = opened()
    one.hurry(0.1)
    assert one.ask(0.1)
    assert one.state is State.HALF_OPEN


class Machine(RuleBasedStateMachine):
    """Calls as a lane makes them: one at a time, none while it is open; and time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.one = Breaker(lambda: 0.5, limit=LIMIT, first=FIRST, cap=CAP)
        self.in_row = 0

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(well=st.booleans(), asked=st.none() | st.floats(0, 3600))
    def call(self, *, well: bool, asked: float | None) -> None:
        before, until = self.one.state, self.one.until
        if not self.one.ask(self.now):
            assert before is State.OPEN
            assert until is not None
            assert self.now < until
            return
        assert until is None or self.now >= until
        trial = self.one.state is State.HALF_OPEN
        assert trial == (before is not State.CLOSED)
        if well:
            self.in_row = 0
            self.one.succeeded(self.now)
            assert self.one.state is State.CLOSED
        else:
            self.in_row += 1
            self.one.failed(self.now, asked)
            assert self.one.state is (State.OPEN if trial or self.in_row >= LIMIT else State.CLOSED)
            if self.one.until is not None:
                pause = self.one.until - self.now
                assert pause <= CAP + 1e-6 if asked is None else abs(pause - asked) < 1e-6

    @rule()
    def hurry(self) -> None:
        self.one.hurry(self.now)

    @precondition(lambda self: self.one.state is State.OPEN)
    @rule()
    def late(self) -> None:
        """A call from beside the lane fails: the pause is not lengthened by it."""
        until = self.one.until
        self.one.failed(self.now)
        self.in_row += 1
        assert self.one.until == until

    @invariant()
    def holds(self) -> None:
        assert self.one.failures == self.in_row
        assert (self.one.until is not None) == (self.one.state is State.OPEN)
        assert self.one.since is None or self.one.since <= self.now


TestMachine = Machine.TestCase
