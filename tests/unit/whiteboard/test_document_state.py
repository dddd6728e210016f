"""What a document is: its version, its bytes, what snapshots make of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Map, merge_updates

from bot.whiteboard import document as module
from bot.whiteboard.document import Document, Verdict, initial
from tests.unit.whiteboard.people import FIRST_SLIDE, NOTHING_YET, Person, loaded, texts, verdicts


@pytest.mark.parametrize("version", ["0", "1"])
def test_a_board_nothing_is_known_of_has_one_empty_slide(version: str) -> None:
    document = Document(default_version=version)
    assert document.version is None
    assert document.encode() == document.snapshot() == initial(version)
    [slide] = document.content()["slides"]
    assert (slide["id"], slide["elements"]) == (FIRST_SLIDE, [])
    assert ("frameElementIds" in slide) == (version == "1")
    assert (document.waiting, document.lost, document.has_gap) == (0, 0, False)


def test_the_version_is_a_guess_until_a_snapshot_says_it() -> None:
    alice = Person(5, "1")
    add = alice.add("a", text="x")
    frames: Array[Any] = alice.slide["frameElementIds"]
    frame = alice.do(lambda: frames.append("a"))
    document = Document()
    assert verdicts(document, [add, frame]) == "CW"  # slides have no frames
    assert document.version == "0"
    assert document.merge_snapshot(initial("1")).verdict is Verdict.CHANGED
    assert document.version == "1"
    assert document.content() == alice.content()
    assert (document.waiting, document.has_gap) == (0, False)
    assert document.merge_snapshot(initial("0")).verdict is Verdict.REFUSED
    assert document.version == "1"


def test_a_refused_snapshot_of_the_other_version_changes_nothing() -> None:
    alice = Person(5, "1")
    alice.add("a", kind="star")
    document = Document()
    assert document.merge_snapshot(alice.state()).verdict is Verdict.REFUSED
    assert (document.version, document.encode()) == (None, initial("0"))


def test_one_who_knows_the_version_begins_with_it() -> None:
    alice = Person(5, "1")
    alice.add("a")
    document = Document(alice.state())
    assert document.version == "1"
    assert document.content() == alice.content()


def test_boards_of_a_later_version_are_not_supported() -> None:
    later = Person(5)
    root: Map[Any] = later.doc.get("7", type=Map)
    update = later.do(lambda: root.update({"slides": Map({})}))
    document = Document()
    for snapshot in (update, later.state()):  # the latter has two roots
        assert document.merge_snapshot(snapshot).verdict is Verdict.REFUSED
        assert not document.supported
    assert document.merge_snapshot(initial("0")).verdict is not Verdict.REFUSED
    assert document.supported
    assert document.merge_snapshot(update).verdict is Verdict.REFUSED
    assert document.supported


def test_what_is_drawn_before_the_version_is_certain_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_LOG", 3)
    alice = Person(5, "1")
    document = Document(max_bytes=20_000)
    sent = [alice.add(f"e{number}") for number in range(10)]
    bad = Person(6, "1").add("x", kind="star")
    assert [verdicts(document, [update, bad]) for update in sent] == ["CR"] * 10
    assert document.merge_snapshot(initial("1")).verdict is Verdict.CHANGED
    assert document.content() == alice.content()


def test_what_is_drawn_before_the_version_is_certain_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_LOG", 3)
    alice = Person(5)
    document = Document(max_bytes=5_000)
    # The same field again and again: the document itself stays small.
    sent = [alice.add("a"), *(alice.write("a", text="x" * 200) for _ in range(100))]
    found = "".join(verdicts(document, [update]) for update in sent)
    assert found.startswith("C" * 15)
    assert found.endswith("R")
    assert document.merge_snapshot(alice.state()).verdict is Verdict.CHANGED
    assert verdicts(document, [alice.write("a", text="y")]) == "C"


def test_the_state_to_return_to_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LOG", 3)
    alice = Person(5)
    document = Document(initial("0"))
    for number in range(10):
        assert verdicts(document, [alice.add(f"e{number}")]) == "C"
        assert verdicts(document, [Person(100 + number).add("x", kind="star")]) == "R"
        assert document.content() == alice.content()


def test_a_snapshot_brings_something_or_nothing() -> None:
    alice = Person(5)
    add = alice.add("a")
    document = Document()
    assert document.merge_snapshot(alice.state()).verdict is Verdict.CHANGED
    assert document.merge_snapshot(alice.state()).verdict is Verdict.KNOWN
    assert document.merge_snapshot(initial("0")).verdict is Verdict.KNOWN
    assert document.merge_snapshot(bytes(merge_updates(initial("0"), add))).verdict is Verdict.KNOWN
    alice.remove("a")
    assert document.merge_snapshot(alice.state()).verdict is Verdict.CHANGED
    assert texts(document) == {}


def test_a_snapshot_may_bring_only_what_waits() -> None:
    alice = Person(5)
    alice.add("a")
    write = alice.write("a", text="1")
    snapshot = bytes(merge_updates(initial("0"), write))
    document = Document(initial("0"))
    assert document.merge_snapshot(snapshot).verdict is Verdict.WAITING
    assert document.merge_snapshot(snapshot).verdict is Verdict.KNOWN
    assert verdicts(document, [Person(6).add("b")]) == "C"
    assert document.has_gap


def test_a_snapshot_written_to_the_room_is_valid_while_something_waits() -> None:
    alice = Person(5)
    document = Document()
    document.apply([alice.add("a", text="0")])
    alice.write("a", text="1")
    document.apply([alice.add("c")])
    assert Document(document.snapshot()).waiting == 1
    # An update that deletes what is there, but whose new value has to wait.
    bob = Person(6, "0", alice.sent[0])
    bob.add("b")
    document.apply([bob.write("a", text="2")])
    assert document.waiting == 2
    assert loaded(document.snapshot()) == document.content()
    assert Document(document.encode()).content() == document.content()
    for one in (document, Document(document.encode())):
        one.apply([*alice.sent, *bob.sent])
        assert one.content() == Person(9, "0", *alice.sent, *bob.sent).content()


@pytest.mark.parametrize("field", ["text", "width", "unknown"])
def test_null_is_refused(field: str) -> None:
    alice = Person(5)
    document = Document()
    document.apply([alice.add("a")])
    outcome = document.apply([alice.write("a", **{field: None})])[0]
    assert (outcome.verdict, outcome.reason) == (Verdict.REFUSED, "a field is null")
    outcome = document.merge_snapshot(alice.state())
    assert (outcome.verdict, outcome.reason) == (Verdict.REFUSED, "a field is null")
    alice.write("a", **{field: 1.0 if field == "width" else "1"})
    whole = bytes(merge_updates(initial("0"), *alice.sent))  # the null is in it still, deleted
    assert document.merge_snapshot(whole).verdict is Verdict.CHANGED
    assert document.content() == alice.content()


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
    assert loaded(document.diff(NOTHING_YET)) == document.content()


@given(st.integers(0, 300), st.binary(max_size=4))
@settings(deadline=None, max_examples=200)
def test_a_broken_snapshot_is_refused_or_leaves_a_valid_board(place: int, put: bytes) -> None:
    alice = Person(5)
    document = Document()
    document.apply([alice.add("a")])
    alice.write("a", text="1")
    state = alice.state()
    before = document.content()
    outcome = document.merge_snapshot(state[:place] + put + state[place + len(put) :])
    assert document.content() == before or outcome.verdict is Verdict.CHANGED
    assert Document(document.encode()).content() == document.content()
