"""Updates of somebody who wants to fill the memory, stop the bot or spoil the board."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.whiteboard import merger as module
from bot.whiteboard import waiting
from bot.whiteboard.document import Document
from bot.whiteboard.item import ANY, ARRAY, MAP, STRING, TYPE, Id
from bot.whiteboard.lib0 import write_number, write_text
from bot.whiteboard.update import MAX_CLOCK, MAX_STRUCTS, read_update
from bot.whiteboard.verdict import Outcome, Verdict
from tests.unit.whiteboard.craft import ONE, any_content, item, update
from tests.unit.whiteboard.people import Person
from tests.unit.whiteboard.test_hostile import MEGABYTE, bounded

ELEMENTS: Id = (0, 2)
ELEMENT_IDS: Id = (0, 3)
HUGE = 2**53 - 1


# -- updates ---------------------------------------------------------------------------------------


def ranges(number: int, client: int = 5, step: int = 2) -> bytes:
    written = (write_number(at * step) + b"\1" for at in range(number))
    return b"\0" + write_number(1) + write_number(client) + write_number(number) + b"".join(written)


def nested(depth: int) -> bytes:
    """A value in maps in maps."""
    return item(ANY, b"\1" + b"\x76\x01\x01a" * depth + ONE, ELEMENTS, "deep")


def chain(depth: int, client: int = 9) -> bytes:
    """Shared maps in shared maps."""
    structs = [item(TYPE, bytes([MAP]), ELEMENTS, "deep")]
    structs += [item(TYPE, bytes([MAP]), (client, clock), "a") for clock in range(depth)]
    return update((client, 0, structs))


def refers(origin: Id | None, parent: Id | None = None, right: Id | None = None) -> bytes:
    return item(ANY, any_content(ONE), parent, None, origin, right)


CYCLES = {
    "itself": update((1, 0, [refers((1, 0))])),
    "its own future": update((1, 0, [refers((1, 7))])),
    "each other": update((1, 0, [refers((2, 0))]), (2, 0, [refers((1, 0))])),
    "in a ring": update(*((n, 0, [refers((1 + n % 50, 0))]) for n in range(1, 51))),
    "parents": update(
        (1, 0, [item(TYPE, bytes([MAP]), (2, 0), "a")]),
        (2, 0, [item(TYPE, bytes([ARRAY]), (1, 0), "a")]),
    ),
    "its own parent": update((1, 0, [item(TYPE, bytes([MAP]), (1, 0), "a")])),
    "left is right": update(
        (1, 0, [item(ANY, any_content(ONE), ELEMENT_IDS)]), (2, 0, [refers((1, 0), None, (1, 0))])
    ),
    "right before left": update(
        (
            1,
            0,
            [
                item(ANY, any_content(ONE), ELEMENT_IDS),
                refers((1, 0)),
                refers((1, 1), None, (1, 0)),
            ],
        )
    ),
    "neighbours of different parents": update(
        (1, 0, [item(ANY, any_content(ONE), ELEMENT_IDS), item(ANY, any_content(ONE), (0, 4))]),
        (2, 0, [refers((1, 0), None, (1, 1))]),
    ),
}
NUMBERS = {
    "a client": update((2**64, 0, [refers(None, ELEMENT_IDS)])),
    "a clock": update((1, HUGE, [refers(None, ELEMENT_IDS)])),
    "the last clock": update((1, MAX_CLOCK, [refers(None, ELEMENT_IDS)])),
    "a length": update((1, 0, [b"\0" + write_number(MAX_CLOCK)])),
    "a length beyond": update((1, 0, [b"\0" + write_number(HUGE)])),
    "an origin": update((1, 0, [refers((3, HUGE))])),
    "a deletion": update(deletes=[(1, HUGE, HUGE)]),
    "a deletion of all": update(deletes=[(0, 0, MAX_CLOCK)]),
    "blocks": write_number(HUGE) + b"\1" * 100,
    "structs": b"\1" + write_number(HUGE) + b"\1\0" + b"\0\1" * 100,
    "ranges": b"\0\1\1" + write_number(HUGE) + b"\0\1" * 100,
    "a text": update((1, 0, [item(STRING, write_number(HUGE), ELEMENT_IDS)])),
    "values": update((1, 0, [item(ANY, write_number(HUGE), ELEMENT_IDS)])),
}
BOMBS: dict[str, Callable[[], bytes]] = {  # made when they are needed: that takes a while
    "ranges": lambda: ranges(2_000_000),
    "one range five million times": lambda: (
        b"\0\1\5" + write_number(5_000_000) + b"\0\1" * 5_000_000
    ),
    "clients without ranges": lambda: b"\0" + write_number(2_000_000) + b"\1\0" * 2_000_000,
    "structs": lambda: update((7, 0, [b"\0\1"] * (MAX_STRUCTS + 1))),
    "maps in maps": lambda: update((1, 0, [nested(10_000)])),
    "lists in lists": lambda: update(
        (1, 0, [item(ANY, b"\1" + b"\x75\x01" * 10_000 + ONE, ELEMENTS, "a")])
    ),
    "shared maps in shared maps": lambda: chain(10_000),
    "a text": lambda: update((1, 0, [item(STRING, write_text("x" * 5_000_000), ELEMENT_IDS)])),
    "NaN": lambda: update((1, 0, [item(ANY, b"\1\x7b\x7f\xf8" + bytes(6), ELEMENT_IDS)])),
    "infinity": lambda: update((1, 0, [item(ANY, b"\1\x7b\x7f\xf0" + bytes(6), ELEMENT_IDS)])),
}


def shown(document: Document) -> list[str]:
    """The names of the elements people see."""
    return [one["id"] for one in document.content()["slides"][0]["elements"]]


def attacked(data: bytes) -> tuple[Document, Person]:
    """A document that was given this, and who had drawn on it before."""
    alice = Person(77)
    document = Document(alice.state())
    document.apply([alice.add("before")])
    with bounded():
        outcomes = [document.merge_snapshot(data), *document.apply([data, data])]
    assert all(
        one.verdict in {Verdict.REFUSED, Verdict.WAITING, Verdict.KNOWN, Verdict.CHANGED}
        for one in outcomes
    )
    return document, alice


def unharmed(document: Document, alice: Person) -> None:
    """Somebody goes on drawing, and a newcomer sees it."""
    assert document.apply([alice.add("after")])[0].verdict is Verdict.CHANGED
    for data in (document.encode(), document.snapshot()):
        assert shown(Document(data)) == ["before", "after"]
    assert shown(document) == ["before", "after"]


@pytest.mark.parametrize(
    "data",
    [*CYCLES.values(), *NUMBERS.values()],
    ids=[*CYCLES, *(f"huge {one}" for one in NUMBERS)],
)
def test_hostile_updates(data: bytes) -> None:
    document, alice = attacked(data)
    if data != NUMBERS["a deletion of all"]:
        unharmed(document, alice)


@pytest.mark.no_cover  # millions of steps, each of which would be measured
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_harm_nobody(name: str) -> None:
    unharmed(*attacked(BOMBS[name]()))


@pytest.mark.parametrize(
    "name",
    [
        "ranges",
        "one range five million times",
        "structs",
        "maps in maps",
        "shared maps in shared maps",
        "NaN",
        "infinity",
    ],
)
def test_bombs_are_refused(name: str) -> None:
    assert Document().merge_snapshot(BOMBS[name]()).verdict is Verdict.REFUSED


@pytest.mark.no_cover  # 450,000 ranges
def test_what_waits_is_bounded_and_can_be_handed_on() -> None:
    """Together it exceeded what can be read: each checkpoint of the board failed."""
    alice = Person(77)
    document = Document(alice.state())
    document.apply([alice.add("before")])
    for number in range(30):
        document.apply([ranges(15_000, client=100 + number)])
    assert (document.waiting, document.lost) == (waiting.MAX_WEIGHT // 15_000, 29)
    unharmed(document, alice)


def test_a_document_never_has_more_items_than_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ITEMS", 3_000)
    alice = Person(77)
    document = Document(alice.state())
    document.apply([alice.add("before")])
    outcomes: list[Outcome] = []
    for number in range(100):
        slots = [item(TYPE, bytes([MAP]), "0", f"junk{number}-{n}") for n in range(100)]
        outcomes += document.apply([update((1000 + number, 0, slots))])
    held = read_update(document.encode())
    assert held.weight <= 3_000
    assert document.merge_snapshot(document.encode()).verdict is Verdict.KNOWN  # what is there fits
    assert shown(Document(document.encode())) == ["before"]


def test_gaps_and_lengths_of_millions_take_no_memory_for_each() -> None:
    document = Document()
    with bounded(10 * MEGABYTE):
        document.apply([update((1, 0, [b"\0" + write_number(2**30)]))])
        document.apply([update(deletes=[(1, 0, 2**30)])])
        document.encode()
        document.gaps()


def test_texts_that_are_bombs_in_many_small_updates() -> None:
    alice = Person(77)
    document = Document(alice.state(), max_bytes=MEGABYTE)
    updates = [alice.add(f"e{number}", text="x" * 50_000) for number in range(40)]
    assert Verdict.REFUSED in {one.verdict for one in document.apply(updates)}
    assert len(document.encode()) <= MEGABYTE
