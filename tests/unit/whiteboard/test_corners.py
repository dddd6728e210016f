"""Corners that people hardly come by; what Hypothesis comes by is not measured as covered."""

from __future__ import annotations

import pytest

from bot.errors import InvalidUpdate
from bot.whiteboard import together as beside
from bot.whiteboard.document import Document
from bot.whiteboard.edit import rewrite
from bot.whiteboard.item import ANY, TYPE
from bot.whiteboard.lib0 import write_value
from bot.whiteboard.repair import Kind
from bot.whiteboard.replica import Replica
from bot.whiteboard.update import MAX_RANGES, read_update
from bot.whiteboard.versions import initial
from tests.unit.whiteboard.craft import ONE, TRUE, X, any_content, item, update
from tests.unit.whiteboard.generated import new_ids
from tests.unit.whiteboard.people import Person, texts, verdicts
from tests.unit.whiteboard.test_hostile_updates import ranges
from tests.unit.whiteboard.test_repair import Board

SLIDE, LIST = (0, 1), (0, 3)


@pytest.mark.parametrize(
    ("struct", "why"),
    [
        (item(TYPE, b"\x09", "0", "a"), "unknown shared type"),
        (item(11, b"", "0", "a"), "unknown kind of struct"),
        (bytes([ANY]) + b"\2", "neither a root nor an id"),
        (bytes([ANY]) + b"\1\1\xff", "not UTF-8"),
    ],
)
def test_what_no_yjs_writes_is_refused(struct: bytes, why: str) -> None:
    with pytest.raises(InvalidUpdate, match=why):
        read_update(update((1, 0, [struct])))


def test_truth_is_written_as_such() -> None:
    assert write_value(True) == TRUE
    assert write_value(None) == b"\x7e"


def test_what_together_exceeds_a_bound_is_divided() -> None:
    most = MAX_RANGES * 3 // 4
    found = beside.together(b"\0\0", [ranges(most, client) for client in (1, 2)], lambda _: True)
    assert len(read_update(found).deletes) == most


def test_a_slide_gets_its_first_lock_in_place_and_keeps_it() -> None:
    alice = Person(7)
    document = Document(alice.state())
    document.apply([alice.add("a", text="a")])
    for client, text in ((77, "a"), (78, "b")):
        (now,) = document.content()["slides"]
        (a,) = now["elements"]
        wanted = {**now, "elements": [{**a, "text": text}], "lock": {"userId": "@bob:x"}}
        document.apply(rewrite(document, [wanted], client=client, new_id=new_ids()))
        assert document.content()["slides"] == [wanted]


def test_what_is_in_a_map_without_a_key_is_not_seen() -> None:
    document = Document()
    before = document.content()
    assert verdicts(document, [update((5, 0, [item(ANY, any_content(ONE), SLIDE)]))]) == "C"
    assert document.content() == before


def test_what_was_deleted_is_not_mended() -> None:
    board, alice = Board(), Person(5)
    updates = [alice.add("gone"), alice.remove("gone"), alice.add("a", fillColor="")]
    assert board.hear(*updates, alice.add("b")) == "CCRW"
    assert board.heal() is Kind.REMOVED
    assert texts(board.document) == {"b": ""}


def replica_of(*updates: bytes) -> Replica:
    replica = Replica("0")
    for one in (initial("0"), *updates):
        replica.integrate(read_update(one))
        replica.commit()
    return replica


def test_what_belongs_to_a_concurrent_one_stays_behind_it() -> None:
    last = update((3, 0, [item(ANY, any_content(ONE), LIST)]))
    two = update(
        (
            2,
            0,
            [
                item(ANY, any_content(X), LIST, right=(3, 0)),
                item(ANY, any_content(X), None, None, (2, 0)),
            ],
        )
    )
    first = update((1, 0, [item(ANY, any_content(TRUE), LIST)]))
    replica = replica_of(last, two, first)
    shared = replica.store.find(LIST).shared
    assert shared is not None
    at, order = shared.start, []
    while at is not None:
        order.append((at.client, at.clock))
        at = at.right
    assert order == [(1, 0), (2, 0), (2, 1), (3, 0)]


def test_what_divides_another_changes_the_document() -> None:
    replica = replica_of(update((1, 0, [item(ANY, any_content(X, X), LIST)])))
    between = item(ANY, any_content(ONE), None, None, (1, 0), (1, 1))
    assert not replica.changed
    replica.integrate(read_update(update((2, 0, [between]))))
    assert replica.changed
