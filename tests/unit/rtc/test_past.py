from __future__ import annotations

import pytest

from bot.rtc.history import Pause
from bot.rtc.membership import MEMBER_TYPE, WHITEBOARD
from bot.rtc.session import Slot
from tests.unit.rtc.make import ANN, BEN
from tests.unit.rtc.past import LATE, Room, at

CLEO = "@cleo:hs"


@pytest.fixture
def room() -> Room:
    return Room()


def stay(room: Room, user: str, start: float, end: float) -> None:
    room.on(start, user)
    room.off(end, user)


@pytest.mark.scenario("H01")
def test_a_session_is_from_join_to_leave(room: Room) -> None:
    stay(room, ANN, 0, 30)
    [one] = room.past()
    assert (one.slot, one.people, one.most_people) == (Slot(WHITEBOARD, "board"), (ANN,), 1)
    assert (one.start_ts, one.end_ts) == (at(0), at(30))
    assert room.stays() == [(ANN, "D", 0, 30)]


@pytest.mark.scenario("H02")
def test_stays_that_overlap_are_one_session(room: Room) -> None:
    room.on(0, ANN)
    room.on(30, BEN)
    room.off(60, ANN)
    room.off(120, BEN)
    [one] = room.past()
    assert (one.start_ts, one.end_ts) == (at(0), at(120))
    assert (one.people, one.most_people, one.most_devices) == ((ANN, BEN), 2, 2)


@pytest.mark.scenario("H03")
def test_stays_that_do_not_are_two(room: Room) -> None:
    stay(room, ANN, 0, 60)
    stay(room, BEN, 90, 120)
    assert room.times() == [(0, 60), (90, 120)]


@pytest.mark.scenario("H04")
def test_who_never_met_can_be_in_one_session(room: Room) -> None:
    room.on(0, ANN)
    room.on(30, BEN)
    room.off(60, ANN)
    room.on(90, CLEO)
    room.off(120, BEN)
    room.off(180, CLEO)
    [one] = room.past()
    assert (one.start_ts, one.end_ts) == (at(0), at(180))
    assert (one.people, one.most_people) == ((ANN, BEN, CLEO), 2)


@pytest.mark.scenario("H05")
def test_who_comes_as_another_leaves_begins_a_session_unless_a_gap_is_allowed(room: Room) -> None:
    stay(room, ANN, 0, 60)
    stay(room, BEN, 60, 90)
    assert room.times() == [(0, 60), (60, 90)]
    assert room.times(gap_ms=1000) == [(0, 90)]
    [one] = room.past(gap_ms=1000)
    assert one.most_people == 1


@pytest.mark.scenario("H06", "H07")
def test_slots_have_their_own_sessions(room: Room) -> None:
    room.on(0, ANN)
    room.on(10, BEN, call_id="other")
    room.on(20, CLEO, application="m.call")
    for user in (ANN, BEN, CLEO):
        room.off(60, user)
    assert [(one.slot.application, one.slot.call_id, one.people) for one in room.past()] == [
        (WHITEBOARD, "board", (ANN,)),
        (WHITEBOARD, "other", (BEN,)),
        ("m.call", "board", (CLEO,)),
    ]


@pytest.mark.scenario("H08")
def test_another_call_id_under_a_key_ends_what_was_there(room: Room) -> None:
    room.on(0)
    room.on(30, call_id="other")
    room.off(60)
    assert [(one.slot.call_id, one.start_ts, one.end_ts) for one in room.past()] == [
        ("board", at(0), at(30)),
        ("other", at(30), at(60)),
    ]


@pytest.mark.scenario("H09")
def test_neoboards_refresh_is_no_join(room: Room) -> None:
    room.on(0)
    room.on(180)
    room.on(360)
    room.off(400)
    assert room.stays() == [(ANN, "D", 0, 400)]


@pytest.mark.scenario("H10")
def test_a_refresh_says_when_it_began(room: Room) -> None:
    room.on(0)
    room.on(180, created_ts=at(0))
    room.off(200)
    assert room.stays() == [(ANN, "D", 0, 200)]


def test_a_refresh_whose_join_nobody_knows_says_when_it_began_within_reason(room: Room) -> None:
    room.on(1600, created_ts=at(300))
    room.on(1600, BEN, created_ts=at(100))
    room.on(1600, CLEO, created_ts=at(1700))
    for user in (ANN, BEN, CLEO):
        room.off(1650, user)
    assert room.stays() == [
        (ANN, "D", 300, 1650),
        (BEN, "D", 1600, 1650),
        (CLEO, "D", 1600, 1650),
    ]


@pytest.mark.scenario("H11")
def test_who_does_not_leave_was_there_until_it_expires(room: Room) -> None:
    room.on(0)
    assert room.times() == [(0, 240)]
    assert room.times(now=240) == [(0, 240)]
    assert room.times(now=239) == [(0, None)]


@pytest.mark.scenario("H12")
@pytest.mark.parametrize("again", [240, 300])
def test_a_refresh_after_the_expiry_is_a_new_stay(room: Room, again: float) -> None:
    room.on(0)
    room.on(again, created_ts=at(0))  # what it says began has ended
    room.off(400)
    assert room.stays() == [(ANN, "D", 0, 240), (ANN, "D", again, 400)]


@pytest.mark.scenario("H13")
def test_a_delayed_leave_that_came_late_counts_when_it_was_due(room: Room) -> None:
    room.on(0)
    room.on(50, BEN)
    room.off(20)  # sent by the server when it was up again, with the instant it was due
    room.off(60, BEN)
    assert room.stays() == [(ANN, "D", 0, 20), (BEN, "D", 50, 60)]


@pytest.mark.scenario("H14")
def test_a_leave_from_before_the_join_is_a_stay_of_no_length(room: Room) -> None:
    stay(room, ANN, 10, 5)
    [one] = room.past()
    assert (one.start_ts, one.end_ts, one.most_people) == (at(10), at(10), 1)


@pytest.mark.scenario("H15")
@pytest.mark.parametrize(("by", "how"), [("", "leave"), (BEN, "leave"), (BEN, "ban")])
def test_who_is_out_of_the_room_is_off_the_board(room: Room, by: str, how: str) -> None:
    room.on(0)
    room.on(0, BEN)
    room.out(20, by=by, how=how)
    room.out(25, "@nobody:hs")
    room.off(30, BEN)
    assert room.stays() == [(ANN, "D", 0, 20), (BEN, "D", 0, 30)]


@pytest.mark.scenario("H16")
def test_somebody_else_can_end_a_stay_but_not_begin_one(room: Room) -> None:
    room.on(0)
    room.off(30, by=BEN)
    room.put(MEMBER_TYPE, f"_{ANN}_D", BEN, 40, room.rows[0].content)
    assert room.stays() == [(ANN, "D", 0, 30)]


@pytest.mark.scenario("H17")
def test_a_redacted_membership_ended_with_the_redaction(room: Room) -> None:
    joined = room.on(0)
    room.redact(20, joined)
    room.redact(25, joined)
    room.redact(15, joined)  # a clock that is late
    assert room.stays() == [(ANN, "D", 0, 20)]


def test_what_was_replaced_before_it_was_redacted_was_there(room: Room) -> None:
    joined = room.on(0)
    room.on(10)
    room.redact(20, joined)
    room.off(30)
    assert room.stays() == [(ANN, "D", 0, 30)]


def test_of_a_membership_read_after_its_redaction_only_its_time_is_known(room: Room) -> None:
    room.on(0)
    gone = room.off(60)  # a refresh, as a server shows it once it is redacted
    room.redact(90, gone)
    lost = room.off(100, BEN)  # the same of a join
    room.redact(110, lost)
    foreign = room.off(70, by=BEN)
    room.redact(75, foreign)
    assert room.stays() == [(ANN, "D", 0, 90)]


@pytest.mark.scenario("H20")
def test_a_running_session_is_open(room: Room) -> None:
    room.on(0, ANN)
    room.on(10, BEN)
    room.off(20, ANN)
    [one] = room.past(now=30)
    assert one.end_ts is None
    assert [span.end_ts for span in one.spans] == [at(20), None]


@pytest.mark.scenario("H21")
def test_an_array_holds_a_stay_per_entry(room: Room) -> None:
    def entry(device: str, **more: object) -> dict[str, object]:
        named = {"application": WHITEBOARD, "call_id": "board", "device_id": device}
        return {**named, "expires": 3_600_000, **more}

    for minute, entries in (
        (0, [entry("A"), entry("B"), "i am a fish"]),
        (20, [entry("B", created_ts=at(0))]),
        (30, []),
    ):
        room.put(MEMBER_TYPE, ANN, ANN, minute, {"memberships": entries})
    assert room.stays() == [(ANN, "A", 0, 20), (ANN, "B", 0, 30)]
    [one] = room.past()
    assert (one.most_people, one.most_devices) == (1, 2)


def test_a_person_with_two_devices_is_one(room: Room) -> None:
    room.on(0, ANN, "A")
    room.on(10, ANN, "B")
    room.off(20, ANN, "A")
    room.off(30, ANN, "B")
    [one] = room.past()
    assert (one.people, one.most_people, one.most_devices) == ((ANN,), 1, 2)


def test_what_is_no_membership_ends_what_was_there(room: Room) -> None:
    room.on(0)
    room.on(10, device_id=5)
    assert room.stays() == [(ANN, "D", 0, 10)]


# -- pauses ------------------------------------------------------------------------------------

PAUSED = [Pause(at(60), at(90))]


def test_what_was_not_recorded_is_left_out(room: Room) -> None:
    room.on(0, ANN)
    room.on(0, BEN)
    room.on(0, CLEO)
    room.on(100, ANN)  # seen again
    room.off(110, ANN)
    room.off(95, BEN)  # likewise: was there until then
    room.out(96, "@nobody:hs")
    # Of CLEO nothing is known since.
    assert room.stays(pauses=PAUSED) == [
        (ANN, "D", 0, 60),
        (BEN, "D", 0, 60),
        (CLEO, "D", 0, 60),
        (ANN, "D", 90, 110),
        (BEN, "D", 90, 95),
    ]


def test_who_came_during_a_pause_is_there_from_its_end(room: Room) -> None:
    room.on(95, created_ts=at(70))
    room.on(95, BEN, created_ts=at(92))
    assert room.stays(100, PAUSED) == [(BEN, "D", 92, None), (ANN, "D", 95, None)]


def test_who_expired_in_a_pause_is_not_there_after_it(room: Room) -> None:
    room.on(0, expires=at(80))
    room.on(0, BEN, expires=at(80))
    room.out(95)
    room.off(95, BEN)
    assert room.stays(pauses=PAUSED) == [(ANN, "D", 0, 60), (BEN, "D", 0, 60)]


def test_a_pause_that_lasts_ends_what_ran(room: Room) -> None:
    room.on(0)
    room.on(0, BEN, expires=at(30))
    running = [Pause(at(60), None)]
    assert room.times(now=100, pauses=running) == [(0, 60)]
    assert room.stays(100, running) == [(ANN, "D", 0, 60), (BEN, "D", 0, 30)]
    room.off(70)
    assert room.stays(100, running) == [(ANN, "D", 0, 60), (BEN, "D", 0, 30)]


def test_ten_thousand_events_of_a_thousand_people(room: Room) -> None:
    for number in range(5_000):
        user = f"@user{number % 1000}:hs"
        room.on(number, user)
        room.off(number + 150, user)
    room.rows.sort(key=lambda row: row.ts)
    found = room.past(LATE)
    assert len({span for one in found for span in one.spans}) == 5_000
