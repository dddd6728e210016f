"""What is missing is said by ids, and disappears with what brings it."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.whiteboard import waiting as module
from bot.whiteboard.document import Document
from bot.whiteboard.gaps import Since
from bot.whiteboard.update import Range, read_update
from bot.whiteboard.versions import initial
from tests.unit.whiteboard.people import Person, verdicts


def brings(update: bytes) -> Range:
    """The ids that an update of one person brings."""
    [(client, items)] = read_update(update).blocks.items()
    return client, items[0].clock, items[-1].end


def test_what_follows_a_lost_update_shows_which_ids_are_missing() -> None:
    alice = Person(5)
    first, lost, after, more = alice.add("a"), alice.add("b"), alice.add("c"), alice.add("d")
    document = Document()
    assert document.gaps() == ()
    assert verdicts(document, [first, after, more]) == "CWW"
    assert document.gaps() == (brings(lost),)
    assert document.waits() == [after, more]
    assert verdicts(document, [lost]) == "C"
    assert document.gaps() == ()
    assert (document.freed, document.waits()) == (2, [])


def test_what_others_build_on_is_missing_too() -> None:
    alice, bob = Person(5), Person(6)
    add = alice.add("a")
    bob.hear(add)
    document = Document()
    assert verdicts(document, [bob.write("a", text="1")]) == "W"
    [(client, start, stop)] = document.gaps()
    assert (client, start) == (5, 0)
    assert 0 < stop <= brings(add)[2]
    carol = Person(7, "0", add)
    assert verdicts(document, [carol.remove("a")]) == "W"
    assert document.gaps() == ((5, 0, brings(add)[2]),)


def test_what_comes_behind_what_is_missing_says_so_without_deleting_anything() -> None:
    alice = Person(5)
    add = alice.add("a")
    document, behind = Document(), Person(6, "0", add).add("b")  # next to it in the order
    assert read_update(behind).deletes == []
    assert verdicts(document, [behind]) == "W"
    assert document.gaps() == (brings(add),)


def test_between_what_waits_every_gap_is_one() -> None:
    alice = Person(5)
    updates = [alice.add(str(n)) for n in range(5)]
    document = Document()
    assert verdicts(document, updates[1::2]) == "WW"
    assert document.gaps() == (brings(updates[0]), brings(updates[2]))


def test_what_was_given_up_is_missing() -> None:
    alice, bob = Person(5), Person(6)
    alice.add("a")
    bob.add("a")
    waiting = [alice.add("b"), bob.add("b")]
    document = Document()
    limit, module.MAX_COUNT = module.MAX_COUNT, 1
    try:
        document.apply(waiting)
    finally:
        module.MAX_COUNT = limit
    assert {one[0]: one[1:] for one in document.gaps()} == {
        5: (0, brings(waiting[0])[2]),
        6: (0, brings(waiting[1])[1]),
    }
    document.merge_snapshot(alice.state())
    document.merge_snapshot(bob.state())
    assert document.gaps() == ()


def test_of_a_board_that_cannot_be_read_no_gaps_are_known() -> None:
    document = Document(initial("0").replace(b"\x01\x01\x30", b"\x01\x01\x37"))
    assert not document.supported
    alice = Person(5)
    alice.add("a")
    document.apply([alice.add("b")])
    assert document.gaps() == ()


@given(st.lists(st.booleans(), min_size=1, max_size=12))
@settings(deadline=None, max_examples=100)
def test_with_what_was_lost_all_gaps_are_closed(came: Sequence[bool]) -> None:
    people = [Person(5), Person(6)]
    updates = [people[n % 2].add(str(n)) for n in range(len(came))]
    document = Document()
    document.apply([one for one, there in zip(updates, came, strict=True) if there])
    lost = {brings(one) for one, there in zip(updates, came, strict=True) if not there}
    for client, start, stop in document.gaps():
        inside = [one for one in lost if one[0] == client and start <= one[1] < one[2] <= stop]
        assert sum(one[2] - one[1] for one in inside) == stop - start
    assert bool(document.gaps()) == document.has_gap
    document.apply([one for one, there in zip(updates, came, strict=True) if not there])
    assert document.gaps() == ()


def test_each_gap_has_a_time() -> None:
    since = Since()
    assert since.look([(5, 0, 3)], 1.0) == [(5, 0, 3, 1.0)]
    assert since.look([(5, 0, 3), (6, 2, 4)], 2.0) == [(5, 0, 3, 1.0), (6, 2, 4, 2.0)]
    assert since.look([(6, 2, 9), (5, 7, 8)], 3.0) == [(6, 2, 9, 2.0), (5, 7, 8, 3.0)]
    assert since.look([], 4.0) == []
    assert since.look([(6, 2, 9)], 5.0) == [(6, 2, 9, 5.0)]
