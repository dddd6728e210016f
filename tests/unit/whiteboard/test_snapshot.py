from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InvalidSnapshot
from bot.whiteboard.snapshot import (
    CHUNK_BYTES,
    CHUNK_TYPE,
    SNAPSHOT_TYPE,
    Assembler,
    Snapshot,
    chunk_content,
    read_chunk,
    read_snapshot,
    snapshot_content,
    split,
)
from tests.unit.whiteboard.recorded import snapshots, timeline

Event = dict[str, Any]


def announce(name: str = "$s", count: int = 1, sender: str = "@a:x", document: str = "$d") -> Event:
    return {
        "type": SNAPSHOT_TYPE,
        "event_id": name,
        "sender": sender,
        "origin_server_ts": 5,
        "content": snapshot_content(document, count),
    }


def chunk(
    number: int, data: bytes, name: str = "$s", sender: str = "@a:x", document: str = "$d"
) -> Event:
    return {
        "type": CHUNK_TYPE,
        "event_id": "$c",
        "sender": sender,
        "origin_server_ts": 6,
        "content": chunk_content(document, name, number, data),
    }


def feed(assembler: Assembler, events: list[Event], now: float = 0.0) -> list[Snapshot]:
    made = [assembler.add(event, now) for event in events]
    return [snapshot for snapshot in made if snapshot is not None]


def test_a_state_is_cut_into_chunks_that_fit() -> None:
    data = bytes(range(256)) * 300
    parts = split(data)
    assert [len(part) for part in parts] == [CHUNK_BYTES, CHUNK_BYTES, len(data) - 2 * CHUNK_BYTES]
    assert b"".join(parts) == data
    assert split(b"") == [b""]


@given(st.data(), st.binary(min_size=1, max_size=60), st.integers(1, 20))
def test_any_order_with_duplicates_makes_one_snapshot(
    data: st.DataObject, state: bytes, size: int
) -> None:
    parts = [state[start : start + size] for start in range(0, len(state), size)]
    events = [announce(count=len(parts)), *(chunk(n, part) for n, part in enumerate(parts))]
    order = data.draw(st.permutations(events))
    again = data.draw(st.lists(st.sampled_from(events)))
    assert feed(Assembler(), [*order, *again]) == [Snapshot("$s", "@a:x", 5, "$d", state)]


def test_other_peoples_chunks_do_not_count() -> None:
    assembler = Assembler()
    events = [announce(count=2), chunk(0, b"a"), chunk(1, b"evil", sender="@e:x")]
    assert feed(assembler, events) == []
    assert feed(assembler, [chunk(1, b"x", document="$other")]) == []
    assert assembler.missing("$s") == {1}
    assert feed(assembler, [chunk(1, b"b")])[0].data == b"ab"
    assert assembler.missing("$s") == set()


def test_numbers_must_be_those_announced_and_the_first_of_each_counts() -> None:
    events = [announce(count=2), chunk(0, b"a"), chunk(2, b"c"), chunk(0, b"A"), chunk(1, b"b")]
    assert [snapshot.data for snapshot in feed(Assembler(), events)] == [b"ab"]


def test_what_is_old_is_given_up() -> None:
    assembler = Assembler(max_age=10)
    assert feed(assembler, [announce(count=2), chunk(0, b"a")], now=0) == []
    assert assembler.missing("$s") == {1}
    assert feed(assembler, [announce("$t", 2)], now=9.9) == []
    assert feed(assembler, [chunk(1, b"b")], now=10) == []
    assert assembler.missing("$s") == set()  # its announcement is forgotten
    assert assembler.missing("$t") == {0, 1}


def test_a_flood_of_one_sender_costs_nobody_else() -> None:
    assembler = Assembler(max_open=8)
    feed(assembler, [announce(count=2), chunk(0, b"a")])
    for n in range(100):
        feed(assembler, [chunk(0, b"x", name=f"${n}", sender="@evil:x")])
    assert [snapshot.data for snapshot in feed(assembler, [chunk(1, b"b")])] == [b"ab"]


def test_bytes_are_bounded() -> None:
    assembler = Assembler(max_bytes=100_000)
    parts = [chunk(0, bytes(60_000)), chunk(1, bytes(60_000))]
    [found] = feed(assembler, [announce(count=98), *parts])
    assert len(found.data) == 120_000  # more than it may be, which is all there is to know
    beside = [chunk(1, bytes(60_000)), chunk(2, bytes(60_000))]
    for others in (parts, [announce(), *beside]):  # of nothing, or more than was announced
        with pytest.raises(InvalidSnapshot):
            feed(Assembler(max_bytes=100_000), others)
    assert feed(assembler, [chunk(0, bytes(60_000), name=f"${n}") for n in range(10)]) == []
    feed(assembler, [announce(f"${n}", 2) for n in range(10)])
    kept = [n for n in range(10) if assembler.missing(f"${n}") == {1}]
    assert kept == [7, 8, 9]
    with pytest.raises(InvalidSnapshot):
        assembler.add(announce(count=99), 0)
    with pytest.raises(InvalidSnapshot):
        assembler.add(chunk(98, b"a"), 0)


def test_the_one_that_is_just_written_may_be_the_one_given_up() -> None:
    assembler = Assembler(max_bytes=100_000)
    feed(assembler, [announce(count=3), chunk(0, bytes(50_000)), chunk(1, bytes(40_000))])
    feed(assembler, [chunk(0, bytes(80_000), sender="@b:x")])
    assert feed(assembler, [announce("$t", 2), chunk(0, bytes(40_000), "$t")]) == []
    assert assembler.missing("$s") == set()
    assert assembler.missing("$t") == {1}
    one_room = Assembler(max_open=0)
    assert feed(one_room, [announce()]) == []


def test_completed_snapshots_are_remembered_within_bounds() -> None:
    assembler = Assembler()
    for n in range(300):
        assert len(feed(assembler, [announce(f"${n}"), chunk(0, b"a", name=f"${n}")])) == 1
    assert feed(assembler, [announce("$299"), chunk(0, b"a", name="$299")]) == []
    assert len(feed(assembler, [announce("$0"), chunk(0, b"a", name="$0")])) == 1


GONE = object()
WRONG: list[Any] = [GONE, None, 5.5, True, "", [], -1, 2**53]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(
    "path",
    [
        ["type"],
        ["sender"],
        ["content"],
        ["content", "m.relates_to"],
        ["content", "m.relates_to", "event_id"],
        ["content", "m.relates_to", "rel_type"],
        ["event_id"],
        ["origin_server_ts"],
        ["content", "chunkCount"],
        ["content", "documentId"],
        ["content", "sequenceNumber"],
        ["content", "data"],
    ],
)
@pytest.mark.parametrize("event_type", [SNAPSHOT_TYPE, CHUNK_TYPE])
def test_malformed_events_are_refused(event_type: str, path: list[str], wrong: Any) -> None:
    event = announce() if event_type == SNAPSHOT_TYPE else chunk(0, b"a")
    parent = event
    for key in path[:-1]:
        parent = parent[key]
    if path[-1] not in parent or (event_type == CHUNK_TYPE and path[0] in _UNUSED):
        return  # the other type's field
    if wrong is GONE:
        del parent[path[-1]]
    else:
        parent[path[-1]] = wrong
    with pytest.raises(InvalidSnapshot):
        (read_snapshot if event_type == SNAPSHOT_TYPE else read_chunk)(event)


_UNUSED = {"event_id", "origin_server_ts"}


@pytest.mark.parametrize("data", ["A", "AA", "A===", "ä", "AA A", "AAA=A"])
def test_data_must_be_base64(data: str) -> None:
    event = chunk(0, b"a")
    event["content"]["data"] = data
    with pytest.raises(InvalidSnapshot):
        read_chunk(event)


def test_real_snapshots_are_assembled() -> None:
    made = snapshots("slides")
    assert len(made) == sum(event["type"] == SNAPSHOT_TYPE for event in timeline("slides"))
    assert {snapshot.sender for snapshot in made} == {
        f"@{name}:localhost:18008" for name in ("alice", "bob", "bot")
    }
