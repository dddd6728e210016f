"""Which elements of a slide refer to which: connections and frames.

Only these fields hold ids, by the type of the element; NeoBoard ignores them elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_ONE: Mapping[str, tuple[str, ...]] = {
    "shape": ("attachedFrame",),
    "path": ("connectedElementStart", "connectedElementEnd", "attachedFrame"),
    "image": ("attachedFrame",),
    "frame": (),
}
_MANY: Mapping[str, tuple[str, ...]] = {
    "shape": ("connectedPaths",),
    "frame": ("attachedElements",),
}


def references(element: Mapping[str, Any]) -> Iterator[str]:
    """Name the elements that a valid one refers to."""
    kind = element["type"]
    for field in _MANY.get(kind, ()):
        yield from element.get(field, ())
    for field in _ONE[kind]:
        if field in element:
            yield element[field]


def renamed(element: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return a valid element that refers to others by their new names; without its own id.

    An id that has no new name leads nowhere already, and stays as it is.
    """
    kind = element["type"]
    found = {field: value for field, value in element.items() if field != "id"}
    for field in _MANY.get(kind, ()):
        if field in found:
            found[field] = [names.get(one, one) for one in found[field]]
    for field in _ONE[kind]:
        if field in found:
            found[field] = names.get(found[field], found[field])
    return found


def frames(slide: Mapping[str, Any]) -> list[str]:
    """Return the ids of a slide's frames in the order in which they are presented.

    A file does not say it: then it is that of the elements.
    """
    there = [one["id"] for one in slide["elements"] if one["type"] == "frame"]
    listed = dict.fromkeys(slide.get("frameElementIds", there))
    return [one for one in listed if one in there]
