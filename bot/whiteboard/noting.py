"""Notes what an update touches, before it is made final: what was there before can still be seen.

Looks at what was placed and deleted, and only there, as `inspection` does. Lists of ids are looked
through where nothing else tells whether something was seen, and never beyond a bound: what is not
found then counts as seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from bot.whiteboard.content import values
from bot.whiteboard.item import GONE, Item, Shared
from bot.whiteboard.touched import Place, Touched

MAX_LOOKED = 5_000
"""Items of a list that are looked through."""

_ALL = ("slides", "slideIds")


def note(root: Shared, touched: Iterable[Item], began: Mapping[int, int]) -> Touched:
    """Note what was touched.

    Args:
        root: of an acceptable document that was acceptable before.
        touched: items placed or deleted since then; their contents are still there.
        began: per client, the first clock of what was placed.
    """
    parents: dict[Shared, list[Item]] = {}
    for item in touched:
        assert isinstance(item.parent, Shared)  # who has no place is not touched
        parents.setdefault(item.parent, []).append(item)
    if len(parents) == 1 and (place := _element(_path(next(iter(parents))))) is not None:
        return Touched(elements={place: (True, True)})  # by far the commonest
    noting = _Noting(root, _Then(began))
    for parent, items in parents.items():
        noting.note(_path(parent), items)
    return noting.finish()


def _element(path: list[str | None]) -> Place | None:
    """Return the element that a path leads into."""
    if len(path) < 4 or path[0] != "slides" or path[2] != "elements":
        return None
    _, slide_id, _, element_id, *_ = path
    return None if slide_id is None or element_id is None else (slide_id, element_id)


class _Then:
    """Tells what was there before, and what is now."""

    def __init__(self, began: Mapping[int, int]) -> None:
        self._began = began

    def new(self, item: Item) -> bool:
        first = self._began.get(item.client)
        return first is not None and item.clock >= first

    def seen(self, item: Item) -> tuple[bool, bool]:
        """Return whether an item was there before, and is now."""
        # What was deleted earlier has lost its content.
        return item.kind not in GONE and not self.new(item), not item.deleted

    def under(self, shared: Shared | None, key: str) -> tuple[Shared | None, Shared | None]:
        """Return the shared types that were, and are, under a key."""
        now = None if shared is None else shared.entries.get(key)
        then = now
        while then is not None and self.new(then):
            then = then.left
        return (
            then.shared if then is not None and self.seen(then)[0] else None,
            now.shared if now is not None and not now.deleted else None,
        )

    def ids(self, order: Shared | None, when: int) -> Iterator[str]:
        """Return the ids in a list as it was (0) or is (1)."""
        item = None if order is None else order.start
        while item is not None:
            if self.seen(item)[when]:
                yield from _ids(item)
            item = item.right


class _List:
    """What was written in a list of ids."""

    def __init__(self) -> None:
        self.deleted: set[str] = set()
        self.inserted: dict[str, None] = {}

    def note(self, items: Iterable[Item], then: _Then) -> None:
        for item in items:
            before, after = then.seen(item)
            if before and not after:
                self.deleted.update(_ids(item))
            elif after and not before:
                self.inserted.update(dict.fromkeys(_ids(item)))

    @property
    def ids(self) -> set[str]:
        return self.deleted | self.inserted.keys()


class _Noting:
    """Collects what was touched, so that nothing is looked at twice."""

    def __init__(self, root: Shared, then: _Then) -> None:
        self._root = root
        self._then = then
        self._everything = False
        self._slides: dict[str, None] = {}
        self._slide_ids = _List()
        self._keys: dict[str, dict[str, None]] = {}  # elements whose key was written, by slide
        self._inner: dict[tuple[str, str], None] = {}
        self._lists: dict[str, _List] = {}
        self._found = Touched()

    def note(self, path: list[str | None], items: list[Item]) -> None:
        """Note items in a shared type."""
        match path:
            case []:
                self._everything = self._everything or any(one.sub in _ALL for one in items)
            case ["slideIds"]:
                self._slide_ids.note(items, self._then)
            case ["slides"]:
                self._slides.update(_keys(items))
            case ["slides", str(slide_id), *rest]:
                self._in_slide(slide_id, rest, items)

    def _in_slide(self, slide_id: str, path: list[str | None], items: list[Item]) -> None:
        match path:
            case ["elements"]:
                self._keys.setdefault(slide_id, {}).update(_keys(items))
            case ["elements", str(element_id), *_]:
                self._inner[slide_id, element_id] = None
            case ["elementIds"]:
                self._lists.setdefault(slide_id, _List()).note(items, self._then)
            case ["lock" | "frameElementIds" | "__proto__", *_]:
                self._found.framed.add(slide_id)
            case []:
                if _keys(items).keys() & {"elements", "elementIds"}:
                    self._slides[slide_id] = None
                else:
                    self._found.framed.add(slide_id)

    @property
    def _slide_order(self) -> Shared | None:
        return self._then.under(self._root, "slideIds")[1]

    # -- what that means -------------------------------------------------------------------------

    def finish(self) -> Touched:
        """Return what was touched."""
        found = self._found
        whole = self._all_slides() if self._everything else self._touched_slides()
        for slide_id, seen in whole.items():
            found.slides[slide_id] = seen
            self._whole(slide_id, seen)
        inner = {slide_id for slide_id, _ in self._inner}
        stay = {
            one: None
            for one in {**self._keys, **self._lists, **dict.fromkeys(inner | found.framed)}
            if one not in whole and self._listed(one, self._slide_order, 1)
        }
        replaced = {slide_id for slide_id, seen in whole.items() if seen == (True, True)}
        found.framed = found.framed & stay.keys() | replaced
        for place in self._inner:
            if place[0] in stay:
                found.elements[place] = (True, True)
        for slide_id in stay:
            self._elements(slide_id)
        return found

    def _all_slides(self) -> dict[str, tuple[bool, bool]]:
        """Return the slides when the board itself was replaced."""
        orders = self._then.under(self._root, "slideIds")
        there: list[dict[str, None]] = []
        for when in (0, 1):
            ids = dict.fromkeys(self._then.ids(orders[when], when))
            there.append({one: None for one in ids if self._slide(one)[when] is not None})
        return {one: (one in there[0], one in there[1]) for one in {**there[0], **there[1]}}

    def _touched_slides(self) -> dict[str, tuple[bool, bool]]:
        """Return the slides that came, went, or are others now; note those that moved."""
        if not (self._slides or self._slide_ids.ids):
            return {}
        found = {}
        for slide_id in {**self._slides, **dict.fromkeys(sorted(self._slide_ids.ids))}:
            there = self._slide(slide_id)
            seen = self._seen(
                slide_id,
                (there[0] is not None, there[1] is not None),
                self._slide_ids,
                self._slide_order,
            )
            if seen == (True, True) and slide_id in self._slide_ids.ids:
                self._found.moved.add(slide_id)
            if seen != (True, True) or slide_id in self._slides:
                found[slide_id] = seen
        return found

    def _seen(
        self, key: str, there: tuple[bool, bool], written: _List, order: Shared | None
    ) -> tuple[bool, bool]:
        """Return whether what is under a key was, and is, seen: it has to be in the list too."""
        listed = [
            there[when] and (key in ids or self._listed(key, order, when))
            for when, ids in enumerate((written.deleted, written.inserted))
        ]
        return listed[0], listed[1]

    def _listed(self, key: str, order: Shared | None, when: int) -> bool:
        """Return whether a list whose writing does not tell had, or has, an id."""
        ids = self._then.ids(order, when)
        return key in islice(ids, MAX_LOOKED) or next(ids, None) is not None

    def _slide(self, slide_id: str) -> tuple[Shared | None, Shared | None]:
        """Return a slide as it was and as it is."""
        slides = self._then.under(self._root, "slides")
        return (
            self._then.under(slides[0], slide_id)[0],
            self._then.under(slides[1], slide_id)[1],
        )

    def _whole(self, slide_id: str, seen: tuple[bool, bool]) -> None:
        """Note all elements of a slide that came, went, or is another now."""
        there: list[dict[str, Shared]] = []
        for when, slide in enumerate(self._slide(slide_id)):
            elements = self._then.under(slide, "elements")[when]
            order = self._then.under(slide, "elementIds")[when]
            found = {}
            for one in self._then.ids(order, when) if seen[when] else ():
                element = self._then.under(elements, one)[when]
                if element is not None:
                    found[one] = element
            there.append(found)
        for one in {**there[0], **there[1]}:
            self._found.elements[slide_id, one] = (one in there[0], one in there[1])

    def _elements(self, slide_id: str) -> None:
        """Note elements of a slide that stays, of which the key or the place was written."""
        slide = self._slide(slide_id)[1]
        elements = self._then.under(slide, "elements")[1]
        order = self._then.under(slide, "elementIds")[1]
        keys, written = self._keys.get(slide_id, {}), self._lists.get(slide_id, _List())
        for one in {**keys, **dict.fromkeys(sorted(written.ids))}:
            was, now = self._then.under(elements, one)
            there = was is not None, now is not None
            if there == (True, True) and one not in written.ids:
                seen = there  # replaced where it is
            else:
                seen = self._seen(one, there, written, order)
            if seen == (True, True) and one in written.ids:
                self._found.framed.add(slide_id)
            if seen != (True, True) or one in keys:
                self._found.elements[slide_id, one] = seen


def _ids(item: Item) -> Iterator[str]:
    return (one for one in values(item) if isinstance(one, str))


def _keys(items: Iterable[Item]) -> dict[str, None]:
    return {one.sub: None for one in items if one.sub is not None and one.sub != "__proto__"}


def _path(shared: Shared) -> list[str | None]:
    """Return the keys (None: a list) that lead to a shared type, deleted ones too."""
    keys = []
    while shared.item is not None:
        keys.append(shared.item.sub)
        assert isinstance(shared.item.parent, Shared)
        shared = shared.item.parent
    return keys[::-1]
