"""Which of the updates that wait are handed on together."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.errors import InvalidUpdate
from bot.whiteboard import together as beside
from bot.whiteboard.document import Document
from bot.whiteboard.item import ANY, GC
from bot.whiteboard.update import MAX_RANGES, Structure, read_update
from bot.whiteboard.verdict import Verdict
from tests.unit.whiteboard.craft import UNDEFINED, any_content, item, text_value, update
from tests.unit.whiteboard.people import Person
from tests.unit.whiteboard.test_hostile_updates import ranges, refers


def pending(client: int) -> bytes:
    """A change whose cause never came."""
    person = Person(client)
    person.add("first")
    return person.add(f"of {client}")


def hostile(client: int, size: int = 1) -> bytes:
    """Waits for another, and with what it waits for the board is none any more."""
    bad = item(ANY, any_content(text_value("x" * size)), "0", "slides")
    return update((client, 0, [bad]), (client + 1, 0, [refers((client + 2, 0))]))


def refusing(bad: set[int], calls: list[int]) -> Callable[[Structure], bool]:
    def acceptable(one: Structure) -> bool:
        calls.append(one.weight)
        return not bad & one.blocks.keys()

    return acceptable


def test_a_hostile_update_that_waits_hides_no_honest_one() -> None:
    calls: list[int] = []
    honest = [pending(client) for client in range(100, 160)]
    evil = [pending(client) for client in (900, 901)]
    whole = Document().encode()
    found = beside.together(whole, [*evil, *honest], refusing({900, 901}, calls))
    assert set(range(100, 160)) <= read_update(found).blocks.keys()
    assert not {900, 901} & read_update(found).blocks.keys()
    assert len(calls) < 60


def test_nothing_waiting_changes_nothing() -> None:
    assert beside.together(b"\0\0", [], lambda _: False) == b"\0\0"
    assert beside.together(b"\0\0", [pending(5)], lambda _: False) == b"\0\0"


def test_looking_is_bounded() -> None:
    calls: list[int] = []
    many = [pending(client) for client in range(100, 1000)]
    beside.together(b"\0\0", many, refusing(set(range(100, 1000)), calls), cost=1_000_000)
    assert len(calls) <= 4
    assert len(calls) >= 1


@pytest.mark.no_cover  # 300,000 ranges; that measuring takes seconds for
def test_together_beyond_what_can_be_read() -> None:
    found = beside.together(b"\0\0", [ranges(150_000, client) for client in (1, 2)], lambda _: True)
    assert len(read_update(found).deletes) == 150_000
    assert MAX_RANGES < 300_000


def test_the_small_ones_come_first() -> None:
    sizes: list[int] = []

    def acceptable(one: Structure) -> bool:
        sizes.append(one.size)
        return one.size < 1_000

    small, large = pending(5), update((6, 1, [b"\0\1"] * 3_000))
    found = beside.together(b"\0\0", [large, small], acceptable)
    assert set(read_update(found).blocks) == {5}
    both, first, *_ = sizes
    assert first < 1_000 < both


def test_a_document_hands_on_the_honest_ones() -> None:
    document = Document(Person(1).state())
    honest = [pending(client) for client in (100, 101, 102)]
    for one in honest:
        assert document.apply([one])[0].verdict is Verdict.WAITING
    evil = update(
        (200, 0, [item(ANY, any_content(UNDEFINED), "0", "slides", None)]), (201, 5, [GC_ONE])
    )
    document.apply([evil])
    for data in (document.encode(), document.snapshot()):
        assert {100, 101, 102} <= read_update(data).blocks.keys()
    with pytest.raises(InvalidUpdate):
        read_update(b"\1")


GC_ONE = bytes([GC]) + b"\1"
