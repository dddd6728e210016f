"""What an update builds on, what of that is there, and where an item belongs.

`clocks` says per client the clock after the last item that is there, without gaps.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from bot.whiteboard.item import DELETED, GONE, ITEM_BYTES, TYPE, Id, Item, Shared
from bot.whiteboard.unsaved import Cover
from bot.whiteboard.update import Range, Structure

MAX_CAUSES = 64
MAX_NESTING = 32
"""Shared types within one another; a board has five, deeper ones are left out."""

Clocks = dict[int, int]


def missing(update: Structure, clocks: Clocks) -> Id | None:
    """Return the first id an update needs that is neither there nor in the update."""
    for client, items in update.blocks.items():
        if items[0].clock > clocks.get(client, 0):
            return client, items[0].clock - 1
    for client, stop in update.needs.items():
        if stop > clocks.get(client, 0) and not _brings(update, client, stop):
            return client, stop - 1
    for client, _, stop in update.deletes:
        if stop > clocks.get(client, 0) and not _brings(update, client, stop):
            return client, stop - 1
    return None


def begins(update: Structure, clocks: Clocks) -> bool:
    """Return whether a client's items in an update follow those that are there, or overlap them."""
    for client, items in update.blocks.items():  # noqa: SIM110 - compiled, this makes no generator
        if items[0].clock <= clocks.get(client, 0):
            return True
    return False


def _brings(update: Structure, client: int, stop: int) -> bool:
    items = update.blocks.get(client)
    return items is not None and stop <= items[-1].end


def cause(item: Item, clocks: Clocks) -> Id | None:
    """Return the first id of another client that an item needs and that is not there."""
    origin, right_origin, parent = item.origin, item.right_origin, item.parent
    if origin is not None and _lacks(origin, item, clocks):
        return origin
    if right_origin is not None and _lacks(right_origin, item, clocks):
        return right_origin
    if isinstance(parent, tuple) and _lacks(parent, item, clocks):
        return parent
    return None


def _lacks(one: Id, item: Item, clocks: Clocks) -> bool:
    return one[0] != item.client and one[1] >= clocks.get(one[0], 0)


def causes(rest: Structure, clocks: Clocks) -> tuple[Id, ...]:
    """Return ids that what could not be integrated waits for; not all, if they are many."""
    found: dict[Id, None] = {}
    for client, items in rest.blocks.items():
        first = items[0]
        behind = first.clock > clocks.get(client, 0)
        needed = (client, first.clock - 1) if behind else cause(first, clocks)
        found |= {one: None for one in (needed,) if one is not None}
    for client, start, stop in rest.deletes:
        if stop > clocks.get(client, 0):
            found[client, max(start, clocks.get(client, 0))] = None
    return tuple(found)[:MAX_CAUSES]


def ends(update: Structure) -> tuple[Id, ...]:
    """Return the last id an update brings of each client."""
    return tuple((client, items[-1].end - 1) for client, items in update.blocks.items())


def news(update: Structure, clocks: Clocks) -> int:
    """Return by how many bytes an update would make the document larger (as `Store.size`)."""
    return sum(
        ITEM_BYTES + len(item.content)
        for client, items in update.blocks.items()
        for item in items
        if item.end > clocks.get(client, 0)
    )


def fresh(update: Structure, clocks: Clocks) -> int:
    """Return how many items of an update are not there."""
    return sum(
        item.end > clocks.get(client, 0)
        for client, items in update.blocks.items()
        for item in items
    )


def fits(update: Structure, clocks: Clocks, free: int, places: int) -> bool:
    """Return whether a document has room for an update: so many bytes, and so many items."""
    if update.size <= free and update.weight <= places:
        return True
    return news(update, clocks) <= free and fresh(update, clocks) <= places


def holds(clocks: Clocks, deletes: Iterable[Range], update: Structure) -> bool:
    """Return whether a document with these clocks and deletions has all of an update."""
    return not news(update, clocks) and Cover(deletes).holds(Cover(update.deletes))


def divide_deletes(update: Structure) -> tuple[list[Range], list[Range]]:
    """Divide the deletions of an update into those of what comes as deleted, and others."""
    now: list[Range] = []
    later: list[Range] = []
    dead = {
        client: [item for item in items if item.kind in GONE]
        for client, items in update.blocks.items()
    }
    for client, first, stop in update.deletes:
        start = first
        items = dead.get(client, [])
        for at in range(bisect_right(items, first, key=_end), len(items)):
            left, right = max(start, items[at].clock), min(stop, items[at].end)
            if left >= right:
                break
            now.append((client, left, right))
            if start < left:
                later.append((client, start, left))
            start = right
        if start < stop:
            later.append((client, start, stop))
    return now, later


def _end(item: Item) -> int:
    return item.end


def belongs(item: Item, parent: Shared, left: Item | None, right: Item | None) -> bool:
    """Return whether yjs could have written an item there.

    What contradicts itself (neighbours that are somewhere else, a key of several values) yjs
    integrates into lists that cross each other; here it is gone at once, for everybody alike.
    """
    if item.kind == TYPE and parent.depth >= MAX_NESTING:
        return False
    if item.sub is not None and (
        item.right_origin is not None or (item.length > 1 and item.kind != DELETED)
    ):
        return False
    return _is_in(left, parent, item.sub) and _is_in(right, parent, item.sub)


def _is_in(neighbour: Item | None, parent: Shared, sub: str | None) -> bool:
    return neighbour is None or (neighbour.parent is parent and neighbour.sub == sub)
