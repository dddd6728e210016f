"""The usual change: a field of an element is written anew, and nothing else is touched.

That is what dragging, resizing and typing are made of. Nothing has to be known of it but the
element's type and what the field holds now. All else is for `inspection` to find out, also where
something on the way is called `__proto__`.
"""

from __future__ import annotations

from typing import Final

from bot.whiteboard.item import ANY, Item, Shared

_DEPTH: Final = 4
"""Of an element: in the slides, in one, in its elements, under its id."""
_PROTO: Final = "__proto__"


def only_field(touched: list[Item]) -> tuple[Shared, str] | None:
    """Return the element, and its field, that is all that was touched; None if it is not so."""
    if not touched:
        return None
    shared, key = touched[0].parent, touched[0].sub
    for item in touched:
        if item.parent is not shared or item.sub != key:
            return None
    if key is None or key == "type" or not isinstance(shared, Shared):
        return None
    held = shared.entries[key]
    plain = held.deleted or (held.kind == ANY and held.content.find(_PROTO.encode()) < 0)
    return (shared, key) if plain and _is_element(shared) else None


def _is_element(shared: Shared) -> bool:
    """Return whether it is an element that people see, and nothing there has a prototype."""
    keys: list[str] = []
    while _PROTO not in shared.entries:
        item = shared.item
        if item is None:
            return len(keys) == _DEPTH and keys[1] == "elements" and keys[3] == "slides"
        if item.deleted or item.sub is None:
            return False
        keys.append(item.sub)
        assert isinstance(item.parent, Shared)
        shared = item.parent
    return False
