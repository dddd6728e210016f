"""Slides as values that handlers read and change."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from bot.errors import InvalidUpdate
from bot.whiteboard.content import as_json
from bot.whiteboard.lib0 import value, write_value
from bot.whiteboard.schema import are_ids, are_strings, check_element

Element = Mapping[str, Any]
"""What `Document.content` gives of an element: `id`, `type`, `position` and the rest."""


@dataclass(frozen=True, slots=True)
class Slide:
    """A slide, or the one page of an infinite canvas.

    A value: what changes it returns another one.

    Attributes:
        id: its id; one that the board does not have becomes a new slide under an id of its own.
        elements: what is on it, from back to front, as plain JSON: each has `id`, `type` (`shape`,
            `path`, `image`, `frame`), `position` (`x`, `y`) and what its type has.
        lock: says who locked it (`userId`); None when nobody did.
        frame_ids: the frames of an infinite canvas, in the order in which they are presented; None
            on slides.
    """

    id: str
    elements: tuple[Element, ...] = ()
    lock: Mapping[str, Any] | None = None
    frame_ids: tuple[str, ...] | None = None

    @classmethod
    def read(cls, slide: Mapping[str, Any]) -> Self:
        """Read what `Document.content` gives of a slide."""
        frames = slide.get("frameElementIds")
        return cls(
            slide["id"],
            tuple(slide["elements"]),
            slide.get("lock"),
            tuple(frames) if frames is not None else None,
        )

    def written(self) -> dict[str, Any]:
        """Return it as `Document.content` gives it."""
        found: dict[str, Any] = {"id": self.id, "elements": [dict(one) for one in self.elements]}
        if self.lock is not None:
            found["lock"] = dict(self.lock)
        if self.frame_ids is not None:
            found["frameElementIds"] = list(self.frame_ids)
        return found

    def element(self, element_id: str) -> Element | None:
        """Return an element; None when it is not there."""
        return next((one for one in self.elements if one["id"] == element_id), None)

    def put(self, element: Element) -> Self:
        """Return the slide with an element in the place of the one with its id, else in front."""
        name, frames, there = element["id"], self.frame_ids, self.element(element["id"])
        if element["type"] == "frame" and frames is not None and name not in frames:
            frames = (*frames, name)
        elements = tuple(element if one["id"] == name else one for one in self.elements)
        if there is None:
            elements = (*elements, element)
        return replace(self, elements=elements, frame_ids=frames)

    def without(self, *element_ids: str) -> Self:
        """Return the slide without these elements, where they are there."""
        kept = tuple(one for one in self.elements if one["id"] not in element_ids)
        frames = self.frame_ids
        if frames is not None:
            frames = tuple(one for one in frames if one not in element_ids)
        return replace(self, elements=kept, frame_ids=frames)


def read_slides(content: Mapping[str, Any]) -> tuple[Slide, ...]:
    """Return the slides of a board's content."""
    return tuple(map(Slide.read, content["slides"]))


def wanted(slides: Iterable[Slide], version: str) -> list[dict[str, Any]]:
    """Return slides that somebody made up as `Document.content` would give them.

    Args:
        slides: all slides of a board.
        version: the board's: `"1"` is an infinite canvas.

    Raises:
        InvalidUpdate: they would make no board; the text says why, and quotes nothing of it.
    """
    try:
        plain = json.loads(json.dumps([slide.written() for slide in slides], allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidUpdate("a slide is not made of what JSON has") from error
    found: list[dict[str, Any]] = as_json(plain)
    if version == "1" and len(found) != 1:
        raise InvalidUpdate("an infinite canvas has one slide")
    if len({slide["id"] for slide in found}) != len(found):
        raise InvalidUpdate("two slides have the same id")
    if not are_strings([slide["id"] for slide in found]):
        raise InvalidUpdate("a slide has an empty id")
    for slide in found:
        _check(slide)
    return found


def _check(slide: Mapping[str, Any]) -> None:
    ids = [one.get("id") for one in slide["elements"]]
    if not are_ids(ids) or len(set(ids)) != len(ids):
        raise InvalidUpdate("an element has no id that is acceptable, or two have the same")
    for element in slide["elements"]:
        # As documents hold it: there all numbers are of one kind.
        if wrong := check_element(value(write_value(element), 0)[0]):
            raise InvalidUpdate(wrong)
