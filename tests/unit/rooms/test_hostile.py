"""A room full of what somebody sent who wants the bot to read for ever, or to remember it all."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bot.boards import snapshots
from bot.roomstate import MAX_BOARDS, RoomState
from bot.rtc.keys import MAX_OF_ONE
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE, chunk_content, snapshot_content
from tests.fakes.rooms import BOT, KEY, NOW, ROOM, board_event, on_board
from tests.unit.boards.test_snapshots import DATA, Reader

MALLORY = "@mallory:here"


def head(number: int, chunks: int = 2) -> dict[str, Any]:
    return {
        "type": SNAPSHOT_TYPE,
        "event_id": f"$m{number}",
        "sender": MALLORY,
        "origin_server_ts": NOW,
        "content": snapshot_content(KEY.document_id, chunks),
    }


def chunk(of: str, number: int, sender: str, data: bytes = b"evil") -> dict[str, Any]:
    content = chunk_content(KEY.document_id, of, number, data)
    return {"type": CHUNK_TYPE, "event_id": "$c", "sender": sender, "content": content}


async def test_a_hundred_thousand_heads_hide_no_snapshot_and_are_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "MAX_TRIED", 20_000)  # the listing itself is what is slow here
    monkeypatch.setattr(snapshots, "MAX_BROKEN", 200_000)
    reader = Reader()
    reader.server.has_snapshot(DATA, "$good")
    listing = reader.server.past[KEY.document_id, SNAPSHOT_TYPE]
    listing[:0] = [head(number) for number in range(100_000)]
    searches = 0
    while not await reader.read():
        searches += 1
        assert searches <= 5
    assert reader.ids() == ["$good"]
    assert reader.server.calls["relations"] <= 100_000 + 1 + searches + 1
    before = reader.server.calls["relations"]
    reader.known.add("$good")
    assert await reader.read()
    assert reader.server.calls["relations"] == before + 1


async def test_each_search_asks_for_a_bounded_number_of_snapshots() -> None:
    reader = Reader()
    listing = reader.server.past.setdefault((KEY.document_id, SNAPSHOT_TYPE), [])
    listing += [head(number) for number in range(1_000)]
    assert not await reader.read()
    assert reader.server.calls["relations"] == 1 + snapshots.MAX_TRIED
    assert len(reader.opened) == snapshots.MAX_OPEN  # no more of them may still be in the writing


@pytest.mark.parametrize("chunks", [10**9, 2**53 - 1, 200 * 2**20 // 1024, 0, -1])
async def test_what_is_announced_beyond_measure_is_not_asked_for(chunks: int) -> None:
    reader = Reader()
    reader.server.has_snapshot(DATA, "$good")
    listing = reader.server.past[KEY.document_id, SNAPSHOT_TYPE]
    listing[:0] = [head(number, chunks) for number in range(50)]
    assert await reader.read()
    assert reader.ids() == ["$good"]
    assert reader.server.calls["relations"] == 2


async def test_chunks_of_others_neither_change_nor_hide_a_snapshot() -> None:
    reader = Reader()
    reader.server.has_snapshot(DATA, "$good")
    mine = reader.server.past["$good", CHUNK_TYPE]
    evil = [chunk("$good", number % 3, MALLORY) for number in range(300)]
    reader.server.past["$good", CHUNK_TYPE] = [*evil[:150], *mine, *evil[150:]]  # newest first
    assert await reader.read()
    assert [one.data for one in reader.merged] == [DATA]


async def test_chunks_without_end_are_not_read_without_end() -> None:
    reader = Reader()
    reader.server.has_snapshot(DATA, "$good")
    listing = reader.server.past[KEY.document_id, SNAPSHOT_TYPE]
    listing.insert(0, head(1, 3))
    taken = 0

    class Endless(list[Any]):
        def __reversed__(self) -> Any:
            nonlocal taken
            while True:
                taken += 1
                yield chunk("$m1", taken % 2, MALLORY)

    original = reader.server.relations

    async def relations(room_id: str, event_id: str, event_type: str, **values: Any) -> Any:
        if event_id == "$m1":
            for event in reversed(Endless()):
                yield event
        else:
            async for event in original(room_id, event_id, event_type, **values):
                yield event

    reader.server.relations = relations  # type: ignore[method-assign]
    assert await reader.read()
    assert reader.ids() == ["$good"]
    assert taken <= 3 + snapshots.MAX_BESIDE + 1


def test_broken_ones_that_are_remembered_are_bounded() -> None:
    broken, now = snapshots.Broken(), time.monotonic()
    for number in range(100_000):
        broken.found(f"${number}", now)
    assert len(broken._until) == snapshots.MAX_BROKEN


def test_the_state_of_a_room_is_bounded_whatever_one_member_puts_there() -> None:
    state = RoomState(ROOM, BOT)
    for number in range(5_000):
        event = on_board(MALLORY, f"D{number}")
        event["content"]["expires"] = (NOW + 10**6, 2**60, -1, float("nan"))[number % 4]
        state.apply(event)
        state.apply(board_event(KEY if number == 0 else KEY.__class__(ROOM, f"w{number}", "$d")))
    assert len(state.memberships) <= MAX_OF_ONE
    assert len(state.boards) == MAX_BOARDS
    assert len(state.live(NOW)) == 0  # she is no member
