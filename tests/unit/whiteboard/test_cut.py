"""An update is cut in front of what is missing; tests/peers/test_documents.py asks real Yjs."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, merge_updates

from bot.errors import InvalidUpdate
from bot.whiteboard.cut import Cut, cut
from bot.whiteboard.document import initial
from bot.whiteboard.update import read_update
from tests.unit.whiteboard.people import Person

ALICE, BOB = 5, 300
BASE = initial("0")
KNOWN = {0: 6}


def clocks(update: bytes) -> dict[int, int]:
    return {client: stop for client, (_, stop) in read_update(update).blocks.items()}


def deleted(update: bytes) -> set[int]:
    """Alice's clocks that it deletes."""
    found = read_update(update).deletes
    return {clock for _, start, stop in found for clock in range(start, stop)}


def merged(*updates: bytes) -> bytes:
    return bytes(merge_updates(*updates))


def test_what_misses_nothing_is_not_cut() -> None:
    alice = Person(ALICE)
    whole = merged(BASE, alice.add("a"), alice.write("a", text="1"), alice.remove("a"))
    found = cut(whole, {})
    assert (clocks(found.head), found.rest, found.wants) == (clocks(whole), b"", ())
    assert read_update(found.head).deletes == read_update(whole).deletes


def test_what_is_known_is_in_neither_part() -> None:
    alice = Person(ALICE)
    first, second = alice.add("a"), alice.add("b")
    whole = merged(BASE, first, second)
    assert cut(whole, clocks(whole)) == Cut(b"", b"", ())
    half = cut(whole, {**KNOWN, **clocks(first)})
    assert read_update(half.head).blocks == read_update(second).blocks
    # Known up to the middle of one struct: it comes whole, and whoever takes it knows that.
    gone = b"\x01\x01\x05\x00\x00\x0a\x00"
    assert cut(gone, {ALICE: 4}).head == gone


def test_a_gap_is_known_by_what_it_lacks() -> None:
    alice = Person(ALICE)
    first, second, third = alice.add("a"), alice.add("b"), alice.add("c")
    found = cut(merged(BASE, first, third), {})
    assert clocks(found.head) == {**KNOWN, **clocks(first)}
    assert read_update(found.rest).blocks == read_update(third).blocks
    assert found.wants == ((ALICE, clocks(first)[ALICE]),)
    healed = cut(merged(found.rest, second), clocks(found.head))
    assert clocks(healed.head) == clocks(third)
    assert healed.rest == b""
    assert cut(second, {}).wants == ((ALICE, 0),)


def test_people_who_build_on_each_other_are_cut_where_the_first_cause_is_missing() -> None:
    alice, bob = Person(ALICE), Person(BOB)
    sent = [alice.add("a")]
    bob.hear(*sent)
    sent.append(bob.add("b"))
    alice.hear(sent[-1])
    sent.append(alice.add("c"))
    bob.hear(sent[-1])
    sent.append(bob.write("c", text="1"))
    assert cut(merged(BASE, *sent), {}).rest == b""
    for missing in range(len(sent)):
        there = [update for number, update in enumerate(sent) if number != missing]
        found = cut(merged(BASE, *there), {})
        reached = clocks(found.head)
        assert all(
            reached.get(client, 0) >= stop
            for update in sent[:missing]
            for client, stop in clocks(update).items()
        )
        doc: Doc[Any] = Doc()
        doc.apply_update(found.head)
        assert clocks(bytes(doc.get_update())) == reached


def test_while_something_waits_what_it_replaces_stays() -> None:
    alice = Person(ALICE)
    alice.add("a", text="0")
    alice.add("gone")
    alice.remove("gone")
    before = bytes(alice.doc.get_update())
    missing, change = alice.add("b"), alice.write("a", text="1")
    replaced = deleted(change)
    found = cut(merged(before, change), {})
    # What was deleted before does not come back.
    assert deleted(found.head) == deleted(before)
    assert deleted(found.rest) == replaced
    healed = cut(merged(found.rest, missing), clocks(found.head))
    assert deleted(healed.head) == replaced
    assert healed.rest == b""


def test_a_deletion_of_what_is_not_there_waits() -> None:
    alice = Person(ALICE)
    add = alice.add("a")
    remove = alice.remove("a")
    gone = deleted(remove)
    found = cut(remove, KNOWN)
    assert found.head == b""
    assert (ALICE, min(gone)) in found.wants
    assert deleted(found.rest) == gone
    partly = cut(remove, {**KNOWN, ALICE: min(gone) + 1})
    assert deleted(partly.head) == {min(gone)}
    assert (ALICE, min(gone) + 1) in partly.wants
    assert cut(remove, {**KNOWN, **clocks(add)}).rest == b""


def test_deletions_between_what_is_deleted_already() -> None:
    # Ten clocks of alice: 0-1 and 4-5 come deleted, the others live; bob waits for somebody.
    gone, live = b"\x00\x02", b"\x08\x01\x01a\x02\x7f\x7f"
    structs = gone + live + gone + b"\x84\x05\x03\x04xxxx"
    waits = b"\1\xac\2\0\x84\x07\x00\x01b"
    before = b"\x02" + waits + b"\x04\x05\x00" + structs
    found = cut(before + b"\x01\x05\x01\x00\x0a", {})
    assert deleted(found.head) == {0, 1, 4, 5}
    assert deleted(found.rest) == {2, 3, 6, 7, 8, 9}
    found = cut(before + b"\x01\x05\x01\x03\x02", {})
    assert (deleted(found.head), deleted(found.rest)) == ({4}, {3})


@given(st.binary(max_size=60))
def test_bytes_are_cut_or_refused(data: bytes) -> None:
    try:
        found = cut(data, {})
    except InvalidUpdate:
        return
    for part in (found.head, found.rest):
        if part:
            read_update(part)
