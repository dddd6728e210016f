from __future__ import annotations

import time
from typing import Any

import pytest

from bot.boards import snapshots
from bot.errors import Transient
from bot.whiteboard.snapshot import CHUNK_BYTES, CHUNK_TYPE, SNAPSHOT_TYPE, Snapshot
from tests.fakes.rooms import ALICE, BOT, KEY, Server

DATA = b"x" * (CHUNK_BYTES + 1)


class Reader:
    def __init__(self) -> None:
        self.server = Server()
        self.known: set[str] = set()
        self.bad: set[str] = set()
        self.merged: list[Snapshot] = []
        self.broken = snapshots.Broken()
        self.opened: list[Any] = []

    async def read(self) -> bool:
        async def known(event_id: str) -> bool:
            return event_id in self.known

        async def merge(snapshot: Snapshot) -> bool:
            if snapshot.event_id in self.bad:
                return False
            self.merged.append(snapshot)
            return True

        return await snapshots.newest(
            self.server,
            KEY,
            known=known,
            merge=merge,
            broken=self.broken,
            opened=self.opened.append,
        )

    def has_broken(self, count: int, name: str = "b") -> None:
        for number in range(count):
            event_id = f"${name}{number}"
            self.server.has_snapshot(DATA, event_id)
            del self.server.past[event_id, CHUNK_TYPE]

    def ids(self) -> list[str]:
        return [one.event_id for one in self.merged]


async def test_the_newest_good_one_is_merged() -> None:
    reader = Reader()
    for event_id in ("$1", "$2", "$3", "$4"):
        reader.server.has_snapshot(DATA, event_id)
    reader.bad.add("$4")
    reader.server.past["$3", CHUNK_TYPE].pop()  # not complete
    await reader.read()
    assert reader.ids() == ["$2"]
    assert reader.merged[0].data == DATA


async def test_what_is_known_is_not_read() -> None:
    reader = Reader()
    reader.server.has_snapshot(DATA, "$1")
    reader.known.add("$1")
    await reader.read()
    assert reader.ids() == []
    assert reader.server.calls["relations"] == 1


async def test_malformed_ones_are_passed_over() -> None:
    reader = Reader()
    reader.server.has_snapshot(DATA, "$1")
    reader.server.past[KEY.document_id, SNAPSHOT_TYPE].insert(0, {"type": SNAPSHOT_TYPE})
    await reader.read()
    assert reader.ids() == ["$1"]


async def test_what_is_read_in_one_search_is_bounded_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "MAX_TRIED", 10)
    reader = Reader()
    reader.server.has_snapshot(DATA, "$1")
    reader.has_broken(25)
    for found, asked in ((False, 10), (False, 10), (True, 6)):
        before = reader.server.calls["relations"]
        assert await reader.read() == found
        assert reader.server.calls["relations"] - before == 1 + asked
    assert reader.ids() == ["$1"]


async def test_nothing_but_broken_ones_is_a_room_without_snapshots() -> None:
    reader = Reader()
    reader.has_broken(3)
    for asked in (4, 1):
        before = reader.server.calls["relations"]
        assert await reader.read()
        assert reader.server.calls["relations"] - before == asked
    assert reader.ids() == []


async def test_what_was_not_complete_is_read_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    events = reader.server.has_snapshot(DATA, "$1")
    reader.server.past["$1", CHUNK_TYPE] = [events[1]]
    await reader.read()
    assert reader.opened == events[:2]  # the rest may come by sync
    reader.server.past["$1", CHUNK_TYPE] = [events[2], events[1]]
    await reader.read()
    assert reader.ids() == []
    monkeypatch.setattr(snapshots, "monotonic", lambda: time.monotonic() + snapshots.TRY_AGAIN)
    await reader.read()
    assert reader.ids() == ["$1"]
    reader.bad.add("$1")
    reader.merged.clear()
    await reader.read()
    await reader.read()
    assert reader.ids() == []


async def test_what_is_remembered_of_broken_ones_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "MAX_BROKEN", 2)
    broken = snapshots.Broken()
    for event_id in "abc":
        broken.found(event_id, 0.0)
    assert [broken.skips(event_id, 1.0) for event_id in "abc"] == [False, True, True]
    broken.found("b", 100.0)
    assert broken.skips("b", 1e9)
    assert not broken.skips("c", 100.0)


async def test_what_others_put_beside_the_chunks_hides_no_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "MAX_BESIDE", 5)
    reader = Reader()
    for event_id in ("$1", "$2"):
        reader.server.has_snapshot(DATA, event_id)
        beside = {**reader.server.past[event_id, CHUNK_TYPE][0], "sender": "@eve:here"}
        reader.server.past[event_id, CHUNK_TYPE][:0] = [beside] * 50
    reader.server.past["$2", CHUNK_TYPE].pop()  # not complete
    assert await reader.read()
    assert reader.ids() == ["$1"]


async def test_so_are_the_events_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_READ", 5)
    reader = Reader()
    for event_id in ("$1", "$2"):
        reader.server.has_snapshot(DATA, event_id)
    reader.server.past["$2", CHUNK_TYPE] = [reader.server.past["$1", CHUNK_TYPE][0]] * 10
    assert not await reader.read()
    assert await reader.read()
    assert reader.ids() == ["$1"]


async def test_writing_is_one_event_and_its_chunks() -> None:
    server = Server()
    assert await snapshots.write(server, KEY, DATA, BOT) == "$sent1"
    assert [kind for kind, _ in server.sent] == [SNAPSHOT_TYPE, CHUNK_TYPE, CHUNK_TYPE]
    server.failures["send_event"] = [Transient("gone")]
    with pytest.raises(Transient):
        await snapshots.write(server, KEY, DATA, BOT)


async def test_what_others_put_beside_our_chunks_does_not_count() -> None:
    server = Server()
    server.vanishing[CHUNK_TYPE] = 1
    server.past["$sent1", CHUNK_TYPE] = [
        {"sender": ALICE, "content": {"sequenceNumber": 0}},
        {"sender": BOT, "content": {"sequenceNumber": []}},
        {"content": 5},
    ]
    await snapshots.write(server, KEY, DATA, BOT)
    assert [kind for kind, _ in server.sent].count(CHUNK_TYPE) == 3


async def test_reading_back_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_READ", 5)
    server = Server()
    server.vanishing[CHUNK_TYPE] = 99
    server.past["$sent1", CHUNK_TYPE] = [{"sender": ALICE, "content": {}}] * 50
    with pytest.raises(Transient):
        await snapshots.write(server, KEY, DATA, BOT)
