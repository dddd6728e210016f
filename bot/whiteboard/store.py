"""Store: all items of a document by their ids, without gaps per client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from bot.whiteboard.item import DELETED, GC, ITEM_BYTES, Id, Item, Shared, cut_content
from bot.whiteboard.lib0 import write_number
from bot.whiteboard.update import Range

if TYPE_CHECKING:
    from mypy_extensions import i64


class Store:
    """The items of a document.

    Attributes:
        clocks: per client, the clock after its last item.
        size: about how many bytes the document has.
        count: how many items.
    """

    def __init__(self) -> None:
        self.clocks: dict[int, int] = {}
        self.size = self.count = 0
        self._items: dict[int, list[Item]] = {}

    def append(self, item: Item) -> None:
        """Add the next item of its client."""
        client = item.client
        items = self._items.get(client)
        if items is None:
            items = self._items[client] = []
        items.append(item)
        self.clocks[client] = item.clock + item.length
        self.size += ITEM_BYTES + len(item.content)
        self.count += 1

    def pop(self, item: Item) -> None:
        """Take back the last item of its client."""
        client = item.client
        self._items[client].pop()
        self.size -= ITEM_BYTES + len(item.content)
        self.count -= 1
        if item.clock:
            self.clocks[client] = item.clock
        else:
            del self.clocks[client], self._items[client]

    def find(self, one: Id) -> Item:
        """Return the item that has an id, which is there."""
        client, clock = one
        items = self._items[client]
        return items[_index(items, clock)]

    def within(self, client: int, start: int, stop: int) -> list[Item]:
        """Return the items that have ids in a range, the first of which is there."""
        items = self._items[client]
        return items[_index(items, start) : _index(items, stop - 1) + 1]

    # -- cutting and joining -------------------------------------------------------------------

    def cut(self, item: Item, offset: int) -> Item:
        """Cut an item in two; return the right one."""
        right = Item(item.kind, item.client, item.clock + offset)
        right.length = item.length - offset
        item.content, right.content = cut_content(item, offset)
        item.length = offset
        right.origin = (item.client, right.clock - 1)
        right.right_origin = item.right_origin
        right.parent, right.sub, right.deleted = item.parent, item.sub, item.deleted
        right.left, right.right = item, item.right
        item.right = right
        if right.right is not None:
            right.right.left = right
        elif right.sub is not None:
            _let_be_latest(right)
        items = self._items[item.client]
        items.insert(_index(items, item.clock) + 1, right)
        self.size += ITEM_BYTES
        self.count += 1
        return right

    def join(self, left: Item, content: bytes) -> None:
        """Take back a cut; `content` is what the item had."""
        items = self._items[left.client]
        right = items.pop(_index(items, left.clock) + 1)
        self.size -= ITEM_BYTES
        self.count -= 1
        left.content = content
        left.length += right.length
        _bridge(left, right)

    def merge_around(self, touched: list[Item]) -> None:
        """Merge items with those before and after them, as far as yjs does.

        Once for all: each client's list is closed up in one go, however many leave it.
        """
        if len(touched) == 1:
            items = self._items[touched[0].client]
            self._merge_at(items, [_index(items, touched[0].clock)])
            return
        places: dict[int, list[int]] = {}
        for item in touched:
            at = _index(self._items[item.client], item.clock)
            places.setdefault(item.client, []).append(at)
        for client, indexes in places.items():
            indexes.sort()
            self._merge_at(self._items[client], indexes)

    def _merge_at(self, items: list[Item], indexes: list[int]) -> None:
        """Merge items of a client with those before and after them; the indexes are in order."""
        left = items[0]
        merged: list[int] = []  # indexes of those that are part of the one before by now
        seen: i64 = 0  # index of the last one that was looked at
        for index in indexes:
            for at in range(max(index, seen + 1), min(index + 2, len(items))):
                if not merged or merged[-1] != at - 1:
                    left = items[at - 1]
                right = items[at]
                held = len(left.content) + len(right.content)
                if _merge(left, right):
                    merged.append(at)
                    self.size -= ITEM_BYTES + held - len(left.content)
                seen = at
        if merged:
            self.count -= len(merged)
            _leave_out(items, merged)

    # -- handing on ----------------------------------------------------------------------------

    def blocks(self, since: Mapping[int, int] | None = None) -> dict[int, list[Item]]:
        """Return per client the items that somebody with these clocks lacks.

        The first of them may be known in part.
        """
        found = {}
        for client, items in self._items.items():
            known = since.get(client, 0) if since else 0
            if known < self.clocks[client]:
                found[client] = items[_index(items, known) :]
        return found

    def deletes(self) -> Iterator[Range]:
        """Return everything deleted."""
        for client, items in self._items.items():
            for item in items:
                if item.deleted:
                    yield client, item.clock, item.clock + item.length


def _index(items: list[Item], clock: i64) -> i64:
    """Return the index of the last item that begins at or before a clock; the first one does."""
    low: i64 = 0
    high: i64 = len(items)
    while high - low > 1:
        middle = (low + high) >> 1
        if items[middle].clock <= clock:
            low = middle
        else:
            high = middle
    return low


def _leave_out(row: list[Item], indexes: Sequence[int]) -> None:
    """Take these out of a list, which moves what stays once."""
    stay: list[Item] = []
    for at, after in pairwise(indexes):
        stay += row[at + 1 : after]
    row[indexes[0] : indexes[-1] + 1] = stay


def _let_be_latest(item: Item) -> None:
    assert isinstance(item.parent, Shared)
    assert item.sub is not None
    item.parent.entries[item.sub] = item


def _bridge(left: Item, right: Item) -> None:
    """Let `left` take the place of `right` too."""
    left.right = right.right
    if right.right is not None:
        right.right.left = left
    elif right.sub is not None:
        _let_be_latest(left)


def _merge(left: Item, right: Item) -> bool:
    """Merge two items that follow each other in clock order, if nothing is lost by it."""
    if left.kind != right.kind or left.kind not in (GC, DELETED):
        return False
    if left.kind == DELETED:
        if (
            left.right is not right
            or right.origin != (left.client, left.end - 1)
            or left.right_origin != right.right_origin
        ):
            return False
        _bridge(left, right)
    left.length += right.length
    left.content = write_number(left.length)
    return True
