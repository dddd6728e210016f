"""Own membership in the sticky profile: there once, ended for good (docs/matrixrtc.md, 2.9, 5)."""

from __future__ import annotations

import pytest

from bot.rtc.actions import (
    CancelDelayed,
    ClearState,
    Failed,
    Kind,
    ListDelayed,
    Restart,
    Scheduled,
    ScheduleLeave,
    SendJoin,
    Shown,
)
from bot.rtc.own import OwnMembership, Status
from bot.rtc.timing import Timing, sticky
from tests.unit.rtc.server import FAIL, LATE, Run, seated, taken

HOUR = sticky(Timing(), 0.0)


def begun() -> Run:
    return Run(HOUR, once=True)


# -- joining ---------------------------------------------------------------------------------


@pytest.mark.scenario("M01", "M03")
def test_m01_m03_sticky_the_leave_is_armed_before_the_join_and_restarted() -> None:
    run = begun().join().until(60)
    assert run.names()[:3] == ["ScheduleLeave", "SendJoin", "Restart"]  # a fresh id: no leftovers
    assert run.times(Restart) == [0, *range(5, 61, 5)]
    assert run.all(SendJoin)[0].expires == 3600.0
    assert run.status() is Status.JOINED


@pytest.mark.scenario("M04", "M22")
def test_m04_m22_sticky_lost_before_its_time_is_only_armed_again() -> None:
    run = seated()
    run.server.delayed.clear()
    run.until(11)
    assert run.names() == ["Restart", "ScheduleLeave", "Restart"]
    assert not run.own.ended


@pytest.mark.scenario("M11")
def test_m11_sticky_the_leave_is_kept_while_the_join_waits() -> None:
    run = begun().says(SendJoin, Failed(Kind.RATE_LIMITED, retry_after=60.0)).join().until(62)
    assert len(run.all(ScheduleLeave)) == 1
    assert run.server.join is not None


@pytest.mark.scenario("M15", "M17", "M44")
@pytest.mark.parametrize("kind", [Kind.UNSUPPORTED, Kind.REFUSED, Kind.TOO_MANY])
def test_m15_m17_m44_sticky_without_a_leave_it_sticks_for_five_minutes_only(kind: Kind) -> None:
    run = begun().always(ScheduleLeave, FAIL[kind]).join().until(400)
    assert run.status() is Status.DEGRADED
    assert run.times(SendJoin) == [0, 120, 240, 360]
    assert run.all(SendJoin)[0].expires == 300.0
    # Each replaces the one before: it has to expire after it.
    assert all(300.0 <= join.expires <= 310.0 for join in run.all(SendJoin))
    assert run.server.join is not None


@pytest.mark.scenario("M16")
def test_m16_sticky_a_leave_sent_at_once_has_spent_the_id() -> None:
    run = begun().says(ScheduleLeave, FAIL[Kind.UNSUPPORTED])
    run.server.carry_out(ClearState(1.0))
    run.join().rest(1)
    assert run.own.ended
    run.forget().rest(200)
    assert run.all(SendJoin) == []


@pytest.mark.scenario("M43")
def test_m43_sticky_a_stray_is_found_and_cancelled() -> None:
    run = begun().says(ScheduleLeave, LATE).join().until(30)
    assert run.names()[:5] == [
        "ScheduleLeave",
        "ListDelayed",
        "CancelDelayed",
        "ScheduleLeave",
        "SendJoin",
    ]
    assert len(run.server.delayed) == 1
    assert run.status() is Status.JOINED


@pytest.mark.scenario("M45")
def test_m45_sticky_refused_it_waits_for_permission_with_the_same_id() -> None:
    run = begun().says(SendJoin, FAIL[Kind.FORBIDDEN]).join().rest()
    assert run.status() is Status.FORBIDDEN
    assert run.server.delayed == {}
    assert not run.own.ended
    run.own.permission_changed(run.now)
    run.rest(1)
    assert run.status() is Status.JOINED
    assert run.server.join is not None


def test_sticky_refused_after_an_attempt_of_unknown_outcome_the_id_is_given_up() -> None:
    run = begun().says(SendJoin, LATE, FAIL[Kind.FORBIDDEN]).join().until(20)
    assert run.own.ended
    assert run.names()[-2:] == ["ClearState", "CancelDelayed"]
    assert run.server.spent
    assert run.own.left


# -- kept ------------------------------------------------------------------------------------


@pytest.mark.scenario("M25", "M28")
def test_m25_m28_sticky_with_each_renewal_the_leave_is_armed_anew() -> None:
    run = seated().until(10_000)
    assert run.times(SendJoin) == [3240, 6480, 9720]
    assert run.server.join is not None
    run = seated(renew=100.0)
    (before,) = run.server.delayed
    run.until(99).forget().until(101)
    assert run.names() == [
        "Restart",
        "SendJoin",
        "Restart",
        "ScheduleLeave",
        "CancelDelayed",
    ]
    assert [cancel.delay_id for cancel in run.all(CancelDelayed)] == [before]
    (after,) = run.server.delayed
    assert after != before
    run.forget().until(150)
    assert {restart.delay_id for restart in run.all(Restart)} == {after}


@pytest.mark.scenario("M25")
def test_m25_sticky_never_a_moment_without_an_armed_leave() -> None:
    run = seated(renew=100.0).until(99)
    armed = run.server.delayed
    run.server.advance(100.0)
    while (action := run.own.take(run.now)) is not None:
        assert armed
        run.own.done(run.server.carry_out(action), run.now)
        assert armed
    assert len(armed) == 1


@pytest.mark.parametrize(
    "kind", [Kind.REFUSED, Kind.TOO_MANY, Kind.UNSUPPORTED, Kind.NOT_FOUND, Kind.DELAY_TOO_LARGE]
)
def test_sticky_when_arming_anew_is_refused_the_old_leave_does(kind: Kind) -> None:
    run = seated(renew=100.0).until(99)
    (before,) = run.server.delayed
    run.says(ScheduleLeave, FAIL[kind]).until(150)
    assert list(run.server.delayed) == [before]
    assert run.status() is Status.JOINED
    assert len(run.all(ScheduleLeave)) == 1


@pytest.mark.parametrize("answer", [LATE, FAIL[Kind.TIMEOUT], FAIL[Kind.TRANSIENT]])
def test_sticky_when_arming_anew_may_have_happened_one_is_left(answer: Failed) -> None:
    run = seated(renew=100.0).until(99)
    run.says(ScheduleLeave, answer).until(150)
    assert len(run.server.delayed) == 1
    assert run.status() is Status.JOINED
    assert len(run.all(ListDelayed)) == 1
    assert len(run.all(ScheduleLeave)) == 2


def test_sticky_the_old_leave_is_lost_while_another_is_armed() -> None:
    run = seated(renew=100.0).until(99)
    run.server.advance(100.0)
    for _ in range(3):
        run.own.done(run.server.carry_out(taken(run.own, run.now)), run.now)
    arm = taken(run.own, run.now)
    assert isinstance(arm, ScheduleLeave)
    run.server.delayed.clear()
    run.own.done(run.server.carry_out(arm), run.now)
    run.rest(30)
    assert len(run.server.delayed) == 1
    assert run.status() is Status.JOINED


@pytest.mark.scenario("M19", "M20", "M50")
def test_m19_m20_m50_sticky_hanging_restarts() -> None:
    run = seated().always(Restart, FAIL[Kind.TIMEOUT]).until(17.9)
    assert run.times(Restart) == [5, 7, 9, 11, 13, 15, 17]
    assert not run.own.probably_left(17.999)
    assert run.own.probably_left(18.0)
    run = seated().always(Restart, FAIL[Kind.TRANSIENT]).until(13)
    run.honest().until(60)
    assert run.status() is Status.JOINED
    assert run.all(SendJoin) == []


@pytest.mark.scenario("F08")
def test_f08_sticky_what_it_says_changes() -> None:
    run = seated().until(7).forget()
    run.own.renew(run.now)
    run.until(9)
    assert run.names() == ["Restart", "SendJoin", "Restart", "ScheduleLeave", "CancelDelayed"]


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (Restart, FAIL[Kind.UNSUPPORTED]),
        (ScheduleLeave, FAIL[Kind.REFUSED]),
        (ScheduleLeave, FAIL[Kind.TOO_MANY]),
    ],
)
def test_sticky_nothing_armed_any_more_what_sticks_is_not_shortened(
    kind: type, answer: Failed
) -> None:
    """Of two sticky events the last to expire stands."""
    run = seated().always(kind, answer)
    run.server.delayed.clear()
    run.until(3200)
    assert run.status() is Status.DEGRADED
    assert run.all(SendJoin) == []
    run.until(3300)
    (join,) = run.all(SendJoin)
    assert 3600 < 3240 + join.expires < 3620
    run.until(5000)
    assert run.server.join is not None
    assert run.all(SendJoin)[-1].expires <= 310.0


def test_sticky_armed_again_what_sticks_shortly_is_renewed_in_time() -> None:
    run = begun().says(ScheduleLeave, FAIL[Kind.REFUSED]).join().until(40)
    assert run.status() is Status.JOINED
    assert run.times(SendJoin) == [0]
    run.until(130)
    assert [join.expires for join in run.all(SendJoin)] == [300.0, 3600.0]


def test_sticky_arming_again_is_unsupported_while_joined() -> None:
    """The homeserver may have sent that leave at once: the id may be spent."""
    run = seated().says(ScheduleLeave, FAIL[Kind.UNSUPPORTED])
    run.server.delayed.clear()
    run.until(6)
    assert run.own.ended
    assert run.names() == ["Restart", "ScheduleLeave", "ClearState"]


# -- taken out -------------------------------------------------------------------------------


@pytest.mark.scenario("M21", "M38")
def test_m21_m38_sticky_own_delayed_leave_seen() -> None:
    run = seated()
    (delay_id,) = run.server.delayed
    run.server.fire(delay_id)
    run.rest(100)
    assert run.done == []
    assert run.status() is Status.ENDED
    assert run.own.ended
    assert run.own.left
    assert run.join().rest(100).done == []


@pytest.mark.scenario("M23", "M51")
def test_m23_m51_sticky_own_delayed_leave_learnt_of_by_its_404() -> None:
    """It may also have been lost as it fell due (0.5): then nothing else would end it."""
    run = seated().says(Restart, Failed(Kind.RATE_LIMITED, retry_after=30.0))
    run.synced = False
    run.until(40)
    assert run.names() == ["Restart", "Restart", "ClearState"]
    assert run.status() is Status.ENDED
    assert run.own.left


def test_sticky_the_leave_fires_before_the_join_could_be_sent() -> None:
    run = begun().says(SendJoin, Failed(Kind.RATE_LIMITED, retry_after=60.0))
    run.always(Restart, FAIL[Kind.TRANSIENT])
    run.synced = False
    run.join().until(20)
    run.honest().until(100)
    assert run.own.ended
    assert run.all(SendJoin)[1:] == []
    assert run.all(ClearState) == []  # nothing is there


@pytest.mark.scenario("M24")
def test_m24_sticky_leave_shown_while_arming() -> None:
    run = seated()
    run.server.delayed.clear()
    run.server.now = 5.0
    run.own.done(FAIL[Kind.NOT_FOUND], 5.0) if run.own.take(5.0) else None
    arm = taken(run.own, 5.0)
    assert isinstance(arm, ScheduleLeave)
    run.own.own_state(Shown("$gone", True, None, "syd_1"), 5.0)
    assert run.own.status is Status.ENDED
    assert not run.own.left
    run.own.done(run.server.carry_out(arm), 5.0)
    run.rest()
    assert run.names() == ["CancelDelayed"]
    assert run.server.delayed == {}
    assert run.own.left


@pytest.mark.scenario("M26")
def test_m26_sticky_expired_in_a_long_sleep() -> None:
    run = seated(renew=20.0, expires=30.0).always(Restart, FAIL[Kind.TRANSIENT])
    run.synced = False
    run.until(31)
    assert run.status() is Status.ENDED
    assert run.names()[-2:] == ["ClearState", "CancelDelayed"]


@pytest.mark.scenario("M27")
@pytest.mark.parametrize(("renew", "sent"), [(33.0, [33.0]), (42.0, [])])
def test_m27_sticky_renewal_while_restarts_fail(renew: float, sent: list[float]) -> None:
    run = seated(renew=renew).until(25)  # the leave fires at 43: 10 s or 1 s after the renewal
    run.always(Restart, FAIL[Kind.TRANSIENT]).until(42.9)
    assert run.times(SendJoin) == sent


@pytest.mark.scenario("M37")
def test_m37_sticky_redacted_by_somebody() -> None:
    """A leave follows, for whoever does not look at redactions."""
    run = seated()
    run.server.redact()
    run.rest(100)
    assert run.names() == ["ClearState", "CancelDelayed"]
    assert run.status() is Status.ENDED


def test_sticky_the_redaction_of_what_was_renewed_means_nothing() -> None:
    run = seated()
    run.own.own_state(Shown("$r", False, None, None, "$older"), run.now)
    run.rest(6)
    assert run.names() == ["Restart"]


@pytest.mark.scenario("M41")
def test_m41_sticky_our_own_join_shown_late_means_nothing() -> None:
    run = begun()
    run.synced = False
    run.join().rest()
    run.forget().show()
    run.rest()
    assert run.names() == []
    assert run.status() is Status.JOINED


def test_sticky_a_leave_shown_while_renewing_is_sent_again_after_the_renewal() -> None:
    """Who takes the last event that came, and not the leave, would see a ghost for an hour."""
    run = seated(renew=100.0).until(99)
    run.server.advance(100.0)
    run.own.done(run.server.carry_out(taken(run.own, 100.0)), 100.0)
    renewal = taken(run.own, 100.0)
    assert isinstance(renewal, SendJoin)
    run.own.own_state(Shown("$gone", True, None, "syd_1"), 100.0)
    run.own.done(run.server.carry_out(renewal), 100.0)
    run.forget().rest()
    assert run.names()[0] == "ClearState"
    assert run.own.left


@pytest.mark.scenario("M45")
def test_m45_sticky_a_renewal_is_refused() -> None:
    run = seated(renew=100.0).until(99)
    run.says(SendJoin, FAIL[Kind.FORBIDDEN]).says(ClearState, FAIL[Kind.FORBIDDEN])
    run.forget().until(101)
    assert run.names() == ["Restart", "SendJoin", "ClearState"]
    assert run.status() is Status.ENDED
    assert len(run.server.delayed) == 1  # it tries, should we be let again


@pytest.mark.scenario("M47")
def test_m47_sticky_token_lost() -> None:
    run = seated().says(Restart, FAIL[Kind.AUTH_LOST]).until(100)
    assert run.status() is Status.STOPPED
    assert run.own.left
    assert run.names() == ["Restart"]


# -- leaving ---------------------------------------------------------------------------------


@pytest.mark.scenario("M29")
def test_m29_sticky_leave() -> None:
    run = seated().leave().rest(100)
    assert run.names() == ["ClearState", "CancelDelayed"]
    assert run.status() is Status.ENDED
    assert run.own.left
    assert (run.server.join, run.server.delayed) == (None, {})


@pytest.mark.scenario("M30")
def test_m30_sticky_leave_when_the_delayed_event_is_gone() -> None:
    run = seated()
    run.server.delayed.clear()
    run.leave().rest()
    assert run.names() == ["ClearState", "CancelDelayed"]
    assert run.own.left


@pytest.mark.scenario("M31")
@pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.TIMEOUT, Kind.RATE_LIMITED])
def test_m31_sticky_leave_is_tried_again(kind: Kind) -> None:
    run = seated().says(ClearState, FAIL[kind]).leave().rest(11)
    assert run.names() == ["ClearState", "ClearState", "CancelDelayed"]
    assert run.own.left
    assert run.server.delayed == {}


@pytest.mark.scenario("M31", "M46")
@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.FORBIDDEN, Kind.NOT_FOUND])
def test_m31_m46_sticky_leave_is_refused_and_the_armed_one_does_it(kind: Kind) -> None:
    run = seated().says(ClearState, FAIL[kind]).leave().rest()
    assert run.names() == ["ClearState"]
    assert run.own.left
    run.rest(20)
    assert run.server.join is None


@pytest.mark.scenario("M32")
def test_m32_sticky_leave_while_not_joined() -> None:
    run = begun().join().leave().rest()
    assert run.done == []
    assert run.status() is Status.LEFT
    run.join().rest()
    assert run.status() is Status.JOINED  # nobody has seen the id yet


@pytest.mark.scenario("M33")
def test_m33_sticky_leave_during_a_rate_limit() -> None:
    run = begun().says(SendJoin, Failed(Kind.RATE_LIMITED, retry_after=9.0)).join().rest(1)
    run.forget().leave().rest(100)
    assert run.names() == ["CancelDelayed"]
    assert run.status() is Status.LEFT


@pytest.mark.scenario("M34")
def test_m34_sticky_leave_twice() -> None:
    run = seated().leave().leave().rest().leave().rest()
    assert run.names() == ["ClearState", "CancelDelayed"]


@pytest.mark.scenario("M35")
def test_m35_sticky_leave_with_the_network_down() -> None:
    run = (
        seated()
        .always(ClearState, FAIL[Kind.TRANSIENT])
        .always(CancelDelayed, FAIL[Kind.TRANSIENT])
    )
    run.synced = False
    run.leave().rest(5)
    assert run.status() is Status.LEAVING
    run.rest(13)
    assert run.server.join is None  # the homeserver did it
    run.synced = True
    run.rest()
    assert run.status() is Status.ENDED
    assert run.own.left


@pytest.mark.scenario("M36")
def test_m36_sticky_join_twice() -> None:
    run = seated().join().rest(4)
    assert run.done == []


def test_sticky_leave_while_the_join_is_under_way() -> None:
    run = begun().join()
    run.own.done(run.server.carry_out(taken(run.own, 0.0)), 0.0)
    join = taken(run.own, 0.0)
    run.leave()
    run.own.done(run.server.carry_out(join), 0.0)
    run.rest()
    assert run.names() == ["ClearState", "CancelDelayed"]
    assert run.own.left


def test_sticky_leave_when_the_join_may_have_happened() -> None:
    run = begun().says(SendJoin, LATE, LATE).join().until(15)
    run.forget().leave().rest()
    assert run.names() == ["ClearState", "CancelDelayed"]
    assert run.own.left


def test_sticky_wanted_again_before_the_leave_was_sent() -> None:
    run = seated().leave().join().rest(5)
    assert run.names() == ["Restart"]
    assert not run.own.ended


def test_sticky_wanted_again_while_leaving_it_is_over_all_the_same() -> None:
    run = seated().leave()
    clear = taken(run.own, 0.0)
    run.join()
    assert run.status() is Status.ENDED
    assert not run.own.left
    run.own.done(run.server.carry_out(clear), 0.0)
    run.rest(100)
    assert run.names() == ["CancelDelayed"]
    assert run.own.left


def test_sticky_degraded_leave() -> None:
    run = begun().says(ScheduleLeave, FAIL[Kind.UNSUPPORTED]).join().rest()
    run.forget().leave().rest()
    assert run.names() == ["ClearState"]
    assert run.own.left


@pytest.mark.scenario("M53")
def test_m53_sticky_it_has_no_wall_clock() -> None:
    own = OwnMembership(HOUR, once=True)
    own.join(1e9)
    assert isinstance(taken(own, 1e9), ScheduleLeave)
    own.done(Scheduled("d"), 1e9)
    assert own.deadline == 1e9
