"""Edits: a board is rewritten as somebody wants it.

Forward, as old state merged into a newer document changes nothing. A slide that is there (by its
id) is changed in place: elements that are not wanted go, others come back, and what people draw on
it meanwhile stays. Slides that are not wanted are deleted; those that are not there are made, under
fresh ids. Slides at the beginning and at the end that look as wanted stay untouched. So restoring
one slide, importing and appending are the same edit.

An edit is one update, or several where one would not fit into a packet: what is new is seen by
nobody until the last part names it, and that does all the rest too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from bot.errors import InvalidUpdate
from bot.whiteboard.comparison import Slide, alike, same_ends
from bot.whiteboard.content import has_prototype, values
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
    """Return the numbers (from 1) of locked slides that `rewrite` would change or delete."""
    slides = document.content()["slides"]
    first, last = _untouched(slides, wanted)
    fresh = {slide["id"]: slide for slide in wanted[first : len(wanted) - last]}
    return [
        number
        for number, slide in enumerate(slides[first : len(slides) - last], first + 1)
        if "lock" in slide
        and (slide["id"] not in fresh or not alike([slide], [fresh[slide["id"]]]))
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
    first, last = _untouched(slides, wanted)
    gone, fresh = slides[first : len(slides) - last], wanted[first : len(wanted) - last]
    if not gone and not fresh:
        return []
    pen = _Pen(document, client, new_id)
    deleted = _edit(document, slides, (first, last), fresh, pen)
    update = write_update({client: pen.items}, deleted)
    if not alike(document.preview(update)["slides"], wanted):
        raise InvalidUpdate("the board would not look as wanted")
    return [update] if len(update) <= max_bytes else _divided(pen, deleted, max_bytes)


def _untouched(slides: Sequence[Slide], wanted: Sequence[Slide]) -> tuple[int, int]:
    """Return how many slides stay as they are at the beginning, and how many others at the end.

    One stays for another that looks the same only where neither is found by its id.
    """
    first, last = same_ends(slides, wanted)
    there, then = {one["id"] for one in slides}, {one["id"] for one in wanted}

    def same(was: Slide, will: Slide) -> bool:
        return was["id"] == will["id"] or (was["id"] not in then and will["id"] not in there)

    fits = [same(*pair) for pair in zip(slides[:first], wanted[:first], strict=True)]
    behind = zip(
        reversed(slides[len(slides) - last :]), reversed(wanted[len(wanted) - last :]), strict=True
    )
    fits_behind = [same(*pair) for pair in behind]
    return [*fits, False].index(False), [*fits_behind, False].index(False)


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
    gone = {slide["id"]: slide for slide in slides[first:stop]}
    # New slides and elements come before all that is seen at once.
    mended, ids = [], []
    for slide in fresh:
        if slide["id"] in gone and _is_whole(there.entries[slide["id"]].shared):
            ids.append(slide["id"])
            was = gone.pop(slide["id"])
            mended.append(_Mend(_shared(there, slide["id"]), was, slide, pen))
        else:
            ids.append(pen.slide(_id(there), slide))
    for mend in mended:
        mend.add()
    deleted = [_range(there.entries[one]) for one in gone]
    for mend in mended:
        deleted += mend.change()
    before = [slide["id"] for slide in slides[:first]]
    behind = [slide["id"] for slide in slides[stop:]]
    return deleted + pen.order(order, before, ids, behind)


class _Mend:
    """Makes a slide look as wanted without replacing it.

    Args:
        slide: as it is in the document.
        was: what it shows.
        wanted: what it is to show.
        pen: writes.
    """

    def __init__(self, slide: Shared, was: Slide, wanted: Slide, pen: _Pen) -> None:
        self._slide = slide
        self._elements = _shared(slide, "elements")
        self._was = {one["id"]: one for one in was["elements"]}
        self._lock = was.get("lock")
        self._wanted = wanted
        self._pen = pen

    def add(self) -> None:
        """Write the elements that are not there; nobody sees them yet."""
        for element in self._wanted["elements"]:
            if element["id"] not in self._was:
                self._pen.element(self._elements, element)

    def change(self) -> list[Range]:
        """Write all else; return what is to be deleted."""
        pen, wanted = self._pen, self._wanted
        ids = [one["id"] for one in wanted["elements"]]
        deleted = [_range(self._elements.entries[one]) for one in self._was if one not in ids]
        for element in wanted["elements"]:
            was = self._was.get(element["id"])
            if was is not None and was != element:
                pen.element(self._elements, element)
        deleted += pen.order(_shared(self._slide, "elementIds"), (), ids, ())
        frames_there = _there(self._slide, "frameElementIds", ARRAY)
        if frames_there is not None:
            deleted += pen.order(frames_there, (), frames(wanted), ())
        if "lock" not in wanted:
            if self._lock is not None:
                deleted.append(_range(self._slide.entries["lock"]))
        elif wanted["lock"] != self._lock:
            pen.value(self._slide, "lock", wanted["lock"])
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
            self._fields(self._type(MAP, elements, names[element["id"]]), renamed(element, names))
            self.seams.append(len(self.items))
        self.ids(order, list(names.values()))
        if presented is not None:
            self.ids(presented, [names[one] for one in frames(slide)])
        self.seams.append(len(self.items))
        return slide_id

    def element(self, elements: Shared, element: Mapping[str, Any]) -> None:
        """Write an element under its own id, in place of the one that is there, if any is."""
        there = elements.entries.get(element["id"])
        new = there is None or there.deleted
        item = self._successor(TYPE, elements, element["id"])
        item.content = write_number(MAP)
        here = self._take(item)
        self._fields(here, {key: value for key, value in element.items() if key != "id"})
        if new:
            self.seams.append(len(self.items))

    def value(self, shared: Shared, key: str, value: Any) -> None:
        """Write a value under a key, in place of the one that is there, if any is."""
        item = self._successor(ANY, shared, key)
        item.content = write_number(1) + write_value(value)
        self._take(item)

    def order(
        self, order: Shared, before: Sequence[str], ids: Sequence[str], behind: Sequence[str]
    ) -> list[Range]:
        """Have a list hold these ids in this order; return what of it is to be deleted.

        Args:
            order: the list.
            before: what stays at its beginning.
            ids: what is to come then.
            behind: what stays at its end.
        """
        entries = list(_entries(order))
        # Also ids that are there twice or lead nowhere: NeoBoard does so when it changes the list.
        left, deleted = {*before, *ids, *behind}, []
        kept: list[tuple[Id, str]] = []
        for place, one in entries:
            if one in left:
                left.remove(one)
                kept.append((place, one))
            elif one is not None:
                deleted.append((*place, place[1] + 1))
        if [one for _, one in kept] != [*before, *ids, *behind]:
            deleted += [(*place, place[1] + 1) for place, one in kept if one in ids]
            self.ids(_id(order), ids, *_gap(entries, before[-1] if before else None))
        return deleted

    def _successor(self, kind: int, shared: Shared, key: str) -> Item:
        """Return an item for a key of a map; what is there, deleted or not, it comes after."""
        item = self._item(kind, _id(shared), key)
        there = shared.entries.get(key)
        if there is not None:
            item.origin = (there.client, there.end - 1)
        return item

    def _fields(self, parent: Id, fields: Mapping[str, Any]) -> None:
        for field, value in fields.items():
            self._value(parent, field, value)

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


def _there(shared: Shared, key: str, kind: int) -> Shared | None:
    """Return the shared type of this kind under a key, if there is one."""
    item = shared.entries.get(key)
    found = None if item is None or item.deleted else item.shared
    return found if found is not None and found.kind == kind else None


def _is_whole(slide: Shared | None) -> bool:
    """Return whether a slide is made as NeoBoard makes it.

    What is acceptable need not be: a slide that is a plain object, or inherits what it has
    (`objects`). Nothing in that can be changed; another one is written in its place.
    """
    return (
        slide is not None
        and slide.kind == MAP
        and not has_prototype(slide)
        and _there(slide, "elements", MAP) is not None
        and _there(slide, "elementIds", ARRAY) is not None
    )


def _shared(root: Shared, key: str) -> Shared:
    item = root.entries.get(key)
    if item is None or item.deleted or item.shared is None:
        raise InvalidUpdate("the board is not made as NeoBoard makes boards")
    return item.shared


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
