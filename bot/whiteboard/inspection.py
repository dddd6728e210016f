"""Is a document still acceptable to NeoBoard? Looks at what was touched, and only there.

NeoBoard validates the whole document after every change. That is the same as long as the document
was acceptable before: only what an update placed or deleted can make it refuse.

A prototype (`objects`) is seen through: what is touched in one is looked at where it is inherited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from bot.whiteboard.breath import take_breath
from bot.whiteboard.content import entries, has_prototype, latest, plain, values
from bot.whiteboard.fields import only_field
from bot.whiteboard.item import ANY, MAP, Item, Shared
from bot.whiteboard.lib0 import ODD
from bot.whiteboard.objects import PROTO, REWRITES, UNASSIGNABLE, UNDEFINED, made, rewritten
from bot.whiteboard.places import assemble, item_at, path_to
from bot.whiteboard.schema import (
    WRONG_ID,
    are_ids,
    are_strings,
    check_document,
    check_element,
    check_field,
    check_slide,
    check_slide_frame,
    is_id,
)


def inspect(root: Shared, touched: list[Item], version: str) -> str | None:
    """Check a document.

    Args:
        root: its root.
        touched: items placed or deleted since it was acceptable.
        version: `"0"` or `"1"`.

    Returns:
        Why NeoBoard would refuse it, or None. Quotes nothing of the board.

    Raises:
        InvalidUpdate: JavaScript cannot put together what is in it.
    """
    written = only_field(touched)
    if written is not None:
        element, field = written
        return _check_written(element, field)
    inspection = _Inspection(root, version)
    placed = [(item, item.parent) for item in touched if isinstance(item.parent, Shared)]
    for item, parent in placed:
        inspection.note(item, parent)
    return inspection.verdict()


class _Inspection:
    """Collects what has to be checked, so that nothing is checked twice."""

    def __init__(self, root: Shared, version: str) -> None:
        self._root = root
        self._version = version
        self._notes: dict[Shared, Callable[[Item], None]] = {}
        self._wrong: str | None = None
        self._whole = False
        self._root_keys: set[str] = set()
        self._slides: set[str] = set()
        self._frames: dict[str, set[str]] = {}  # per slide, the keys of it besides its elements
        self._elements: set[tuple[str, str]] = set()
        self._fields: dict[tuple[Shared, str], tuple[str, str]] = {}

    def note(self, item: Item, parent: Shared) -> None:
        """Note that an item was placed or deleted."""
        # Not `in`: with bytes Python makes an error of that first, and drops it again.
        if item.kind == ANY and item.content.find(ODD) >= 0 and not item.deleted:
            _check(_accept, values(item), -1)
        if item.sub is not None:
            if parent.entries[item.sub] is not item:
                return  # what the key holds is another item: noted too if it was not before
            if item.sub in _TELLING:
                self._tell(parent, item.sub)
        note = self._notes.get(parent)
        if note is None:
            note = self._notes[parent] = self._note_in(parent)
        note(item)

    def _note_in(self, parent: Shared) -> Callable[[Item], None]:
        """Return what to do with the items in a shared type."""
        take_breath()
        path = path_to(parent)
        if path is not None and PROTO in path:
            self._inherit(path)
            path = None
        return self._note_at(path, parent)

    def _note_at(self, path: list[str | None] | None, parent: Shared) -> Callable[[Item], None]:
        note: Callable[[Item], None] = _ignore
        match path:
            case []:
                note = self._in_root
            case ["slideIds"]:
                note = partial(self._in_list, are_strings)
            case ["slides"]:
                note = self._in_slides
            case ["slides", str(slide_id)]:
                note = partial(self._in_slide, slide_id)
            case ["slides", str(slide_id), "elements"]:
                note = partial(self._in_elements, slide_id)
            case ["slides", str(slide_id), "elements", str(element_id)]:
                note = partial(self._in_element, parent, (slide_id, element_id))
            case ["slides", str(slide_id), "elements", str(element_id), *_]:
                note = partial(self._in_field, (slide_id, element_id))
            case ["slides", str(), str(order)] if order in _ORDERS[self._version]:
                note = partial(self._in_list, are_ids)
            case ["slides", str(slide_id), "lock", *_]:
                note = partial(self._in_lock, slide_id)
        return note

    def _tell(self, parent: Shared, key: str) -> None:
        """Note that a key was touched that may keep a map from being put together."""
        path = path_to(parent)
        if path is not None:
            assemble(parent)
            if key == PROTO:
                self._inherit([*path, PROTO])

    def _inherit(self, path: list[str | None]) -> None:
        """Note that something was touched on a path into a prototype."""
        match path[: path.index(PROTO)]:
            case []:
                self._whole = True
            case ["slides", str(slide_id)]:
                self._slides.add(slide_id)
            case ["slides", str(slide_id), "elements", str(element_id), *_]:
                self._elements.add((slide_id, element_id))
            case ["slides", str(slide_id), "lock", *_]:
                self._frames.setdefault(slide_id, set()).add("lock")

    # Items without a key in a map, and with one in a list, are seen by nobody.

    def _in_root(self, item: Item) -> None:
        if item.sub in {"slides", "slideIds"}:
            self._root_keys.add(item.sub)

    def _in_list(self, acceptable: Callable[[Any], bool], item: Item) -> None:
        if item.sub is None and not item.deleted and not acceptable(values(item)):
            self._wrong = "a list of ids is not acceptable"

    def _in_slides(self, item: Item) -> None:
        if item.sub is not None:
            self._slides.add(item.sub)

    def _in_slide(self, slide_id: str, item: Item) -> None:
        if item.sub == "elements":
            self._slides.add(slide_id)
        elif item.sub is not None:
            self._frames.setdefault(slide_id, set()).add(item.sub)

    def _in_lock(self, slide_id: str, _: Item) -> None:
        self._frames.setdefault(slide_id, set()).add("lock")

    def _in_elements(self, slide_id: str, item: Item) -> None:
        if item.sub is not None:
            self._elements.add((slide_id, item.sub))

    def _in_element(self, shared: Shared, ids: tuple[str, str], item: Item) -> None:
        if item.sub == "type":
            self._elements.add(ids)
        elif item.sub is not None:
            self._fields[shared, item.sub] = ids

    def _in_field(self, ids: tuple[str, str], _: Item) -> None:
        self._elements.add(ids)

    # -- checking ------------------------------------------------------------------------------

    def verdict(self) -> str | None:
        """Check what was noted."""
        if self._wrong is not None:
            return self._wrong
        if self._whole or (self._root_keys and has_prototype(self._root)):
            check = partial(check_document, version=self._version)
            return _check(check, plain(self._root), -1)
        for key in sorted(self._root_keys):
            if (reason := self._check_root(key)) is not None:
                return reason
        return self._first_wrong()

    def _first_wrong(self) -> str | None:
        # Written out: a tenth of an update's time goes into chained iterators otherwise.
        for slide_id in self._slides:
            if (reason := self._check_slide(slide_id)) is not None:
                return reason
        for slide_id in self._frames:
            if (reason := self._check_frame(slide_id)) is not None:
                return reason
        for ids in self._elements:
            if (reason := self._check_element(ids)) is not None:
                return reason
        for place in self._fields:
            if (reason := self._check_field(place)) is not None:
                return reason
        return None

    def _check_root(self, key: str) -> str | None:
        """Check what a key of the board itself holds now; slides in a shared map follow singly."""
        held = self._root.entries[key]
        shared = None if held.deleted else held.shared
        if key == "slides" and shared is not None and shared.kind == MAP:
            self._slides.update(shared.entries)
            return None
        others: dict[str, Any] = {"slides": {}, "slideIds": []}
        before = made()
        check = partial(check_document, version=self._version)
        board = {**others, key: latest(self._root, key)}
        return _check(check, board, before)

    def _check_slide(self, slide_id: str) -> str | None:
        item = item_at(self._root, "slides", slide_id)
        if item is None or slide_id == PROTO:
            return None
        if not slide_id:
            return "a slide has an empty id"
        before = made()
        check = partial(check_slide, version=self._version)
        return _check(check, values(item)[-1], before)

    def _check_frame(self, slide_id: str) -> str | None:
        item = item_at(self._root, "slides", slide_id)
        if item is None or item.shared is None or slide_id in self._slides:
            return None
        if has_prototype(item.shared):
            return self._check_slide(slide_id)
        keys = self._frames[slide_id]
        others = {key: one for key, one in _FRAME.items() if key not in keys}
        before = made()
        check = partial(check_slide_frame, version=self._version)
        return _check(check, {**others, **entries(item.shared, keys)}, before)

    def _check_element(self, ids: tuple[str, str]) -> str | None:
        slide_id, element_id = ids
        item = item_at(self._root, "slides", slide_id, "elements", element_id)
        if item is None or slide_id in self._slides or element_id == PROTO:
            return None
        if not is_id(element_id):
            return WRONG_ID
        before = made()
        element = values(item)[-1]
        if element is UNDEFINED:
            return None
        return _check(check_element, element, before)

    def _check_field(self, place: tuple[Shared, str]) -> str | None:
        ids = self._fields[place]
        if ids in self._elements or ids[0] in self._slides:
            return None
        element, field = place
        if has_prototype(element):
            return self._check_element(ids)
        before = made()
        reason = _check_written(element, field)
        return reason if made() == before else self._check_element(ids)


_FRAME: Mapping[str, Any] = {"elements": {}, "elementIds": [], "frameElementIds": []}
"""Stands for what a slide has of which nothing was touched."""
_ORDERS: Final = {"0": ("elementIds",), "1": ("elementIds", "frameElementIds")}
_TELLING: Final = UNASSIGNABLE | {PROTO}
"""Keys that may keep JavaScript from putting a map together."""


def _check(check: Callable[[Any], str | None], value: Any, before: int) -> str | None:
    """Check a value, and if anything in it inherits, what becomes of it too.

    Args:
        check: checks it.
        value: as it is.
        before: how many objects that inherit there were before it was read.
    """
    reason = check(value)
    for _ in range(REWRITES if made() != before else 0):
        value = rewritten(value)
        reason = reason or check(value)
    return reason


def _accept(_: Any) -> None:
    """Have nothing against a value."""


def _check_written(element: Shared, field: str) -> str | None:
    """Check a field of an element of which all others are acceptable."""
    held = latest(element, field)
    return check_field(latest(element, "type"), field, held, present=held is not UNDEFINED)


def _ignore(_: Item) -> None:
    """Do nothing."""
