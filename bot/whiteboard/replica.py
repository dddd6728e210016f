"""Replica: a Yjs document in memory, integrated as yjs does it.

Why not a library: updates come from people who may send anything. Of updates that are well formed
but contradict themselves (an item between neighbours in two lists, a text in a list of values) the
native Yjs available to Python ends in crashes and endless loops, which would take every board of
the process down; it also loses keys when updates arrive out of order, and reads null as undefined.

Items integrate one by one, each when its causes are there; what cannot be integrated is handed
back. Every step is noted in a journal until `commit`, so that `rollback` takes a refused update
back at the cost of that update, not of the document.

Source: yjs 13.6 `Item.getMissing`, `Item.integrate`, `integrateStructs`, `readAndApplyDeleteSet`,
`transactions.js` (what is deleted loses its content, neighbours merge).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

from bot.errors import InvalidUpdate
from bot.whiteboard.item import DELETED, GC, MAP, TYPE, Id, Item, cut_content
from bot.whiteboard.lib0 import number, write_number
from bot.whiteboard.update import Range, Structure

MAX_NESTING = 32
"""Shared types within one another; a board has five."""
MAX_CAUSES = 64
ITEM_BYTES = 24
"""What an item counts towards `Replica.size` besides its content."""


class Shared:
    """A shared type: a map's entries, or a list that begins with `start`.

    Attributes:
        kind: ARRAY … XML_TEXT.
        name: a root's name; else empty.
        item: the item that it is the content of; None for a root.
        start: its first item, deleted ones included.
        entries: per key the latest item, deleted ones included, in the order keys came up.
        depth: how many shared types it is in.
    """

    __slots__ = ("depth", "entries", "item", "kind", "name", "start")

    def __init__(self, kind: int, name: str, item: Item | None, depth: int) -> None:
        self.kind = kind
        self.name = name
        self.item = item
        self.depth = depth
        self.start: Item | None = None
        self.entries: dict[str, Item] = {}


@dataclass(slots=True)
class _Split:
    """Journal: `left` was cut; `content` is what it had."""

    left: Item
    content: bytes


@dataclass(slots=True)
class _Deletion:
    """Journal: the item was deleted."""

    item: Item


class Replica:
    """One document.

    Args:
        root: name of its one root, a map.

    Attributes:
        clocks: per client, the clock after the last item integrated.
        size: about how many bytes the document has.
        touched: items placed or deleted since the last commit.
    """

    def __init__(self, root: str) -> None:
        self.root = Shared(MAP, root, None, 0)
        self.clocks: dict[int, int] = {}
        self.size = 0
        self.touched: list[Item] = []
        self._items: dict[int, list[Item]] = {}
        self._starts: dict[int, list[int]] = {}  # their clocks, for bisecting
        self._journal: list[Item | _Split | _Deletion] = []
        self._effort = 0

    # -- integrating ---------------------------------------------------------------------------

    def missing(self, update: Structure) -> Id | None:
        """Return the first cause of an update that is neither here nor in the update."""
        clocks, blocks = self.clocks, update.blocks
        for client, items in blocks.items():
            if items[0].clock > clocks.get(client, 0):
                return client, items[0].clock - 1
        for client, stop in update.needs.items():
            if stop > clocks.get(client, 0) and not self._brings(update, client, stop):
                return client, stop - 1
        for client, _, stop in update.deletes:
            if stop > clocks.get(client, 0) and not self._brings(update, client, stop):
                return client, stop - 1
        return None

    @staticmethod
    def _brings(update: Structure, client: int, stop: int) -> bool:
        items = update.blocks.get(client)
        return items is not None and stop <= items[-1].end

    def news(self, update: Structure) -> int:
        """Return by how much an update would make the document larger, in bytes like `size`."""
        return sum(
            ITEM_BYTES + len(item.content)
            for client, items in update.blocks.items()
            for item in items
            if item.end > self.clocks.get(client, 0)
        )

    def causes(self, rest: Structure) -> tuple[Id, ...]:
        """Return ids that what `integrate` handed back waits for; not all, if they are many."""
        found: dict[Id, None] = {}
        for client, items in rest.blocks.items():
            first = items[0]
            if first.clock > self.clocks.get(client, 0):
                found[client, first.clock - 1] = None
            elif (cause := self._cause(first)) is not None:
                found[cause] = None
        for client, start, _ in rest.deletes:
            found[client, start] = None
        return tuple(found)[:MAX_CAUSES]

    def integrate(self, update: Structure, *, patient: bool = False) -> Structure | None:
        """Integrate what can be integrated of an update whose roots are ours.

        The items become the replica's own: the same structure cannot be integrated twice. Follow
        with `commit` or `rollback`.

        Args:
            update: as read.
            patient: whether deletions wait while anything waits. A new value deletes the old one;
                Yjs does that at once and shows nothing until the new one can be integrated.

        Returns:
            What cannot, or None when that is nothing.

        Raises:
            InvalidUpdate: types are nested too deep, or finding the places takes too long.
        """
        # Searching among concurrent items can take as many steps as there are items, each time.
        self._effort = 10_000 + self.size // 8
        rest = Structure(size=update.size)
        taken = self._integrate_items(update.blocks)
        for client, items in update.blocks.items():
            if taken[client] < len(items):
                rest.blocks[client] = items[taken[client] :]
        deletes: Iterable[Range] = update.deletes
        if patient and (rest.blocks or any(self._lacks(one) for one in deletes)):
            deletes, rest.deletes = _divide(update)
        for client, start, stop in deletes:
            there = self.clocks.get(client, 0)
            if start < there:
                self._delete_range(client, start, min(stop, there))
            if stop > there:
                rest.deletes.append((client, max(start, there), stop))
        return rest if rest.blocks or rest.deletes else None

    def _lacks(self, deleted: Range) -> bool:
        return deleted[2] > self.clocks.get(deleted[0], 0)

    def _integrate_items(self, blocks: dict[int, list[Item]]) -> dict[int, int]:
        """Integrate items in the order of their causes; return how many of each client's."""
        taken = dict.fromkeys(blocks, 0)
        blocked: dict[int, list[Id]] = {}  # client waited for → (clock, client that waits)
        ready = sorted(blocks)  # yjs begins with the highest
        while ready:
            client = ready.pop()
            items, at = blocks[client], taken[client]
            clock = self.clocks.get(client, 0)
            while at < len(items):
                item = items[at]
                if item.end > clock:
                    if item.clock > clock:
                        break
                    cause = self._cause(item)
                    if cause is not None:
                        heappush(blocked.setdefault(cause[0], []), (cause[1], client))
                        break
                    self._place(item, clock - item.clock)
                    clock = item.end
                at += 1
            taken[client] = at
            waiting = blocked.get(client, [])
            while waiting and waiting[0][0] < clock:
                ready.append(heappop(waiting)[1])
        return taken

    def _cause(self, item: Item) -> Id | None:
        """Return the first id of another client that an item needs and that is not here."""
        clocks = self.clocks
        for one in (item.origin, item.right_origin, item.parent):
            if isinstance(one, tuple) and one[0] != item.client and one[1] >= clocks.get(one[0], 0):
                return one
        return None

    def _place(self, item: Item, offset: int) -> None:
        """Give an item its place; its first `offset` clocks are here already."""
        if offset:
            item.content = cut_content(item, offset)[1]
            item.clock += offset
            item.length -= offset
            item.origin = (item.client, item.clock - 1)
        if item.kind == GC:
            item.deleted = True
            self._append(item)
            return
        left = None if item.origin is None else self._clean_end(item.origin)
        right = None if item.right_origin is None else self._clean_start(item.right_origin)
        parent = self._parent(item, left, right)
        if parent is None:
            _collect(item)
            self._append(item)
            return
        item.parent = parent
        for neighbour in (left, right):
            if neighbour is not None and (
                neighbour.parent is not parent or neighbour.sub != item.sub
            ):
                raise InvalidUpdate("its neighbours are somewhere else")
        if left.right is not right if left is not None else right is None or right.left is not None:
            left = self._resolve(item, parent, left, right)
        self._link(item, parent, left)

    def _parent(self, item: Item, left: Item | None, right: Item | None) -> Shared | None:
        """Return where an item belongs, and set its key; None when that is gone."""
        if (left is not None and left.kind == GC) or (right is not None and right.kind == GC):
            return None
        if isinstance(item.parent, str):
            return self.root
        if isinstance(item.parent, tuple):
            return self._find(item.parent).shared
        neighbour = left or right
        assert neighbour is not None  # who has no parent has an origin
        item.sub = neighbour.sub
        assert isinstance(neighbour.parent, Shared)
        return neighbour.parent

    def _resolve(
        self, item: Item, parent: Shared, left: Item | None, right: Item | None
    ) -> Item | None:
        """Find the left neighbour among items inserted concurrently at the same place (YATA)."""
        other = left.right if left is not None else self._first(parent, item.sub)
        conflicting: set[Item] = set()
        before_origin: set[Item] = set()
        while other is not None and other is not right:
            self._strain()
            before_origin.add(other)
            conflicting.add(other)
            if item.origin == other.origin:
                if other.client < item.client:
                    left = other
                    conflicting.clear()
                elif item.right_origin == other.right_origin:
                    break  # the same place: the lower client id comes first
            elif other.origin is not None and (found := self._find(other.origin)) in before_origin:
                if found not in conflicting:
                    left = other
                    conflicting.clear()
            else:
                break
            other = other.right
        return left

    def _first(self, parent: Shared, sub: str | None) -> Item | None:
        if sub is None:
            return parent.start
        first = parent.entries.get(sub)
        while first is not None and first.left is not None:
            self._strain()
            first = first.left
        return first

    def _strain(self) -> None:
        self._effort -= 1
        if self._effort < 0:
            raise InvalidUpdate("too much happened at one place at the same time")

    def _link(self, item: Item, parent: Shared, left: Item | None) -> None:
        item.left = left
        if left is not None:
            item.right = left.right
            left.right = item
        else:
            item.right = self._first(parent, item.sub)
            if item.sub is None:
                parent.start = item
        if item.right is not None:
            item.right.left = item
        elif item.sub is not None:
            parent.entries[item.sub] = item
        self._append(item)
        self.touched.append(item)
        if item.kind == TYPE:
            item.shared = _shared(item, parent)
        elif item.kind == DELETED:
            item.deleted = True
        if item.sub is not None and item.right is None and left is not None:
            self._delete(left)  # the value that the key had
        if (parent.item is not None and parent.item.deleted) or (
            item.sub is not None and item.right is not None
        ):
            self._delete(item)

    def _append(self, item: Item) -> None:
        items = self._items.get(item.client)
        if items is None:
            items = self._items[item.client] = []
            self._starts[item.client] = []
        items.append(item)
        self._starts[item.client].append(item.clock)
        self.clocks[item.client] = item.end
        self.size += ITEM_BYTES + len(item.content)
        self._journal.append(item)

    # -- finding and cutting -------------------------------------------------------------------

    def _find(self, one: Id) -> Item:
        client, clock = one
        return self._items[client][bisect_right(self._starts[client], clock) - 1]

    def _clean_end(self, one: Id) -> Item:
        """Return the item that ends with an id, cutting one if need be."""
        item = self._find(one)
        if item.kind != GC and one[1] != item.end - 1:
            self._split(item, one[1] - item.clock + 1)
        return item

    def _clean_start(self, one: Id) -> Item:
        """Return the item that begins with an id, cutting one if need be."""
        item = self._find(one)
        if item.kind != GC and one[1] != item.clock:
            return self._split(item, one[1] - item.clock)
        return item

    def _split(self, item: Item, offset: int) -> Item:
        """Cut an item in two; return the right one."""
        self._journal.append(_Split(item, item.content))
        right = Item(item.kind, item.client, item.clock + offset, item.length - offset)
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
            assert isinstance(right.parent, Shared)
            right.parent.entries[right.sub] = right
        at = bisect_right(self._starts[item.client], item.clock)
        self._items[item.client].insert(at, right)
        self._starts[item.client].insert(at, right.clock)
        self.size += ITEM_BYTES
        return right

    # -- deleting ------------------------------------------------------------------------------

    def _delete_range(self, client: int, start: int, stop: int) -> None:
        items = self._items[client]
        at = bisect_right(self._starts[client], start) - 1
        if not items[at].deleted and items[at].clock < start:
            self._split(items[at], start - items[at].clock)
            at += 1
        while at < len(items) and items[at].clock < stop:
            if not items[at].deleted:
                if items[at].end > stop:
                    self._split(items[at], stop - items[at].clock)
                self._delete(items[at])
            at += 1

    def _delete(self, item: Item) -> None:
        if item.deleted:
            return
        item.deleted = True
        self._journal.append(_Deletion(item))
        self.touched.append(item)
        if item.shared is not None:
            for child in _children(item.shared):
                self._delete(child)

    # -- ending --------------------------------------------------------------------------------

    @property
    def changed(self) -> bool:
        """Whether anything was placed or deleted since the last commit."""
        return any(not isinstance(entry, _Split) for entry in self._journal)

    def commit(self) -> None:
        """Make what was integrated final: deleted contents are let go, neighbours merge."""
        gone = [
            entry.item if isinstance(entry, _Deletion) else entry
            for entry in self._journal
            if isinstance(entry, _Deletion) or (isinstance(entry, Item) and entry.deleted)
        ]
        self._journal.clear()
        self.touched.clear()
        for item in gone:
            self._let_go(item)
        for item in gone:
            self._merge_around(item)

    def _let_go(self, item: Item) -> None:
        shared = item.shared
        if item.kind not in {GC, DELETED}:
            self.size -= len(item.content)
            item.kind, item.content, item.shared = DELETED, write_number(item.length), None
        if shared is not None:
            for child in list(_children(shared, history=True)):
                self._let_go(child)
                _collect(child)

    def _merge_around(self, item: Item) -> None:
        """Merge an item with its neighbours in clock order, as far as yjs does."""
        items, starts = self._items[item.client], self._starts[item.client]
        at = bisect_right(starts, item.clock) - 1
        for left_at in (at, at - 1):
            if 0 <= left_at < len(items) - 1 and _merge(items[left_at], items[left_at + 1]):
                del items[left_at + 1], starts[left_at + 1]
                self.size -= ITEM_BYTES

    def rollback(self) -> None:
        """Take back everything since the last commit."""
        self.touched.clear()
        for entry in reversed(self._journal):
            if isinstance(entry, _Deletion):
                entry.item.deleted = False
            elif isinstance(entry, _Split):
                self._unsplit(entry)
            else:
                self._unplace(entry)
        self._journal.clear()

    def _unplace(self, item: Item) -> None:
        self._items[item.client].pop()
        self._starts[item.client].pop()
        self.size -= ITEM_BYTES + len(item.content)
        if item.clock:
            self.clocks[item.client] = item.clock
        else:
            del self.clocks[item.client], self._items[item.client], self._starts[item.client]
        if not isinstance(item.parent, Shared):
            return  # collected at once
        if item.left is not None:
            item.left.right = item.right
        elif item.sub is None:
            item.parent.start = item.right
        if item.right is not None:
            item.right.left = item.left
        elif item.sub is not None:
            if item.left is not None:
                item.parent.entries[item.sub] = item.left
            else:
                del item.parent.entries[item.sub]

    def _unsplit(self, entry: _Split) -> None:
        left = entry.left
        at = bisect_right(self._starts[left.client], left.clock)
        right = self._items[left.client].pop(at)
        self._starts[left.client].pop(at)
        self.size -= ITEM_BYTES
        left.content = entry.content
        left.length += right.length
        _bridge(left, right)

    # -- handing on ----------------------------------------------------------------------------

    def blocks(self, since: Mapping[int, int] | None = None) -> dict[int, list[Item]]:
        """Return per client the items that somebody with these clocks lacks.

        The first of them may be known in part.
        """
        found = {}
        for client, items in self._items.items():
            known = since.get(client, 0) if since else 0
            if known < self.clocks[client]:
                found[client] = items[bisect_right(self._starts[client], known) - 1 :]
        return found

    def deletes(self) -> Iterator[Range]:
        """Return everything deleted."""
        for client, items in self._items.items():
            for item in items:
                if item.deleted:
                    yield client, item.clock, item.end


def _children(shared: Shared, *, history: bool = False) -> Iterator[Item]:
    """Return the items in a shared type; of keys the latest only, unless with history."""
    item = shared.start
    while item is not None:
        yield item
        item = item.right
    for latest in shared.entries.values():
        entry: Item | None = latest
        while entry is not None:
            yield entry
            entry = entry.left if history else None


def _divide(update: Structure) -> tuple[list[Range], list[Range]]:
    """Divide the deletions of an update into those of what comes as deleted, and others."""
    now: list[Range] = []
    later: list[Range] = []
    dead = {
        client: [item for item in items if item.kind in {GC, DELETED}]
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


def _shared(item: Item, parent: Shared) -> Shared:
    if parent.depth >= MAX_NESTING:
        raise InvalidUpdate("types are nested too deep")
    return Shared(number(item.content, 0)[0], "", item, parent.depth + 1)


def _collect(item: Item) -> None:
    """Leave of an item nothing but the clocks it takes."""
    item.kind, item.deleted, item.content = GC, True, write_number(item.length)
    item.origin = item.right_origin = item.parent = item.sub = None
    item.left = item.right = item.shared = None


def _bridge(left: Item, right: Item) -> None:
    """Let `left` take the place of `right` too."""
    left.right = right.right
    if right.right is not None:
        right.right.left = left
    elif right.sub is not None:
        assert isinstance(right.parent, Shared)
        right.parent.entries[right.sub] = left


def _merge(left: Item, right: Item) -> bool:
    """Merge two items that follow each other in clock order, if nothing is lost by it."""
    if left.kind != right.kind or left.kind not in {GC, DELETED}:
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
