"""For how long to stay in a profile that nobody speaks any more."""

from __future__ import annotations

from bot.presence.bridge import Side
from bot.presence.holding import COMINGS, COMINGS_EVERY, HOLD, HOLD_ON, Holding
from bot.rtc.membership import LEGACY, STICKY

OLD: Side = (LEGACY, "w1")
NEW: Side = (STICKY, "w1")
BOARDS = {"w1"}


def test_it_is_held_for_a_moment() -> None:
    held = Holding()
    held.follow([OLD, NEW], BOARDS, 0.0)
    assert held.due(0.0) is None
    held.follow([OLD], BOARDS, HOLD - 1)
    assert held.sides == {OLD, NEW}
    assert held.due(HOLD - 1) == 1.01
    held.follow([OLD], BOARDS, HOLD)
    assert held.sides == {OLD}
    held.follow([], set(), HOLD)
    assert held.sides == set()


def test_somebody_who_comes_and_goes_does_not_make_us_do_so() -> None:
    held = Holding()
    now, comings = 0.0, 0
    while now < 3600.0:
        comings += NEW not in held.sides
        held.follow([OLD, NEW], BOARDS, now)
        held.follow([OLD], BOARDS, now + HOLD + 1)
        now += HOLD + 2
    without = 3600 / (HOLD + 2)
    assert comings <= COMINGS + 3600 / COMINGS_EVERY < without / 4
    held.follow([OLD], BOARDS, now + HOLD_ON)
    assert held.sides == {OLD}


def test_in_the_end_it_is_held_no_longer_than_before() -> None:
    held = Holding()
    for number in range(COMINGS + 2):
        held.follow([NEW], BOARDS, number * 20.0)
        held.follow([], BOARDS, number * 20.0 + HOLD)
    assert held.sides == {NEW}
    held.follow([], BOARDS, 1000.0)
    assert held.sides == set()
    held.follow([NEW], BOARDS, 1001.0)
    held.follow([], BOARDS, 1001.0 + HOLD)
    assert held.sides == set()
