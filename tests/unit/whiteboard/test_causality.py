"""What comes as deleted, and what is deleted of others."""

from __future__ import annotations

from bot.whiteboard.causality import divide_deletes
from bot.whiteboard.item import ANY
from bot.whiteboard.update import read_update
from tests.unit.whiteboard.craft import ONE, any_content, item, update

GONE = b"\0\1"


def test_deletions_are_divided_where_what_came_as_deleted_begins_and_ends() -> None:
    live = item(ANY, any_content(ONE), "0", "slides")
    written = update((7, 0, [live, GONE, live, live, GONE]), deletes=[(7, 0, 3), (9, 0, 1)])
    now, later = divide_deletes(read_update(written))
    assert now == [(7, 1, 2)]
    assert later == [(7, 0, 1), (7, 2, 3), (9, 0, 1)]
