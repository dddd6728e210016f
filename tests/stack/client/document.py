"""A board's document as a NeoBoard client holds it.

pycrdt loses keys when updates come out of order, so the truth is the merged bytes: the live
document is made anew from them after each change from outside. Waiting updates stay in the bytes,
as they stay in a Yjs document. tests/peers/test_documents.py compares it with real Yjs.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pycrdt import Doc, Map, get_update, merge_updates

from bot.errors import InvalidUpdate
from bot.whiteboard.replica import Replica
from bot.whiteboard.schema import check_document
from bot.whiteboard.update import read_update, write_update
from tests.stack.client.yjs import Glance, glance

_INITIAL = {
    "0": (
        "010600002701013006736c69646573012700000015494e3468373473754d6949414b3441564d41646c5f"
        "012700000108656c656d656e747301270000010a656c656d656e74496473002701013008736c69646549"
        "64730008000004017715494e3468373473754d6949414b3441564d41646c5f00"
    ),
    "1": (
        "010700002701013106736c69646573012700000015494e3468373473754d6949414b3441564d41646c5f"
        "012700000108656c656d656e747301270000010a656c656d656e74496473002701013108736c69646549"
        "64730008000004017715494e3468373473754d6949414b3441564d41646c5f270000010f6672616d6545"
        "6c656d656e744964730000"
    ),
}

Root = Map[Any]


class Refused(Exception):
    """Raised when NeoBoard would drop an update or skip a snapshot."""


def initial(version: str) -> bytes:
    """The fixed bytes that every document of a version starts from."""
    return bytes.fromhex(_INITIAL[version])


class BoardDocument:
    """One person's copy of a board.

    Args:
        version: `0` (slides) or `1` (infinite canvas): the deployment decides, not the room.
        client_id: of the changes made here; by default a random one of 32 bits, as Yjs takes.
    """

    def __init__(self, version: str = "0", client_id: int | None = None) -> None:
        self.version = version
        self.client_id = client_id or secrets.randbits(32) or 1
        self.data = initial(version)
        self._doc = self._open(self.data)

    def content(self) -> dict[str, Any]:
        """What is on the board: slides and their elements, in order, with their ids."""
        root = self._read(self._doc)
        return {"slides": [_slide(*found) for found in _ordered(root["slideIds"], root["slides"])]}

    @property
    def waiting(self) -> bool:
        """Whether updates wait for one that is missing."""
        return glance(get_update(self.data, self._doc.get_state())).structs > 0

    def glance(self) -> Glance:
        """What it is made of, waiting updates included."""
        return glance(self.data)

    def receive(self, update: bytes) -> None:
        """Merges somebody's change.

        Raises:
            Refused: it is no update, or the document would not be valid with it.
        """
        self._merge(update, self.data)

    def load(self, snapshot: bytes) -> bool:
        """Merges a snapshot; returns whether the document holds more than that snapshot.

        Raises:
            Refused: it is not a valid document of this version by itself.
        """
        found = self._merge(snapshot, b"")
        return self.glance().more_than(found)

    def change(self, edit: Callable[[Root], None]) -> bytes:
        """Makes a change here and returns its update."""
        updates: list[bytes] = []
        subscription = self._doc.observe(lambda event: updates.append(event.update))
        with self._doc.transaction():
            edit(self._root(self._doc))
        self._doc.unobserve(subscription)
        update = merge_updates(*updates)
        self.data = merge_updates(self.data, update)
        return update

    def _merge(self, update: bytes, base: bytes) -> Glance:
        try:
            found = glance(update)
            candidate = self._open(merge_updates(base, update) if base else update)
        except (ValueError, InvalidUpdate) as error:
            raise Refused("it is no update") from error
        if found.has_null:
            raise Refused("it writes null")
        if not base and found.roots != {self.version}:
            raise Refused("it is no document of this version")
        reason = check_document(self._read(candidate), self.version)
        if reason is not None:
            raise Refused(reason)
        self.data = merge_updates(self.data, update)
        self._doc = candidate if base else self._open(self.data)
        return found

    def _open(self, data: bytes) -> Doc[Any]:
        doc: Doc[Any] = Doc(client_id=self.client_id)
        # Of bytes with a gap pycrdt would integrate what is behind it, too.
        replica = Replica(self.version)
        replica.integrate(read_update(data))
        doc.apply_update(write_update(replica.store.blocks(), replica.store.deletes()))
        return doc

    def _root(self, doc: Doc[Any]) -> Root:
        root: Root = doc.get(self.version, type=Map)
        return root

    def _read(self, doc: Doc[Any]) -> dict[str, Any]:
        root = self._root(doc).to_py() or {}
        for slide in _objects(root.get("slides")):
            _drop_undefined(slide)
            for element in _objects(slide.get("elements")):
                _drop_undefined(element)
        return root


def _objects(found: object) -> list[dict[str, Any]]:
    values = found.values() if isinstance(found, dict) else ()
    return [value for value in values if isinstance(value, dict)]


def _drop_undefined(found: dict[str, Any]) -> None:
    # A null was refused before; what is left is JavaScript's undefined.
    for key in [key for key, value in found.items() if value is None]:
        del found[key]


def _ordered(ids: Sequence[str], found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Doubled ids count once, where they come first; ids of nothing do not count."""
    return [(one, found[one]) for one in dict.fromkeys(ids) if one in found]


def _slide(slide_id: str, slide: Mapping[str, Any]) -> dict[str, Any]:
    elements = _ordered(slide["elementIds"], slide["elements"])
    content = {"id": slide_id, "elements": [{"id": one, **element} for one, element in elements]}
    if "lock" in slide:
        content["lock"] = slide["lock"]
    return content
