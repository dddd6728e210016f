from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.whiteboard import waiting as module
from bot.whiteboard.waiting import Waiting, WaitingRoom

Cause = tuple[int, int]


def one(name: str, *causes: Cause, brings: Cause = (1, 0)) -> Waiting:
    return Waiting(name.encode(), partly=False, causes=causes, brings=(brings,))


def room(*kept: Waiting, max_bytes: int = 1_000_000) -> WaitingRoom:
    made = WaitingRoom(max_bytes)
    for waiting in kept:
        made.add(waiting)
    return made


def names(kept: list[Waiting]) -> list[str]:
    return [waiting.data.decode() for waiting in kept]


def test_what_waits_is_ready_with_the_first_of_its_causes() -> None:
    kept = room(one("a", (5, 3)), one("b", (5, 7), (6, 0)), one("c", (5, 3)))
    assert (len(kept), kept.size, kept.has_gap, b"a" in kept) == (3, 3, True, True)
    assert kept.take_ready([5, 6], {5: 3}) == []
    assert kept.take_ready([7], {5: 100}) == []
    assert names(kept.take_ready([5], {5: 4})) == ["a", "c"]
    assert names(list(kept)) == ["b"]
    assert names(kept.take_ready([5, 6], {5: 4, 6: 1})) == ["b"]
    assert kept.take_ready([5], {5: 100}) == []  # it was taken out by its other cause
    assert (len(kept), kept.size, kept.lost, kept.has_gap) == (0, 0, 0, False)


def test_too_many_cost_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COUNT", 2)
    kept = room(*(one(name, (5, 0), brings=(9, number)) for number, name in enumerate("abcd")))
    assert names(list(kept)) == ["c", "d"]
    assert (kept.size, kept.lost) == (2, 2)
    assert names(kept.take_ready([5], {5: 1})) == ["c", "d"]
    assert kept.has_gap
    kept.take_ready([9], {9: 1})
    assert kept.has_gap  # of those that were lost, clock 1 is not there
    kept.take_ready([9], {9: 2})
    assert (kept.has_gap, kept.lost) == (False, 2)


def test_too_large_costs_the_oldest_and_itself_if_need_be() -> None:
    kept = room(one("a" * 6, (5, 0)), one("b" * 3, (5, 0)), one("c" * 3, (5, 0)), max_bytes=10)
    assert names(list(kept)) == ["bbb", "ccc"]
    kept.add(one("d" * 11, (5, 0)))
    assert (len(kept), kept.size, kept.lost) == (0, 0, 4)


def test_what_is_remembered_of_the_lost_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COUNT", 2)
    kept = room()
    for client in range(10):
        kept.give_up([(client, 5), (client, 3)])
    kept.take_ready([8, 9], {8: 6, 9: 6})
    assert (kept.lost, kept.has_gap) == (10, False)


def test_causes_of_what_waits_no_longer_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COUNT", 2)
    kept = room()
    for number in range(50):
        kept.add(one(f"{number:02}", (5, 100), (6, number), (7, 0)))
    assert names(list(kept)) == ["48", "49"]
    assert names(kept.take_ready([6], {6: 49})) == ["48"]
    assert names(kept.take_ready([5], {5: 101})) == ["49"]


@given(st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), min_size=1)), st.data())
def test_nothing_is_ready_too_early_or_forgotten(
    causes: list[list[Cause]], data: st.DataObject
) -> None:
    kept = room(*(one(f"{number}", *ids) for number, ids in enumerate(causes)))
    clocks: dict[int, int] = {}
    waits = dict(enumerate(causes))
    for client, clock in data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 7)))):
        clocks[client] = max(clock, clocks.get(client, 0))
        ready = {
            number
            for number, ids in waits.items()
            if any(who == client and needed < clocks[client] for who, needed in ids)
        }
        assert {int(waiting.data) for waiting in kept.take_ready([client], clocks)} == ready
        waits = {number: ids for number, ids in waits.items() if number not in ready}
    assert {int(waiting.data) for waiting in kept} == set(waits)
