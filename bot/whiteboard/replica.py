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

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from bot.errors import InvalidUpdate
from bot.whiteboard.causality import belongs, cause, divide_deletes
from bot.whiteboard.item import (
    DELETED,
    GC,
    MAP,
    TYPE,
    Id,
    Item,
    Shared,
    children,
    collect,
    cut_content,
    unlink,
)
from bot.whiteboard.lib0 import number, write_number
from bot.whiteboard.store import Store
from bot.whiteboard.update import Range, Structure

if TYPE_CHECKING:
    from mypy_extensions import i64

MIN_EFFORT = 10_000
"""Steps that finding the places of an update's items may always take."""


class _Cut:
    """Journal: `left` was cut, `right` is what is behind; `content` is what it had."""

    __slots__ = ("content", "left", "right")

    def __init__(self, left: Item, right: Item, content: bytes) -> None:
        self.left = left
        self.right = right
        self.content = content


class _Deletion:
    """Journal: the item was deleted."""

    __slots__ = ("item",)

    def __init__(self, item: Item) -> None:
        self.item = item


class Replica:
    """One document.

    Args:
        root: name of its one root, a map.

    Attributes:
        store: its items.
        touched: items placed or deleted since the last commit.
        wasted: steps that went into what was taken back, so far.
    """

    def __init__(self, root: str) -> None:
        self.root = Shared(MAP, root, None, 0)
        self.store = Store()
        self.touched: list[Item] = []
        self._journal: list[Item | _Cut | _Deletion] = []  # an Item was placed
        self._effort = 0
        self._steps = 0  # since the last commit, besides those in the journal
        self.wasted = 0

    # -- integrating ---------------------------------------------------------------------------

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
            InvalidUpdate: finding the places takes too long.
        """
        # Searching among concurrent items can take as many steps as there are items, each time.
        self._effort = MIN_EFFORT + self.store.size // 8
        left = self._integrate_items(update.blocks)
        deletes = update.deletes
        held: list[Range] = []
        if patient and (left or self._lacks(deletes)):
            deletes, held = divide_deletes(update)
        for client, start, stop in deletes:
            there = self.store.clocks.get(client, 0)
            if start < there:
                self._delete_range(client, start, min(stop, there))
            if stop > there:
                held.append((client, max(start, there), stop))
        return Structure(left, held) if left or held else None

    def _lacks(self, deletes: list[Range]) -> bool:
        for client, _, stop in deletes:  # noqa: SIM110 - compiled, this makes no generator
            if stop > self.store.clocks.get(client, 0):
                return True
        return False

    def _integrate_items(self, blocks: dict[int, list[Item]]) -> dict[int, list[Item]]:
        """Integrate items in the order of their causes; return those that have to wait."""
        taken: dict[int, int] = {}
        if len(blocks) > 1:
            self._integrate_together(blocks, taken)
        else:  # as usual
            for client, items in blocks.items():
                self._integrate_block(client, items, taken)
        return {
            client: items[taken[client] :]
            for client, items in blocks.items()
            if taken[client] < len(items)
        }

    def _integrate_together(self, blocks: dict[int, list[Item]], taken: dict[int, int]) -> None:
        """Integrate items of several clients, which may be causes of each other's."""
        blocked: dict[int, list[Id]] = {}  # client waited for → (clock, client that waits)
        ready = sorted(blocks)  # yjs begins with the highest
        while ready:
            client = ready.pop()
            needed = self._integrate_block(client, blocks[client], taken)
            if needed is not None:
                heappush(blocked.setdefault(needed[0], []), (needed[1], client))
            waiting = blocked.get(client)
            while waiting and waiting[0][0] < self.store.clocks.get(client, 0):
                ready.append(heappop(waiting)[1])

    def _integrate_block(self, client: int, items: list[Item], taken: dict[int, int]) -> Id | None:
        """Integrate items of one client until one has to wait; return what that waits for.

        None means the end, or that it waits for its own client. How many are through is noted in
        `taken`.
        """
        clocks = self.store.clocks
        clock: i64 = clocks.get(client, 0)
        needed = None
        at = taken.get(client, 0) if items[-1].end > clock else len(items)
        while at < len(items):
            item = items[at]
            end = item.clock + item.length
            if end > clock:
                if item.clock > clock or (needed := cause(item, clocks)) is not None:
                    break
                self._place(item, clock - item.clock)
                clock = end
            at += 1
        taken[client] = at
        return needed

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
        if parent is None or not belongs(item, parent, left, right):
            collect(item)
            self._append(item)
            return
        item.parent = parent
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
            return self.store.find(item.parent).shared
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
            elif (
                other.origin is not None
                and (found := self.store.find(other.origin)) in before_origin
            ):
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
        self._steps += 1
        self._effort -= 1
        if self._effort < 0:
            raise InvalidUpdate("too much happened at one place at the same time")

    def _link(self, item: Item, parent: Shared, left: Item | None) -> None:
        """Put an item between its neighbours; who comes last under a key is its value."""
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
            item.shared = Shared(number(item.content, 0)[0], "", item, parent.depth + 1)
        item.deleted = item.kind == DELETED
        if item.sub is not None and item.right is None and left is not None:
            self._delete(left)  # the value that the key had
        if (parent.item is not None and parent.item.deleted) or (
            item.sub is not None and item.right is not None
        ):
            self._delete(item)

    def _append(self, item: Item) -> None:
        self.store.append(item)
        self._journal.append(item)

    def _clean_end(self, one: Id) -> Item:
        """Return the item that ends with an id, cutting one if need be."""
        item = self.store.find(one)
        if one[1] != item.clock + item.length - 1 and item.kind != GC:
            self._cut(item, one[1] - item.clock + 1)
        return item

    def _clean_start(self, one: Id) -> Item:
        """Return the item that begins with an id, cutting one if need be."""
        item = self.store.find(one)
        if one[1] != item.clock and item.kind != GC:
            return self._cut(item, one[1] - item.clock)
        return item

    def _cut(self, item: Item, offset: int) -> Item:
        content = item.content
        right = self.store.cut(item, offset)
        self._journal.append(_Cut(item, right, content))
        self.touched.append(right)  # it may be of this very update
        return right

    # -- deleting ------------------------------------------------------------------------------

    def _delete_range(self, client: int, start: int, stop: int) -> None:
        reached = self.store.within(client, start, stop)
        self._steps += len(reached)
        for found in reached:
            if found.deleted:
                continue
            item = found
            if item.clock < start:
                item = self._cut(item, start - item.clock)
            if item.end > stop:
                self._cut(item, stop - item.clock)
            self._delete(item)

    def _delete(self, item: Item) -> None:
        if item.deleted:
            return
        item.deleted = True
        self._journal.append(_Deletion(item))
        self.touched.append(item)
        if item.shared is not None:
            for child in children(item.shared):
                self._delete(child)

    # -- ending --------------------------------------------------------------------------------

    @property
    def changed(self) -> bool:
        """Whether anything was placed or deleted since the last commit."""
        for entry in self._journal:  # noqa: SIM110 - compiled, this makes no generator
            if not isinstance(entry, _Cut):
                return True
        return False

    def commit(self) -> None:
        """Make what was integrated final: deleted contents are let go, neighbours merge."""
        gone: list[Item] = []
        cut: list[Item] = []
        for entry in self._journal:
            if isinstance(entry, _Deletion):
                gone.append(entry.item)
            elif isinstance(entry, _Cut):
                cut.append(entry.right)
            elif entry.deleted:
                gone.append(entry)
        self._journal.clear()
        self.touched.clear()
        self._steps = 0
        collected: list[Item] = []
        for item in gone:
            self._let_go(item, collected)
        gone += collected
        # Where what was deleted before was cut, nothing may have come in between.
        gone += [item for item in cut if item.deleted]
        self.store.merge_around(gone)

    def _let_go(self, item: Item, collected: list[Item]) -> None:
        shared = item.shared
        if item.kind not in (GC, DELETED):
            self.store.size -= len(item.content)
            item.kind, item.content, item.shared = DELETED, write_number(item.length), None
            self.store.size += len(item.content)
        if shared is not None:
            for child in list(children(shared, history=True)):
                self._let_go(child, collected)
                collect(child)
                collected.append(child)

    def rollback(self) -> None:
        """Take back everything since the last commit."""
        self.touched.clear()
        self.wasted += self._steps + len(self._journal)
        self._steps = 0
        for entry in reversed(self._journal):
            if isinstance(entry, _Deletion):
                entry.item.deleted = False
            elif isinstance(entry, _Cut):
                self.store.join(entry.left, entry.content)
            else:
                self.store.pop(entry)
                unlink(entry)
        self._journal.clear()
