"""The durations are checked where they are made."""

from __future__ import annotations

from typing import Any

import pytest

from bot.rtc.timing import Timing


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
