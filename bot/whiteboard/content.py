"""What a replica holds, as values: as they are stored, and as people see them.

Undefined fields count as absent (NeoBoard stores them), null does not. What an element inherits
(`objects`) it has. The lists of ids are cleaned
of duplicates and of ids that lead nowhere, as NeoBoard reads them (reference "board.md" 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from bot.whiteboard.breath import take_breath
from bot.whiteboard.item import (
    ANY,
    ARRAY,
    BINARY,
    DOC,
    FORMAT,
    MAP,
    STRING,
    TEXT,
    TYPE,
    XML_HOOK,
    Item,
    Shared,
)
from bot.whiteboard.lib0 import number, stretch, text, value
from bot.whiteboard.objects import (
    MARKUP,
    PROTO,
    SUBDOCUMENT,
    UNCLEAR,
    UNDEFINED,
    Inheriting,
    Opaque,
    keys,
)
from bot.whiteboard.schema import are_ids


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
    if item.kind == FORMAT:
        return [UNDEFINED]
    return [SUBDOCUMENT if item.kind == DOC else UNCLEAR]


def latest(shared: Shared, key: str) -> Any:
    """Return what a map holds under a key; UNDEFINED when that is nothing."""
    item = shared.entries.get(key)
    if item is None or item.deleted:
        return UNDEFINED
    if item.kind == ANY and item.length == 1:
        return value(item.content, 1)[0]  # after the count
    return values(item)[-1]


def plain(shared: Shared) -> Any:
    """Return a shared type's content, as its `toJSON` gives it.

    Raises:
        InvalidUpdate: JavaScript would give up.
    """
    if shared.kind in {MAP, XML_HOOK}:
        return inheriting(shared) if has_prototype(shared) else entries(shared, shared.entries)
    if shared.kind not in {ARRAY, TEXT}:
        return MARKUP
    items = []
    item = shared.start
    while item is not None:
        if not item.deleted:
            items.append(item)
        item = item.right
    if shared.kind == TEXT:
        return "".join(text(item.content, 0)[0] for item in items if item.kind == STRING)
    return [None if one is UNDEFINED else one for item in items for one in values(item)]


def entries(shared: Shared, those: Iterable[str]) -> dict[str, Any]:
    """Return what a map that has no prototype of its own holds under these keys."""
    take_breath()
    found = {}
    for key in those:
        item = shared.entries.get(key)
        if item is not None and not item.deleted:
            found[key] = latest(shared, key)
    return found


def has_prototype(shared: Shared) -> bool:
    """Return whether a map holds something that may become its content's prototype."""
    held = shared.entries.get(PROTO)
    return held is not None and not held.deleted


def inheriting(shared: Shared, those: Iterable[str] | None = None) -> Inheriting:
    """Return the content of a map that has a prototype, or what of it is under these keys.

    The prototype comes first: the order of a map's keys is not the same everywhere, and what
    JavaScript cannot put together in one order, Joi cannot copy in any.

    Raises:
        InvalidUpdate: JavaScript would give up.
    """
    found = Inheriting({}, plain=False)
    found.assign(PROTO, latest(shared, PROTO))
    for key, one in entries(shared, shared.entries if those is None else those).items():
        if key != PROTO:
            found.assign(key, one)
    return found


# -- as people see it ----------------------------------------------------------------------------


def read_content(root: Shared) -> dict[str, Any]:
    """Return an acceptable board as people see it.

    Returns:
        `{"slides": [{"id", "elements": [{"id", …}], "lock"?, "frameElementIds"?}]}` in display
        order, as JSON: integral numbers are integers; what JSON has no form for is left out.
    """
    found = _held(plain(root))
    slides = _held(found.get("slides"))
    order = _order(found.get("slideIds"), slides)
    return {"slides": [_slide(slide_id, _held(slides[slide_id])) for slide_id in order]}


def _slide(slide_id: str, slide: Mapping[str, Any]) -> dict[str, Any]:
    elements = _held(slide.get("elements"))
    read: dict[str, Any] = {
        "id": slide_id,
        "elements": [
            {**as_json(elements[element_id]), "id": element_id}
            for element_id in _order(slide.get("elementIds"), elements)
        ],
    }
    if (lock := as_json(slide.get("lock"))) is not None:
        read["lock"] = lock
    if are_ids(frames := slide.get("frameElementIds")):  # on slides it may be anything
        read["frameElementIds"] = frames
    return read


def _held(one: Any) -> dict[str, Any]:
    """Return what is in a map: of what it inherits people see nothing."""
    return keys(one) or {}


def _order(ids: Any, there: Mapping[str, Any]) -> Iterable[str]:
    listed = ids if isinstance(ids, list) else ()
    return dict.fromkeys(one for one in listed if there.get(one, UNDEFINED) is not UNDEFINED)


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
    if isinstance(one, Inheriting):
        return _object(one.seen)
    if isinstance(one, list):
        return [as_json(inner) for inner in one]
    return None if one is UNDEFINED or isinstance(one, bytes | Opaque) else one


def _object(one: Mapping[str, Any]) -> dict[str, Any]:
    take_breath()
    read = {key: as_json(inner) for key, inner in one.items()}
    return {key: inner for key, inner in read.items() if inner is not None}
