"""What changed on a board: slides and elements, by their ids, as people see them.

Noted while an update is integrated, when what was there before can still be seen; what is noted is
small, and becomes `Changes` only when somebody asks. Several notes in a row are one again: so it
stays right where updates are merged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Key = TypeVar("Key")

Place = tuple[str, str]
"""Ids of a slide and of an element on it."""


@dataclass(frozen=True, slots=True)
class ElementChange:
    """One element that was added, changed or removed.

    Attributes:
        slide_id: the slide it is on, or was.
        element_id: the element.
        kind: `"added"`, `"changed"` or `"removed"`.
    """

    slide_id: str
    element_id: str
    kind: Literal["added", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed on a board, as people see it: an infinite canvas is one slide.

    Attributes:
        slides_added: ids of slides that are there now.
        slides_removed: ids of slides that are no more.
        slides_moved: ids of slides that were put somewhere else among the others.
        slides_changed: ids of slides of which the lock, or the order of what is on it, was written.
        elements: what became of elements, those of added and removed slides included. What was
            written again as it was counts as changed.
    """

    slides_added: tuple[str, ...] = ()
    slides_removed: tuple[str, ...] = ()
    slides_moved: tuple[str, ...] = ()
    slides_changed: tuple[str, ...] = ()
    elements: tuple[ElementChange, ...] = ()

    def __bool__(self) -> bool:
        return self != Changes()


@dataclass(slots=True)
class Touched:
    """What was touched, and whether people saw it before and see it now.

    Attributes:
        slides: by id.
        elements: by slide and id.
        moved: slides whose place was written.
        framed: slides whose lock or order was written.
    """

    slides: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    elements: dict[Place, tuple[bool, bool]] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    framed: set[str] = field(default_factory=set)

    def changes(self) -> Changes:
        """Return what changed."""
        there = {one for one, seen in self.slides.items() if seen != (True, True)}
        return Changes(
            tuple(one for one, seen in self.slides.items() if seen == (False, True)),
            tuple(one for one, seen in self.slides.items() if seen == (True, False)),
            tuple(sorted(self.moved - there)),
            tuple(sorted(self.framed - there)),
            tuple(
                ElementChange(*place, _KINDS[seen])
                for place, seen in self.elements.items()
                if seen in _KINDS
            ),
        )


_KINDS: Mapping[tuple[bool, bool], Literal["added", "changed", "removed"]] = {
    (False, True): "added",
    (True, True): "changed",
    (True, False): "removed",
}


def in_a_row(notes: Sequence[Touched]) -> Touched:
    """Return what was touched by several updates, one after the other."""
    if len(notes) == 1:
        return notes[0]
    found = Touched()
    for one in notes:
        _follow(found.slides, one.slides)
        _follow(found.elements, one.elements)
        back = {slide_id for slide_id, seen in one.slides.items() if seen == (False, True)}
        found.moved |= one.moved | back  # what was there at first too came back somewhere
        found.framed |= one.framed | back
    return found


def _follow(first: dict[Key, tuple[bool, bool]], then: dict[Key, tuple[bool, bool]]) -> None:
    for key, (before, after) in then.items():
        first[key] = (first.get(key, (before, after))[0], after)


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> Touched:
    """Return what is other in a board than in another one (both as `Document.content`)."""
    found = Touched()
    old, new = ({one["id"]: one for one in each["slides"]} for each in (before, after))
    for slide_id in {**old, **new}:
        was, now = old.get(slide_id), new.get(slide_id)
        if was == now:
            continue
        found.slides[slide_id] = (was is not None, now is not None)
        mine, its = (
            {one["id"]: one for one in each["elements"]} if each else {} for each in (was, now)
        )
        for one in {**mine, **its}:
            if mine.get(one) != its.get(one):
                found.elements[slide_id, one] = (one in mine, one in its)
        common = mine.keys() & its.keys()
        if was and now and _frame(was, common) != _frame(now, common):
            found.framed.add(slide_id)
    stayed = [[one for one in each if one in old and one in new] for each in (old, new)]
    if stayed[0] != stayed[1]:
        found.moved.update(one for one, two in zip(*stayed, strict=True) if one != two)
    return found


def _frame(slide: Mapping[str, Any], among: Collection[str]) -> tuple[object, ...]:
    order = [one["id"] for one in slide["elements"] if one["id"] in among]
    return slide.get("lock"), slide.get("frameElementIds"), order
