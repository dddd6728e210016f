"""What of a document is not in the room, and since when."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.whiteboard import unsaved as module
from bot.whiteboard.document import Document
from bot.whiteboard.unsaved import Cover, Unsaved
from bot.whiteboard.update import Range, merge_updates, read_state_vector
from tests.unit.whiteboard.people import Person

IDS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 40), st.integers(1, 8)).map(
        lambda one: (one[0], one[1], one[1] + one[2])
    ),
    max_size=12,
)


@given(IDS, IDS)
def test_a_cover_is_a_set_of_ids(some: list[Range], more: list[Range]) -> None:
    def ids(ranges: list[Range]) -> set[tuple[int, int]]:
        return {(client, at) for client, start, stop in ranges for at in range(start, stop)}

    cover = Cover(some)
    assert ids(cover.ranges()) == ids(some)
    assert cover.holds(Cover(more)) == (ids(more) <= ids(some))
    for _, start, stop in cover.ranges():
        assert start < stop
    cover.add(more)
    assert ids(cover.ranges()) == ids(some) | ids(more)
    fewest = sorted(cover.ranges())
    assert not any(left[0] == right[0] and left[2] >= right[1] for left, right in pairwise(fewest))


def state(unsaved: Unsaved) -> tuple[float | None, int]:
    return unsaved.since, unsaved.count


def test_a_snapshot_that_lacks_an_older_stroke_leaves_it_unsaved() -> None:
    alice, bob = Person(7), Person(8)
    lost = bob.add("b")
    unsaved = Unsaved()
    assert unsaved.since is None
    unsaved.changed(lost, 1.0)
    unsaved.changed(alice.add("a"), 2.0)
    assert state(unsaved) == (1.0, 2)
    unsaved.saved(alice.state())
    assert state(unsaved) == (1.0, 1)
    alice.hear(lost)
    unsaved.saved(alice.state())
    assert state(unsaved) == (None, 0)


def test_a_newcomer_begins_with_the_newest_snapshot() -> None:
    alice, unsaved = Person(7), Unsaved()
    assert read_state_vector(unsaved.state_vector) == {}
    unsaved.saved(alice.state())
    before = read_state_vector(unsaved.state_vector)
    unsaved.saved(b"\xff")
    alice.add("a")
    unsaved.saved(alice.state())
    after = read_state_vector(unsaved.state_vector)
    assert after == before | {7: after[7]}
    # Of what has gaps he begins with what he can show.
    alice.add("lost")
    unsaved.saved(merge_updates([alice.add("b"), alice.add("c")]))
    assert 7 not in read_state_vector(unsaved.state_vector)


def test_what_was_deleted_is_saved_only_by_who_knows_it() -> None:
    alice = Person(7)
    alice.add("a")
    before = alice.state()
    unsaved = Unsaved()
    unsaved.changed(alice.remove("a"), 1.0)
    unsaved.saved(before)
    assert unsaved.since == 1.0
    unsaved.saved(alice.state())
    assert unsaved.since is None


def test_what_nothing_can_be_done_about_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, unsaved = Person(7), Unsaved()
    for now in (1.0, 2.0, 3.0):
        unsaved.changed(alice.add(f"e{now}"), now)
    unsaved.give_up(2.0)
    assert state(unsaved) == (3.0, 1)
    unsaved.give_up(9.0)
    assert state(unsaved) == (None, 0)
    monkeypatch.setattr(module, "MAX_CHANGES", 1)
    unsaved.changed(alice.add("first"), 1.0)
    unsaved.changed(alice.add("later"), 5.0)
    unsaved.give_up(2.0)  # the one that is left stands for both
    assert state(unsaved) == (1.0, 1)


def test_a_snapshot_nobody_can_load_saves_nothing() -> None:
    unsaved = Unsaved()
    unsaved.changed(Person(7).add("a"), 1.0)
    unsaved.saved(b"\xff")
    assert unsaved.since == 1.0


def test_many_changes_are_bounded_and_none_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHANGES", 3)
    alice = Person(7)
    updates = [alice.add(f"e{number}") for number in range(5)]
    unsaved = Unsaved()
    for number, update in enumerate(updates):
        unsaved.changed(update, float(number))
    assert unsaved.count == 3
    early = Person(9)
    for update in updates[:4]:
        early.hear(update)
    unsaved.saved(early.state())
    assert (unsaved.since, unsaved.count) == (2.0, 1)
    unsaved.saved(alice.state())
    assert unsaved.since is None


def test_the_newest_snapshot_counts_whichever_is_complete_first() -> None:
    alice, bob = Person(1), Person(2)
    bob.add("b")
    one = Unsaved()
    one.changed(alice.add("a"), 10.0)
    one.show("$alice")
    one.show("$bob")
    assert one.shown == 2
    assert one.saved(bob.state(), "$bob")
    # She had begun hers before: whoever comes now gets his, which lacks her stroke.
    assert not one.saved(alice.state(), "$alice")
    assert one.since == 10.0
    # One of ours that sync has not shown yet was begun after both; or before the last of them.
    bob.hear(alice.state())
    assert not one.saved(bob.state(), "$ours", after=1)
    assert one.since == 10.0
    assert one.saved(bob.state(), "$ours", after=2)
    assert one.since is None


def test_what_came_with_an_older_snapshot_alone_is_not_in_the_room() -> None:
    alice, bob = Person(1), Person(2)
    alice.add("a")
    bob.add("b")
    one, document = Unsaved(), Document(alice.state())
    one.saved(alice.state())
    compare(one, document, 10.0)
    assert one.since is None
    one.saved(bob.state())
    document.merge_snapshot(bob.state())
    compare(one, document, 11.0)
    assert one.since == 11.0
    compare(one, document, 12.0)
    assert one.count == 1  # it is known
    one.saved(document.encode())
    compare(one, document, 13.0)
    assert one.since is None


def test_a_deletion_that_came_with_an_older_snapshot_alone_is_not_in_the_room() -> None:
    alice = Person(1)
    alice.add("a")
    before = alice.state()
    alice.remove("a")
    one, document = Unsaved(), Document(alice.state())
    one.saved(before)
    compare(one, document, 10.0)
    assert one.since == 10.0


def test_the_order_of_snapshots_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SHOWN", 2)
    one = Unsaved()
    for number in range(5):
        one.show(f"${number}")
    assert one.saved(Person(1).state(), "$4")
    assert one.saved(Person(1).state(), "$0")  # forgotten: as if found by searching


def test_what_is_left_of_ids_beside_within_and_behind_others() -> None:
    some = Cover([(1, 0, 10), (2, 0, 5)])
    assert some.without(Cover([(1, 2, 4), (1, 6, 8), (1, 20, 30)])).ranges() == [
        *((1, 0, 2), (1, 4, 6), (1, 8, 10)),
        (2, 0, 5),
    ]
    assert some.without(Cover([(1, 0, 10), (2, 0, 9)])).ranges() == []


@given(IDS, IDS)
def test_ids_without_others(some: list[Range], more: list[Range]) -> None:
    left = {one for client, start, stop in some for one in ids(client, start, stop)}
    right = {one for client, start, stop in more for one in ids(client, start, stop)}
    found = Cover(some).without(Cover(more)).ranges()
    assert {one for client, start, stop in found for one in ids(client, start, stop)} == (
        left - right
    )


def ids(client: int, start: int, stop: int) -> set[tuple[int, int]]:
    return {(client, clock) for clock in range(start, stop)}


def compare(one: Unsaved, document: Document, now: float) -> None:
    known = document.state_vector()
    one.compare(known, document.diff(known), now)


def test_snapshots_have_a_place_in_the_rooms_order() -> None:
    unsaved = Unsaved()
    assert (unsaved.number("$a"), unsaved.newest) == (0, 0)
    unsaved.show("$a")
    unsaved.show("$b")
    assert (unsaved.number("$a"), unsaved.number("$b"), unsaved.newest) == (1, 2, 0)
    unsaved.saved(Person(1).state(), "$b")
    assert unsaved.newest == 2
