from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.commands.bucket import Bucket


def test_some_at_once_and_then_one_after_the_other() -> None:
    bucket = Bucket(burst=3, every=10.0)
    assert [bucket.take(100.0) for _ in range(5)] == [True, True, True, False, False]
    assert [bucket.take(now) for now in (109.0, 110.0, 110.0, 119.9, 120.0)] == [
        False,
        True,
        False,
        False,
        True,
    ]
    # However long nobody asks: no more than at first.
    assert [bucket.take(9_000.0) for _ in range(4)] == [True, True, True, False]


@given(
    st.integers(1, 9),
    st.floats(0.1, 60),
    st.lists(st.floats(0, 1_000), max_size=80).map(sorted),
)
def test_never_more_than_the_burst_and_what_time_brings(
    burst: int, every: float, times: list[float]
) -> None:
    bucket = Bucket(burst, every)
    taken = [now for now in times if bucket.take(now)]
    for at, begin in enumerate(taken):
        for upto, end in enumerate(taken[at:], 1):
            assert upto <= burst + (end - begin) / every + 1e-6


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(burst=1, every=1.0)
    assert bucket.take(10.0)
    assert not bucket.take(5.0)
    assert bucket.take(6.0)
