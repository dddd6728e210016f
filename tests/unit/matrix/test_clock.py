from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.matrix.clock import ServerClock, Skew, SkewWatch, http_date

BASE = 1_795_000_000.0


def seen(clock: ServerClock, offset: float, sent: float, stamped: float, received: float) -> None:
    """An answer of a server whose clock is `offset` ahead, stamped between sent and received."""
    clock.saw(formatdate(math.floor(stamped + offset), usegmt=True), sent, received)


def test_without_an_answer_it_is_our_own_time() -> None:
    clock = ServerClock()
    assert not clock.known
    assert clock.now(5.0, BASE) == BASE
    clock.saw(None, 0.0, 1.0)
    clock.saw("yesterday", 0.0, 1.0)
    assert clock.now(5.0, BASE) == BASE


steps = st.lists(
    st.tuples(st.floats(0, 60), st.floats(0, 30), st.floats(0, 1)), min_size=1, max_size=60
)


@given(st.floats(BASE, BASE + 1e6), steps)
def test_one_answer_is_good_to_a_second_and_more_are_never_worse(
    offset: float, answers: list[tuple[float, float, float]]
) -> None:
    clock = ServerClock()
    at, width = 100.0, math.inf
    for gap, took, when in answers:
        sent, at = at + gap, at + gap + took
        seen(clock, offset, sent, sent + took * when, at)
        width = min(width, 1 + took)
        assert abs(clock.now(at, 0.0) - (at + offset)) <= width / 2 + 0.05
        width += 0.03


def test_many_quick_answers_are_good_to_a_few_hundredths() -> None:
    clock = ServerClock()
    for index in range(200):
        at = 10 + index * 0.377
        seen(clock, BASE, at, at + 0.005, at + 0.01)
    assert abs(clock.now(100.0, 0.0) - (BASE + 100.0)) < 0.03


def test_a_clock_that_was_set_is_followed() -> None:
    clock = ServerClock()
    for index in range(50):
        seen(clock, BASE, index * 1.1, index * 1.1, index * 1.1 + 0.01)
    seen(clock, BASE + 3600, 60.0, 60.0, 60.01)
    assert abs(clock.now(60.0, 0.0) - (BASE + 3660)) < 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:00:09 GMT", 9.0),
        ("Thu, 01 Jan 1970 00:00:09 -0000", 9.0),
        ("Thu, 01 Jan 1970 01:00:09 +0100", 9.0),
        ("", None),
        ("now", None),
    ],
)
def test_http_dates(text: str, seconds: float | None) -> None:
    assert http_date(text) == seconds


@pytest.mark.scenario("M52")
def test_a_wrong_clock_is_told_of_when_it_changes() -> None:
    watch = SkewWatch()
    seen = [0.0, 4.9, -5.1, 5.2, 4.7, -3.9, 61.0, 59.5, 300.0, 58.9, 0.1, -7200.0, 4.5, 0.0]
    assert [watch.look(seconds) for seconds in seen] == [
        None,
        None,
        Skew.WRONG,
        None,
        None,  # the estimate is no better than that
        Skew.FINE,
        Skew.FAR,
        None,
        None,
        Skew.WRONG,
        Skew.FINE,
        Skew.FAR,
        Skew.WRONG,
        Skew.FINE,
    ]
