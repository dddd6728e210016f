"""An author whom a refused update blocks is unblocked, and nothing else is lost by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Map

from bot.whiteboard import replica
from bot.whiteboard.document import Document
from bot.whiteboard.refused import Refused
from bot.whiteboard.repair import Kind, NewerError, Repair, repair
from bot.whiteboard.update import read_state_vector
from bot.whiteboard.verdict import Verdict
from tests.unit.whiteboard.craft import Scribbler
from tests.unit.whiteboard.people import FIRST_SLIDE, Person, loaded, shape, texts

OURS = 77


class Board:
    """A board as the bot has it, and what it refused."""

    def __init__(self, version: str = "0") -> None:
        self.document = Document(default_version=version)
        self.refused = Refused()
        self.bob = Person(6, version)

    def hear(self, *updates: bytes) -> str:
        outcomes = self.document.apply(updates)
        for update, outcome in zip(updates, outcomes, strict=True):
            self.bob.hear(update) if outcome.verdict is Verdict.CHANGED else None
            if outcome.verdict is Verdict.REFUSED:
                self.refused.add(update, self.document.root.name)
        return "".join(outcome.verdict.name[0] for outcome in outcomes)

    def repair(self) -> Repair | None:
        clocks = read_state_vector(self.document.state_vector())
        behind = self.refused.behind(self.document.causes(), clocks)
        assert list(behind) == [5]
        return repair(self.document, behind[5], self.document.waits(), OURS)

    def heal(self) -> Kind:
        """Repair, and see that the document, yjs and whoever has nothing yet agree."""
        found = self.repair()
        assert found is not None
        [outcome] = self.document.apply([found.update])
        assert outcome.verdict is Verdict.CHANGED
        assert (self.document.waiting, self.document.has_gap) == (0, False)
        self.bob.hear(found.update)
        assert self.bob.content() == self.document.content()
        assert loaded(self.document.encode(), self.document.root.name) == self.document.content()
        return found.kind


def test_an_invalid_element_is_removed_and_what_came_after_is_seen() -> None:
    board, alice = Board(), Person(5)
    updates = [alice.add("a"), alice.add("bad", fillColor=""), alice.add("c")]
    assert board.hear(*updates) == "CRW"
    assert board.heal() is Kind.REMOVED
    assert texts(board.document) == {"a": "", "c": ""}
    alice.hear(board.document.encode())
    assert alice.content() == board.document.content()
    assert board.hear(alice.add("d")) == "C"


def test_what_its_author_has_corrected_himself_is_kept() -> None:
    board, alice = Board(), Person(5)
    updates = [alice.add("a", fillColor=""), alice.write("a", fillColor="#000", text="mended")]
    assert board.hear(*updates) == "RW"
    assert board.heal() is Kind.CORRECTED
    assert texts(board.document) == {"a": "mended"}


def test_what_its_author_has_deleted_himself_needs_no_more() -> None:
    board, alice = Board(), Person(5)
    assert board.hear(alice.add("a", fillColor=""), alice.remove("a"), alice.add("b")) == "RWW"
    assert board.heal() is Kind.CORRECTED
    assert texts(board.document) == {"b": ""}


def test_a_field_that_was_spoiled_gets_its_old_value() -> None:
    board, alice = Board(), Person(5)
    old = alice.add("a", text="1")
    bad = alice.write("a", position={"x": float("nan"), "y": 1.0}, width="wide", text="2")
    gone = alice.do(lambda: alice.elements["a"].pop("fillColor"))
    assert board.hear(old, bad, gone, alice.add("b")) == "CRRW"
    assert board.heal() is Kind.RESTORED
    [a, b] = board.document.content()["slides"][0]["elements"]
    assert a == {**shape(text="2"), "id": "a", "position": {"x": 1, "y": 2}}
    assert b["id"] == "b"


@pytest.mark.parametrize("wrong", [{"type": ""}, {"type": 5.0}])
def test_a_type_that_was_spoiled_is_the_old_one_again(wrong: dict[str, Any]) -> None:
    board, alice = Board(), Person(5)
    assert board.hear(alice.add("a"), alice.write("a", **wrong), alice.add("b")) == "CRW"
    assert board.heal() is Kind.RESTORED
    assert texts(board.document) == {"a": "", "b": ""}


@pytest.mark.parametrize(
    "fields", [{"type": "star"}, {"kind": "star"}, {"type": "image", "mimeType": "image/webp"}]
)
def test_what_a_newer_neoboard_may_show_is_left_alone(fields: dict[str, Any]) -> None:
    board, alice = Board(), Person(5)
    assert board.hear(alice.add("a", **fields, fillColor=""), alice.add("b")) == "RW"
    with pytest.raises(NewerError):
        board.repair()


def test_an_element_with_an_id_that_is_none_is_removed_with_its_place() -> None:
    board, alice = Board(), Person(5)
    assert board.hear(alice.add(""), alice.add("b")) == "RW"
    assert board.heal() is Kind.REMOVED
    assert texts(board.document) == {"b": ""}
    assert list(board.bob.order) == ["b"]


def test_an_id_that_is_none_goes_from_the_list() -> None:
    board, alice = Board(), Person(5)
    bad = alice.do(lambda: alice.order.extend(["a", "", "constructor"]))
    assert board.hear(bad, alice.add("a"), alice.remove("nobody")) == "RWK"
    assert board.heal() is Kind.RESTORED
    assert list(board.bob.order) == ["a", "a"]


def lock(value: Any) -> Callable[[Person], bytes]:
    return lambda who: who.do(lambda: who.slide.update({"lock": value}))


@pytest.mark.parametrize("before", [None, {"userId": "@alice:example.org"}])
def test_a_lock_that_is_none_is_what_it_was(before: Any) -> None:
    board, alice = Board(), Person(5)
    if before:
        board.hear(lock(before)(alice))
    assert board.hear(lock(5.0)(alice), alice.add("a")) == "RW"
    assert board.heal() is Kind.RESTORED
    assert board.document.content()["slides"][0].get("lock") == before
    assert texts(board.document) == {"a": ""}


def add_slide(who: Person, name: str, content: Any) -> bytes:
    def change() -> None:
        who.root["slides"][name] = content
        who.root["slideIds"].append(name)

    return who.do(change)


@pytest.mark.parametrize(
    "content",
    [
        5.0,
        Map({"elements": 5.0, "elementIds": Array([])}),
        Map({"elements": Map({}), "elementIds": 5.0}),
    ],
)
def test_a_slide_that_is_none_is_removed(content: Any) -> None:
    board, alice = Board(), Person(5)
    assert board.hear(add_slide(alice, "s", content), alice.add("a")) == "RW"
    assert board.heal() is Kind.REMOVED
    assert [one["id"] for one in board.document.content()["slides"]] == [FIRST_SLIDE]
    assert texts(board.document) == {"a": ""}


def test_on_an_infinite_canvas_too() -> None:
    board, alice = Board("1"), Person(5, "1")
    bad = alice.do(lambda: alice.slide["frameElementIds"].append(""))
    assert board.hear(bad, alice.add("a", text=5), alice.add("b")) == "RWW"
    assert board.heal() is Kind.REMOVED
    assert texts(board.document) == {"b": ""}


def test_what_cannot_be_mended_is_left() -> None:
    board, alice = Board(), Person(5)
    bad = alice.do(lambda: alice.root.update({"slides": 5.0}))
    assert board.hear(bad, alice.do(lambda: alice.root["slideIds"].append("s"))) == "RW"
    assert board.repair() is None
    other, carol = Board(), Person(5)
    spoiled = carol.do(lambda: carol.slide.update({"elementIds": 5.0}))
    assert other.hear(spoiled, carol.do(lambda: carol.root["slideIds"].append("s"))) == "RW"
    assert other.repair() is None


@pytest.mark.parametrize("inside", [True, False])
def test_a_value_that_no_neoboard_writes_is_not_restored(inside: bool) -> None:  # noqa: FBT001
    board, alice = Board(), Person(5)
    assert board.hear(alice.add("a", position=Map({"x": 1.0, "y": 2.0}))) == "C"
    if inside:
        bad = alice.do(lambda: alice.elements["a"]["position"].update({"x": "far"}))
    else:
        bad = alice.write("a", position=5.0)
    assert board.hear(bad, alice.add("b")) == "RW"
    assert board.repair() is None


def test_what_costs_too_much_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    board, alice = Board(), Person(5)
    assert board.hear(Person(9).add("z"), alice.add("a", fillColor=""), alice.add("b")) == "CRW"
    monkeypatch.setattr(replica, "MIN_EFFORT", -1_000_000)
    assert board.repair() is None


def test_what_is_still_missing_is_not_waited_for() -> None:
    board, alice = Board(), Person(5)
    bad, good = alice.add("a", fillColor=""), alice.add("b")
    lost, last = alice.add("c"), alice.add("d")
    assert board.hear(bad, good, last) == "RWW"
    found = board.repair()
    assert found is not None
    assert board.hear(found.update) == "C"
    assert texts(board.document) == {"b": ""}
    assert board.document.gaps()
    assert board.hear(lost) == "C"
    assert texts(board.document) == {"b": "", "c": "", "d": ""}


def test_nothing_is_mended_while_what_it_builds_on_is_missing() -> None:
    board, alice = Board(), Person(5)
    alice.add("lost")
    bad, good = alice.add("a", fillColor=""), alice.add("b")
    board.hear(good)
    board.refused.add(bad, "0")
    assert board.repair() is None


def test_a_snapshot_that_proves_a_refused_update_harmless_is_merged() -> None:
    board, alice = Board(), Person(5)
    bad, good = alice.add("a", fillColor=""), alice.add("b")
    assert board.hear(bad, good) == "RW"
    alice.write("a", fillColor="#fff")
    assert board.document.merge_snapshot(alice.state()).verdict is Verdict.CHANGED
    assert texts(board.document) == {"a": "", "b": ""}
    assert board.document.gaps() == ()


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "write", "remove"]), st.integers(0, 4), st.integers(0, 5)),
    max_size=14,
)
FIELDS: list[dict[str, Any]] = [
    {"text": "1"},
    {"fillColor": ""},
    {"position": {"x": float("inf"), "y": 0.0}},
    {"fillColor": "#123"},
    {"strokeWidth": 2.0},
    {"text": 5.0},
]


@given(STEPS)
@settings(deadline=None, max_examples=150)
def test_whatever_somebody_does_all_that_is_valid_of_it_is_seen(
    steps: list[tuple[str, int, int]],
) -> None:
    board, alice = Board(), Person(5)
    for what, number, choice in steps:
        name, fields = f"e{number}", FIELDS[choice]
        match what:
            case "add" if name not in alice.elements:
                board.hear(alice.add(name, **fields))
            case "write":
                board.hear(alice.write(name, **fields))
            case "remove":
                board.hear(alice.remove(name))
    board.hear(alice.add("last"))
    for _ in range(20):
        if not board.document.has_gap:
            break
        found = board.repair()
        assert found is not None
        board.hear(found.update)
    assert texts(board.document)["last"] == ""
    assert not board.document.has_gap
    valid = {one["id"] for one in board.document.content()["slides"][0]["elements"]}
    assert valid <= set(alice.elements.keys())


@given(st.integers(0, 2**32), st.booleans())
@settings(deadline=None, max_examples=60)
def test_whatever_was_refused_what_is_made_of_it_is_valid(seed: int, sane: bool) -> None:  # noqa: FBT001
    scribbler, document, refused = Scribbler(seed, sane=sane), Document(), []
    for _ in range(12):
        update = scribbler.write()
        if document.apply([update])[0].verdict is Verdict.REFUSED:
            refused.append(update)
    for update in refused[:4]:
        try:
            found = repair(document, [update], document.waits(), OURS)
        except NewerError:
            continue
        if found is not None:
            document.preview(found.update)  # raises if NeoBoard would refuse it
