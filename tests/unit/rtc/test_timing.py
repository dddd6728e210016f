"""The durations are checked where they are made."""

from __future__ import annotations

from typing import Any

import pytest

from bot.rtc.timing import Timing, sticky


def test_defaults_are_those_of_the_reference() -> None:
    timing = Timing()
    assert (timing.refresh, timing.delay, timing.attempt, timing.expires) == (5, 18, 2, 14_400)


@pytest.mark.parametrize(
    "values",
    [
        {"refresh": 0.0},
        {"request": -1.0},
        {"expires": float("inf")},
        {"retry": float("nan")},
        {"fight_limit": 0},
        {"delay": 7.9},
        {"renew": 14_400.0},
        {"degraded_renew": 300.0},
    ],
)
def test_impossible_durations(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Timing(**values)


@pytest.mark.parametrize(("luck", "renew"), [(0.0, 3240.0), (1.0, 3060.0)])
def test_a_sticky_one_is_renewed_a_little_before_nine_tenths_of_an_hour(
    luck: float, renew: float
) -> None:
    timing = sticky(Timing(refresh=6.0, delay=20.0), luck)
    assert timing.expires == 3600.0
    assert timing.renew == pytest.approx(renew)
    assert (timing.refresh, timing.delay) == (6.0, 20.0)
    assert (timing.degraded_expires, timing.degraded_renew) == (300.0, 120.0)
