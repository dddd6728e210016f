"""What an update changed, noted while it is integrated, is what comparing the boards shows."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Map

from bot.whiteboard import noting
from bot.whiteboard.content import plain
from bot.whiteboard.document import Document
from bot.whiteboard.edit import rewrite
from bot.whiteboard.item import ANY, ARRAY, MAP, TYPE
from bot.whiteboard.touched import Changes, ElementChange, Touched, compared, in_a_row
from bot.whiteboard.update import merge_updates
from bot.whiteboard.versions import initial
from tests.unit.whiteboard.craft import ONE, any_content, item, text_value, update
from tests.unit.whiteboard.generated import boards, new_ids
from tests.unit.whiteboard.people import FIRST_SLIDE, Person, shape

NAMES = st.sampled_from("abcde")
SLIDES = st.sampled_from(["s", "t", FIRST_SLIDE])


class Author(Person):
    """Somebody who does everything one can do with slides and what is on them."""

    def put(self, slide: str, name: str) -> bytes:
        """Add an element, or write it anew as a whole."""

        def change() -> None:
            there = self.root["slides"][slide]
            there["elements"][name] = Map(shape(text=name))
            if name not in list(there["elementIds"]):
                there["elementIds"].append(name)

        return self.do(change)

    def take(self, slide: str, name: str) -> bytes:
        def change() -> None:
            there = self.root["slides"][slide]
            del there["elements"][name]
            self._out(there["elementIds"], name)

        return self.do(change)

    def rewrite(self, slide: str, name: str, text: str) -> bytes:
        return self.do(lambda: self.root["slides"][slide]["elements"][name].update({"text": text}))

    def raise_up(self, slide: str, name: str) -> bytes:
        def change() -> None:
            order = self.root["slides"][slide]["elementIds"]
            self._out(order, name)
            order.append(name)

        return self.do(change)

    def lock(self, slide: str, *, locked: bool) -> bytes:
        def change() -> None:
            if locked:
                self.root["slides"][slide]["lock"] = Map({"userId": "@a:x"})
            else:
                self.root["slides"][slide].pop("lock", None)

        return self.do(change)

    def add_slide(self, slide: str, *names: str) -> bytes:
        def change() -> None:
            elements = Map({name: Map(shape(text=name)) for name in names})
            order: Array[str] = Array(list(names))
            self.root["slides"][slide] = Map({"elements": elements, "elementIds": order})
            if slide not in list(self.root["slideIds"]):
                self.root["slideIds"].append(slide)

        return self.do(change)

    def remove_slide(self, slide: str) -> bytes:
        def change() -> None:
            del self.root["slides"][slide]
            self._out(self.root["slideIds"], slide)

        return self.do(change)

    def move_slide(self, slide: str) -> bytes:
        def change() -> None:
            self._out(self.root["slideIds"], slide)
            self.root["slideIds"].insert(0, slide)

        return self.do(change)

    @staticmethod
    def _out(order: Any, name: str) -> None:
        while name in list(order):
            del order[list(order).index(name)]


@st.composite
def edits(draw: st.DrawFn, author: Author) -> bytes:
    """Some edit that makes sense on the board as its author sees it."""
    slides = sorted(author.root["slides"])
    slide = draw(st.sampled_from(slides)) if slides else ""
    names = sorted(author.root["slides"][slide]["elements"]) if slide else []
    there: dict[str, Callable[[], bytes]] = {
        "put": lambda: author.put(slide, draw(NAMES)),
        "lock": lambda: author.lock(slide, locked=draw(st.booleans())),
        "gone": lambda: author.remove_slide(slide),
        "move": lambda: author.move_slide(slide),
    }
    name = draw(st.sampled_from(names)) if names else ""
    inside: dict[str, Callable[[], bytes]] = {
        "take": lambda: author.take(slide, name),
        "up": lambda: author.raise_up(slide, name),
        "write": lambda: author.rewrite(slide, name, draw(st.sampled_from(["x", "y"]))),
    }
    possible = {
        "slide": lambda: author.add_slide(draw(SLIDES), *sorted(draw(st.sets(NAMES, max_size=2)))),
        **(there if slide else {}),
        **(inside if name else {}),
    }
    return possible[draw(st.sampled_from(sorted(possible)))]()


def noted(data: bytes = b"", version: str = "0") -> Document:
    """A document that notes what is touched."""
    document = Document(data or initial(version), default_version=version)
    document.notes.on = True
    return document


def kinds(changes: Changes) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {"added": set(), "changed": set(), "removed": set()}
    for one in changes.elements:
        assert (one.slide_id, one.element_id) not in set().union(*found.values())
        found[one.kind].add((one.slide_id, one.element_id))
    return found


def places(content: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(slide["id"], one["id"]) for slide in content["slides"] for one in slide["elements"]}


def unlisted(document: Document) -> set[tuple[str, str]]:
    """Elements that are there but in no list: who writes one while another deletes it leaves so."""
    slides = plain(document.root)["slides"]
    there = {(name, one) for name, slide in slides.items() for one in slide["elements"]}
    return there - places(document.content())


def agree(
    changes: Changes,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    hidden: Collection[tuple[str, str]] = frozenset(),
) -> None:
    """What was noted is what is other; what was written as it was may be said to be changed."""
    exact = compared(before, after).changes()
    assert set(changes.slides_added) == set(exact.slides_added)
    assert set(changes.slides_removed) == set(exact.slides_removed)
    said, are = kinds(changes), kinds(exact)
    assert (said["added"], said["removed"]) == (are["added"], are["removed"])
    assert are["changed"] <= said["changed"]
    assert said["changed"] <= (places(before) & places(after)) | set(hidden)
    assert set(exact.slides_moved) == set() or changes.slides_moved
    assert set(exact.slides_changed) <= {
        *changes.slides_changed,
        *(one.slide_id for one in changes.elements),
    }
    stayed = {one["id"] for one in before["slides"]} & {one["id"] for one in after["slides"]}
    assert {*changes.slides_moved, *changes.slides_changed} <= stayed


@settings(deadline=None)
@given(data=st.data())
def test_what_is_noted_is_what_is_other(data: st.DataObject) -> None:
    """Two people draw at the same time and hear each other late; also merged, also as states."""
    people = Author(7), Author(9)
    document = noted()
    waiting: list[bytes] = []
    hidden: set[tuple[str, str]] = set()
    for _ in range(data.draw(st.integers(1, 12))):
        author = data.draw(st.sampled_from(people))
        waiting.append(data.draw(edits(author)))
        if data.draw(st.booleans()):
            continue
        for one in people:
            one.hear(*waiting)
        how = data.draw(st.sampled_from(["each", "each", "shuffled", "merged", "state"]))
        given_now = {
            "each": waiting,
            "shuffled": data.draw(st.permutations(waiting)),
            "merged": [merge_updates(waiting)],
            "state": [author.state()],
        }[how]
        waiting = []
        start, row = document.content(), []
        for each in given_now:
            before = document.content()
            outcome = document.merge_snapshot(each) if how == "state" else document.apply([each])[0]
            hidden = unlisted(document)
            agree(outcome.touched.changes(), before, document.content(), hidden)
            row.append(outcome.touched)
        agree(in_a_row(row).changes(), start, document.content(), hidden)
        assert document.apply([each])[0].touched.changes() == Changes()  # nothing new


@pytest.mark.parametrize("version", ["0", "1"])
@settings(deadline=None)
@given(data=st.data())
def test_what_a_rewrite_does_is_noted_part_by_part(version: str, data: st.DataObject) -> None:
    document = noted(version=version)
    for client in (70, 30, 90):
        max_bytes = data.draw(st.sampled_from([1, 300, 45_000]))
        wanted = data.draw(boards(version))
        for part in rewrite(
            document, wanted, client=client, new_id=new_ids(f"{client}"), max_bytes=max_bytes
        ):
            before = document.content()
            (outcome,) = document.apply([part])
            agree(outcome.touched.changes(), before, document.content())


def changed_by(document: Document, *updates: bytes) -> Changes:
    return in_a_row([one.touched for one in document.apply(updates)]).changes()


def test_what_a_person_does_is_named() -> None:
    alice, document = Author(7), noted()
    element = (FIRST_SLIDE, "a")
    assert changed_by(document, alice.put(*element)) == Changes(
        elements=(ElementChange(*element, "added"),)
    )
    changed = Changes(elements=(ElementChange(*element, "changed"),))
    assert changed_by(document, alice.rewrite(*element, "b")) == changed
    assert changed_by(document, alice.put(*element)) == changed  # in place of itself
    assert changed_by(document, alice.lock(FIRST_SLIDE, locked=True)) == Changes(
        slides_changed=(FIRST_SLIDE,)
    )
    assert changed_by(document, alice.raise_up(*element)) == Changes(slides_changed=(FIRST_SLIDE,))
    assert changed_by(document, alice.take(*element)) == Changes(
        elements=(ElementChange(*element, "removed"),)
    )
    assert changed_by(document, alice.add_slide("s", "b")) == Changes(
        slides_added=("s",), elements=(ElementChange("s", "b", "added"),)
    )
    assert changed_by(document, alice.move_slide("s")) == Changes(slides_moved=("s",))
    assert changed_by(document, alice.remove_slide("s")) == Changes(
        slides_removed=("s",), elements=(ElementChange("s", "b", "removed"),)
    )
    assert not Changes()
    assert Changes(slides_moved=("s",))


def test_what_waits_is_told_with_what_it_waited_for() -> None:
    alice, document = Author(7), noted()
    first, second = alice.put(FIRST_SLIDE, "a"), alice.rewrite(FIRST_SLIDE, "a", "b")
    waits, comes = document.apply([second, first])
    assert waits.touched == Touched()
    assert comes.touched.changes() == Changes(elements=(ElementChange(FIRST_SLIDE, "a", "added"),))


def test_a_slide_that_was_moved_is_found_behind_what_was_deleted() -> None:
    alice, document = Author(7), noted()
    changed_by(document, alice.move_slide(FIRST_SLIDE), alice.add_slide("s"))
    added = Changes(elements=(ElementChange("s", "a", "added"),))
    assert changed_by(document, alice.put("s", "a")) == added


def test_added_and_removed_again_is_nothing() -> None:
    alice, document = Author(7), noted()
    both = alice.put(FIRST_SLIDE, "a"), alice.take(FIRST_SLIDE, "a")
    assert changed_by(document, *both) == Changes()
    alice = Author(8)
    merged = merge_updates([alice.put(FIRST_SLIDE, "c"), alice.take(FIRST_SLIDE, "c")])
    assert changed_by(document, merged) == Changes()


def test_a_board_that_takes_the_place_of_another_is_compared() -> None:
    alice = Person(7, "1")
    alice.add("a")
    document = Document()  # its version is only assumed
    document.notes.on = True
    outcome = document.merge_snapshot(alice.state())
    assert outcome.touched.changes().elements == (ElementChange(FIRST_SLIDE, "a", "added"),)
    silent = Document()
    assert silent.merge_snapshot(alice.state()).touched == Touched()


def test_a_copy_notes_too() -> None:
    document, alice = noted(), Author(7)
    alice.put(FIRST_SLIDE, "a")
    other, outcome = document.merged(alice.state())
    assert other.notes.on
    assert outcome.touched.changes().elements[0].kind == "added"


def test_it_travels_to_other_processes() -> None:
    document = noted()
    (outcome,) = document.apply([Author(7).put(FIRST_SLIDE, "a")])
    assert pickle.loads(pickle.dumps(outcome.touched)) == outcome.touched


def struct(key: str, parent: Any, kind: int = MAP, **more: Any) -> bytes:
    return item(TYPE, bytes([kind]), parent, key, **more)


def test_a_board_replaced_at_its_root_is_told_as_a_whole() -> None:
    document, alice = noted(), Author(7)
    changed_by(document, alice.add_slide("s", "b"), alice.put(FIRST_SLIDE, "a"))
    structs = [
        struct("slides", None, origin=(0, 0)),
        struct("t", (9, 0)),
        struct("elements", (9, 1)),
        struct("elementIds", (9, 1), ARRAY),
        struct("slideIds", None, ARRAY, origin=(0, 4)),
        item(ANY, any_content(text_value("t"), text_value("nowhere")), (9, 4)),
    ]
    before = document.content()
    changes = changed_by(document, update((9, 0, structs)))
    agree(changes, before, document.content())
    assert changes.slides_added == ("t",)
    assert set(changes.slides_removed) == {FIRST_SLIDE, "s"}


def test_what_nobody_sees_changes_nothing() -> None:
    document = noted()
    slide = (0, 1)
    structs = [
        struct("other", "0"),
        item(ANY, any_content(ONE), (9, 0), "x"),
        struct("more", slide),
        item(ANY, any_content(ONE), (9, 2), "x"),
        item(ANY, any_content(text_value("gone")), (0, 3)),  # leads nowhere
        struct("__proto__", (0, 2)),
    ]
    for clock, one in enumerate(structs):
        before = document.content()
        changes = changed_by(document, update((9, clock, [one])))
        assert document.content() == before
        assert not changes.elements
        assert set(changes.slides_changed) <= {FIRST_SLIDE}


def test_a_slide_comes_without_what_leads_nowhere() -> None:
    document = noted()
    structs = [
        struct("t", (0, 0)),
        struct("elements", (9, 0)),
        struct("elementIds", (9, 0), ARRAY),
        item(ANY, any_content(text_value("nowhere")), (9, 2)),
        item(ANY, any_content(text_value("t")), None, None, (0, 5)),
    ]
    assert changed_by(document, update((9, 0, structs))) == Changes(slides_added=("t",))


def test_a_slide_whose_elements_are_replaced_is_looked_at_as_a_whole() -> None:
    document, alice = noted(), Author(7)
    changed_by(document, alice.put(FIRST_SLIDE, "a"))
    changes = changed_by(document, update((9, 0, [struct("elements", None, origin=(0, 2))])))
    assert kinds(changes)["removed"] == {(FIRST_SLIDE, "a")}
    assert changes.slides_changed == (FIRST_SLIDE,)


def test_of_a_long_list_what_is_not_found_counts_as_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noting, "MAX_LOOKED", 1)
    document, alice = noted(), Author(7)
    changed_by(document, alice.add_slide("s"))
    added = changed_by(document, alice.put("s", "a"))
    assert added == Changes(elements=(ElementChange("s", "a", "added"),))


def test_of_boards_compared_the_order_is_that_of_what_both_have() -> None:
    def board(*ids: str) -> dict[str, Any]:
        return {"slides": [{"id": "s", "elements": [{"id": one} for one in ids]}]}

    assert compared(board("a", "b"), board("b", "a")).changes() == Changes(slides_changed=("s",))
    assert compared(board("a", "b"), board("c", "a", "b")).changes().slides_changed == ()
    both = [{"id": "s", "elements": []}, {"id": "t", "elements": []}]
    moved = compared({"slides": both}, {"slides": both[::-1]}).changes()
    assert moved == Changes(slides_moved=("s", "t"))
