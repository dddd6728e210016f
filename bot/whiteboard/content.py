"""What a replica holds, as values: as they are stored, and as people see them.

Undefined fields count as absent (NeoBoard stores them), null does not. The lists of ids are cleaned
of duplicates and of ids that lead nowhere, as NeoBoard reads them (reference "board.md" 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Final

from bot.whiteboard.breath import take_breath
from bot.whiteboard.item import ANY, ARRAY, BINARY, FORMAT, MAP, STRING, TEXT, TYPE, Item, Shared
from bot.whiteboard.lib0 import UNDEFINED, number, stretch, text, value


class _Opaque:
    """What no board has: XML, subdocuments, embedded JSON. No rule accepts it."""


OPAQUE: Final = _Opaque()


def values(item: Item) -> list[Any]:
    """Return the values that an item holds; it is not deleted."""
    if item.kind == ANY:
        count, position = number(item.content, 0)
        found = []
        for _ in range(count):
            one, position = value(item.content, position)
            found.append(one)
        return found
    if item.kind == TYPE:
        assert item.shared is not None
        return [plain(item.shared)]
    if item.kind == STRING:
        return list(text(item.content, 0)[0])
    if item.kind == BINARY:
        start, stop = stretch(item.content, 0)
        return [item.content[start:stop]]
    return [UNDEFINED if item.kind == FORMAT else OPAQUE]


def latest(shared: Shared, key: str) -> Any:
    """Return what a map holds under a key; UNDEFINED when that is nothing."""
    item = shared.entries.get(key)
    if item is None or item.deleted:
        return UNDEFINED
    if item.kind == ANY and item.length == 1:
        return value(item.content, 1)[0]  # after the count
    return values(item)[-1]


def plain(shared: Shared) -> Any:
    """Return a shared type's content, as its `toJSON` gives it."""
    if shared.kind == MAP:
        return entries(shared, shared.entries)
    if shared.kind not in {ARRAY, TEXT}:
        return OPAQUE
    items = []
    item = shared.start
    while item is not None:
        if not item.deleted:
            items.append(item)
        item = item.right
    if shared.kind == TEXT:
        return "".join(text(item.content, 0)[0] for item in items if item.kind == STRING)
    return [None if one is UNDEFINED else one for item in items for one in values(item)]


def entries(shared: Shared, keys: Iterable[str]) -> dict[str, Any]:
    """Return what a map holds under these keys."""
    take_breath()
    found = {}
    for key in keys:
        # JavaScript takes this key for the object's prototype, so nobody sees it there.
        if key != "__proto__" and (one := latest(shared, key)) is not UNDEFINED:
            found[key] = one
    return found


# -- as people see it ----------------------------------------------------------------------------


def read_content(root: Shared) -> dict[str, Any]:
    """Return an acceptable board as people see it.

    Returns:
        `{"slides": [{"id", "elements": [{"id", …}], "lock"?, "frameElementIds"?}]}` in display
        order, as JSON: integral numbers are integers; what JSON has no form for is left out.
    """
    found = plain(root)
    slides = found["slides"]
    order = _order(found["slideIds"], slides)
    return {"slides": [_slide(slide_id, slides[slide_id]) for slide_id in order]}


def _slide(slide_id: str, slide: Mapping[str, Any]) -> dict[str, Any]:
    elements = slide["elements"]
    read: dict[str, Any] = {
        "id": slide_id,
        "elements": [
            {**_object(elements[element_id]), "id": element_id}
            for element_id in _order(slide["elementIds"], elements)
        ],
    }
    for field in ("lock", "frameElementIds"):
        if (one := as_json(slide.get(field))) is not None:
            read[field] = one
    return read


def _order(ids: Iterable[str], there: Mapping[str, Any]) -> Iterable[str]:
    return dict.fromkeys(one for one in ids if one in there)


def as_json(one: Any) -> Any:
    """Return a value as JSON has it: integral numbers are integers; what it has no form for, None.

    Within objects, None is left out.
    """
    if isinstance(one, float):
        if not isfinite(one):
            return None
        return int(one) if one.is_integer() and abs(one) < 2**53 else one
    if isinstance(one, dict):
        return _object(one)
    if isinstance(one, list):
        return [as_json(inner) for inner in one]
    return None if isinstance(one, bytes | _Opaque) else one


def _object(one: Mapping[str, Any]) -> dict[str, Any]:
    take_breath()
    read = {key: as_json(inner) for key, inner in one.items()}
    return {key: inner for key, inner in read.items() if inner is not None}
