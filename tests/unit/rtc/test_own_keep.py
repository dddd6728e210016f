"""Own membership, while joined: restarts, renewals, losses (docs/matrixrtc.md, 5)."""

from __future__ import annotations

import pytest

from bot.rtc.actions import (
    Done,
    Failed,
    Kind,
    Restart,
    ScheduleLeave,
    SendJoin,
)
from bot.rtc.own import Status
from bot.rtc.timing import Timing
from tests.unit.rtc.server import FAIL, Run, joined


@pytest.mark.scenario("M19")
def test_m19_hanging_restart() -> None:
    run = joined().says(Restart, *[FAIL[Kind.TIMEOUT]] * 2).until(10)
    assert run.times(Restart) == [5, 7, 9]
    assert run.own.healthy


@pytest.mark.scenario("M20")
def test_m20_probably_left_exactly_at_the_instant() -> None:
    run = joined().always(Restart, FAIL[Kind.TIMEOUT])
    run.until(17.9)
    assert run.times(Restart) == [5, 7, 9, 11, 13, 15, 17]
    assert run.all(Restart)[-1].timeout == 1.0  # clipped
    assert run.now == 18.0
    assert not run.own.probably_left(17.999)
    assert run.own.probably_left(18.0)


@pytest.mark.scenario("M20")
def test_m20_success_clears_it() -> None:
    run = joined().always(Restart, FAIL[Kind.TRANSIENT]).until(17.9)
    assert run.own.probably_left(18.0)
    run.honest().rest(1)
    assert not run.own.probably_left(18.0)


@pytest.mark.scenario("M20")
def test_m20_someone_is_woken_at_the_instant() -> None:
    run = joined().says(Restart, Failed(Kind.RATE_LIMITED, retry_after=60.0)).until(6)
    assert run.own.deadline == 18.0
    assert run.own.take(18.0) is None
    assert run.own.deadline == 65.0


@pytest.mark.scenario("M21")
def test_m21_m51_cleared_while_the_server_was_gone() -> None:
    run = joined().always(Restart, FAIL[Kind.TIMEOUT])
    run.synced = False
    run.until(30)
    run.honest().forget()
    run.synced = True
    run.rest(1)
    assert run.names() == ["ScheduleLeave", "SendJoin", "Restart"]
    assert run.all(SendJoin)[0].created_ts is None
    assert not run.own.probably_left(run.now)


@pytest.mark.scenario("M22")
def test_m22_lost_before_its_time_is_only_armed_again() -> None:
    run = joined()
    run.server.delayed.clear()
    run.until(11)
    assert run.names() == ["Restart", "ScheduleLeave", "Restart"]
    assert run.times(Restart) == [5, 10]


@pytest.mark.scenario("M23")
def test_m23_fired() -> None:
    run = joined().says(Restart, Failed(Kind.RATE_LIMITED, retry_after=30.0))
    run.synced = False
    run.until(40)
    assert run.names() == ["Restart", "Restart", "ScheduleLeave", "SendJoin", "Restart", "Restart"]
    assert run.all(SendJoin)[0].created_ts is None


@pytest.mark.scenario("M24")
@pytest.mark.parametrize("late", [False, True])
def test_m24_leave_shown_while_arming(*, late: bool) -> None:
    run = joined()
    (delay_id,) = run.server.delayed
    run.server.fire(delay_id)
    now = 19.0 if late else 5.0  # a suspended machine's clock may have stood still
    run.server.now = now
    assert run.own.take(now) == Restart(delay_id, 2.0)
    run.own.done(FAIL[Kind.NOT_FOUND], now)
    arm = run.own.take(now)
    assert isinstance(arm, ScheduleLeave)
    run.show()
    assert run.own.take(now) is None
    run.own.done(run.server.carry_out(arm), now)
    run.rest(4)
    assert run.names() == ["SendJoin", "Restart"]


@pytest.mark.scenario("M25")
def test_m25_renewal() -> None:
    run = joined(renew=1002.0)
    began = run.server.ts
    run.until(1001)
    assert run.all(SendJoin) == []
    run.forget().until(1003)
    assert run.names() == ["Restart", "SendJoin", "Restart"]
    assert run.all(SendJoin) == [SendJoin(14_400.0, began, 10.0)]


@pytest.mark.scenario("M26")
def test_m26_renewal_after_a_long_sleep() -> None:
    run = joined()
    run.synced = False
    run.server.advance(10_900)
    run.rest()
    assert run.names() == ["Restart", "ScheduleLeave", "SendJoin", "Restart"]
    assert run.all(SendJoin)[0].created_ts is None


@pytest.mark.scenario("M26")
def test_m26_expired_in_a_long_sleep() -> None:
    run = joined(renew=20.0, expires=30.0).always(Restart, FAIL[Kind.TRANSIENT])
    run.synced = False
    run.until(31)
    assert run.status() is Status.JOINING
    run.honest().forget().rest(3)
    assert run.names()[:3] == ["Restart", "ScheduleLeave", "SendJoin"]


@pytest.mark.scenario("M27")
@pytest.mark.parametrize(("renew", "sent"), [(33.0, [33.0]), (42.0, [])])
def test_m27_renewal_while_restarts_fail(renew: float, sent: list[float]) -> None:
    run = joined(renew=renew).until(25)  # the leave fires at 43: 10 s or 1 s after the renewal
    run.always(Restart, FAIL[Kind.TRANSIENT]).until(42.9)
    assert run.times(SendJoin) == sent


@pytest.mark.scenario("M28")
def test_m28_many_renewals() -> None:
    run = joined(renew=100.0, expires=200.0)
    began = run.server.ts
    run.until(1000)
    assert len(run.all(SendJoin)) >= 9
    assert {action.created_ts for action in run.all(SendJoin)} == {began}


@pytest.mark.scenario("F08")
def test_f08_another_focus_is_said_once_and_created_ts_kept() -> None:
    run = joined()
    began = run.server.ts
    run.until(7).forget()
    run.own.renew(run.now)
    run.own.renew(run.now)
    run.until(9)
    assert run.names() == ["Restart", "SendJoin", "Restart"]
    assert run.all(SendJoin)[0].created_ts == began


def test_what_changed_while_it_was_being_said_is_said_again() -> None:
    run = joined(renew=20.0).until(19)
    run.forget()
    run.server.advance(20)
    assert isinstance(run.own.take(20.0), Restart)
    run.own.done(Done(), 20.0)
    join = run.own.take(20.0)
    assert isinstance(join, SendJoin)
    run.own.renew(20.0)
    run.own.done(run.server.carry_out(join), 20.0)
    run.until(21)
    assert len(run.all(SendJoin)) == 1


def test_nothing_is_said_again_by_who_is_not_there() -> None:
    run = Run()
    run.own.renew(0.0)
    run.until(100)
    assert run.names() == []


def test_renewal_before_sync_has_shown_the_join() -> None:
    run = Run(Timing(renew=100.0))
    run.synced = False
    run.join().until(150)
    assert [action.created_ts for action in run.all(SendJoin)] == [None, None]


def test_restart_no_longer_supported() -> None:
    run = joined().says(Restart, FAIL[Kind.UNSUPPORTED]).until(40)
    assert run.status() is Status.DEGRADED
    # What is in the room is made short-lived; when the forgotten leave fires, we come again.
    assert run.times(SendJoin) == [5, 18]
    assert len(run.all(Restart)) == 1


def test_odd_answer_to_restart() -> None:
    run = joined().says(Restart, FAIL[Kind.REFUSED]).until(9)
    assert run.times(Restart) == [5, 8]


def test_re_arming_becomes_impossible() -> None:
    run = joined().says(ScheduleLeave, FAIL[Kind.REFUSED])
    run.server.delayed.clear()
    run.until(6)
    assert run.status() is Status.DEGRADED
    assert run.all(SendJoin)[0].expires == 300.0
    run.until(40)
    assert run.status() is Status.JOINED
    assert run.all(SendJoin)[1].expires == 14_400.0


def test_retries_come_closer_as_the_firing_does() -> None:
    run = joined().always(Restart, FAIL[Kind.TRANSIENT]).until(17.99)
    waits = [b - a for a, b in zip(run.times(Restart), run.times(Restart)[1:], strict=False)]
    assert waits[:2] == [3.0, 3.0]
    assert min(waits) >= 0.5
    assert waits == sorted(waits, reverse=True)


def test_transient_with_a_hint() -> None:
    run = joined().says(Restart, Failed(Kind.TRANSIENT, retry_after=7.0)).until(13)
    assert run.times(Restart) == [5, 12]


@pytest.mark.scenario("M50")
def test_m50_server_gone_for_ten_seconds() -> None:
    run = joined().always(Restart, FAIL[Kind.TRANSIENT]).until(13)
    run.honest().until(60)
    assert run.all(SendJoin) == []
    assert run.server.join is not None


def test_retime() -> None:
    run = joined()
    run.own.retime(Timing(refresh=10.0, delay=36.0), run.now)
    run.until(26)
    assert run.times(Restart) == [5, 15, 25]
