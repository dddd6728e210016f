"""However updates arrive, the document is what those who wrote them see."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Doc, Map, merge_updates

from bot.whiteboard.document import Document
from bot.whiteboard.update import read_state_vector
from bot.whiteboard.verdict import Verdict
from bot.whiteboard.versions import initial
from tests.unit.whiteboard.people import (
    NOTHING_YET,
    Person,
    loaded,
    plain,
    shape,
    texts,
    verdicts,
)

# pycrdt alone loses a key in 86 of the 120 orders of these (board.md, "pycrdt proof").
VECTOR = [
    bytes.fromhex(update)
    for update in (
        "0101e789a6e4d2f0950b00280101300161017c0000000000",
        "0101e789a6e4d2f0950b01a8e789a6e4d2f0950b00017c0000000001e789a6e4d2f0950b010001",
        "0101e789a6e4d2f0950b02a8e789a6e4d2f0950b01017c0000000001e789a6e4d2f0950b010101",
        "0101e789a6e4d2f0950b03a8e789a6e4d2f0950b02017c0000000001e789a6e4d2f0950b010201",
        "0101e789a6e4d2f0950b04280101300162017c0000000000",
    )
]
ACTIONS = ["add", "add", "write", "write", "remove", "hear"]
Step = tuple[int, str, int]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(ACTIONS), st.integers(0, 4)), max_size=14
)


def keys(state: bytes) -> dict[str, Any]:
    doc: Doc[Any] = Doc()
    root: Map[Any] = doc.get("0", type=Map)
    doc.apply_update(state)
    found: dict[str, Any] = plain(root.to_py())
    return {key: found[key] for key in found.keys() - {"slides", "slideIds"}}


def drawn(steps: list[Step]) -> tuple[list[bytes], Person]:
    """What three people send while they draw, in order; and somebody who heard all of it."""
    people = [Person(client) for client in (5, 6, 2**31 - 1)]
    sent: list[bytes] = []
    heard = [0, 0, 0]
    for who, action, number in steps:
        person, name = people[who], f"e{number}"
        if action == "hear":
            person.hear(*sent[heard[who] :])
            heard[who] = len(sent)
        elif action == "add":
            sent.append(person.add(name, text=f"{who}"))
        elif action == "write":
            sent.append(person.write(name, text=f"{who} {len(sent)}"))
        else:
            sent.append(person.remove(name))
    return sent, Person(9, "0", *sent)


@st.composite
def batches(draw: st.DrawFn, updates: list[bytes]) -> list[list[bytes]]:
    """The updates in any order, some twice, in batches."""
    arriving = draw(st.permutations(updates))
    if updates:
        arriving += draw(st.lists(st.sampled_from(updates), max_size=4))
    cuts = sorted(draw(st.sets(st.integers(0, len(arriving)), max_size=6)))
    bounds = [0, *cuts, len(arriving)]
    return [arriving[start:stop] for start, stop in pairwise(bounds)]


@given(STEPS, st.data())
@settings(deadline=None, max_examples=120)
def test_any_order_with_duplicates_is_the_same_as_in_order(
    steps: list[Step], data: st.DataObject
) -> None:
    sent, all_heard = drawn(steps)
    document = Document()
    for batch in data.draw(batches(sent)):
        assert "R" not in verdicts(document, batch)
    assert document.content() == all_heard.content()
    assert read_state_vector(document.state_vector()) == read_state_vector(
        bytes(all_heard.doc.get_state())
    )
    assert (document.waiting, document.has_gap) == (0, False)
    assert loaded(document.encode()) == all_heard.content()


@given(STEPS, st.data())
@settings(deadline=None, max_examples=120)
def test_what_was_lost_is_healed_by_a_snapshot(steps: list[Step], data: st.DataObject) -> None:
    sent, all_heard = drawn(steps)
    document = Document()
    came = data.draw(st.lists(st.sampled_from(sent))) if sent else []
    for batch in data.draw(batches(came)):
        assert "R" not in verdicts(document, batch)
    assert document.merge_snapshot(all_heard.state()).verdict is not Verdict.REFUSED
    assert document.content() == all_heard.content()
    assert not document.has_gap
    assert document.merge_snapshot(all_heard.state()).verdict is Verdict.KNOWN


@given(STEPS, st.data())
@settings(deadline=None, max_examples=120)
def test_nothing_that_waits_is_left_out_of_the_bytes(
    steps: list[Step], data: st.DataObject
) -> None:
    sent, all_heard = drawn(steps)
    document = Document()
    late = data.draw(st.lists(st.sampled_from(sent))) if sent else []
    document.apply([update for update in sent if update not in late])
    again = Document(document.encode())
    other = Document()
    assert other.merge_snapshot(document.encode()).verdict is not Verdict.REFUSED
    for one in (document, again, other):
        assert "R" not in verdicts(one, late)
        assert one.content() == all_heard.content()
        assert (one.waiting, one.has_gap) == (0, False)


@pytest.mark.parametrize("batched", [True, False])
def test_the_vector_that_pycrdt_alone_loses_in_all_orders(*, batched: bool) -> None:
    for order in permutations(VECTOR):
        document = Document()
        for batch in [list(order)] if batched else [[update] for update in order]:
            document.apply(batch)
        assert keys(document.diff(NOTHING_YET)) == {"a": 0, "b": 0}
        assert keys(document.encode()) == {"a": 0, "b": 0}


def test_what_builds_on_something_missing_waits_for_it() -> None:
    alice = Person(5)
    add, write, again = alice.add("a"), alice.write("a", text="1"), alice.write("a", text="2")
    document = Document()
    assert verdicts(document, [write, again, write]) == "WWK"
    assert (document.waiting, document.has_gap, texts(document)) == (2, True, {})
    assert verdicts(document, [add]) == "C"
    assert (document.waiting, document.has_gap, texts(document)) == (0, False, {"a": "2"})


def test_what_was_heard_from_somebody_else_is_a_cause_too() -> None:
    alice, bob = Person(5), Person(6)
    add = alice.add("a")
    bob.hear(add)
    write, remove = bob.write("a", text="bob"), bob.remove("a")
    document = Document()
    assert verdicts(document, [remove, write]) == "WW"
    assert verdicts(document, [add]) == "C"
    assert texts(document) == {}
    assert document.content() == bob.content()


def test_what_is_there_is_known() -> None:
    alice = Person(5)
    add, write, remove = alice.add("a"), alice.write("a", text="1"), alice.remove("a")
    document = Document()
    assert verdicts(document, [initial("0"), add, add, write]) == "KCKC"
    assert verdicts(document, [b"\0\0", remove, remove, add, alice.state()]) == "KCKKK"


def test_a_deletion_waits_for_what_it_deletes() -> None:
    alice, bob = Person(5), Person(6)
    add = alice.add("a")
    bob.hear(add)
    remove = bob.remove("a")  # nothing but deleted ranges
    assert remove.startswith(b"\0")
    document = Document()
    assert verdicts(document, [remove]) == "W"
    assert verdicts(document, [add]) == "C"
    assert texts(document) == {}
    assert verdicts(document, [remove]) == "K"


@pytest.mark.parametrize("lost", range(4))
def test_a_snapshot_written_while_its_writer_waited(lost: int) -> None:
    alice = Person(5)
    sent = [alice.add("a"), alice.write("a", text="1"), alice.add("b"), alice.write("b", text="2")]
    came = [update for number, update in enumerate(sent) if number != lost]
    snapshot = bytes(merge_updates(initial("0"), *came))
    document = Document()
    assert document.merge_snapshot(snapshot).verdict is not Verdict.REFUSED
    assert document.has_gap == (lost < 3)
    assert texts(document) == [{}, {"a": ""}, {"a": "1"}, {"a": "1", "b": ""}][lost]
    kept = Document(document.encode())
    for one in (document, kept):
        assert verdicts(one, [sent[lost]]) == "C"
        assert texts(one) == {"a": "1", "b": "2"}
        assert (one.waiting, one.has_gap) == (0, False)


def test_an_update_with_a_gap_inside() -> None:
    alice = Person(5)
    add, write, again = alice.add("a"), alice.write("a", text="1"), alice.write("a", text="2")
    document = Document()
    assert verdicts(document, [bytes(merge_updates(add, again))]) in {"W", "C"}
    assert document.has_gap
    assert verdicts(document, [write]) == "C"
    assert texts(document) == {"a": "2"}
    assert not document.has_gap


def test_the_difference_is_what_the_other_lacks() -> None:
    alice = Person(5)
    document = Document()
    document.apply([alice.add("a")])
    before = document.state_vector()
    other = Document(document.encode())
    document.apply([alice.add("b")])
    assert verdicts(other, [document.diff(before)]) == "C"
    assert other.content() == document.content()
    assert other.state_vector() == document.state_vector()


def test_what_came_between_two_waits_for_both() -> None:
    alice = Person(5)
    add = alice.add("a")
    carol = Person(6, "0", add)
    behind = carol.add("c")
    bob = Person(7, "0", add, behind)

    def between() -> None:
        bob.elements["b"] = Map(shape())
        bob.order.insert(1, "b")

    document = Document()
    document.apply([add])
    document.merge_snapshot(bob.do(between))  # of which is taken what can be
    assert document.has_gap
    assert list(texts(document)) == ["a"]
    document.apply([behind])
    assert list(texts(document)) == ["a", "b", "c"]
