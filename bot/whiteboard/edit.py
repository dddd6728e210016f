"""Edits: a board is rewritten as somebody wants it.

Forward, as old state merged into a newer document changes nothing: slides that are not as wanted
are deleted, and wanted ones are made anew in their place, under fresh ids. Slides at the beginning
and at the end that are as wanted already stay untouched, with what is drawn on them meanwhile. So
restoring one slide, importing and appending are the same edit.

An edit is one update, or several where one would not fit into a packet: new slides are seen by
nobody until the last part names them, and that deletes the old ones too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from bot.errors import InvalidUpdate
from bot.whiteboard.comparison import Slide, alike, same_ends
from bot.whiteboard.content import values
from bot.whiteboard.document import Document
from bot.whiteboard.item import ANY, ARRAY, MAP, TYPE, Id, Item, Shared
from bot.whiteboard.lib0 import write_number, write_value
from bot.whiteboard.references import frames, renamed
from bot.whiteboard.update import Range, read_state_vector, write_item, write_update

MAX_PART = 45_000
"""Bytes: in base64 and with what is around it, a packet takes no more (`message.MAX_PACKET`)."""

NewId = Callable[[], str]
"""Makes an id that nothing has yet."""


def locked(document: Document, wanted: Sequence[Slide]) -> list[int]:
    """Return the numbers (from 1) of locked slides that `rewrite` would delete."""
    slides = document.content()["slides"]
    first, last = same_ends(slides, wanted)
    return [
        number
        for number, slide in enumerate(slides[first : len(slides) - last], first + 1)
        if "lock" in slide
    ]


def rewrite(
    document: Document,
    wanted: Sequence[Slide],
    *,
    client: int,
    new_id: NewId,
    max_bytes: int = MAX_PART,
) -> list[bytes]:
    """Write the updates that make a document look as wanted.

    Args:
        document: of a version that is supported.
        wanted: all its slides, as `Document.content` gives them.
        client: a fresh client id, 31 bits: the higher one wins where two write the same field.
        new_id: for slides and elements.
        max_bytes: of an update, as far as it can be divided: no element is.

    Returns:
        Updates to be applied in this order, each valid by itself; none when the document looks so
        already.

    Raises:
        InvalidUpdate: NeoBoard would refuse the result, or it would not look as wanted.
    """
    slides = document.content()["slides"]
    first, last = same_ends(slides, wanted)
    gone, fresh = slides[first : len(slides) - last], wanted[first : len(wanted) - last]
    if not gone and not fresh:
        return []
    pen = _Pen(document, client, new_id)
    deleted = _edit(document, slides, (first, last), fresh, pen)
    update = write_update({client: pen.items}, deleted)
    if not alike(document.preview(update)["slides"], wanted):
        raise InvalidUpdate("the board would not look as wanted")
    return [update] if len(update) <= max_bytes else _divided(pen, deleted, max_bytes)


def _divided(pen: _Pen, deleted: Sequence[Range], max_bytes: int) -> list[bytes]:
    parts: list[list[Item]] = [[]]
    room = max_bytes
    for start, stop in pairwise([0, *pen.seams]):
        piece = pen.items[start:stop]
        size = sum(len(write_item(item)) for item in piece)
        if parts[-1] and size > room:
            parts.append([])
            room = max_bytes
        parts[-1] += piece
        room -= size
    # Without a slide there is nothing to divide.
    last = write_update({pen.client: pen.items[pen.seams[-1] if pen.seams else 0 :]}, deleted)
    return [*(write_update({pen.client: part}, ()) for part in parts if part), last]


def _edit(
    document: Document,
    slides: Sequence[Slide],
    ends: tuple[int, int],
    fresh: Sequence[Slide],
    pen: _Pen,
) -> list[Range]:
    """Write the items of an edit; return what it deletes."""
    first, stop = ends[0], len(slides) - ends[1]
    there, order = _shared(document.root, "slides"), _shared(document.root, "slideIds")
    entries = list(_entries(order))
    left, right = _gap(entries, slides[first - 1]["id"] if first else None)
    ids = [pen.slide(_id(there), slide) for slide in fresh]
    pen.ids(_id(order), ids, left, right)
    deleted = [_range(there.entries[slide["id"]]) for slide in slides[first:stop]]
    # Also ids that are there twice or lead nowhere: NeoBoard does so when it changes the list.
    kept = {slide["id"] for slide in (*slides[:first], *slides[stop:])}
    for (who, clock), one in entries:
        if one in kept:
            kept.remove(one)
        elif one is not None:
            deleted.append((who, clock, clock + 1))
    return deleted


class _Pen:
    """Writes the items of one client, one after the other.

    Attributes:
        client: its id.
        items: what it has written.
        seams: how many of them make a valid update, that shows nothing yet, with those before.
    """

    def __init__(self, document: Document, client: int, new_id: NewId) -> None:
        self.client = client
        self.items: list[Item] = []
        self.seams: list[int] = []
        self._clock = read_state_vector(document.state_vector()).get(client, 0)
        self._new_id = new_id
        self._with_frames = document.root.name == "1"

    def slide(self, parent: Id, slide: Slide) -> str:
        """Write a slide with its elements; return its id."""
        slide_id = self._new_id()
        here = self._type(MAP, parent, slide_id)
        names = {element["id"]: self._new_id() for element in slide["elements"]}
        elements = self._type(MAP, here, "elements")
        order = self._type(ARRAY, here, "elementIds")
        presented = self._type(ARRAY, here, "frameElementIds") if self._with_frames else None
        if "lock" in slide:
            self._value(here, "lock", slide["lock"])
        for element in slide["elements"]:
            fields = self._type(MAP, elements, names[element["id"]])
            for field, value in renamed(element, names).items():
                self._value(fields, field, value)
            self.seams.append(len(self.items))
        self.ids(order, list(names.values()))
        if presented is not None:
            self.ids(presented, [names[one] for one in frames(slide)])
        self.seams.append(len(self.items))
        return slide_id

    def ids(
        self, parent: Id, ids: Sequence[str], left: Id | None = None, right: Id | None = None
    ) -> None:
        """Write ids into a list, between these two."""
        if ids:
            item = self._item(ANY, parent, None)
            item.origin, item.right_origin = left, right
            item.content = write_number(len(ids)) + b"".join(map(write_value, ids))
            self._take(item, len(ids))

    def _type(self, kind: int, parent: Id, key: str) -> Id:
        item = self._item(TYPE, parent, key)
        item.content = write_number(kind)
        return self._take(item)

    def _value(self, parent: Id, key: str, value: Any) -> None:
        item = self._item(ANY, parent, key)
        item.content = write_number(1) + write_value(value)
        self._take(item)

    def _item(self, kind: int, parent: Id, key: str | None) -> Item:
        item = Item(kind, self.client, self._clock)
        item.parent, item.sub = parent, key
        return item

    def _take(self, item: Item, length: int = 1) -> Id:
        item.length = length
        self._clock += length
        self.items.append(item)
        return item.client, item.clock


def _shared(root: Shared, key: str) -> Shared:
    shared = root.entries[key].shared
    assert shared is not None  # else the document would not be valid
    return shared


def _id(shared: Shared) -> Id:
    assert shared.item is not None  # it is no root
    return shared.item.client, shared.item.clock


def _range(item: Item) -> Range:
    return item.client, item.clock, item.end


def _entries(order: Shared) -> Iterator[tuple[Id, str | None]]:
    """Return what is in a list of ids, each with its place; of what is deleted the place only."""
    item = order.start
    while item is not None:
        for offset, one in enumerate([None] if item.deleted else values(item)):
            yield (item.client, item.clock + offset), one
        item = item.right


def _gap(
    entries: Sequence[tuple[Id, str | None]], behind: str | None
) -> tuple[Id | None, Id | None]:
    """Return between which two to insert so that it comes right behind an id, or first."""
    at = -1 if behind is None else [one for _, one in entries].index(behind)
    left = None if behind is None else entries[at][0]
    return left, entries[at + 1][0] if at + 1 < len(entries) else None
