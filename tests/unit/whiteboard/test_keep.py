"""When a board is saved: decisions in virtual time."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.whiteboard.keep import LONGEST_WAIT, MAX_OPEN, MEND_AGAIN, MEND_RARELY, Keep, Pace

PACE = Pace()


def keep(pace: Pace = PACE) -> Keep:
    one = Keep(pace)
    one.unsaved(100.0)
    return one


def test_nothing_is_due_while_everything_is_in_the_room() -> None:
    one = Keep(PACE)
    assert one.due(100.0) is None
    one.unsaved(100.0)
    assert one.due(100.0) == 108.0
    one.unsaved(None)
    assert one.due(200.0) is None


def test_at_once_when_the_last_person_has_left() -> None:
    one = keep()
    one.alone(103.0)
    assert one.due(103.0) == 103.0
    one.alone(None)  # somebody came back
    assert one.due(104.0) == 108.0
    one.alone(90.0)  # what came after everybody had left, late
    assert one.due(104.0) == 100.0


def test_what_we_changed_nobody_else_saves() -> None:
    one = keep()
    one.ours(101.0)
    one.ours(103.0)
    assert one.due(103.0) == 104.0
    one.unsaved(None)
    one.unsaved(110.0)
    assert one.due(110.0) == 118.0


def test_at_once_when_somebody_needs_it() -> None:
    one = keep()
    one.wanted(102.0)
    one.wanted(103.0)
    assert one.due(103.0) == 102.0
    one.unsaved(None)
    one.unsaved(110.0)
    assert one.due(110.0) == 118.0


def test_never_while_somebody_else_saves() -> None:
    one = keep()
    assert not one.others_write
    one.begun("$a", 107.0)
    assert one.others_write
    one.begun("$a", 109.0)  # told twice
    assert one.due(108.0) == 122.0
    one.ended("$a")
    one.ended("$a")
    assert one.due(108.0) == 108.0
    one.begun("$b", 108.0)
    assert one.due(122.9) == 123.0
    assert one.due(123.0) == 108.0  # its writer is gone


def test_who_begins_snapshots_for_ever_does_not_keep_us_from_saving() -> None:
    one = keep()
    for number in range(20):
        one.begun(f"${number}", 100.0 + 3 * number)
        due = one.due(100.0 + 3 * number)
        assert due is not None
        assert due <= 138.0


def test_a_flood_of_snapshots_without_chunks_is_forgotten() -> None:
    one = keep()
    for number in range(MAX_OPEN + 5):
        one.begun(f"${number}", 100.0)
    one.begun("$late", 114.0)
    assert one.due(115.0) == 108.0


def test_seldom_and_large_boards_less_often() -> None:
    one = keep()
    one.wrote(0, 108.0)
    assert one.due(108.0) == 138.0
    one.wrote(2_000_000, 108.0)
    assert one.due(108.0) == 258.0
    one.alone(109.0)
    assert one.due(109.0) == 258.0
    one.ours(110.0)  # an author would not wait for longer than this
    assert one.due(110.0) == 233.0


def test_a_failure_is_waited_out_as_asked_or_longer_and_longer() -> None:
    one = keep()
    one.failed(108.0, 2.5)
    assert one.due(108.0) == 110.5
    waits = []
    for _ in range(8):
        one.failed(200.0, None)
        due = one.due(200.0)
        assert due is not None
        waits.append(due - 200.0)
    assert waits == [60, 120, 240, *[LONGEST_WAIT] * 5]
    one.wrote(0, 300.0)
    one.failed(300.0, None)
    assert one.due(300.0) == 330.0


def test_several_bots_differ() -> None:
    assert keep(Pace(offset=1.5)).due(100.0) == 109.5


@pytest.mark.parametrize("seconds", [0.0, 5.0])
@given(st.lists(st.tuples(st.sampled_from("ubewfa"), st.floats(0, 100)), max_size=30))
@settings(deadline=None)
def test_due_is_never_lost_nor_before_what_is_waited_for(
    seconds: float, steps: list[tuple[str, float]]
) -> None:
    """Whatever happened: something unsaved is due at the latest a bounded time from now."""
    one, now, wrote = Keep(PACE), 0.0, float("-inf")
    for what, after in steps:
        now += after
        match what:
            case "u":
                one.unsaved(now)
            case "b":
                one.begun(f"${now}", now)
            case "e":
                one.ended(f"${now}")
            case "w":
                one.wrote(0, now)
                wrote = now
            case "f":
                one.failed(now, seconds or None)
            case _:
                one.alone(now)
    one.unsaved(now)
    due = one.due(now)
    assert due is not None
    assert due <= now + LONGEST_WAIT + PACE.spacing
    if not any(what == "f" for what, _ in steps):
        assert due >= wrote + PACE.spacing


# -- snapshots that stay incomplete ----------------------------------------------------------------


def test_an_incomplete_snapshot_is_followed_by_a_complete_one_though_nothing_is_unsaved() -> None:
    one = Keep(PACE)
    one.begun("$a", 100.0)
    assert not one.broken(114.9)
    assert one.due(114.9) == 115.0
    assert one.broken(115.0)
    assert one.due(115.0) == 115.0
    one.wrote(0, 116.0, 115.5)
    assert not one.broken(116.0)
    assert one.due(116.0) is None


def test_what_is_complete_in_time_or_late_or_followed_by_a_complete_one_is_not_broken() -> None:
    one = Keep(PACE)
    one.begun("$a", 100.0)
    one.ended("$a")
    assert one.due(200.0) is None
    one.begun("$b", 200.0)
    one.begun("$c", 201.0)
    one.ended("$c")
    assert one.due(202.0) is None  # a newer one is there, whatever becomes of $b
    assert not one.broken(220.0)
    one.begun("$d", 300.0)
    assert one.broken(320.0)
    one.begun("$e", 320.0)
    one.ended("$e")
    assert not one.broken(320.0)
    one.begun("$f", 400.0)
    one.begun("$g", 410.0)
    assert one.broken(430.0)
    one.ended("$f")  # late; the newest is still incomplete
    assert one.broken(430.0)
    one.ended("$g")
    assert one.due(430.0) is None


def test_one_that_somebody_begins_while_we_write_is_newer_than_ours() -> None:
    one = Keep(PACE)
    one.begun("$a", 99.0)
    one.begun("$b", 101.0)
    one.wrote(0, 102.0, 100.0)
    assert one.due(102.0) == 132.0
    assert one.broken(116.0)


def test_a_newer_one_that_is_still_open_is_waited_for() -> None:
    one = Keep(PACE)
    one.begun("$a", 100.0)
    one.begun("$b", 110.0)
    assert one.due(115.0) == 125.0
    one.ended("$b")
    assert one.due(115.0) is None


def test_what_is_unsaved_is_saved_no_later_for_it() -> None:
    one = Keep(PACE)
    one.begun("$a", 100.0)
    assert one.broken(115.0)
    one.unsaved(120.0)
    one.alone(120.0)
    assert one.due(120.0) == 115.0
    one.wrote(0, 121.0)
    one.unsaved(None)
    one.begun("$b", 122.0)
    assert one.due(137.0) == 151.0  # as seldom as always; the first one was no mere mending


def test_who_sends_heads_without_chunks_for_ever_makes_us_write_eight_times_a_day() -> None:
    one = Keep(PACE)
    now, written, number = 0.0, [], 0
    while now < 3 * MEND_RARELY:
        one.begun(f"${number}", now)
        number += 1
        due = one.due(now)
        assert due is not None
        if due <= now:
            one.wrote(0, now)
            written.append(now)
        now += 60.0
    waits = [after - before for before, after in itertools.pairwise(written)]
    assert written[0] <= 60.0
    assert min(waits) >= MEND_AGAIN
    assert len(written) <= 3 * 9


@given(st.lists(st.tuples(st.sampled_from("bew"), st.integers(0, 5), st.floats(0.01, 30))))
@settings(deadline=None)
def test_broken_means_that_the_newest_one_is_incomplete(
    steps: list[tuple[str, int, float]],
) -> None:
    one, now = Keep(PACE), 0.0
    heads: dict[str, float] = {}
    complete = float("-inf")  # when the newest complete one was begun
    for what, number, after in steps:
        now += after
        name = f"${number}"
        if what == "b" and name not in heads:
            one.begun(name, now)
            heads[name] = now
        elif what == "e" and name in heads:
            one.broken(now)
            one.ended(name)
            complete = max(complete, heads[name])
        elif what == "w":
            one.wrote(0, now)
            complete = now
        late = [begun for begun in heads.values() if begun + PACE.patience <= now]
        assert one.broken(now) == any(begun > complete for begun in late)


def test_what_made_it_fail_may_be_over() -> None:
    one = keep()
    one.failed(110.0, 600.0)
    assert one.due(110.0) == 710.0
    one.again()
    assert one.due(111.0) == 108.0


def test_held_because_of_another_version_nothing_is_due_until_people_go_on() -> None:
    keep = Keep(Pace(grace=8.0))
    keep.unsaved(100.0)
    assert (keep.due(100.0), keep.held) == (108.0, False)
    keep.go_on(101.0)  # it was not held
    assert keep.due(101.0) == 108.0
    keep.hold()
    assert (keep.due(500.0), keep.held) == (None, True)
    keep.go_on(500.0)
    assert (keep.due(500.0), keep.held) == (508.0, False)  # they get the time to save it
    keep.alone(400.0)
    assert keep.due(500.0) == 500.0


def test_bots_come_one_after_the_other_and_none_waits_for_long() -> None:
    keep = Keep(Pace(offset=0.5))
    keep.unsaved(100.0)
    found = []
    for rank in (0, 1, 2, 1000):
        keep.rank(rank)
        found.append(keep.due(100.0))
    assert found == [108.5, 111.5, 114.5, 117.5]
