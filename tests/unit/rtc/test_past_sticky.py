"""The history of sticky members (MSC4354), and of both profiles in one slot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rtc.history import PERSON_TYPE, REDACTION_TYPE, Pause, Row
from bot.rtc.membership import WHITEBOARD
from bot.rtc.session import Slot
from bot.rtc.spans import Span, spans
from tests.unit.rtc.make import ANN, BEN
from tests.unit.rtc.past import LATE, MINUTE, Room, at

CLEO = "@cleo:hs"


@pytest.fixture
def room() -> Room:
    return Room()


def stay(room: Room, user: str, start: float, end: float) -> None:
    room.sits(start, user)
    room.rises(end, user)


@pytest.mark.scenario("H01")
def test_a_sticky_session_is_from_join_to_leave(room: Room) -> None:
    stay(room, ANN, 0, 30)
    [one] = room.past()
    assert (one.slot, one.people, one.most_people) == (Slot(WHITEBOARD, "board"), (ANN,), 1)
    assert (one.start_ts, one.end_ts) == (at(0), at(30))


@pytest.mark.scenario("H02", "H04")
def test_sticky_stays_that_overlap_are_one_session(room: Room) -> None:
    room.sits(0, ANN)
    room.sits(20, BEN)
    room.rises(30, ANN)
    room.sits(40, CLEO)
    room.rises(50, BEN)
    room.rises(70, CLEO)
    [one] = room.past()
    assert (one.start_ts, one.end_ts) == (at(0), at(70))
    assert (one.people, one.most_people, one.most_devices) == ((ANN, BEN, CLEO), 2, 2)


@pytest.mark.scenario("H03", "H05")
def test_sticky_stays_that_do_not_are_two(room: Room) -> None:
    stay(room, ANN, 0, 30)
    stay(room, BEN, 30, 40)
    stay(room, CLEO, 50, 55)
    assert room.times() == [(0, 30), (30, 40), (50, 55)]
    assert room.times(gap_ms=1000) == [(0, 40), (50, 55)]


@pytest.mark.scenario("H06", "H07")
def test_slots_of_sticky_members_have_their_own_sessions(room: Room) -> None:
    room.sits(0, ANN)
    room.sits(10, BEN, call_id="other")
    call: dict[str, Any] = {"application": {"type": "m.call"}, "slot_id": "m.call#board"}
    room.sits(20, CLEO, **call)
    for user in (ANN, BEN, CLEO):
        room.rises(40, user)
    assert [(one.slot.application, one.slot.call_id, one.people) for one in room.past()] == [
        (WHITEBOARD, "board", (ANN,)),
        (WHITEBOARD, "other", (BEN,)),
        ("m.call", "board", (CLEO,)),
    ]


@pytest.mark.scenario("H08")
def test_a_member_that_names_another_slot_has_left_the_first(room: Room) -> None:
    room.sits(0)
    room.sits(30, call_id="other")
    room.rises(60)
    assert [(one.slot.call_id, one.start_ts, one.end_ts) for one in room.past()] == [
        ("board", at(0), at(30)),
        ("other", at(30), at(60)),
    ]


@pytest.mark.scenario("H09")
def test_renewals_go_on_with_the_same_stay(room: Room) -> None:
    for minute in (0, 54, 108):
        room.sits(minute)
    room.rises(120)
    assert room.stays() == [(ANN, "D", 0, 120)]


def test_a_new_member_id_is_a_new_stay(room: Room) -> None:
    room.sits(0, seat="m1")
    room.rises(10, seat="m1")
    room.sits(20, seat="m2")
    room.rises(30, seat="m2")
    assert room.stays() == [(ANN, "D", 0, 10), (ANN, "D", 20, 30)]


def test_the_same_member_id_of_two_people_is_two(room: Room) -> None:
    room.sits(0, ANN)
    room.sits(0, BEN)
    room.rises(10, BEN)
    assert room.stays() == [(ANN, "D", 0, 60), (BEN, "D", 0, 10)]


@pytest.mark.scenario("H11")
@pytest.mark.parametrize(("sticky", "end"), [(20, 20), (60, 60), (600, 60)])
def test_who_does_not_leave_was_there_while_sticky(room: Room, sticky: float, end: float) -> None:
    room.sits(0, sticky=sticky)
    assert room.times() == [(0, end)]
    assert room.times(now=end) == [(0, end)]
    assert room.times(now=end - 1) == [(0, None)]


@pytest.mark.scenario("H12")
@pytest.mark.parametrize("again", [60, 70])
def test_a_renewal_after_the_end_of_stickiness_is_a_new_stay(room: Room, again: float) -> None:
    room.sits(0)
    room.sits(again)
    room.rises(90)
    assert room.stays() == [(ANN, "D", 0, 60), (ANN, "D", again, 90)]


def test_a_shorter_renewal_does_not_end_what_is_sticky_for_longer(room: Room) -> None:
    room.sits(0)
    room.sits(10, sticky=5)
    assert room.stays() == [(ANN, "D", 0, 60)]


@pytest.mark.scenario("H13", "H14")
def test_a_delayed_leave_ends_it_when_it_was_due_but_never_before_it_began(room: Room) -> None:
    room.sits(0)
    room.sits(50, BEN)
    room.rises(20, code="delayed_leave")
    room.rises(40, BEN)
    assert room.stays() == [(ANN, "D", 0, 20), (BEN, "D", 50, 50)]


def test_behind_a_leave_no_join_of_its_member_counts(room: Room) -> None:
    room.sits(0)
    room.rises(10)
    room.sits(11)  # a renewal that was under way
    room.rises(20, BEN)
    room.sits(15, BEN)  # the leave came first
    assert room.stays() == [(ANN, "D", 0, 10)]


def test_of_two_leaves_the_one_that_sticks_for_longer_counts(room: Room) -> None:
    """As in the room now: of what uses an id again the last to expire stands."""
    again = {"id": "m", "device_id": "D", "user_id": ANN}
    left = {"slot_id": f"{WHITEBOARD}#board", "msc4354_sticky_key": "m"}
    room.sits(0, member=again)
    room.stick(10, ANN, left)
    room.stick(11, ANN, left, sticky=1)
    room.sits(12, member=again, sticky=30)
    assert room.stays() == [(ANN, "D", 0, 10)]
    room.sits(13, member=again)
    room.rises(20)
    assert room.stays() == [(ANN, "D", 0, 10), (ANN, "D", 13, 20)]


@pytest.mark.scenario("H15")
@pytest.mark.parametrize(("by", "how"), [("", "leave"), (BEN, "leave"), (BEN, "ban")])
def test_who_is_out_of_the_room_sits_nowhere(room: Room, by: str, how: str) -> None:
    room.sits(0)
    room.sits(0, BEN)
    room.out(20, by=by, how=how)
    room.rises(30, BEN)
    assert room.stays() == [(ANN, "D", 0, 20), (BEN, "D", 0, 30)]


@pytest.mark.scenario("H16")
def test_nobody_ends_the_stay_of_somebody_else(room: Room) -> None:
    room.sits(0)
    room.rises(30, BEN)
    assert room.stays() == [(ANN, "D", 0, 60)]


@pytest.mark.scenario("H17")
def test_a_redacted_sticky_member_ended_with_the_redaction(room: Room) -> None:
    room.sits(0)
    renewed = room.sits(10)
    room.redact(20, renewed)
    assert room.stays() == [(ANN, "D", 0, 20)]


def test_what_was_renewed_before_it_was_redacted_was_there(room: Room) -> None:
    joined = room.sits(0)
    room.sits(10)
    room.redact(20, joined)
    room.rises(30)
    assert room.stays() == [(ANN, "D", 0, 30)]


def test_a_redacted_leave_stays_a_leave(room: Room) -> None:
    room.sits(0)
    left = room.rises(10)
    room.redact(20, left)
    assert room.stays() == [(ANN, "D", 0, 10)]


def test_of_what_was_redacted_before_it_was_seen_nobody_knows_whose_it_was(room: Room) -> None:
    room.sits(0)
    gone = room.stick(30, ANN, {})
    room.redact(40, gone)
    assert room.stays() == [(ANN, "D", 0, 60)]


def test_what_is_no_membership_takes_the_place_unless_it_ends_before(room: Room) -> None:
    for user in (ANN, BEN):
        room.sits(0, user)
        room.sits(10, user, sticky=60 if user == ANN else 10, slot_id="net.nordeck.whiteboard")
    room.rises(30, BEN)
    room.stick(41, ANN, {"sticky_key": "m", "msc4354_sticky_key": "n"})
    assert room.stays() == [(ANN, "D", 0, 10), (BEN, "D", 0, 30)]


def test_ids_that_were_not_fresh_can_come_back(room: Room) -> None:
    """As matrix-js-sdk 43 joins: the later one stands, be it join or leave."""
    as_js: dict[str, Any] = {"member": {"user_id": ANN, "device_id": "D", "id": "m"}}
    room.sits(0, **as_js)
    room.rises(10)
    room.sits(9, **as_js)  # was under way
    room.sits(20, **as_js)
    room.stick(30, ANN, {"msc4354_sticky_key": "m"})
    room.sits(30, **as_js)
    assert room.stays() == [(ANN, "D", 0, 10), (ANN, "D", 20, 30)]


@pytest.mark.scenario("H20")
def test_a_running_sticky_session_is_open(room: Room) -> None:
    room.sits(0, ANN)
    room.sits(10, BEN)
    room.rises(20, ANN)
    [one] = room.past(now=30)
    assert one.end_ts is None
    assert [span.end_ts for span in one.spans] == [at(20), None]


def test_what_was_not_recorded_of_sticky_members_is_left_out(room: Room) -> None:
    room.sits(0, ANN)
    room.sits(0, BEN)
    room.sits(54, ANN)
    room.sits(100, ANN)  # seen again
    room.sits(101, ANN, sticky=1)
    room.rises(155, ANN)
    paused = [Pause(at(58), at(90))]
    assert room.stays(pauses=paused) == [
        (ANN, "D", 0, 58),
        (BEN, "D", 0, 58),
        (ANN, "D", 90, 155),
    ]


# -- both profiles -----------------------------------------------------------------------------


def test_both_profiles_meet_in_one_session(room: Room) -> None:
    room.on(0, ANN)
    room.sits(10, BEN)
    room.off(20, ANN)
    room.on(25, CLEO)
    room.rises(30, BEN)
    room.off(40, CLEO)
    [one] = room.past()
    assert (one.start_ts, one.end_ts, one.most_people) == (at(0), at(40), 2)
    assert one.people == (ANN, BEN, CLEO)


def test_a_device_in_both_profiles_is_there_once(room: Room) -> None:
    room.on(0)
    room.sits(10)
    room.off(20)
    room.rises(30)
    room.sits(40, seat="m2")
    room.on(45)
    assert room.stays(now=50) == [(ANN, "D", 0, 30), (ANN, "D", 40, None)]
    assert [(one.most_people, one.most_devices) for one in room.past()] == [(1, 1), (1, 1)]


DOES = st.lists(
    st.tuples(
        st.sampled_from(("sits", "sits", "sits", "rises", "out", "redact")),
        st.sampled_from((ANN, BEN)),
        st.sampled_from(("m1", "m2")),
        st.integers(0, 200),
        st.integers(5, 90),
    ),
    max_size=12,
)


@given(DOES)
def test_leaves_expiries_redactions_and_bans_in_any_order(
    does: list[tuple[str, str, str, int, int]],
) -> None:
    """Whatever comes when: what is said of each person has bounds that anybody can check."""
    room = Room()
    for what, user, member, minute, sticky in does:
        match what:
            case "sits":
                room.sits(minute, user, member, sticky=sticky)
            case "rises":
                room.rises(minute, user, member)
            case "out":
                room.out(minute, user, by=BEN, how="ban")
            case _ if room.rows:
                room.redact(minute, room.rows[sticky % len(room.rows)])
    found = spans(room.rows, [], at(LATE))
    for user in (ANN, BEN):
        check(user, [one for one in found if one.user_id == user], room.rows)


def check(user: str, stays: Sequence[Span], rows: Sequence[Row]) -> None:
    joins = {
        (row.ts, row.ts + min(row.content["msc4354_sticky"]["duration_ms"], 60 * MINUTE))
        for row in rows
        if row.sender == user and row.content.get("member", {}).get("membership") == "join"
    }
    begins, expires = {one[0] for one in joins}, {one[1] for one in joins}
    times = {
        row.ts for row in rows if row.sender == user or row.type in {PERSON_TYPE, REDACTION_TYPE}
    }
    for stay in stays:
        assert stay.start_ts in begins
        assert stay.end_ts is not None
        assert stay.start_ts <= stay.end_ts
        assert stay.end_ts in times | expires
    for before, after in pairwise(stays):
        assert before.end_ts is not None
        assert before.end_ts <= after.start_ts
