"""What people draw on a typical board: real updates, the same ones every time."""

from __future__ import annotations

from random import Random
from typing import Any

from pycrdt import Doc, Map

from tests.stack.client import edits, elements
from tests.stack.client.document import Root, initial
from tests.stack.client.edits import Edit

PEOPLE = 3
"""Who draw at the same time."""
_ADDED, _DELETED, _WRITTEN = 0.12, 0.16, 0.3
"""Shares of actions, each on top of the one before; all others move something that is new."""
_RECENT = 5
_ENOUGH = 300
"""Elements at once; then one goes for each that comes."""
_LATE = 0.05
_AT_MOST = 20
"""Updates that overtake one that is late."""


class Drawing:
    """A board on which people draw, each with a document of his own.

    Args:
        seed: of all that they decide.
        people: how many they are.
    """

    def __init__(self, seed: int, people: int = PEOPLE) -> None:
        self.updates: list[bytes] = []
        self._pick = Random(seed)
        self._docs: list[Doc[Any]] = []
        self._heard = [0] * people
        self._elements: list[str] = []
        for _ in range(people):
            doc: Doc[Any] = Doc(client_id=self._pick.getrandbits(31))
            doc.apply_update(initial("0"))
            doc.observe(lambda event: self.updates.append(bytes(event.update)))
            self._docs.append(doc)

    def draw(self, count: int) -> list[bytes]:
        """Let them act so often; return the updates in the order they were made."""
        before = len(self.updates)
        for _ in range(count):
            who = self._pick.randrange(len(self._docs))
            self._hear(who)
            self._act(self._docs[who], self._edit(len(self.updates)))
            self._heard[who] = len(self.updates)
        return self.updates[before:]

    def _hear(self, who: int) -> None:
        sent, missed = self.updates, self.updates[self._heard[who] :]
        self.updates = []  # what he hears he does not send
        for update in missed:
            self._docs[who].apply_update(update)
        self.updates = sent

    def _act(self, doc: Doc[Any], edit: Edit) -> None:
        root: Root = doc.get("0", type=Map)
        with doc.transaction():
            edit(root)

    def _edit(self, number: int) -> Edit:
        pick, there = self._pick, self._elements
        slide, chance = elements.FIRST_SLIDE, self._pick.random()
        full = len(there) >= _ENOUGH
        if (chance < _ADDED and not full) or not there:
            there.append(f"element-{number:013}")  # as long as the real ones
            return edits.add_element(slide, there[-1], _element(pick))
        if chance < _DELETED:
            gone = there.pop(pick.randrange(len(there)))
            return edits.delete_element(slide, gone)
        if chance < _WRITTEN:
            fields = {"text": "a few more words " * pick.randrange(9)}
            return edits.change_element(slide, pick.choice(there), fields)
        position = {"x": pick.uniform(0, 1900), "y": pick.uniform(0, 1000)}
        return edits.change_element(slide, pick.choice(there[-_RECENT:]), {"position": position})


def _element(pick: Random) -> elements.Element:
    at = (pick.uniform(0, 1800), pick.uniform(0, 1000))
    if pick.random() < 0.5:
        return elements.shape(at=at, size=(pick.uniform(20, 300), 200.0))
    stroke = [(pick.uniform(0, 200), pick.uniform(0, 200)) for _ in range(30)]
    return elements.path(stroke, at=at)


def large_board(count: int) -> bytes:
    """The state of a board with so many elements, drawn by one person."""
    pick = Random(count)
    doc: Doc[Any] = Doc(client_id=pick.getrandbits(31))
    doc.apply_update(initial("0"))
    root: Root = doc.get("0", type=Map)
    for number in range(count):
        edits.add_element(elements.FIRST_SLIDE, f"element-{number:013}", _element(pick))(root)
    return bytes(doc.get_update())


def with_gaps(updates: list[bytes]) -> list[bytes]:
    """The same, but one of 20 comes late: until then its author's later ones wait."""
    pick = Random(len(updates))
    places = [
        number + (pick.uniform(1, _AT_MOST) if pick.random() < _LATE else 0)
        for number in range(len(updates))
    ]
    return [updates[number] for number in sorted(range(len(updates)), key=places.__getitem__)]
