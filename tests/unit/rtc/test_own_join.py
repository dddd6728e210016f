"""Own membership, joining (docs/matrixrtc.md, 5)."""

from __future__ import annotations

import pytest

from bot.rtc.actions import (
    CancelDelayed,
    ClearState,
    Failed,
    Kind,
    ListDelayed,
    Restart,
    ScheduleLeave,
    SendDelayed,
    SendJoin,
)
from bot.rtc.own import OwnMembership, Status
from bot.rtc.timing import Timing
from tests.unit.rtc.server import FAIL, LATE, Run, joined

HINT = Failed(Kind.RATE_LIMITED, retry_after=1.0)


@pytest.mark.scenario("M01")
def test_m01_leave_is_armed_before_the_join() -> None:
    run = Run().join().rest()
    assert run.names() == ["ListDelayed", "ScheduleLeave", "SendJoin", "Restart"]
    assert run.all(ScheduleLeave) == [ScheduleLeave(18.0, 10.0)]
    assert run.all(SendJoin) == [SendJoin(14_400.0, None, 10.0)]
    assert run.status() is Status.JOINED


def test_nothing_is_done_unasked() -> None:
    run = Run().rest(100)
    assert (run.done, run.status(), run.own.deadline) == ([], Status.LEFT, None)


@pytest.mark.scenario("M03")
def test_m03_one_restart_per_interval_and_one_after_the_join() -> None:
    run = Run().join().until(60)
    assert run.times(Restart) == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60]
    assert len(run.all(SendJoin)) == 1


@pytest.mark.scenario("M03")
def test_m03_slow_answers_do_not_stretch_the_interval() -> None:
    own = OwnMembership(Timing())
    run = Run()
    run.own = own
    run.join().rest()
    own.take(5.0)
    run.server.now = 6.5
    own.done(run.server.carry_out(Restart("syd_1", 2.0)), 6.5)
    assert own.deadline == 10.0


@pytest.mark.scenario("M04")
def test_m04_server_that_cancels_on_own_state() -> None:
    run = Run().says(Restart, FAIL[Kind.NOT_FOUND]).join().rest()
    assert run.names()[-2:] == ["Restart", "ScheduleLeave"]
    assert len(run.all(SendJoin)) == 1


@pytest.mark.scenario("M05", "M06", "M07", "M08", "M09", "M10")
@pytest.mark.parametrize(
    ("limited", "at"),
    [
        (HINT, 1.0),  # M05
        (FAIL[Kind.RATE_LIMITED], 5.0),  # M06
        (Failed(Kind.RATE_LIMITED, retry_after=30.0), 30.0),  # M07, M08
        (Failed(Kind.RATE_LIMITED, retry_after=0.5), 0.5),  # M09
        (Failed(Kind.RATE_LIMITED, retry_after=0.0), 0.5),  # never in a circle
    ],
)
def test_m05_to_m10_schedule_waits_as_told(limited: Failed, at: float) -> None:
    run = Run().says(ScheduleLeave, limited).join().until(40)
    assert run.times(ScheduleLeave) == [0, at]
    assert run.times(SendJoin) == [at]
    assert len(run.all(ListDelayed)) == 1


@pytest.mark.scenario("M11")
def test_m11_join_waits_while_the_leave_is_kept_from_firing() -> None:
    run = Run().says(SendJoin, Failed(Kind.RATE_LIMITED, retry_after=60.0)).join().until(61)
    assert run.times(SendJoin) == [0, 60]
    assert run.times(Restart)[:4] == [5, 10, 15, 20]
    assert len(run.all(ScheduleLeave)) == 1


def test_join_never_goes_out_with_a_leave_that_may_have_fired() -> None:
    run = Run().says(SendJoin, Failed(Kind.RATE_LIMITED, retry_after=20.0))
    run.always(Restart, FAIL[Kind.TRANSIENT]).join().until(17.9)
    run.rest(20)
    assert run.times(SendJoin) == [0]
    assert run.status() is Status.JOINING
    run.honest().rest(5)
    late = run.names()[run.names().index("ScheduleLeave", 2) - 1 :]
    assert late[:4] == ["Restart", "ScheduleLeave", "SendJoin", "Restart"]


@pytest.mark.scenario("M12")
def test_m12_delay_too_large_with_a_limit() -> None:
    run = Run(Timing(delay=9.0))
    run.says(ScheduleLeave, Failed(Kind.DELAY_TOO_LARGE, max_delay=7.5)).join().until(10)
    assert [action.delay for action in run.all(ScheduleLeave)] == [9.0, 7.5]
    assert run.times(ScheduleLeave) == [0, 0]
    assert run.times(Restart) == [0, 4.5, 9]  # sooner, as there is less room


@pytest.mark.scenario("M13")
def test_m13_delay_too_large_without_a_limit() -> None:
    run = Run().says(ScheduleLeave, *[FAIL[Kind.DELAY_TOO_LARGE]] * 2).join().until(4)
    assert [action.delay for action in run.all(ScheduleLeave)] == [18.0, 9.0, 4.5]
    assert run.times(Restart) == [0, 1.5, 3]
    absurd = Failed(Kind.DELAY_TOO_LARGE, max_delay=99.0)
    run = Run().says(ScheduleLeave, absurd).join().rest()
    assert run.all(ScheduleLeave)[-1].delay == 9.0


def test_delay_that_cannot_be_kept_is_not_used() -> None:
    run = Run().says(ScheduleLeave, Failed(Kind.DELAY_TOO_LARGE, max_delay=1.0)).join().rest(600)
    assert run.status() is Status.DEGRADED
    assert len(run.all(ScheduleLeave)) == 1


@pytest.mark.scenario("M15")
def test_m15_without_delayed_events() -> None:
    run = Run().always(ScheduleLeave, FAIL[Kind.UNSUPPORTED]).join().until(361)
    assert run.status() is Status.DEGRADED
    assert run.times(SendJoin) == [0, 120, 240, 360]
    assert {action.expires for action in run.all(SendJoin)} == {300.0}
    assert len(run.all(ScheduleLeave)) == 1
    assert run.all(Restart) == []


@pytest.mark.scenario("M15")
def test_m15_with_delayed_events_after_all() -> None:
    run = Run().says(ScheduleLeave, FAIL[Kind.UNSUPPORTED]).join().rest(10)
    began = run.server.ts - 10_000
    run.own.arm_again(run.now)
    run.rest(1)
    assert run.status() is Status.JOINED
    assert run.all(SendJoin)[-1] == SendJoin(14_400.0, began, 10.0)
    run.own.arm_again(run.now)
    assert len(run.rest(1).all(ScheduleLeave)) == 2


@pytest.mark.scenario("M16")
def test_m16_server_that_sent_the_leave_at_once() -> None:
    run = joined().says(Restart, FAIL[Kind.NOT_FOUND])
    run.says(ScheduleLeave, FAIL[Kind.UNSUPPORTED]).rest(5)
    run.server.clear_by_twin()  # that leave, shown by sync afterwards
    run.rest(10)
    assert run.names() == ["Restart", "ScheduleLeave", "SendJoin"]
    assert run.all(SendJoin)[0].created_ts is None


@pytest.mark.scenario("M17")
def test_m17_odd_answer_to_schedule() -> None:
    run = Run().says(ScheduleLeave, FAIL[Kind.REFUSED]).join().until(29)
    assert run.status() is Status.DEGRADED
    assert run.all(SendJoin) == [SendJoin(300.0, None, 10.0)]
    run.until(31)
    assert run.status() is Status.JOINED
    assert run.all(SendJoin)[-1].expires == 14_400.0


@pytest.mark.scenario("M18")
def test_m18_unhealthy_but_still_trying() -> None:
    run = Run().says(ScheduleLeave, *[FAIL[Kind.TRANSIENT]] * 10).join().until(28)
    assert not run.own.healthy
    assert run.status() is Status.JOINING
    run.until(31)
    assert run.own.healthy
    assert run.status() is Status.JOINED


def test_refused_join_is_tried_again_while_the_leave_is_kept() -> None:
    run = Run().says(SendJoin, FAIL[Kind.REFUSED]).join().until(31)
    assert run.times(SendJoin) == [0, 30]
    assert len(run.all(ScheduleLeave)) == 1


@pytest.mark.scenario("M36")
def test_m36_join_twice() -> None:
    run = Run().join().join().rest().join().rest()
    assert len(run.all(SendJoin)) == 1


@pytest.mark.scenario("M42")
def test_m42_leftovers_of_a_former_life() -> None:
    run = Run()
    leftovers = [run.server.schedule(18.0), run.server.schedule(9.0)]
    run.join().until(20)
    assert [action.delay_id for action in run.all(CancelDelayed)] == leftovers
    assert run.names()[:4] == ["ListDelayed", "CancelDelayed", "CancelDelayed", "ScheduleLeave"]
    assert run.server.join is not None
    assert len(run.server.delayed) == 1


@pytest.mark.scenario("M42")
def test_m42_leftover_that_was_not_listed_fires() -> None:
    run = Run().says(ListDelayed, FAIL[Kind.REFUSED])
    run.server.schedule(9.0)
    run.join().until(30)
    assert run.names().count("ListDelayed") == 2
    assert run.times(SendJoin) == [0, 9]
    assert len(run.all(ScheduleLeave)) == 1  # ours was armed all the time


@pytest.mark.scenario("M43")
def test_m43_scheduling_timed_out_but_was_stored() -> None:
    run = Run().says(ScheduleLeave, LATE).join().until(60)
    assert run.names()[:5] == [
        "ListDelayed",
        "ScheduleLeave",
        "ListDelayed",
        "CancelDelayed",
        "ScheduleLeave",
    ]
    assert len(run.server.delayed) == 1
    assert len(run.all(SendJoin)) == 1


@pytest.mark.scenario("M44")
def test_m44_too_many_delayed_events() -> None:
    run = Run().says(ScheduleLeave, *[FAIL[Kind.TOO_MANY]] * 3).join().rest()
    assert run.names() == [
        "ListDelayed",
        "ScheduleLeave",
        "ListDelayed",
        "ScheduleLeave",
        "SendJoin",
    ]
    assert run.status() is Status.DEGRADED
    run.until(121)
    assert run.all(SendJoin)[-1] == SendJoin(300.0, run.server.ts - 121_000, 10.0)
    run.until(241)
    assert run.status() is Status.JOINED
    assert run.times(ScheduleLeave) == [0, 0, 120, 240]


@pytest.mark.scenario("M45")
def test_m45_forbidden() -> None:
    run = Run().says(SendJoin, FAIL[Kind.FORBIDDEN]).join().rest(100)
    assert run.names()[-2:] == ["SendJoin", "CancelDelayed"]
    assert run.server.delayed == {}
    assert (run.status(), run.own.deadline) == (Status.FORBIDDEN, None)
    run.own.permission_changed(run.now)
    run.rest()
    assert run.status() is Status.JOINED
    run.own.permission_changed(run.now)
    assert run.status() is Status.JOINED


@pytest.mark.scenario("M45")
def test_m45_forbidden_then_wanted_anew() -> None:
    run = Run().says(SendJoin, FAIL[Kind.FORBIDDEN]).join().rest().leave().rest()
    assert run.own.left
    assert run.join().rest().own.status is Status.JOINED


@pytest.mark.scenario("M45")
def test_m45_forbidden_when_renewing() -> None:
    run = joined().says(SendJoin, FAIL[Kind.FORBIDDEN]).until(10_801)
    assert run.status() is Status.FORBIDDEN
    assert not run.own.joined
    assert run.server.delayed == {}
    run.forget().leave().rest()
    assert run.names() == ["ClearState"]  # it may be allowed again


@pytest.mark.scenario("M47")
@pytest.mark.parametrize(
    "step", [ListDelayed, ScheduleLeave, SendJoin, Restart, SendDelayed, ClearState]
)
def test_m47_token_lost(step: type) -> None:
    run = Run().says(step, FAIL[Kind.AUTH_LOST])
    run.says(SendDelayed, FAIL[Kind.NOT_FOUND]).join().rest().leave().rest()
    assert (run.status(), run.own.deadline) == (Status.STOPPED, None)
    assert run.own.left
    run.join().rest(100)
    assert run.status() is Status.STOPPED
