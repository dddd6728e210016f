"""Places in a document: which keys lead to what is in it, and what they lead to."""

from __future__ import annotations

from bot.whiteboard.content import has_prototype, inheriting
from bot.whiteboard.item import MAP, XML_HOOK, Item, Shared
from bot.whiteboard.objects import PROTO, UNASSIGNABLE


def path_to(shared: Shared) -> list[str | None] | None:
    """Return the keys (None: a list) that lead to a shared type; None when nobody sees it."""
    keys = []
    while shared.item is not None:
        if shared.item.deleted:
            return None
        keys.append(shared.item.sub)
        assert isinstance(shared.item.parent, Shared)
        shared = shared.item.parent
    return keys[::-1]


def item_at(root: Shared, *keys: str) -> Item | None:
    """Return the item that the keys lead to, if they lead to one that is not deleted."""
    item: Item | None = None
    shared: Shared | None = root
    for key in keys:
        item = None if shared is None else shared.entries.get(key)
        if item is None or item.deleted:
            return None
        shared = item.shared
    return item


def assemble(shared: Shared | None) -> None:
    """Put a map together as JavaScript does, and those that inherit from it.

    Raises:
        InvalidUpdate: JavaScript cannot.
    """
    while shared is not None:
        if shared.kind in {MAP, XML_HOOK} and has_prototype(shared):
            inheriting(shared, UNASSIGNABLE)
        item = shared.item
        inherited = item is not None and item.sub == PROTO
        parent = None if item is None else item.parent
        shared = parent if inherited and isinstance(parent, Shared) else None
