"""A field that is written anew is judged as if everything were looked at."""

from __future__ import annotations

from itertools import product

import pytest

from bot.whiteboard import inspection
from bot.whiteboard.document import Document
from bot.whiteboard.item import ANY, ARRAY, MAP, TYPE
from bot.whiteboard.lib0 import write_value
from tests.unit.whiteboard.craft import NULL, UNDEFINED, any_content, item, update
from tests.unit.whiteboard.people import verdicts

ELEMENTS = (0, 2)
WRITTEN = {
    "type": write_value("image"),
    "kind": write_value("circle"),
    "position": write_value({"x": 1, "y": 2.5}),
    "fillColor": write_value("red"),
    "text": write_value("a text"),
}
ODD = {"x": 1, "y": 2, "__proto__": {"x": "1"}}
VALUES = [
    UNDEFINED,
    NULL,
    *map(write_value, ("", "star", "circle", 5, 1e300, {"x": 1, "y": 2}, {"x": "1", "y": 2}, ODD)),
]
FIELDS = [*WRITTEN, "width", "rotation", "anything", "__proto__", "length"]


def element(where: tuple[int, int], key: str, *more: str) -> bytes:
    fields = {**WRITTEN, "type": write_value("shape")}
    fields |= {one: write_value({"x": 1, "y": 2}) for one in more}
    written = [item(ANY, any_content(value), (5, 0), field) for field, value in fields.items()]
    return update((5, 0, [item(TYPE, bytes([MAP]), where, key), *written]))


def listed() -> bytes:
    """An element with a list in which the map (5, 0) is."""
    fields = {**WRITTEN, "type": write_value("shape")}
    written = [item(ANY, any_content(value), (6, 0), field) for field, value in fields.items()]
    row = item(TYPE, bytes([ARRAY]), (6, 0), "anything")
    return update(
        (6, 0, [item(TYPE, bytes([MAP]), ELEMENTS, "b"), row, *written]),
        (5, 0, [item(TYPE, bytes([MAP]), (6, 1))]),
    )


def writes() -> list[bytes]:
    """Each field written, deleted, or made a shared type."""
    contents = [(ANY, any_content(value)) for value in VALUES]
    contents += [(TYPE, bytes([kind])) for kind in (MAP, ARRAY)]
    new = [
        update((9, 0, [item(kind, content, (5, 0), field)]))
        for field, (kind, content) in product(FIELDS, contents)
    ]
    return [*new, *(update(deletes=[(5, at, at + 1)]) for at in range(7))]


@pytest.mark.parametrize(
    "there",
    [
        element(ELEMENTS, "a"),
        element(ELEMENTS, "a", "__proto__"),
        element(ELEMENTS, "__proto__"),
        element((0, 0), "elements"),
        element((0, 0), "lock"),
        listed(),
    ],
    ids=["element", "inherits", "prototype", "elements", "lock", "listed"],
)
def test_a_written_field_is_judged_as_if_everything_were_looked_at(
    there: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = update(deletes=[(5, 0, 1)])
    changes = [[one] for one in writes()] + [[gone, one] for one in writes()]
    usual = [verdicts(Document(), [there, *each]) for each in changes]
    monkeypatch.setattr(inspection, "only_field", lambda _: None)
    assert [verdicts(Document(), [there, *each]) for each in changes] == usual
