"""Reads what is on a board out of a live Yjs document: as it stands, and as people see it.

Undefined fields are dropped (NeoBoard stores them, and counts them as absent); the order arrays are
cleaned of duplicates and of ids that lead nowhere (board.md, "Normalising on read").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pycrdt import Map, Text


def plain(value: Any) -> Any:
    """Return a shared type's content as plain values, without undefined fields."""
    if isinstance(value, Text):
        return str(value)
    if hasattr(value, "to_py"):
        value = value.to_py()
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    return value


def read_content(root: Map[Any]) -> dict[str, Any]:
    """Return a board as people see it.

    Returns:
        `{"slides": [{"id", "elements": [{"id", …}], "lock"?, "frameElementIds"?}]}` in display
        order; integral numbers are integers.
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
            {**_numbers(elements[element_id]), "id": element_id}
            for element_id in _order(slide["elementIds"], elements)
        ],
    }
    for field in ("lock", "frameElementIds"):
        if field in slide:
            read[field] = slide[field]
    return read


def _order(ids: Any, there: Mapping[str, Any]) -> Iterable[str]:
    return dict.fromkeys(one for one in ids or () if one in there)


def _numbers(value: Any) -> Any:
    """Return the value with integral numbers as integers: JSON has one kind of number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    return value
