from __future__ import annotations

import pytest

from bot import snapshots
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

    async def read(self) -> None:
        async def known(event_id: str) -> bool:
            return event_id in self.known

        async def merge(snapshot: Snapshot) -> bool:
            if snapshot.event_id in self.bad:
                return False
            self.merged.append(snapshot)
            return True

        await snapshots.newest(self.server, KEY, known=known, merge=merge)

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
