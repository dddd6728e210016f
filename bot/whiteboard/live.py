"""The live Yjs document: fed in causal order, and checked by what was touched.

Most updates are valid, and what they touch is little: checking the whole board, or a clone of it,
for each would cost the more the larger the board is.
"""

from __future__ import annotations

from typing import Any

from pycrdt import ArrayEvent, Doc, Map, MapEvent

from bot.whiteboard.content import plain, read_content
from bot.whiteboard.schema import check_document, check_element, is_id
from bot.whiteboard.update import Id, Structure, read_update

_NOTHING = (0, 0)


class Live:
    """A Yjs document that lacks nothing it builds on.

    Args:
        root_name: of its only root, which is the version.
        state: what it begins with, without gaps.

    Attributes:
        clocks: client → clock after the last struct it has.
    """

    def __init__(self, root_name: str, state: bytes) -> None:
        self._root_name = root_name
        self._doc: Doc[Any] = Doc()
        self._root: Map[Any] = self._doc.get(root_name, type=Map)
        self._doc.apply_update(state)
        self.clocks = {who: stop for who, (_, stop) in read_update(state).blocks.items()}
        self._events = 0
        self._touched: set[tuple[str, str]] = set()
        self._all_touched = False
        self._wrong: str | None = None
        self._root.observe_deep(self._notice)

    def state(self) -> bytes:
        """Return all of it as one update."""
        return bytes(self._doc.get_update())

    def state_vector(self) -> bytes:
        """Return its Yjs state vector."""
        return bytes(self._doc.get_state())

    def diff(self, state_vector: bytes) -> bytes:
        """Return the update that a document with this state vector lacks."""
        return bytes(self._doc.get_update(state_vector))

    def content(self) -> dict[str, Any]:
        """Return the board as people see it (`content.read_content`); it must be valid."""
        return read_content(self._root)

    def missing(self, structure: Structure) -> Id | None:
        """Return the last id of something that an update builds on and that has not come yet."""
        clocks, blocks = self.clocks, structure.blocks
        for who, (first, _) in blocks.items():
            if first > clocks.get(who, 0):
                return who, first - 1
        for who, stop in structure.needs.items():
            if stop > clocks.get(who, 0) and stop > blocks.get(who, _NOTHING)[1]:
                return who, stop - 1
        for who, _, stop in structure.deletes:
            if stop > clocks.get(who, 0) and stop > blocks.get(who, _NOTHING)[1]:
                return who, stop - 1
        return None

    def lacks(self, structure: Structure) -> bool:
        """Return whether anything that an update builds on has not come yet."""
        return structure.skips or self.missing(structure) is not None

    def feed(self, data: bytes, structure: Structure) -> bool:
        """Apply an update that `lacks` nothing; returns whether it brought anything."""
        clocks, events = self.clocks, self._events
        try:
            self._doc.apply_update(data)
        except (ValueError, RuntimeError):
            # What `read_update` cannot see: a parent that is no shared type, JSON that is none.
            self._wrong = "it cannot be applied"
            return True
        brought = self._events > events
        for who, (_, stop) in structure.blocks.items():
            if stop > clocks.get(who, 0):
                clocks[who] = stop
                brought = True
        # At once, so that one that is not valid cannot hide behind one that mends it. What needs
        # the whole board to be checked waits for `check`.
        if self._touched and self._wrong is None:
            self._wrong = self._check_touched()
        return brought

    def check(self) -> str | None:
        """Check what was fed since the last check; returns why it is not acceptable."""
        wrong, all_touched = self._wrong, self._all_touched
        self._wrong, self._all_touched = None, False
        return self.check_all() if wrong is None and all_touched else wrong

    def check_all(self) -> str | None:
        """Check the whole board."""
        return check_document(plain(self._root), self._root_name)

    def _notice(self, events: list[Any]) -> None:
        """Note what an update touches: elements one by one; anything else means all."""
        self._events += 1
        for event in events:
            kind = type(event)
            match event.path:
                case ["slides", slide, "elements", element]:
                    self._touched.add((slide, element))
                case ["slides", slide, "elements"] if kind is MapEvent:
                    self._touched.update((slide, key) for key in event.keys)
                case ["slides", _, "elementIds" | "frameElementIds"] if _ids_only(event):
                    pass
                case _:
                    self._all_touched = True

    def _check_touched(self) -> str | None:
        touched, self._touched = self._touched, set()
        if self._all_touched:
            return None  # slides themselves may be what is wrong: `check` looks at everything
        reasons = (self._check_one(slide_id, element_id) for slide_id, element_id in touched)
        return next((reason for reason in reasons if reason is not None), None)

    def _check_one(self, slide_id: str, element_id: str) -> str | None:
        elements = self._root["slides"][slide_id]["elements"]
        if element_id not in elements:
            return None  # deleted
        if not is_id(element_id):
            return "an element has an id that is not acceptable"
        return check_element(plain(elements[element_id]))


def _ids_only(event: Any) -> bool:
    """Return whether this is a list and everything inserted into it is an id."""
    kind = type(event)
    return kind is ArrayEvent and all(
        is_id(one) for part in event.delta for one in part.get("insert", ())
    )
