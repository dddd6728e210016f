"""Reads what is on a board out of a live Yjs document: as it stands, and as people see it.

Undefined fields are dropped (NeoBoard stores them, and counts them as absent); the order arrays are
cleaned of duplicates and of ids that lead nowhere (board.md, "Normalising on read").

Fields that NeoBoard does not know may hold anything that Yjs can: reading never fails on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from pycrdt import Array, Map, Text, XmlElement, XmlFragment, XmlText

_MAX_DEPTH = 24
"""Levels of maps and lists that are read; a board has seven. What lies deeper is left out."""

_XML = (XmlElement, XmlFragment, XmlText)


def plain(value: Any) -> Any:
    """Return a shared type's content as plain values, without undefined fields."""
    if not isinstance(value, Map):
        return _plain(value, _MAX_DEPTH)
    with value.doc.transaction():  # one for all, not one per field
        return _plain(value, _MAX_DEPTH)


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, (Map, dict)):
        if not depth:
            return None
        inner = ((key, _plain(one, depth - 1)) for key, one in value.items())
        return {key: one for key, one in inner if one is not None}
    if isinstance(value, (Array, list)):
        return [_plain(one, depth - 1) for one in value] if depth else None
    if isinstance(value, Text):
        return str(value)
    if isinstance(value, _XML):
        return ""  # a text to JavaScript too; NeoBoard has none
    return value


def read_content(root: Map[Any]) -> dict[str, Any]:
    """Return a valid board as people see it.

    Returns:
        `{"slides": [{"id", "elements": [{"id", …}], "lock"?, "frameElementIds"?}]}` in display
        order; integral numbers are integers; all of it can be written as JSON.
    """
    found = plain(root)
    slides = found.get("slides", {})
    return {
        "slides": [
            _slide(slide_id, slides[slide_id]) for slide_id in _order(found.get("slideIds"), slides)
        ]
    }


def _slide(slide_id: str, slide: Mapping[str, Any]) -> dict[str, Any]:
    elements = slide["elements"]
    read: dict[str, Any] = {
        "id": slide_id,
        "elements": [
            {**_json(elements[element_id]), "id": element_id}
            for element_id in _order(slide["elementIds"], elements)
        ],
    }
    for field in ("lock", "frameElementIds"):
        if field in slide:
            read[field] = _json(slide[field])
    return read


def _order(ids: Any, there: Mapping[str, Any]) -> Iterable[str]:
    return dict.fromkeys(one for one in ids or () if one in there)


def _json(value: Any) -> Any:
    """Return a value as JSON can hold it: integral numbers as integers, as it has one kind.

    Numbers that are none and bytes become None; in objects, fields that are None are left out.
    """
    if isinstance(value, float):
        if not isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, dict):
        inner = ((key, _json(one)) for key, one in value.items())
        return {key: one for key, one in inner if one is not None}
    if isinstance(value, list):
        return [_json(one) for one in value]
    return None if isinstance(value, (bytes, bytearray)) else value
