"""What changes cost, counted in what is moved and looked at, not in seconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from bot.whiteboard import inspection
from bot.whiteboard.item import ANY, ARRAY, TYPE
from bot.whiteboard.lib0 import write_number
from bot.whiteboard.replica import Replica
from bot.whiteboard.update import read_update
from bot.whiteboard.versions import initial
from tests.unit.whiteboard.craft import NULL, TRUE, any_content, item, update


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
    items, starts = Counted(replica.store._items[7]), Counted(replica.store._starts[7])
    replica.store._items[7], replica.store._starts[7] = items, starts
    assert replica.integrate(read_update(update(deletes=[(7, 0, count + 1)]))) is None
    replica.commit()
    assert len(items) == len(starts) == 2  # the list, and what was in it
    assert items.moved + starts.moved <= 4 * count
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
