from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.errors import InvalidUpdate
from bot.whiteboard import replica as module
from bot.whiteboard.causality import MAX_NESTING
from bot.whiteboard.content import plain
from bot.whiteboard.document import Document
from bot.whiteboard.inspection import inspect
from bot.whiteboard.item import ANY, ARRAY, DELETED, GC, MAP, SKIP, STRING, TYPE
from bot.whiteboard.objects import Inheriting
from bot.whiteboard.replica import Replica
from bot.whiteboard.schema import check_document
from bot.whiteboard.update import merge_updates, read_update, write_update
from bot.whiteboard.verdict import Verdict
from bot.whiteboard.versions import initial
from tests.unit.whiteboard.craft import (
    ONE,
    TRUE,
    Scribbler,
    X,
    any_content,
    item,
    text_value,
    update,
)

SEEDS = st.integers(0, 2**32)


def state(replica: Replica) -> bytes:
    return write_update(replica.store.blocks(), replica.store.deletes())


def facts(replica: Replica) -> tuple[Any, ...]:
    """Everything that a rollback has to restore."""
    return (
        _sorted(plain(replica.root)),
        dict(replica.store.clocks),
        sorted(replica.store.deletes()),
        replica.store.size,
        state(replica),
    )


def replica_of(*updates: bytes) -> Replica:
    replica = Replica("0")
    for one in updates:
        replica.integrate(read_update(one))
        replica.commit()
    return replica


def scribbled(seed: int, *, sane: bool, count: int = 20) -> tuple[Replica, list[bytes]]:
    """A replica of random updates, and those that it took."""
    scribbler = Scribbler(seed, sane=sane)
    replica, taken = replica_of(scribbler.first), [scribbler.first]
    for _ in range(count):
        written = scribbler.write()
        try:
            assert replica.integrate(read_update(written)) is None
        except InvalidUpdate:
            replica.rollback()
            break
        replica.commit()
        taken.append(written)
    return replica, taken


@given(SEEDS, st.booleans())
@example(2677, False)
@example(16867, False)  # what is deleted is cut, and nothing comes in between
@settings(deadline=None, max_examples=150)
def test_what_is_encoded_is_read_the_same(seed: int, sane: bool) -> None:  # noqa: FBT001
    replica, _ = scribbled(seed, sane=sane)
    again = replica_of(state(replica))
    assert again.store.clocks == replica.store.clocks
    assert state(again) == state(replica_of(state(again)))
    # Where an item claims neighbours that it cannot have had, no order of a list is the right one:
    # it depends on what came first, and what is read again comes client by client.
    ordered = sane
    assert _sorted(plain(again.root), ordered) == _sorted(plain(replica.root), ordered)


def _sorted(value: Any, ordered: bool = True) -> Any:  # noqa: FBT001, FBT002
    if isinstance(value, Inheriting):
        return _sorted(value.own, ordered), _sorted(value.prototype, ordered)
    if isinstance(value, dict):
        return sorted((key, _sorted(inner, ordered)) for key, inner in value.items())
    if not isinstance(value, list):
        return repr(value)
    inside = [_sorted(inner, ordered) for inner in value]
    return inside if ordered else sorted(inside, key=repr)


@given(SEEDS, SEEDS, st.booleans())
@settings(deadline=None, max_examples=150)
def test_a_rollback_restores_everything(seed: int, other: int, sane: bool) -> None:  # noqa: FBT001
    replica, taken = scribbled(seed, sane=sane, count=8)
    before = facts(replica)
    stranger = Scribbler(other, sane=False)
    for written in [*taken, *(stranger.write() for _ in range(3))]:
        with suppress(InvalidUpdate):
            replica.integrate(read_update(written))
        replica.rollback()
        assert facts(replica) == before
    assert not replica.changed


@given(SEEDS, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_merging_bytes_is_the_same_as_integrating(seed: int, order: Any) -> None:
    replica, taken = scribbled(seed, sane=True)
    order.shuffle(taken)
    again = replica_of(merge_updates(taken))
    assert again.store.clocks == replica.store.clocks
    assert write_update({}, again.store.deletes()) == write_update({}, replica.store.deletes())


@given(SEEDS, st.booleans(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=300)
def test_a_document_stays_acceptable_whatever_it_is_given(
    seed: int,
    sane: bool,  # noqa: FBT001
    order: Any,
) -> None:
    scribbler = Scribbler(seed, sane=sane)
    document = Document()
    written = [scribbler.write() for _ in range(25)]
    if order.random() < 0.5:
        order.shuffle(written)
    for one in written:
        document.apply([one])
        # White box: checking what was touched is as good as checking everything.
        assert check_document(plain(document._merger.replica.root), "0") is None
        document.content()
    for kept in (document.snapshot(), document.encode()):
        again = Document()
        assert again.merge_snapshot(kept).verdict is not Verdict.REFUSED
        there = again._merger.replica.store.clocks
        assert all(
            there[who] >= clock for who, clock in document._merger.replica.store.clocks.items()
        )


@given(SEEDS, st.booleans())
@example(28310, True)  # an element without a value under an id that none may have
@settings(deadline=None, max_examples=300)
def test_what_was_touched_tells_the_same_as_everything(seed: int, sane: bool) -> None:  # noqa: FBT001
    scribbler = Scribbler(seed, sane=sane)
    replica = replica_of(scribbler.first)
    for _ in range(20):
        try:
            replica.integrate(read_update(scribbler.write()))
        except InvalidUpdate:
            replica.rollback()
            continue
        wrong = check_document(plain(replica.root), "0")
        assert (inspect(replica.root, replica.touched, "0") is None) is (wrong is None)
        replica.commit() if wrong is None else replica.rollback()


LIST = (0, 3)  # the elementIds of the first slide
SLIDE = (0, 1)


def listed(replica: Replica) -> Any:
    return plain(replica.root)["slides"]["IN4h74suMiIAK4AVMAdl_"]["elementIds"]


def test_concurrent_insertions_at_one_place_do_not_mix() -> None:
    def typed(client: int) -> bytes:
        first = item(ANY, any_content(text_value(f"{client}a")), LIST)
        second = item(ANY, any_content(text_value(f"{client}b")), origin=(client, 0))
        return update((client, 0, [first, second]))

    updates = [typed(client) for client in (7, 5, 6)]
    found = [listed(replica_of(initial("0"), *order)) for order in (updates, updates[::-1])]
    assert found == [["5a", "5b", "6a", "6b", "7a", "7b"]] * 2


def test_an_insertion_between_others_stays_between_them() -> None:
    base = update((5, 0, [item(ANY, any_content(ONE, X, TRUE), LIST)]))
    between = update((6, 0, [item(ANY, any_content(text_value("!")), origin=(5, 0), right=(5, 1))]))
    before = update((7, 0, [item(ANY, any_content(text_value("<")), right=(5, 0))]))
    assert listed(replica_of(initial("0"), base, between, before)) == ["<", 1.0, "!", "x", True]
    assert listed(replica_of(initial("0"), base, before, between)) == ["<", 1.0, "!", "x", True]


def test_the_same_key_written_by_several_holds_the_value_of_the_highest() -> None:
    writes = [
        update((client, 0, [item(ANY, any_content(text_value(f"{client}")), SLIDE, "a")]))
        for client in (5, 9, 7)
    ]
    for order in (writes, writes[::-1]):
        assert (
            plain(replica_of(initial("0"), *order).root)["slides"]["IN4h74suMiIAK4AVMAdl_"]["a"]
            == "9"
        )


def test_half_of_an_item_may_be_known() -> None:
    half = update((5, 0, [item(ANY, any_content(ONE, X), LIST)]))
    more = update((5, 0, [item(ANY, any_content(ONE, X, TRUE), LIST)]))
    assert listed(replica_of(initial("0"), half, more)) == [1.0, "x", True]
    letters = update(
        (5, 0, [item(TYPE, b"\2", SLIDE, "t"), item(STRING, b"\x06a\xf0\x9f\x98\x80b", (5, 0))])
    )
    fewer = update((5, 0, [item(TYPE, b"\2", SLIDE, "t"), item(STRING, b"\x01a", (5, 0))]))
    text = plain(replica_of(initial("0"), fewer, letters).root)["slides"]["IN4h74suMiIAK4AVMAdl_"][
        "t"
    ]
    assert text == "a😀b"


def test_what_is_in_something_deleted_is_collected() -> None:
    made = update(
        (
            5,
            0,
            [
                item(TYPE, b"\1", SLIDE, "a"),
                item(TYPE, b"\0", (5, 0), "list"),
                item(ANY, any_content(ONE, X), (5, 1)),
            ],
        )
    )
    gone = update(deletes=[(5, 0, 1)])
    late = update(
        (
            6,
            0,
            [
                item(ANY, any_content(ONE), (5, 1)),
                item(ANY, any_content(ONE), origin=(5, 2)),
                item(ANY, any_content(ONE), right=(5, 3)),
            ],
        )
    )
    replica = replica_of(initial("0"), made, gone, late)
    assert state(replica).count(b"\x77") == state(replica_of(initial("0"))).count(b"\x77")
    kinds = [one.kind for items in read_update(state(replica)).blocks.values() for one in items][:3]
    assert kinds == [GC, DELETED, GC]
    assert "a" not in plain(replica.root)["slides"]["IN4h74suMiIAK4AVMAdl_"]


def test_what_is_placed_in_something_deleted_at_the_same_time_is_deleted() -> None:
    made = update((5, 0, [item(TYPE, b"\1", SLIDE, "a")]))
    both = update(
        (6, 0, [item(ANY, any_content(ONE), SLIDE, "a"), item(ANY, any_content(ONE), (5, 0), "b")])
    )
    replica = replica_of(initial("0"), made, both)
    assert min(replica.store.deletes()) == (5, 0, 1)


def test_overwritten_values_become_one() -> None:
    replica = replica_of(initial("0"), update((5, 0, [item(ANY, any_content(ONE), SLIDE, "a")])))
    for clock in range(1, 50):
        one = update((5, clock, [item(ANY, any_content(ONE), origin=(5, clock - 1))]))
        replica.integrate(read_update(one))
        replica.commit()
    assert [one.length for one in replica.store.blocks()[5]] == [49, 1]
    size = replica.store.size
    replica.integrate(read_update(update(deletes=[(5, 49, 1)])))
    replica.commit()
    assert [one.length for one in replica.store.blocks()[5]] == [50]
    assert replica.store.size < size


def test_what_is_cut_for_something_that_lands_behind_it_becomes_one_again() -> None:
    # As in yjs. Else the same document would be written in another way each time it is read.
    base = update((5, 0, [item(ANY, any_content(ONE, X, TRUE), LIST)]), deletes=[(5, 0, 3)])
    late = [update((6, 0, [item(ANY, any_content(ONE), origin=(5, clock))])) for clock in range(3)]
    for one in late:
        replica = replica_of(initial("0"), base, one)
        assert [each.length for each in replica.store.blocks()[5]] == [3]


CONTRADICTIONS = [
    # Neighbours in two lists.
    [item(ANY, any_content(ONE), origin=(0, 5), right=(0, 3))],
    [
        item(TYPE, b"\0", SLIDE, "l"),
        item(ANY, any_content(ONE), (5, 0)),
        item(ANY, any_content(X), origin=(5, 1), right=(0, 5)),
    ],
    # Two values under one key, and one with something to its right.
    [item(ANY, any_content(ONE, X), SLIDE, "a")],
    [item(ANY, any_content(ONE), SLIDE, "a"), item(ANY, any_content(ONE), right=(5, 0))],
]  # fmt: skip


@pytest.mark.parametrize("structs", CONTRADICTIONS)
def test_what_contradicts_itself_is_gone_at_once(structs: list[bytes]) -> None:
    contradiction = update((5, 0, structs))
    replica = replica_of(initial("0"), contradiction)
    assert listed(replica) == []
    assert min(replica.store.deletes())[0] == 5
    slide = plain(replica.root)["slides"]["IN4h74suMiIAK4AVMAdl_"]
    assert slide.keys() - {"elements", "elementIds"} <= {"l", "a"}
    assert _sorted(plain(replica_of(state(replica)).root)) == _sorted(plain(replica.root))
    # Likewise where its neighbours are gone already.
    emptied = replica_of(initial("0"), update(deletes=[(0, 0, 6)]), contradiction)
    assert emptied.store.clocks == replica.store.clocks


def test_finding_a_place_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    one = any_content(ONE)
    crowd = [
        update((client, 0, [item(ANY, one, LIST), item(ANY, one, SLIDE, "a")]))
        for client in range(1, 200)
    ]
    replica = replica_of(initial("0"), *crowd)
    before = facts(replica)
    monkeypatch.setattr(module, "MIN_EFFORT", -replica.store.size // 8 + 100)
    for late in (item(ANY, one, LIST), item(ANY, one, SLIDE, "a")):
        with pytest.raises(InvalidUpdate):
            replica.integrate(read_update(update((300, 0, [late]))))
        replica.rollback()
        assert facts(replica) == before


def test_what_cannot_be_integrated_is_handed_back() -> None:
    replica = replica_of(initial("0"))
    waits = item(ANY, any_content(text_value("w")), origin=(9, 3))
    skipped = bytes([SKIP]) + b"\2"
    structs = [
        item(ANY, any_content(text_value("n")), LIST),
        skipped,
        item(ANY, any_content(X), LIST),
    ]
    given_ = update(
        (5, 0, structs),
        (6, 0, [waits]),
        (4, 0, [item(ANY, any_content(ONE), origin=(6, 0))]),
        deletes=[(0, 5, 1), (9, 0, 4)],
    )
    rest = replica.integrate(read_update(given_))
    assert rest is not None
    assert {client: [one.clock for one in items] for client, items in rest.blocks.items()} == {
        5: [3],
        6: [0],
        4: [0],
    }
    assert rest.deletes == [(9, 0, 4)]
    assert listed(replica) == ["n"]


@pytest.mark.parametrize("kind", [MAP, ARRAY])
def test_what_is_nested_too_deep_is_left_out(kind: int) -> None:
    sub = "a" if kind == MAP else None
    deep = [
        item(TYPE, bytes([kind]), (5, clock - 1) if clock else SLIDE, sub if clock else "deep")
        for clock in range(100)
    ]
    replica = replica_of(initial("0"), update((5, 0, deep)))
    found = plain(replica.root)["slides"]["IN4h74suMiIAK4AVMAdl_"]["deep"]
    assert repr(found).count("{" if kind == MAP else "[") == MAX_NESTING - 2
    replica.integrate(read_update(update(deletes=[(5, 0, 1)])))
    replica.commit()
    assert [one.length for one in replica.store.blocks()[5]] == [1, 99]
