"""Two boards compared by what people see: ids do not count, what they connect does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.whiteboard.references import frames, references, renamed

Slide = Mapping[str, Any]
"""As `content.read_content` gives it."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many were added, changed, removed."""

    added: int = 0
    changed: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """What one board has and another has not.

    Attributes:
        slides: of slides; one is changed as soon as anything on it is, its lock and the order of
            its elements included.
        elements: of elements, those of added and removed slides included.
    """

    slides: Counts = Counts()
    elements: Counts = Counts()


def same_ends(before: Sequence[Slide], after: Sequence[Slide]) -> tuple[int, int]:
    """Return how many slides are the same at the beginning, and how many others at the end."""
    old, new = [_look(one) for one in before], [_look(one) for one in after]
    shorter = min(len(old), len(new))
    first = 0
    while first < shorter and old[first] == new[first]:
        first += 1
    last = 0
    while last < shorter - first and old[-1 - last] == new[-1 - last]:
        last += 1
    return first, last


def alike(before: Sequence[Slide], after: Sequence[Slide]) -> bool:
    """Return whether two boards look the same."""
    return len(before) == len(after) == same_ends(before, after)[0]


def difference(before: Sequence[Slide], after: Sequence[Slide]) -> Difference:
    """Compare two boards, slide by slide: with the one of the same id, else in their order."""
    first, last = same_ends(before, after)
    old, new = before[first : len(before) - last], after[first : len(after) - last]
    at = {slide["id"]: number for number, slide in enumerate(old)}
    pairs = [(at.pop(slide["id"], None), slide) for slide in new]
    left = sorted(at.values())
    pairs = [(left.pop(0) if one is None and left else one, slide) for one, slide in pairs]
    changed = [(old[one], slide) for one, slide in pairs if one is not None]
    changed = [(was, will) for was, will in changed if _look(was) != _look(will)]
    added = [slide for one, slide in pairs if one is None]
    removed = [old[one] for one in left]
    elements = [_elements(was, will) for was, will in changed]
    return Difference(
        Counts(len(added), len(changed), len(removed)),
        Counts(
            sum(one.added for one in elements) + sum(len(one["elements"]) for one in added),
            sum(one.changed for one in elements),
            sum(one.removed for one in elements) + sum(len(one["elements"]) for one in removed),
        ),
    )


def _elements(before: Slide, after: Slide) -> Counts:
    """Compare the elements of two slides: with those of the same id, else with any that look so."""
    old = {one["id"]: _plain(one) for one in before["elements"]}
    new = {one["id"]: _plain(one) for one in after["elements"]}
    common = old.keys() & new.keys()
    gone = Counter(look for one, look in old.items() if one not in common)
    come = Counter(look for one, look in new.items() if one not in common)
    return Counts(
        (come - gone).total(), sum(old[one] != new[one] for one in common), (gone - come).total()
    )


def _plain(element: Mapping[str, Any]) -> str:
    """Write an element down without its id and without those it refers to."""
    return _written(renamed(element, dict.fromkeys(references(element))))


def _look(slide: Slide) -> str:
    """Write down what a slide looks like: ids become places."""
    places = {element["id"]: place for place, element in enumerate(slide["elements"])}
    return _written(
        {
            "elements": [renamed(element, places) for element in slide["elements"]],
            "frames": [places[one] for one in frames(slide)],
            "lock": slide.get("lock"),
        }
    )


def _written(value: object) -> str:
    return json.dumps(value, sort_keys=True)
