"""Repair: an author whom a refused update blocks is unblocked.

NeoBoard refuses an update with an invalid element as a whole, and then shows nothing of what its
author does afterwards, as all of that builds on it. Here such an update is completed to a valid
one: what it brought that is not acceptable is deleted, a field that it spoiled gets its old value.
What a newer NeoBoard may be able to show is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from bot.errors import InvalidUpdate
from bot.whiteboard.causality import missing
from bot.whiteboard.content import latest, values
from bot.whiteboard.document import Document
from bot.whiteboard.item import ANY, ARRAY, MAP, Item, Shared
from bot.whiteboard.objects import PROTO, UNDEFINED
from bot.whiteboard.refused import of_clients
from bot.whiteboard.replica import Replica
from bot.whiteboard.schema import (
    check_element,
    check_slide_frame,
    is_id,
    may_be_newer,
    wrong_fields,
)
from bot.whiteboard.update import (
    Range,
    Structure,
    merge_updates,
    read_state_vector,
    read_update,
    write_update,
)


class Kind(Enum):
    """What became of what was not acceptable."""

    CORRECTED = "corrected"
    """Its author has corrected it himself."""
    REMOVED = "removed"
    """Elements or slides that he had added were removed."""
    RESTORED = "restored"
    """Fields of elements that were there before have their old values."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One valid update that unblocks an author, and what it does."""

    update: bytes
    kind: Kind


class NewerError(Exception):
    """A newer NeoBoard may show what is not acceptable to ours."""


def repair(
    document: Document, refused: Sequence[bytes], waiting: Sequence[bytes], client: int
) -> Repair | None:
    """Complete refused updates to a valid one.

    Args:
        document: what they do not fit.
        refused: of one author, in the order he made them.
        waiting: updates that wait, of whomever.
        client: a fresh client id, 31 bits.

    Returns:
        None when it cannot be done.

    Raises:
        NewerError: it must not be done.
    """
    authors = {one for update in refused for one in read_update(update).blocks}
    later = of_clients(waiting, authors)
    # What he did afterwards may be the correction; but of that something may be missing too.
    for updates in ([*refused, *later], refused, refused[:1]):
        found = _repair(document, merge_updates(updates), client)
        if found is not None:
            return found
    return None


def _repair(document: Document, update: bytes, client: int) -> Repair | None:
    known = read_state_vector(document.state_vector())
    if missing(read_update(update), known) is not None:
        return None
    if _fits(document, update):
        return Repair(update, Kind.CORRECTED)
    trial = Replica(document.root.name)
    finding = _Finding(document.root, known, client)
    try:
        trial.integrate(read_update(document.diff(_NOTHING)))
        trial.integrate(read_update(update), patient=True)
        finding.look(trial.root)
        trial.integrate(finding.edit())
    except InvalidUpdate:
        return None
    trial.commit()
    # With what is deleted its content goes, so that nobody can trip over it.
    whole = write_update(trial.store.blocks(known), trial.store.deletes(), known)
    if not _fits(document, whole):
        return None
    return Repair(whole, Kind.REMOVED if finding.removed else Kind.RESTORED)


_NOTHING = b"\0"  # a state vector
_FRAME: Mapping[str, Any] = {"elements": {}, "elementIds": [], "frameElementIds": []}


def _fits(document: Document, update: bytes) -> bool:
    try:
        document.preview(update)
    except InvalidUpdate:
        return False
    return True


@dataclass(slots=True)
class _Finding:
    """Finds what is not acceptable of a document, and what to do about it.

    Attributes:
        before: the root of the document that was acceptable.
        known: what is of that, per client; only later items may be deleted.
        client: whose the items are.
        deletes: what to delete.
        items: what to write.
        removed: whether elements or slides are deleted.
    """

    before: Shared
    known: Mapping[int, int]
    client: int
    deletes: list[Range] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    removed: bool = False

    def edit(self) -> Structure:
        """Return what to do as an update."""
        return Structure({self.client: self.items} if self.items else {}, self.deletes)

    def look(self, root: Shared) -> None:
        """Look through a document.

        Raises:
            NewerError: a newer NeoBoard may show what is found.
        """
        slides, order = _there(root, "slides", MAP), _there(root, "slideIds", ARRAY)
        if slides is None or order is None:
            return
        gone = set()
        for slide_id, item in _entries(slides):
            if not slide_id or not self._mend_slide(slide_id, item, root.name):
                self._remove(item)
                gone.add(slide_id)
        self._clean(order, gone)

    def _mend_slide(self, slide_id: str, item: Item, version: str) -> bool:
        """Mend a slide; answer False when it has to go."""
        slide = item.shared
        elements = _there(slide, "elements", MAP)
        order = _there(slide, "elementIds", ARRAY)
        if slide is None or elements is None or order is None:
            return False
        gone = set()
        for element_id, element in _entries(elements):
            if not self._mend_element(slide_id, element_id, element):
                self._remove(element)
                gone.add(element_id)
        self._clean(order, gone)
        frames = _there(slide, "frameElementIds", ARRAY)
        if frames is not None:
            self._clean(frames, gone)
        lock = latest(slide, "lock")
        if lock is not UNDEFINED and check_slide_frame({**_FRAME, "lock": lock}, version):
            self._restore(slide, "lock", ("slides", slide_id))
        return True

    def _mend_element(self, slide_id: str, element_id: str, item: Item) -> bool:
        """Mend an element; answer False when it has to go."""
        element = values(item)[-1]
        if is_id(element_id) and (element is UNDEFINED or check_element(element) is None):
            return True
        if may_be_newer(element):
            raise NewerError
        if self._is_new(item) or item.shared is None:
            return False
        for one in wrong_fields(element):
            self._restore(item.shared, one, ("slides", slide_id, "elements", element_id))
        return True

    def _is_new(self, item: Item) -> bool:
        return item.clock >= self.known.get(item.client, 0)

    def _remove(self, item: Item) -> None:
        if self._is_new(item):
            self.deletes.append((item.client, item.clock, item.end))
            self.removed = True

    def _clean(self, order: Shared, gone: set[str]) -> None:
        """Delete from a list of ids those that are none, and of what is gone."""
        item = order.start
        while item is not None:
            if not item.deleted and self._is_new(item):
                for offset, one in enumerate(values(item)):
                    if not is_id(one) or one in gone:
                        clock = item.clock + offset
                        self.deletes.append((item.client, clock, clock + 1))
            item = item.right

    def _restore(self, shared: Shared, key: str, path: Sequence[str]) -> None:
        """Give an entry of a map the value that it had before."""
        now = shared.entries.get(key)
        if now is None or not self._is_new(now):
            return
        was = _at(self.before, path, key)
        if was is None:
            self.deletes.append((now.client, now.clock, now.end))
        elif was.kind == ANY:
            item = Item(ANY, self.client, len(self.items))
            item.origin, item.sub = (now.client, now.end - 1), key
            item.content, item.length = was.content, 1
            self.items.append(item)


def _there(shared: Shared | None, key: str, kind: int) -> Shared | None:
    """Return the shared type of this kind that a map holds under a key, if it does."""
    item = None if shared is None or shared.kind != MAP else shared.entries.get(key)
    if item is None or item.deleted or item.shared is None or item.shared.kind != kind:
        return None
    return item.shared


def _entries(shared: Shared) -> Iterator[tuple[str, Item]]:
    """Iterate over what a map holds; JavaScript sees nothing under `__proto__`."""
    for key, item in shared.entries.items():
        if not item.deleted and key != PROTO:
            yield key, item


def _at(root: Shared, path: Sequence[str], key: str) -> Item | None:
    """Return the item under a key of the map that a path leads to, if it is there."""
    shared: Shared | None = root
    for step in path:
        shared = _there(shared, step, MAP)
    item = None if shared is None else shared.entries.get(key)
    return None if item is None or item.deleted else item
