"""Own membership, cleared by others, by its delayed leave, by a twin (docs/matrixrtc.md, 5)."""

from __future__ import annotations

import pytest

from bot.rtc.actions import (
    Kind,
    Restart,
    SendJoin,
    Sent,
    Shown,
)
from bot.rtc.own import Status
from tests.unit.rtc.server import FAIL, Run, joined, taken


@pytest.mark.scenario("M37")
def test_m37_cleared_by_another_user() -> None:
    run = joined()
    for number in range(3):
        run.server.clear_by_other()
        run.rest(1)
        assert run.status() is Status.JOINED, number
        assert run.all(SendJoin)[-1].created_ts is None
    run.server.clear_by_other()
    run.rest(1)
    assert run.status() is Status.PAUSED
    assert run.server.delayed == {}
    run.forget().rest(58)
    assert run.done == []
    run.rest(3)
    assert run.status() is Status.JOINED


@pytest.mark.scenario("M37")
def test_m37_now_and_then_is_no_fight() -> None:
    run = joined()
    for _ in range(10):
        run.server.clear_by_other()
        run.rest(25)
        assert run.status() is Status.JOINED


@pytest.mark.scenario("M38")
def test_m38_own_delayed_leave_fired() -> None:
    run = joined()
    (delay_id,) = run.server.delayed
    run.server.fire(delay_id)
    run.rest(1)
    assert run.names() == ["ScheduleLeave", "SendJoin", "Restart"]


@pytest.mark.scenario("M39")
def test_m39_twin_process() -> None:
    run = joined()
    run.server.clear_by_twin()
    run.rest(1)
    assert run.status() is Status.PAUSED
    assert run.names() == ["CancelDelayed"]  # or it would clear the twin's membership
    run.rest(60)
    assert run.status() is Status.JOINED


@pytest.mark.scenario("M41")
def test_m41_leave_of_an_earlier_time_comes_late() -> None:
    run = Run()
    run.synced = False
    run.join().rest().leave().rest().join().rest()
    run.forget()
    assert [shown.created_ts is None for shown in run.server.sync] == [False, True, False]
    run.show()
    run.rest()
    assert run.names() == []


def test_cleared_before_the_answer_to_our_join() -> None:
    run = Run()
    run.says(SendJoin, Sent("$mine")).join()
    run.own.own_state(Shown("$mine", True, 5), 0.0)
    run.own.own_state(Shown("$gone", False, None), 0.0)  # replaces what was shown before
    run.until(1)
    assert len(run.all(SendJoin)) == 2


def test_cleared_while_renewing() -> None:
    run = joined(renew=100.0).until(99)
    run.server.now = 100.0
    own = run.own
    own.done(run.server.carry_out(taken(own, 100.0)), 100.0)
    renewal = taken(own, 100.0)
    assert isinstance(renewal, SendJoin)
    run.server.clear_by_other()
    run.show()
    assert not own.joined
    own.done(run.server.carry_out(renewal), 100.0)
    assert not own.joined  # it is in the room again, with no leave behind it
    run.forget().rest()
    assert run.names() == ["CancelDelayed", "ScheduleLeave", "SendJoin", "Restart"]


def test_cleared_while_renewing_and_the_renewal_fails() -> None:
    run = joined(renew=100.0).until(99)
    own = run.own
    run.server.now = 100.0
    own.done(run.server.carry_out(taken(own, 100.0)), 100.0)
    taken(own, 100.0)
    run.server.clear_by_other()
    run.show()
    own.done(FAIL[Kind.RATE_LIMITED], 100.0)
    run.forget().leave().rest()
    assert run.names() == ["CancelDelayed"]  # nothing of ours is in the room


def test_cleared_while_restarting() -> None:
    run = joined()
    restart = taken(run.own, 5.0)
    run.server.clear_by_other()
    run.show()
    run.own.done(run.server.carry_out(restart), 5.0)
    run.rest()
    assert run.names() == ["CancelDelayed", "ScheduleLeave", "SendJoin", "Restart"]


def test_restart_succeeds_after_we_gave_the_leave_up() -> None:
    run = joined()
    taken(run.own, 5.0)
    run.server.clear_by_twin()
    run.show()
    run.own.done(run.server.carry_out(Restart("syd_1", 1.0)), 5.0)
    assert run.status() is Status.PAUSED


def test_cleared_while_leaving_then_wanted_again() -> None:
    run = joined()
    run.leave()
    run.server.clear_by_other()
    run.show()
    run.join().rest()
    assert run.names() == ["CancelDelayed", "ScheduleLeave", "SendJoin", "Restart"]


@pytest.mark.scenario("M51")
def test_an_overdue_leave_sent_beside_our_join_has_us_say_again_that_we_are_there() -> None:
    run = joined()
    run.rest(2)
    run.forget()
    run.own.own_state(Shown("$late", True, None, "syd_older", replaces="$older"), run.server.now)
    run.rest(1)
    assert run.names() == [
        "Restart",
        "SendJoin",
        "Restart",
    ]  # no membership without a leave behind it
    assert run.all(SendJoin)[-1].created_ts is not None
    run.forget().rest(4)
    assert run.names() == ["Restart"]
