"""Own membership, leaving and coming back (docs/matrixrtc.md, 5)."""

from __future__ import annotations

import pytest

from bot.rtc.actions import (
    CancelDelayed,
    ClearState,
    Failed,
    Kind,
    ScheduleLeave,
    SendDelayed,
    SendJoin,
)
from bot.rtc.own import OwnMembership, Status
from bot.rtc.timing import Timing
from tests.unit.rtc.server import FAIL, LATE, Run, joined, taken


@pytest.mark.scenario("M29")
def test_m29_leave() -> None:
    run = joined().leave().rest(100)
    assert run.names() == ["SendDelayed"]
    assert run.own.left
    assert run.server.join is None


@pytest.mark.scenario("M30")
def test_m30_leave_when_the_delayed_event_is_gone() -> None:
    run = joined()
    run.server.delayed.clear()
    run.leave().rest()
    assert run.names() == ["SendDelayed", "ClearState"]
    assert run.own.left
    assert run.server.join is None


@pytest.mark.scenario("M31")
@pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.TIMEOUT, Kind.RATE_LIMITED, Kind.REFUSED])
def test_m31_leave_when_send_fails(kind: Kind) -> None:
    run = joined().says(SendDelayed, FAIL[kind]).leave().rest(3)
    assert run.names() == ["SendDelayed", "ClearState", "CancelDelayed"]
    assert run.own.left
    assert run.server.delayed == {}


@pytest.mark.scenario("M32")
def test_m32_leave_while_not_joined() -> None:
    run = Run().join().leave().rest()
    assert run.done == []
    assert run.own.left


def test_leave_while_arming() -> None:
    run = Run().join()
    run.own.done(run.server.carry_out(taken(run.own, 0.0)), 0.0)
    arm = taken(run.own, 0.0)
    run.leave()
    assert run.status() is Status.LEAVING
    run.own.done(run.server.carry_out(arm), 0.0)
    run.rest()
    assert run.names() == ["CancelDelayed"]
    assert run.own.left


def test_leave_while_the_join_is_under_way() -> None:
    run = Run().join()
    for _ in range(2):
        run.own.done(run.server.carry_out(taken(run.own, 0.0)), 0.0)
    join = taken(run.own, 0.0)
    run.leave()
    run.own.done(run.server.carry_out(join), 0.0)
    run.rest()
    assert run.names() == ["SendDelayed"]
    assert run.server.join is None


def test_leave_when_the_join_may_have_happened() -> None:
    run = Run().says(SendJoin, LATE, FAIL[Kind.TIMEOUT], FAIL[Kind.FORBIDDEN])
    run.join().until(60)
    assert run.status() is Status.FORBIDDEN
    run.forget().leave().rest()
    assert run.names() == ["ClearState"]
    assert run.server.join is None


@pytest.mark.scenario("M33")
def test_m33_leave_during_a_rate_limit() -> None:
    run = Run().says(SendJoin, Failed(Kind.RATE_LIMITED, retry_after=9.0)).join().rest(1)
    run.forget().leave().rest(100)
    assert run.names() == ["CancelDelayed"]


@pytest.mark.scenario("M34")
def test_m34_leave_twice() -> None:
    run = joined().leave().leave().rest().leave().rest()
    assert run.names() == ["SendDelayed"]


@pytest.mark.scenario("M35")
def test_m35_leave_with_the_network_down() -> None:
    run = joined()
    for kind in (SendDelayed, ClearState, CancelDelayed):
        run.always(kind, FAIL[Kind.TRANSIENT])
    run.leave().rest(5)
    assert run.status() is Status.LEAVING
    run.rest(13)
    assert run.server.join is None  # the homeserver did it


@pytest.mark.scenario("M46")
def test_m46_leave_after_being_kicked() -> None:
    run = joined().says(SendDelayed, FAIL[Kind.FORBIDDEN]).says(ClearState, FAIL[Kind.FORBIDDEN])
    run.leave().rest()
    assert run.names() == ["SendDelayed", "ClearState", "CancelDelayed"]
    assert run.own.left


def test_clearing_is_refused() -> None:
    run = joined().says(SendDelayed, FAIL[Kind.REFUSED]).says(ClearState, FAIL[Kind.REFUSED])
    run.leave().rest()
    assert run.own.left
    assert len(run.server.delayed) == 1  # it may do what we could not
    run.forget().join().rest()
    assert run.names()[:2] == ["ListDelayed", "CancelDelayed"]


def test_degraded_leave() -> None:
    run = Run().says(ScheduleLeave, FAIL[Kind.UNSUPPORTED]).join().rest()
    run.forget().leave().rest()
    assert run.names() == ["ClearState"]


def test_wanted_again_before_the_leave_was_sent() -> None:
    run = joined().leave().join().rest(5)
    assert run.names() == ["Restart"]


def test_wanted_again_while_leaving() -> None:
    run = joined().leave()
    send = taken(run.own, 0.0)
    run.join()
    run.own.done(run.server.carry_out(send), 0.0)
    run.rest(1)
    assert run.names() == ["ScheduleLeave", "SendJoin", "Restart"]


def test_wanted_again_while_leaving_fails() -> None:
    run = joined().leave()
    taken(run.own, 0.0)
    run.join()
    run.own.done(FAIL[Kind.TIMEOUT], 2.0)
    run.rest(3)
    assert run.names()[:3] == ["CancelDelayed", "ScheduleLeave", "SendJoin"]
    assert run.status() is Status.JOINED


def test_one_action_at_a_time() -> None:
    own = OwnMembership(Timing())
    own.join(0.0)
    taken(own, 0.0)
    assert own.take(1.0) is None
    assert own.deadline is None


@pytest.mark.scenario("X06")
def test_it_gives_way_without_touching_what_another_application_wrote() -> None:
    run = joined()
    run.own.give_way(run.now)
    run.rest(100)
    assert run.names() == ["CancelDelayed"]
    assert run.own.left
    assert run.server.join is not None  # whatever stands there


@pytest.mark.scenario("X06")
def test_it_gives_way_before_it_has_joined() -> None:
    run = Run()
    run.own.give_way(0.0)
    assert run.rest(100).done == []
    assert run.own.left
