"""Changes of a board as NeoBoard makes them, one action each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pycrdt import Array, Map

from tests.stack.client.document import Root
from tests.stack.client.elements import Element

Edit = Callable[[Root], None]


def add_element(slide_id: str, element_id: str, element: Element) -> Edit:
    """Puts an element on top of the others; a frame is also the last to be presented."""

    def edit(root: Root) -> None:
        slide = root["slides"][slide_id]
        slide["elements"][element_id] = Map(element)
        slide["elementIds"].append(element_id)
        if element["type"] == "frame":
            slide["frameElementIds"].append(element_id)

    return edit


def change_element(slide_id: str, element_id: str, fields: Mapping[str, Any]) -> Edit:
    """Sets fields of an element; None removes one."""

    def edit(root: Root) -> None:
        element = root["slides"][slide_id]["elements"][element_id]
        for key, value in fields.items():
            if value is None:
                element.pop(key, None)
            else:
                element[key] = value

    return edit


def delete_element(slide_id: str, element_id: str) -> Edit:
    """Removes an element."""

    def edit(root: Root) -> None:
        slide = root["slides"][slide_id]
        del slide["elements"][element_id]
        _remove(slide["elementIds"], element_id)
        if "frameElementIds" in slide:
            _remove(slide["frameElementIds"], element_id)

    return edit


def reorder_element(slide_id: str, element_id: str, index: int) -> Edit:
    """Moves an element to the back (0) or nearer to the front."""

    def edit(root: Root) -> None:
        ids = root["slides"][slide_id]["elementIds"]
        _remove(ids, element_id)
        ids.insert(index, element_id)

    return edit


def add_slide(slide_id: str, elements: Sequence[tuple[str, Element]] = ()) -> Edit:
    """Adds a slide at the end."""

    def edit(root: Root) -> None:
        root["slides"][slide_id] = Map(
            {
                "elements": Map({one: Map(element) for one, element in elements}),
                "elementIds": Array([one for one, _ in elements]),
            }
        )
        root["slideIds"].append(slide_id)

    return edit


def delete_slide(slide_id: str) -> Edit:
    """Removes a slide."""

    def edit(root: Root) -> None:
        del root["slides"][slide_id]
        _remove(root["slideIds"], slide_id)

    return edit


def reorder_slide(slide_id: str, index: int) -> Edit:
    """Moves a slide."""

    def edit(root: Root) -> None:
        _remove(root["slideIds"], slide_id)
        root["slideIds"].insert(index, slide_id)

    return edit


def lock_slide(slide_id: str, user_id: str) -> Edit:
    """Locks a slide."""

    def edit(root: Root) -> None:
        root["slides"][slide_id]["lock"] = {"userId": user_id}

    return edit


def unlock_slide(slide_id: str) -> Edit:
    """Unlocks a slide."""

    def edit(root: Root) -> None:
        del root["slides"][slide_id]["lock"]

    return edit


def _remove(ids: Array[Any], wanted: str) -> None:
    for index in reversed([index for index, one in enumerate(ids) if one == wanted]):
        del ids[index]
