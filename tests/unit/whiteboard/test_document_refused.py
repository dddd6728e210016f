"""What NeoBoard would refuse never gets into the document, whatever comes with it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text, XmlFragment, merge_updates

from bot.whiteboard import waiting as module
from bot.whiteboard.document import Document
from bot.whiteboard.verdict import Verdict
from bot.whiteboard.versions import initial
from tests.unit.whiteboard.people import Person, loaded, plain, shape, texts, verdicts


def test_what_follows_a_refused_update_waits_until_a_snapshot_heals() -> None:
    alice, bob = Person(5), Person(6)
    add = alice.add("a", text="0")
    bad, repaired = alice.write("a", fillColor=""), alice.write("a", fillColor="#000", text="1")
    document = Document()
    assert verdicts(document, [add]) == "C"
    before = document.content()
    outcome = document.apply([bad])[0]
    assert (outcome.verdict, outcome.reason) == (
        Verdict.REFUSED,
        "shape: fillColor is not acceptable",
    )
    assert loaded(document.encode()) == before
    assert verdicts(document, [repaired, bad]) == "WR"
    assert verdicts(document, [bob.add("b")]) == "C"
    assert texts(document) == {"a": "0", "b": ""}
    assert document.has_gap
    assert document.merge_snapshot(alice.state()).verdict is Verdict.CHANGED
    assert texts(document) == {"a": "1", "b": ""}
    assert (document.waiting, document.has_gap) == (0, False)
    assert verdicts(document, [alice.write("a", text="2")]) == "C"


def test_what_waits_in_part_is_refused_at_once_for_the_part_that_does_not() -> None:
    """A client integrates that part, and so does who reads what we write."""
    alice, bob = Person(5), Person(6)
    bob.add("lost")
    mixed = merge_updates(alice.add("a", fillColor=""), bob.add("b"))
    document = Document()
    assert verdicts(document, [mixed]) == "R"
    assert document.waits() == []
    fine = merge_updates(Person(7).add("c"), bob.add("d"))
    assert verdicts(document, [fine]) == "W"


def test_an_invalid_snapshot_changes_nothing() -> None:
    alice = Person(5)
    document = Document()
    document.apply([alice.add("a")])
    before = document.content()
    alice.write("a", fillColor="")
    assert document.merge_snapshot(alice.state()).verdict is Verdict.REFUSED
    assert loaded(document.encode()) == before


def test_one_refused_update_of_a_batch_costs_the_others_nothing() -> None:
    alice, bob = Person(5), Person(6)
    document = Document()
    batch = [
        alice.add("a"),
        alice.write("a", kind="star"),
        bob.add("b"),
        alice.write("a", kind="circle"),
        initial("0"),
        b"\xff",
        bob.write("b", text="1"),
    ]
    assert verdicts(document, batch) == "CRCWKRC"
    assert texts(document) == {"a": "", "b": "1"}


def test_an_invalid_one_that_waits_does_not_take_down_what_it_waited_for() -> None:
    alice = Person(5)
    add, bad, good = alice.add("a"), alice.write("a", text=5), alice.write("a", text="1")
    document = Document()
    assert verdicts(document, [good, bad]) == "WW"
    assert verdicts(document, [add]) == "C"
    assert texts(document) == {"a": ""}
    assert document.waiting == 1  # the good one, for the bad one


def test_an_invalid_one_that_waits_costs_the_others_that_wait_nothing() -> None:
    alice, bob, eve = Person(5), Person(6), Person(7)
    add = alice.add("a")
    bob.hear(add)
    eve.hear(add)
    document = Document()
    assert verdicts(document, [eve.write("a", text=5), bob.write("a", text="bob")]) == "WW"
    assert document.merge_snapshot(alice.state()).verdict is Verdict.CHANGED
    assert texts(document) == {"a": "bob"}


def test_many_invalid_ones_cost_nobody_else() -> None:
    alice = Person(5)
    add = alice.add("a")
    bad = [Person(9 + n, "0", add).write("a", kind="star") for n in range(200)]
    good = Person(1, "0", add).write("a", text="1")
    document = Document()
    assert set(verdicts(document, [*bad, good])) == {"W"}
    assert verdicts(document, [add]) == "C"
    assert texts(document) == {"a": "1"}
    assert (document.waiting, document.lost, document.has_gap) == (0, 0, False)
    assert set(verdicts(document, bad)) == {"R"}


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff\x7f", b"\0", b"\0\0\0", b"garbage"])
def test_what_is_no_update_is_refused(data: bytes) -> None:
    document = Document()
    assert verdicts(document, [data]) == "R"
    assert document.merge_snapshot(data).verdict is Verdict.REFUSED
    assert document.encode() == initial("0")


@given(st.binary(max_size=80), st.integers(0, 300), st.binary(max_size=3))
@settings(deadline=None, max_examples=300)
@example(b"\x01\x01\x05\x00\x00\x02\x00", 0, b"")
def test_bytes_never_raise(data: bytes, place: int, put: bytes) -> None:
    """Neither any bytes, nor what somebody wrote with a few bytes changed."""
    written = Person(5).add("a", text="text")
    place = min(place, len(written))
    for update in (data, written[:place] + put + written[place + len(put) :]):
        document = Document()
        document.apply([update])
        document.merge_snapshot(update)
        document.content()
        loaded(document.encode())


def test_a_root_of_another_kind_does_not_belong_to_a_board() -> None:
    document = Document()
    stranger = Person(5)
    other: Map[Any] = stranger.doc.get("7", type=Map)
    assert verdicts(document, [stranger.do(lambda: other.update({"a": 1.0}))]) == "R"
    assert document.merge_snapshot(stranger.state()).verdict is Verdict.REFUSED


def test_texts_that_yjs_cannot_parse_are_refused() -> None:
    format_that_is_no_json = bytes.fromhex("010109002600000201610161017800")
    document = Document()
    assert verdicts(document, [Person(5).add("a"), format_that_is_no_json]) == "CR"
    assert document.merge_snapshot(format_that_is_no_json).verdict is Verdict.REFUSED


def test_what_is_inside_something_that_holds_nothing_is_not_seen() -> None:
    alice = Person(5)
    inside_a_value = bytes.fromhex("01010900280000050161017800")
    document = Document()
    assert verdicts(document, [alice.add("a"), inside_a_value, inside_a_value]) == "CCK"
    assert document.content() == alice.content()
    assert Document(document.encode()).state_vector() == document.state_vector()


def slide(elements: Any = None, ids: Any = None) -> Map[Any]:
    return Map({"elements": elements or Map({}), "elementIds": ids or Array([])})


REFUSED: list[Any] = [
    lambda person: person.root.update({"slides": Array([])}),
    lambda person: person.root.pop("slides"),
    lambda person: person.root["slideIds"].append(5.0),
    lambda person: person.root["slides"].update({"": slide()}),
    lambda person: person.root["slides"].update({"s": slide(elements=["x"])}),
    lambda person: person.slide.pop("elements"),
    lambda person: person.slide.update({"lock": {}}),
    lambda person: person.order.append(""),
    lambda person: person.order.append(Map({})),
    lambda person: person.elements.update({"constructor": Map({})}),
    lambda person: person.elements.update({"a": 5.0}),
    lambda person: person.elements.update({"a": Map({"type": "shape"})}),
    lambda person: person.elements["old"].pop("type"),
    lambda person: person.elements["old"].update({"text": XmlFragment(), "fillColor": Map({})}),
]


@pytest.mark.parametrize("change", REFUSED)
def test_every_place_is_checked(change: Any) -> None:
    alice = Person(5)
    add = alice.add("old")
    document = Document()
    assert verdicts(document, [add, alice.do(lambda: change(alice))]) == "CR"
    assert document.content() == loaded(document.encode())
    assert document.merge_snapshot(alice.state()).verdict is Verdict.REFUSED


def attach(person: Person) -> None:
    person.root["more"] = Map({"x": Map({"elements": Array([]), "elementIds": Map({})})})
    person.root["slides"]["elementIds"] = slide()
    person.root["slideIds"].append("elementIds")
    person.elements["a"] = Map({"type": "path", "kind": "line", "strokeColor": "#0"})
    person.elements["a"].update({"position": Map({"x": 1.0, "y": 2.0}), "points": Array([])})


ACCEPTED: list[Any] = [
    lambda person: person.root["more"]["x"]["elements"].append("y"),
    lambda person: person.root["more"]["x"]["elementIds"].update({"y": 5.0}),
    lambda person: person.root["slides"]["elementIds"].update({"lock": {"userId": "@a:x"}}),
    lambda person: person.slide.update({"elementIds": ["a", "gone", "a"]}),
    lambda person: person.elements["a"]["points"].append(Map({"x": 1.0, "y": 2.0})),
    lambda person: person.elements["a"].update({"strokeColor": Text("red")}),
    lambda person: person.order.extend(["a", "b"]),
    lambda person: person.elements.update({"__proto__": Map({})}),  # invisible to JavaScript
]


@pytest.mark.parametrize("change", ACCEPTED)
def test_what_neoboard_never_writes_but_accepts(change: Any) -> None:
    alice = Person(5)
    document = Document()
    assert verdicts(document, [alice.do(lambda: attach(alice))]) == "C"
    assert verdicts(document, [alice.do(lambda: change(alice))]) == "C"
    assert document.content() == alice.content()


def test_what_no_board_has_is_left_out_where_it_is_accepted() -> None:
    alice = Person(5)
    add = alice.add("a")
    more = {"xml": XmlFragment(), "sub": Doc(), "bytes": b"1", "inf": float("inf"), "in": [b"1"]}
    change = alice.do(lambda: alice.elements["a"].update(more))
    document = Document()
    assert verdicts(document, [add, change]) == "CC"
    [element] = document.content()["slides"][0]["elements"]
    assert element == {**plain(shape()), "id": "a", "in": [None]}


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COUNT", 3)
    alice = Person(5)
    sent = [alice.add(f"e{number}") for number in range(6)]
    document = Document()
    assert verdicts(document, sent[1:]) == "WWWWW"
    assert (document.waiting, document.lost) == (3, 2)
    assert verdicts(document, sent[:1]) == "C"
    assert document.has_gap
    assert document.merge_snapshot(alice.state()).verdict is Verdict.CHANGED
    assert (document.waiting, document.lost, document.has_gap) == (0, 2, False)
    assert document.content() == alice.content()


def test_what_is_lost_is_counted_once_even_if_a_batch_is_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_COUNT", 1)
    alice, eve = Person(5), Person(6)
    alice.add("a")
    batch = [alice.add("b"), alice.add("c"), eve.add("x", kind="star")]
    document = Document()
    assert verdicts(document, batch) == "WWR"
    assert (document.waiting, document.lost) == (1, 1)


def test_size_is_bounded() -> None:
    alice, bob = Person(5), Person(6)
    document = Document(max_bytes=1_000)
    assert verdicts(document, [alice.add("a", text="x" * 400)]) == "C"
    outcome = document.apply([bob.add("b", text="x" * 700)])[0]
    assert (outcome.verdict, outcome.reason) == (
        Verdict.REFUSED,
        "the document would be too large",
    )
    assert document.merge_snapshot(bytes(1_001)).verdict is Verdict.REFUSED
    assert document.merge_snapshot(bob.state()).verdict is Verdict.REFUSED
    assert texts(document) == {"a": "x" * 400}


def test_what_waits_counts_as_size() -> None:
    alice = Person(5)
    alice.add("a")
    waits, more = alice.add("b", text="x" * 600), alice.add("c", text="x" * 600)
    document = Document(max_bytes=1_000)
    assert verdicts(document, [waits, more]) == "WR"
    snapshot = bytes(merge_updates(initial("0"), more))
    assert document.merge_snapshot(snapshot).verdict is Verdict.REFUSED
