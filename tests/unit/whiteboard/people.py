"""People who draw: pycrdt documents as NeoBoard keeps them, whose updates tests deliver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pycrdt import Array, Doc, Map

from bot.whiteboard.document import Document
from bot.whiteboard.versions import initial

FIRST_SLIDE = "IN4h74suMiIAK4AVMAdl_"
NOTHING_YET = b"\0"
"""The state vector of an empty document."""


def shape(**fields: Any) -> dict[str, Any]:
    """A valid element."""
    return {
        "type": "shape",
        "kind": "rectangle",
        "position": {"x": 1.0, "y": 2.0},
        "fillColor": "#fff",
        "text": "",
        **fields,
    }


def plain(value: Any) -> Any:
    """A value as JSON has it: integral numbers are integers, undefined is absent."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def as_seen(root: Map[Any]) -> dict[str, Any]:
    """What people see of a pycrdt document."""
    board = plain(root.to_py())
    slides = []
    for name in dict.fromkeys(one for one in board["slideIds"] if one in board["slides"]):
        slide = board["slides"][name]
        elements = slide.pop("elements")
        order = dict.fromkeys(one for one in slide.pop("elementIds") if one in elements)
        shown = [{**elements[one], "id": one} for one in order]
        slides.append({"id": name, "elements": shown, **slide})
    return {"slides": slides}


class Person:
    """Somebody who has the board open; every action returns the update it makes."""

    def __init__(self, client: int, version: str = "0", *known: bytes) -> None:
        self.doc: Doc[Any] = Doc(client_id=client)
        self.root: Map[Any] = self.doc.get(version, type=Map)
        self.sent: list[bytes] = []
        for update in (initial(version), *known):
            self.doc.apply_update(update)

    def do(self, change: Callable[[], None]) -> bytes:
        """Make a change in one transaction."""
        made: list[bytes] = []
        watching = self.doc.observe(lambda event: made.append(bytes(event.update)))
        with self.doc.transaction():
            change()
        self.doc.unobserve(watching)
        self.sent += made
        return made[0] if made else b"\0\0"

    def hear(self, *updates: bytes) -> None:
        for update in updates:
            self.doc.apply_update(update)

    @property
    def slide(self) -> Map[Any]:
        found: Map[Any] = self.root["slides"][FIRST_SLIDE]
        return found

    @property
    def elements(self) -> Map[Any]:
        found: Map[Any] = self.slide["elements"]
        return found

    @property
    def order(self) -> Array[Any]:
        found: Array[Any] = self.slide["elementIds"]
        return found

    def add(self, name: str, **fields: Any) -> bytes:
        def change() -> None:
            self.elements[name] = Map(shape(**fields))
            self.order.append(name)

        return self.do(change)

    def write(self, name: str, **fields: Any) -> bytes:
        """Change fields of an element, if it is still there."""

        def change() -> None:
            if name in self.elements:
                self.elements[name].update(fields)

        return self.do(change)

    def remove(self, name: str) -> bytes:
        def change() -> None:
            if name in self.elements:
                del self.elements[name]
                places = list(self.order)
                if name in places:
                    del self.order[places.index(name)]

        return self.do(change)

    def state(self) -> bytes:
        return bytes(self.doc.get_update())

    def content(self) -> dict[str, Any]:
        return as_seen(self.root)


def texts(document: Document) -> dict[str, str]:
    """What is written on the first slide, by element, in order."""
    slide = document.content()["slides"][0]
    return {element["id"]: element["text"] for element in slide["elements"]}


def verdicts(document: Document, updates: Sequence[bytes]) -> str:
    """The initials of the verdicts: C(hanged) K(nown) W(aiting) R(efused)."""
    return "".join(outcome.verdict.name[0] for outcome in document.apply(updates))


def loaded(data: bytes, version: str = "0") -> dict[str, Any]:
    """The content of a state, as a fresh client reads it."""
    doc: Doc[Any] = Doc()
    root: Map[Any] = doc.get(version, type=Map)
    doc.apply_update(data)
    return as_seen(root)
