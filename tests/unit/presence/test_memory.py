"""What is kept of a board that we have left."""

from __future__ import annotations

from math import inf

from bot.presence.memory import LEAVES, LEAVES_EVERY, Memory


def test_who_leaves_again_and_again_stays_away_for_a_while() -> None:
    memory = Memory()
    for number in range(LEAVES):
        memory.left(float(number))
        assert memory.away_until <= number
    memory.left(10.0)
    assert memory.away_until == 10.0 + LEAVES_EVERY
    memory.left(11.0, away=60.0)
    assert memory.away_until == 71.0
    memory.left(12.0)
    assert memory.away_until == 71.0  # no sooner for that


def test_who_was_taken_out_is_remembered_and_not_without_a_bound() -> None:
    memory = Memory()
    assert memory.away_until == -inf
    for number in range(20):
        memory.taken_out(float(number))
    assert memory.ends == [float(number) for number in range(10, 20)]
