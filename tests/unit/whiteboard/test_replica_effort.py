"""What changes cost, counted in what is moved and looked at, not in seconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from pycrdt import Map

from bot.whiteboard import inspection, schema
from bot.whiteboard import merger as module
from bot.whiteboard.document import Document
from bot.whiteboard.item import ANY, ARRAY, TYPE
from bot.whiteboard.lib0 import write_number
from bot.whiteboard.replica import Replica
from bot.whiteboard.update import read_update
from bot.whiteboard.verdict import Verdict
from bot.whiteboard.versions import initial
from tests.unit.whiteboard.craft import NULL, TRUE, any_content, item, update
from tests.unit.whiteboard.people import Person, shape


class Counted(list[Any]):
    """A list that counts what is moved within it."""

    moved = 0

    def __delitem__(self, at: Any) -> None:
        self.moved += len(self)
        super().__delitem__(at)

    def __setitem__(self, at: Any, value: Any) -> None:
        self.moved += len(self)
        super().__setitem__(at, value)


def test_items_that_go_together_leave_their_list_in_one_go() -> None:
    count = 5_000
    replica = Replica("0")
    first = item(TYPE, write_number(ARRAY), "0", "unknown")
    # Each before the last one, so that none of them can be merged with it.
    row = [item(ANY, any_content(NULL), (7, 0))]
    row += [item(ANY, any_content(NULL), None, None, None, (7, at)) for at in range(1, count)]
    for one in (initial("0"), update((7, 0, [first, *row]))):
        replica.integrate(read_update(one))
        replica.commit()
    items = replica.store._items[7] = Counted(replica.store._items[7])
    assert replica.integrate(read_update(update(deletes=[(7, 0, count + 1)]))) is None
    replica.commit()
    assert len(items) == 2  # the list, and what was in it
    assert items.moved <= 2 * count
    assert replica.store.count == 6 + 2


def test_what_a_refused_list_of_slides_costs_does_not_grow_with_the_slides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replica = Replica("0")
    replica.integrate(read_update(initial("0")))
    replica.commit()
    looked: list[object] = []

    def look(slide: object, *_: object) -> None:
        looked.append(slide)

    monkeypatch.setattr(inspection, "check_slide", look)
    for written in wrong_lists():
        replica.integrate(read_update(written))
        reason = inspection.inspect(replica.root, replica.touched, "0")
        assert reason == "slideIds is not acceptable"
        replica.rollback()
    assert looked == []


def wrong_lists() -> Iterable[bytes]:
    yield update((9, 0, [item(ANY, any_content(TRUE), "0", "slideIds")]))
    yield update(deletes=[(0, 4, 1)])


def drawn(count: int) -> tuple[Document, Person]:
    """A board of many elements."""
    alice = Person(5)

    def draw() -> None:
        for number in range(count):
            alice.slide["elements"][f"e{number}"] = Map(shape())
            alice.slide["elementIds"].append(f"e{number}")

    alice.do(draw)
    return Document(alice.state()), alice


def test_what_waited_and_is_all_refused_at_once_is_given_up_beyond_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document, alice = drawn(200)
    last = document._merger.replica.store.clocks[5]
    waiting = [
        # Each deletes everything, and is refused once its cause, an empty list, is there.
        update((30 + n, 0, [item(ANY, any_content(TRUE), (9, 0))]), deletes=[(5, 0, last)])
        for n in range(100)
    ]
    assert {one.verdict for one in document.apply(waiting)} == {Verdict.WAITING}
    monkeypatch.setattr(module, "MAX_IN_VAIN", 20_000)
    cause = update((9, 0, [item(TYPE, write_number(ARRAY), "0", "slideIds")]))
    wasted = document._merger.replica.wasted
    assert document.apply([cause])[0].verdict is Verdict.CHANGED
    assert 20_000 < document._merger.replica.wasted - wasted < 30_000
    assert document.waiting == 0
    assert document.lost > 80
    assert document.apply([alice.add("after")])[0].verdict is Verdict.CHANGED


def test_a_field_of_a_slide_is_checked_without_reading_its_elements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document, alice = drawn(50)
    looked: list[int] = []

    def are_ids(value: Any) -> bool:
        looked.append(len(value))
        return True

    monkeypatch.setattr(schema, "are_ids", are_ids)

    def lock() -> None:
        alice.slide["lock"] = {"userId": "@alice:example.org"}

    assert document.apply([alice.do(lock)])[0].verdict is Verdict.CHANGED
    assert sum(looked) == 0


def test_what_is_given_up_is_a_gap_until_it_comes_by_another_way() -> None:
    document, alice = drawn(3)
    lost = alice.add("lost")
    assert document.give_up(lost).verdict is Verdict.GIVEN_UP
    assert (document.lost, document.has_gap) == (1, True)
    assert document.apply([alice.add("after")])[0].verdict is Verdict.WAITING
    assert document.merge_snapshot(alice.state()).verdict is Verdict.CHANGED
    assert not document.has_gap
    assert document.give_up(b"nonsense").verdict is Verdict.REFUSED
