"""When a board is saved: decisions in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.whiteboard.keep import LONGEST_WAIT, MAX_OPEN, Keep, Pace

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
    one.begun("$a", 107.0)
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
