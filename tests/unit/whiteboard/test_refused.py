"""Refused updates are kept apart, within bounds, for as long as they may block somebody."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.whiteboard import refused as module
from bot.whiteboard.document import Document
from bot.whiteboard.refused import Refused, of_clients
from bot.whiteboard.update import read_state_vector
from tests.unit.whiteboard.people import Person, verdicts


def test_those_that_fill_a_gap_are_behind_it_in_the_order_they_were_made() -> None:
    alice, bob = Person(5), Person(6)
    bob.add("z")
    bad = [alice.add("a", fillColor=""), alice.add("b", fillColor=""), bob.add("c", text=5)]
    later = [alice.add("d"), bob.add("e")]
    document, refused = Document(), Refused()
    assert verdicts(document, [bad[0], *later]) == "RWW"
    for one in (bad[1], bad[0], bad[2], bad[0]):
        refused.add(one, "0")
    assert (len(refused), refused.size) == (3, sum(map(len, bad)))
    clocks = read_state_vector(document.state_vector())
    assert refused.behind(document.causes(), clocks) == {5: bad[:2], 6: bad[2:]}
    assert refused.behind([], clocks) == {}
    document.merge_snapshot(later[0])
    alice.write("a", fillColor="#fff")
    alice.write("b", fillColor="#fff")
    document.merge_snapshot(alice.state())
    clocks = read_state_vector(document.state_vector())
    assert refused.behind([(5, 99)], clocks) == {}
    refused.forget(clocks)
    assert len(refused) == 1
    assert refused.behind(document.causes(), clocks) == {6: bad[2:]}


def test_what_can_be_part_of_no_board_is_not_kept() -> None:
    refused = Refused()
    refused.add(b"\xff", "0")
    refused.add(b"\0\0", "0")
    stranger = Person(5, "1")
    refused.add(stranger.state(), "0")
    assert len(refused) == 0


def test_the_oldest_make_room_for_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COUNT", 2)
    alice, refused = Person(5), Refused()
    made = [alice.add(name) for name in "abc"]
    for one in made:
        refused.add(one, "0")
    assert refused.behind([(5, 10_000)], {}) == {5: made[1:]}
    assert refused.size == sum(map(len, made[1:]))


@given(st.lists(st.integers(1, 40), max_size=30))
@settings(deadline=None)
def test_bounded_in_count_and_bytes(sizes: list[int]) -> None:
    limits = module.MAX_COUNT, module.MAX_BYTES
    module.MAX_COUNT, module.MAX_BYTES = 5, 900
    try:
        alice, refused = Person(5), Refused()
        made = [alice.add(str(n), text="x" * size) for n, size in enumerate(sizes)]
        for one in made:
            refused.add(one, "0")
        assert len(refused) <= 5
        assert refused.size <= 900
        kept = refused.behind([(5, 10_000), (5, 3)], {}).get(5, [])
        assert kept == made[len(made) - len(kept) :]
    finally:
        module.MAX_COUNT, module.MAX_BYTES = limits


def test_of_some_clients_only() -> None:
    alice, bob = Person(5), Person(6)
    ones = [alice.add("a"), bob.add("b")]
    assert of_clients(ones, {5}) == ones[:1]
    assert of_clients(ones, {5, 6}) == ones
