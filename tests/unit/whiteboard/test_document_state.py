"""What a document is: its version, its bytes, what snapshots make of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, merge_updates

from bot.whiteboard.document import Document
from bot.whiteboard.trial import Trial
from bot.whiteboard.update import Structure
from bot.whiteboard.verdict import Verdict
from bot.whiteboard.versions import initial
from tests.unit.whiteboard.craft import seventh
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


def test_boards_of_a_later_version_are_kept_but_not_read() -> None:
    later, alice = Person(5), Person(6)
    root: Map[Any] = later.doc.get("7", type=Map)
    update = later.do(lambda: root.update({"slides": Map({})}))
    document = Document()
    assert document.merge_snapshot(later.state()).verdict is Verdict.REFUSED  # has two roots
    assert document.supported
    add = alice.add("a")
    assert verdicts(document, [add]) == "C"
    assert document.merge_snapshot(update).verdict is Verdict.WAITING
    assert document.merge_snapshot(update).verdict is Verdict.KNOWN
    assert (document.supported, document.version) == (False, None)
    assert document.content() == {"slides": []}
    write = alice.write("a", text="1")
    assert verdicts(document, [write, write, update]) == "WKW"
    kept = document.encode()
    assert document.snapshot() == kept
    again = Document(kept)
    assert (again.supported, again.encode()) == (False, kept)
    assert document.merge_snapshot(initial("0")).verdict is Verdict.CHANGED
    assert (document.supported, document.version) == (True, "0")
    assert texts(document) == {"a": "1"}
    assert document.merge_snapshot(update).verdict is Verdict.REFUSED
    assert document.supported


def test_what_is_kept_of_a_later_version_is_bounded() -> None:
    def state(client: int) -> bytes:
        later = Person(client)
        root: Map[Any] = later.doc.get("7", type=Map)
        return later.do(lambda: root.update({"text": "x" * 600}))

    document = Document(max_bytes=1_000)
    assert document.merge_snapshot(state(5)).verdict is Verdict.WAITING
    assert document.merge_snapshot(state(6)).verdict is Verdict.REFUSED


def test_what_is_drawn_before_the_version_is_certain_is_kept() -> None:
    alice = Person(5, "1")
    document = Document(max_bytes=20_000)
    sent = [alice.add(f"e{number}") for number in range(10)]
    bad = Person(6, "1").add("x", kind="star")
    assert [verdicts(document, [update, bad]) for update in sent] == ["CR"] * 10
    assert document.merge_snapshot(initial("1")).verdict is Verdict.CHANGED
    assert document.content() == alice.content()


def test_what_the_other_version_does_not_accept_is_given_up() -> None:
    alice = Person(5, "0")
    add_slide = alice.do(
        lambda: alice.root["slides"].update(
            {"s": Map({"elements": Map({}), "elementIds": Array([])})}
        )
    )
    document = Document()
    assert verdicts(document, [add_slide]) == "C"
    assert document.merge_snapshot(initial("1")).verdict is Verdict.CHANGED
    assert (document.version, document.lost, document.has_gap) == ("1", 1, True)


def test_where_people_have_the_later_version_a_copy_in_it_replaces_a_board() -> None:
    alice, bob = Person(5, "0"), Person(6, "1")
    alice.add("a")
    bob.add("copy")
    document = Document(alice.state(), default_version="1")
    document = document.merged(alice.state())[0]  # a copy knows it too
    assert document.version == "0"
    assert document.merge_snapshot(bob.state()).verdict is Verdict.CHANGED
    assert (document.version, texts(document)) == ("1", {"copy": ""})
    assert document.merge_snapshot(alice.state()).verdict is Verdict.REFUSED
    assert verdicts(document, [initial("0")]) == "R"


@pytest.mark.parametrize("version", ["1", "7"])
def test_a_snapshot_of_another_version_does_not_take_a_board_away(version: str) -> None:
    alice = Person(5, "0")
    alice.add("a")
    document = Document(alice.state())
    other = initial("1") if version == "1" else seventh()
    outcome = document.merge_snapshot(other)
    assert (outcome.verdict, outcome.other_version) == (Verdict.REFUSED, True)
    assert texts(document) == {"a": ""}
    assert verdicts(document, [alice.add("b")]) == "C"


def test_what_is_refused_leaves_nothing_behind() -> None:
    alice = Person(5)
    document = Document(initial("0"))
    for number in range(10):
        eve = Person(100 + number, "0", *alice.sent)
        assert verdicts(document, [alice.add(f"e{number}")]) == "C"
        before = document.encode()
        assert verdicts(document, [eve.add("x", kind="star")]) == "R"
        assert document.encode() == before


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
    assert document.has_gap


def test_a_snapshot_written_to_the_room_is_valid_while_something_waits() -> None:
    alice = Person(5)
    document = Document()
    document.apply([alice.add("a", text="0")])
    alice.write("a", text="1")
    document.apply([alice.add("c")])
    assert Document(document.snapshot()).content() == document.content()
    assert Document(document.snapshot()).waiting == 1
    bob = Person(6, "0", *alice.sent)
    bob.add("b")
    document.apply([bob.write("a", text="2")])  # deletes what is there
    assert document.waiting == 2
    assert Document(document.snapshot()).content() == document.content()
    # An update that deletes what is there, but whose new value has to wait.
    bob = Person(6, "0", alice.sent[0])
    document.apply([bob.write("a", text="2")])
    assert Document(document.snapshot()).content() == document.content()
    for one in (document, Document(document.encode())):
        one.apply([*alice.sent, *bob.sent])
        assert one.content() == Person(9, "0", *alice.sent, *bob.sent).content()
    document = Document()
    document.apply([alice.sent[0], alice.sent[2]])
    assert Document(document.encode()).waiting > 0
    assert Document(document.encode()).content() == document.content()


@pytest.mark.parametrize(("field", "accepted"), [("text", 0), ("width", 1), ("unknown", 1)])
def test_null_is_not_undefined(field: str, *, accepted: int) -> None:
    alice = Person(5)
    document = Document()
    document.apply([alice.add("a")])
    assert verdicts(document, [alice.write("a", **{field: None})]) == "RC"[accepted]
    assert (
        document.merge_snapshot(alice.state()).verdict is [Verdict.REFUSED, Verdict.KNOWN][accepted]
    )
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


def test_merging_into_a_copy_leaves_the_document_as_it_is() -> None:
    alice, bob = Person(7), Person(8)
    document = Document()
    first, lost, later = alice.add("a"), alice.add("lost"), alice.add("later")
    document.apply([first, later])
    before = document.encode(), document.waiting
    bob.add("b")
    other, outcome = document.merged(bob.state())
    assert outcome.verdict is Verdict.CHANGED
    assert (document.encode(), document.waiting) == before
    assert set(texts(other)) == {"a", "b"}
    assert other.waiting == 1
    other.apply([lost])
    assert set(texts(other)) == {"a", "b", "lost", "later"}
    # What brings nothing, or nothing good, needs no copy.
    same, outcome = other.merged(bob.state())
    assert (same, outcome.verdict) == (other, Verdict.KNOWN)
    for data in (b"nonsense", initial("1")[:-3]):
        same, outcome = other.merged(data)
        assert (same, outcome.verdict) == (other, Verdict.REFUSED)
    # What it has lost before is lost in the copy too.
    small = Document(max_bytes=len(first) + 400)
    while not small.lost:
        small.apply([alice.add(f"{small.lost}", text="x" * 300)])
    assert small.merged(Person(9).state())[0].has_gap == small.has_gap


def test_what_is_only_tried_is_in_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread that copies the document waits until it is as it was."""
    alice = Person(7)
    alice.add("a")
    document = Document(alice.state())
    before, tried, copies = document.content(), Trial.tried, list[Document]()
    thread = Thread(target=lambda: copies.append(document.copy()))

    @contextmanager
    def slowly(self: Trial, update: Structure) -> Iterator[str | None]:
        with tried(self, update) as reason:
            thread.start()
            thread.join(0.3)
            assert thread.is_alive()
            yield reason

    monkeypatch.setattr(Trial, "tried", slowly)
    assert document.preview(alice.remove("a")) != before
    thread.join()
    monkeypatch.undo()
    assert copies[0].content() == document.content() == before


def test_deletions_alone_are_merged_too() -> None:
    alice = Person(7)
    alice.add("a")
    document = Document(alice.state())
    alice.remove("a")
    other, outcome = document.merged(alice.state())
    assert outcome.verdict is Verdict.CHANGED
    assert (set(texts(document)), set(texts(other))) == ({"a"}, set())


def test_what_we_cannot_read_is_merged_too() -> None:
    strange: Doc[Any] = Doc(client_id=4)
    strange.get("7", type=Map)["slides"] = "other"
    document = Document(bytes(strange.get_update()))
    assert not document.supported
    other, _ = document.merged(bytes(strange.get_update()))
    assert not other.supported


def test_what_is_written_to_the_room_hides_no_old_value_while_the_new_one_waits() -> None:
    alice, document = Person(7), Document()
    document.apply([drawn := alice.add("a", text="old")])
    bob = Person(8, "0", drawn)
    bob.add("lost")
    assert verdicts(document, [bob.write("a", text="new")]) == "W"
    # How clients show that differs: the old value is deleted, the new one lacks what is before it.
    assert loaded(document.encode()) != document.content()
    assert loaded(document.snapshot()) == document.content()
    assert texts(document) == {"a": "old"}
