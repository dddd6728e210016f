"""What somebody would send who wants to fill the memory, stop the bot or spoil the board."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bot.errors import InvalidMessage, InvalidSnapshot
from bot.whiteboard.document import Document
from bot.whiteboard.message import CursorMove, decode
from bot.whiteboard.snapshot import (
    CHUNK_BYTES,
    CHUNK_TYPE,
    MAX_BYTES,
    SNAPSHOT_TYPE,
    Assembler,
    Snapshot,
    chunk_content,
    snapshot_content,
    split,
)

MEGABYTE = 2**20
HUGE = 2**53 - 1


@contextmanager
def bounded(kept: int = 100 * MEGABYTE) -> Iterator[None]:
    """Fail when more memory was taken at any time meanwhile."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < kept
    finally:
        tracemalloc.stop()


# -- snapshots -------------------------------------------------------------------------------------


def head(number: int, chunks: int = 2, sender: str = "@mallory:x") -> dict[str, Any]:
    return {
        "type": SNAPSHOT_TYPE,
        "event_id": f"$s{number}",
        "sender": sender,
        "origin_server_ts": 1,
        "content": snapshot_content("$d", chunks),
    }


def chunk(of: str, number: int, data: bytes, sender: str = "@mallory:x") -> dict[str, Any]:
    return {"type": CHUNK_TYPE, "sender": sender, "content": chunk_content("$d", of, number, data)}


def own(assembler: Assembler) -> Snapshot | None:
    """Somebody else's snapshot of two chunks, begun before and completed after a flood."""
    data = b"y" * (CHUNK_BYTES + 1)
    made = [
        assembler.add(chunk("$good", n, part, "@alice:x"), 2.0)
        for n, part in enumerate(split(data))
    ]
    return made[-1]


@pytest.mark.no_cover  # measured, the flood takes seconds
def test_heads_without_chunks() -> None:
    assembler = Assembler()
    good = {**head(0, 2, "@alice:x"), "event_id": "$good"}
    assembler.add(good, 0.0)
    for number in range(100_000):
        assembler.add(head(number), 1.0)
    assert (len(assembler._open), assembler._size, len(assembler._done)) == (64, 0, 0)
    assert own(assembler) is not None  # a flood costs its sender, nobody else


@pytest.mark.no_cover
def test_chunks_of_what_was_never_announced() -> None:
    assembler = Assembler()
    good = {**head(0, 2, "@alice:x"), "event_id": "$good"}
    assembler.add(good, 0.0)
    data = b"x" * CHUNK_BYTES
    with bounded(2 * MAX_BYTES + 5 * MEGABYTE):
        for number in range(5_000):
            assembler.add(chunk(f"$s{number % 40}", number, data), 1.0)
    assert assembler._size <= 2 * MAX_BYTES
    assert (
        sum(len(opened.chunks) for opened in assembler._open.values()) * CHUNK_BYTES < 2 * MAX_BYTES
    )
    assert own(assembler) is not None


def test_chunks_of_others_for_somebodys_snapshot() -> None:
    assembler = Assembler()
    assembler.add({**head(0, 2, "@alice:x"), "event_id": "$good"}, 0.0)
    for number in range(10_000):
        assert assembler.add(chunk("$good", number % 2, b"evil", f"@m{number % 30}:x"), 1.0) is None
    found = own(assembler)
    assert found is not None
    assert found.data == b"y" * (CHUNK_BYTES + 1)
    assert found.sender == "@alice:x"


@pytest.mark.parametrize(
    "chunks", [200 * MEGABYTE // CHUNK_BYTES * 4, 10**9, HUGE, HUGE + 1, 0, -1]
)
def test_what_is_announced_takes_nothing(chunks: int) -> None:
    assembler = Assembler()
    with bounded(MEGABYTE), pytest.raises(InvalidSnapshot):
        assembler.add(head(1, chunks), 0.0)
    assert not assembler._open


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e308, 2.0, True, "2", None, [], {}])
def test_a_count_that_is_none(wrong: Any) -> None:
    event = head(1)
    event["content"]["chunkCount"] = wrong
    with pytest.raises(InvalidSnapshot):
        Assembler().add(event, 0.0)


def test_the_same_numbers_again_and_again() -> None:
    assembler = Assembler()
    assembler.add(head(1, 3), 0.0)
    with bounded(2 * MEGABYTE):
        for number in range(3_000):
            assert assembler.add(chunk("$s1", number % 2, b"x" * (number + 1)), 0.0) is None
    assert assembler._size == 1 + 2  # the first of each counts
    for number in (10**9, HUGE):
        with pytest.raises(InvalidSnapshot):
            assembler.add(chunk("$s1", number, b"x"), 0.0)
    found = assembler.add(chunk("$s1", 2, b"z"), 0.0)
    assert found is not None
    assert found.data == b"xxxz"


def test_more_than_a_snapshot_may_have() -> None:
    assembler = Assembler()
    assembler.add(head(1, 20_000), 0.0)
    most = MAX_BYTES // CHUNK_BYTES
    for number in range(most):
        assembler.add(chunk("$s1", number, b"x" * CHUNK_BYTES), 0.0)
    found = assembler.add(chunk("$s1", most, b"x" * CHUNK_BYTES), 0.0)
    assert found is not None
    assert MAX_BYTES < len(found.data) <= MAX_BYTES + CHUNK_BYTES
    assert Document().merge_snapshot(found.data).beyond
    assert assembler.add(chunk("$s1", most + 1, b"x" * CHUNK_BYTES), 0.0) is None
    assert (assembler._size, len(assembler._open)) == (0, 0)


# -- packets ---------------------------------------------------------------------------------------


CURSOR = (
    b'{"type":"net.nordeck.whiteboard.cursor_update",'
    b'"content":{"slideId":"%s","position":{"x":%s,"y":0}}}'
)


def test_the_pattern_of_packets_is_one_that_is_read() -> None:
    assert decode(CURSOR % (b"a", b"1")) == CursorMove("a", 1, 0)


@pytest.mark.parametrize(
    "packet",
    [
        b'{"type":' * 7_000 + b"1" + b"}" * 7_000,
        b"[" * 10_000 + b"]" * 10_000,
        b'{"type":"net.nordeck.whiteboard.cursor_update","content":' + b'{"a":' * 9_000,
        CURSOR % (b"a", b"NaN"),
        CURSOR % (b"a", b"1e999"),
        CURSOR % (b"a", b"-Infinity"),
        CURSOR % (b"a", b"9" * 5_000),
        CURSOR % (b"a" * 60_000, b"1"),
        b" " * 200 * MEGABYTE,
    ],
)
def test_packets_that_are_nothing(packet: bytes) -> None:
    with bounded(len(packet) + MEGABYTE), pytest.raises(InvalidMessage):
        decode(packet)
