"""Recorder: groups, bounds, what it does while the archive fails."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from time import monotonic
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import metrics
from bot.errors import StoreError
from bot.handlers import record
from bot.handlers.base import Handler
from bot.handlers.record import OVERHEAD, Record, Recorder, RecordSettings
from bot.whiteboard.entry import Entry, Kind


class FakeArchive:
    """Keeps groups in memory; fails or hangs on demand."""

    def __init__(self) -> None:
        self.groups: list[list[Entry]] = []
        self.fault: str | None = None
        self.tried: list[float] = []
        self.unknown: set[int] = set()
        self.free = asyncio.Event()
        self.free.set()

    async def append(self, entries: Sequence[Entry]) -> list[int]:
        self.tried.append(monotonic())
        await self.free.wait()
        if self.fault is not None:
            raise StoreError(self.fault)
        first = len(self.data) + 1
        self.groups.append(list(entries))
        return [
            0 if one.board_id in self.unknown else seq for seq, one in enumerate(entries, first)
        ]

    @property
    def attempts(self) -> int:
        return len(self.tried)

    @property
    def data(self) -> list[bytes]:
        return [one.data for group in self.groups for one in group]


def entry(data: bytes = b"", board_id: int = 1, kind: Kind = Kind.UPDATE) -> Entry:
    return Entry(board_id, 1_795_218_261_000, kind, "@anna:example.org", "ANNA", data)


def numbered(count: int) -> list[Entry]:
    return [entry(b"%d" % at) for at in range(count)]


Start = Callable[..., Recorder]


@pytest.fixture
async def archive() -> FakeArchive:
    return FakeArchive()


@pytest.fixture
async def start(archive: FakeArchive, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    tasks: list[asyncio.Task[Any]] = []
    monkeypatch.setattr("random.random", lambda: 0.0)  # half of each wait: 1/8 s at first

    def begin(**options: Any) -> Recorder:
        recorder = Recorder(archive, **options)
        tasks.append(asyncio.create_task(recorder.run()))
        return recorder

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)


# -- groups ------------------------------------------------------------------------------------


async def test_what_comes_together_is_committed_together_within_the_time(
    archive: FakeArchive, start: Start
) -> None:
    recorder = start()
    entries = numbered(10)
    began = monotonic()
    assert all(recorder.append(one) for one in entries)
    assert recorder.pending == 10
    await until(lambda: bool(archive.groups))
    assert 0.03 < monotonic() - began < 5
    assert archive.groups == [entries]
    assert recorder.pending == 0


async def test_a_stream_is_committed_every_group_not_every_entry(
    archive: FakeArchive, start: Start
) -> None:
    recorder = start()
    began = monotonic()
    sent = 0
    while monotonic() - began < 0.3:
        recorder.append(entry(b"%d" % sent))
        sent += 1
        await asyncio.sleep(0.001)
    await recorder.flush()
    assert archive.data == [b"%d" % at for at in range(sent)]
    assert len(archive.groups) <= 8


async def test_nothing_happens_while_nothing_comes(archive: FakeArchive, start: Start) -> None:
    start(group=0.001)
    await asyncio.sleep(0.03)
    assert archive.attempts == 0


async def test_groups_have_a_bound(
    archive: FakeArchive, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "ROWS", 4)
    monkeypatch.setattr(record, "ROW_BYTES", 10)
    recorder = start()
    sizes = [1, 1, 1, 1, 1, 9, 30, 30, 2]
    for size in sizes:
        recorder.append(entry(bytes(size)))
    await recorder.flush()
    assert [[len(one.data) for one in group] for group in archive.groups] == [
        [1, 1, 1, 1],
        [1, 9],
        [30],
        [30],
        [2],
    ]


async def test_what_comes_during_a_commit_makes_the_next_group(
    archive: FakeArchive, start: Start
) -> None:
    recorder = start(group=0.005)
    archive.free.clear()
    recorder.append(entry(b"1"))
    await until(lambda: archive.attempts == 1)
    assert recorder.append(entry(b"2"))
    assert recorder.append(entry(b"3"))
    archive.free.set()
    await recorder.flush()
    assert [[one.data for one in group] for group in archive.groups] == [[b"1"], [b"2", b"3"]]


async def test_each_commit_is_told_with_numbers(archive: FakeArchive, start: Start) -> None:
    told: list[Entry] = []

    def tell(entries: Sequence[Entry]) -> None:
        assert len(archive.data) >= len(told) + len(entries)  # committed before
        told.extend(entries)

    recorder = start(on_commit=tell)
    entries = numbered(5)
    for one in entries[:3]:
        recorder.append(one)
    await recorder.flush()
    for one in entries[3:]:
        recorder.append(one)
    await recorder.flush()
    assert [one.seq for one in told] == [1, 2, 3, 4, 5]
    assert [one.data for one in told] == [one.data for one in entries]
    assert {(one.sender, one.device, one.kind, one.ts) for one in told} == {
        ("@anna:example.org", "ANNA", Kind.UPDATE, 1_795_218_261_000)
    }


async def test_entries_of_a_board_that_is_no_more_are_dropped(
    archive: FakeArchive, start: Start
) -> None:
    told: list[Entry] = []
    recorder = start(on_commit=told.extend)
    archive.unknown = {2}
    recorder.append(entry(b"1"))
    recorder.append(entry(b"2", board_id=2))
    await recorder.flush()
    recorder.append(entry(b"3", board_id=2))
    await recorder.flush()
    assert [one.data for one in told] == [b"1"]
    assert recorder.dropped == 2
    assert recorder.needs_baseline == set()


# -- waiting -----------------------------------------------------------------------------------


async def test_flush_does_not_wait_for_the_group(archive: FakeArchive, start: Start) -> None:
    recorder = start(group=10.0)
    await recorder.flush()  # nothing: at once
    recorder.append(entry(b"1"))
    await asyncio.sleep(0.01)
    assert archive.groups == []
    await recorder.flush()
    assert archive.data == [b"1"]


async def test_committed_waits_for_the_group(archive: FakeArchive, start: Start) -> None:
    recorder = start(group=0.02)
    assert await recorder.committed()
    recorder.append(entry(b"1"))
    assert await recorder.committed()
    assert archive.data == [b"1"]


async def test_who_waits_may_give_up(archive: FakeArchive, start: Start) -> None:
    recorder = start(group=0.01)
    archive.free.clear()
    recorder.append(entry(b"1"))
    for wait in (recorder.flush, recorder.committed):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await wait()
    archive.free.set()
    await recorder.flush()
    assert archive.data == [b"1"]


# -- failing -----------------------------------------------------------------------------------


async def test_a_failing_archive_loses_nothing(
    archive: FakeArchive, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    recorder = start(group=0.001)
    archive.fault = "the disk is full"
    began = monotonic()
    recorder.append(entry(b"1"))
    waiting = asyncio.create_task(recorder.committed())
    await until(lambda: recorder.failing is not None)
    assert recorder.failing == "the disk is full"
    assert recorder.failing_since is not None
    assert began <= recorder.failing_since <= monotonic()
    assert not await waiting
    assert not await recorder.committed()
    assert recorder.append(entry(b"2"))
    since = recorder.failing_since
    await until(lambda: archive.attempts >= 2)
    assert recorder.failing_since == since
    archive.fault = None
    await recorder.flush()
    assert archive.data == [b"1", b"2"]
    assert recorder.failing is None
    assert recorder.failing_since is None
    assert recorder.dropped == 0
    assert await recorder.committed()
    assert caplog.text.count("entries wait in memory") == 1
    assert caplog.text.count("is written again") == 1


async def test_retries_come_ever_more_rarely(archive: FakeArchive, start: Start) -> None:
    recorder = start(group=0.001)
    archive.fault = "locked"
    recorder.append(entry())
    await until(lambda: archive.attempts >= 3)
    first, second, third = archive.tried[:3]
    assert second - first > 0.1
    assert third - second > 0.2


async def test_a_flush_tries_at_once(
    archive: FakeArchive, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "_waits", lambda: itertools.repeat(1000.0))
    recorder = start(group=0.001)
    archive.fault = "locked"
    recorder.append(entry(b"1"))
    await until(lambda: recorder.failing is not None)
    archive.fault = None
    async with asyncio.timeout(15):
        await recorder.flush()
    assert archive.data == [b"1"]


async def test_groups_that_were_committed_stay_so_when_a_later_one_fails(
    archive: FakeArchive, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "ROWS", 2)
    told: list[Entry] = []

    def tell(entries: Sequence[Entry]) -> None:
        told.extend(entries)
        archive.fault = "the disk is full" if len(told) == 2 else None

    recorder = start(group=0.001, on_commit=tell)
    for one in numbered(5):
        recorder.append(one)
    await until(lambda: recorder.failing is not None)
    assert recorder.pending == 3
    archive.fault = None
    await recorder.flush()
    assert archive.data == [one.data for one in numbered(5)]
    assert len(told) == 5


async def test_what_does_not_fit_is_counted_and_its_board_named(
    archive: FakeArchive, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = start(group=0.001, max_pending=3)
    archive.fault = "the disk is full"
    lost_before = metrics.ENTRIES_DROPPED._value.get()
    assert [recorder.append(one) for one in numbered(3)] == [True] * 3
    assert not recorder.append(entry(kind=Kind.CURSOR, board_id=3))
    assert recorder.needs_baseline == set()  # a cursor is missed by nobody
    assert not recorder.append(entry(b"4", board_id=2))
    assert not recorder.append(entry(b"5", board_id=2))
    assert recorder.needs_baseline == {2}
    assert recorder.dropped == metrics.ENTRIES_DROPPED._value.get() - lost_before == 3
    assert caplog.text.count("too many wait") == 1
    await until(lambda: archive.attempts > 0)
    archive.fault = None
    await recorder.flush()
    assert archive.data == [b"0", b"1", b"2"]
    assert not await recorder.committed()  # what board 2 lacks is not made good yet
    assert recorder.append(entry(b"all", board_id=2, kind=Kind.BASELINE))
    assert recorder.needs_baseline == set()
    assert await recorder.committed()
    assert archive.data[-1] == b"all"


async def test_memory_has_a_bound(archive: FakeArchive, start: Start) -> None:
    recorder = start(group=10.0, max_pending_bytes=10 * (OVERHEAD + 100))
    assert not recorder.append(entry(bytes(10 * (OVERHEAD + 100))))  # one alone too large
    assert [recorder.append(entry(bytes(100))) for _ in range(12)] == [True] * 10 + [False] * 2
    await recorder.flush()
    assert all(recorder.append(entry(bytes(100))) for _ in range(10))
    await recorder.flush()
    assert len(archive.data) == 20


async def test_the_numbers_of_operators(archive: FakeArchive, start: Start) -> None:
    before = metrics.ENTRIES._value.get()
    recorder = start(group=0.001)
    archive.fault = "locked"
    for one in numbered(7):
        recorder.append(one)
    await until(lambda: recorder.failing is not None)
    assert metrics.ENTRIES_PENDING._value.get() == 7
    archive.fault = None
    await recorder.flush()
    assert metrics.ENTRIES_PENDING._value.get() == 0
    assert metrics.ENTRIES._value.get() - before == 7


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 60)),
        st.tuples(st.sampled_from(["fail", "work", "flush", "turn"]), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_all_that_was_taken_is_committed_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    async def play() -> None:
        archive = FakeArchive()
        told: list[Entry] = []
        recorder = Recorder(
            archive,
            group=0.0,
            max_pending=15,
            max_pending_bytes=8 * OVERHEAD,
            on_commit=told.extend,
        )
        running = asyncio.create_task(recorder.run())
        taken: list[bytes] = []
        tried = 0
        for what, size in steps:
            if what == "append":
                tried += 1
                one = entry(tried.to_bytes(2) + bytes(size))
                if recorder.append(one):
                    taken.append(one.data)
            elif what == "fail":
                archive.fault = "the disk is full"
            elif what == "work":
                archive.fault = None
            elif what == "flush" and archive.fault is None:
                await recorder.flush()
                assert archive.data == taken
            else:
                await asyncio.sleep(0)
            assert recorder.pending <= 8
            assert recorder.dropped == tried - len(taken)
        archive.fault = None
        await recorder.flush()
        assert archive.data == taken == [one.data for one in told]
        assert [one.seq for one in told] == list(range(1, len(told) + 1))
        running.cancel()

    asyncio.run(play())


# -- the handler ---------------------------------------------------------------------------------


def test_record_is_a_handler_with_settings() -> None:
    handler = Record(RecordSettings())
    assert isinstance(handler, Handler)
    assert Record.settings_type is RecordSettings
    assert handler.settings.cursors is True
