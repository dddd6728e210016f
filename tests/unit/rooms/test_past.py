"""Reading a room's past in pages, and what happens when that is not all at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.errors import StoreError, Transient
from bot.matrix.relations import Page
from bot.rooms import past
from bot.rooms.past import Past
from bot.rtc.membership import MEMBER_TYPE, WHITEBOARD
from bot.rtc.session import Slot
from bot.store.archive import Archive

ROOM = "!room:hs"


def event(number: int) -> dict[str, Any]:
    return {
        "type": MEMBER_TYPE,
        "state_key": "_@ann:hs_D",
        "event_id": f"${number}",
        "sender": "@ann:hs",
        "origin_server_ts": 1000 * number,
        "content": {},
    }


class Server:
    """A room's timeline; its tokens are places between events."""

    def __init__(self, events: int) -> None:
        self.events = [event(number) for number in range(events)]
        self.asked: list[str] = []
        self.fails = self.hangs = False

    async def messages(
        self,
        room_id: str,
        token: str | None,
        event_filter: Mapping[str, Any],
        *,
        forwards: bool,
        limit: int,
    ) -> Page:
        assert room_id == ROOM
        assert ("m.room.redaction" in event_filter["types"]) is forwards
        self.asked.append("forth" if forwards else "back")
        if self.hangs:
            await asyncio.sleep(60)
        if self.fails:
            raise Transient("messages: the homeserver does not answer")
        at = len(self.events) if token is None else int(token)
        if forwards:
            found = self.events[at : at + limit]
            end = at + len(found)
        else:
            found = self.events[max(0, at - limit) : at][::-1]
            end = at - len(found)
        return Page(tuple(found), str(at), str(end) if found else None)


@asynccontextmanager
async def reading(tmp_path: Path, server: Server) -> AsyncIterator[tuple[Past, Archive]]:
    async with Archive(tmp_path) as archive:
        yield Past(server, archive, "@bot:hs"), archive


async def kept(archive: Archive) -> Sequence[str]:
    return [row[2] for row in await archive.memberships(ROOM)]


async def test_it_reads_back_to_the_beginning_and_then_only_what_is_new(tmp_path: Path) -> None:
    server = Server(5)
    async with reading(tmp_path, server) as (reader, archive):
        found = await reader.read(ROOM, until_ts=0)
        assert (found["done"], found["complete"], found["events"]) == (True, True, 5)
        assert (found["reached_ts"], found["pages"]) == (0, 2)
        server.events.append(event(5))
        server.asked.clear()
        found = await reader.read(ROOM, until_ts=0)
        assert (found["done"], found["events"], server.asked) == (True, 1, ["forth", "forth"])
        assert await kept(archive) == [f"${number}" for number in range(6)]
        found = await reader.read(ROOM, until_ts=0, anew=True)
        assert found["events"] == 6
        assert await kept(archive) == [f"${number}" for number in range(6)]


async def test_it_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "PAGE", 2)
    monkeypatch.setattr(past, "PAGES", 3)
    server = Server(20)
    async with reading(tmp_path, server) as (reader, _):
        found = await reader.read(ROOM, until_ts=0)
        assert (found["done"], found["pages"], found["reached_ts"]) == (False, 3, 14_000)
    server.events += [event(number) for number in range(20, 30)]
    server.fails = True
    async with reading(tmp_path, server) as (reader, archive):
        with pytest.raises(Transient):
            await reader.read(ROOM, until_ts=0)
        server.fails = False
        found = await reader.read(ROOM, until_ts=0)
        assert (found["done"], found["pages"]) == (False, 3), "what is new comes first"
        for _ in range(20):
            found = await reader.read(ROOM, until_ts=0)
            if found["done"]:
                break
        assert await kept(archive) == [f"${number}" for number in range(30)]


async def test_it_reads_no_further_back_than_is_asked_for_or_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "PAGE", 2)
    server = Server(20)
    async with reading(tmp_path, server) as (reader, archive):
        found = await reader.read(ROOM, until_ts=15_000)
        assert (found["done"], found["complete"], found["reached_ts"]) == (True, False, 14_000)
        monkeypatch.setattr("bot.store.pasts.MEMBERSHIPS_OF_ROOM", 8)
        found = await reader.read(ROOM, until_ts=0)
        assert (found["done"], found["full"], found["complete"]) == (True, True, False)
        assert await archive.is_full(ROOM)


async def test_what_was_in_a_pause_is_not_read(tmp_path: Path) -> None:
    async with reading(tmp_path, Server(5)) as (reader, archive):
        await archive.set_room(ROOM, paused=True, paused_ts=1000)
        await archive.set_room(ROOM, paused=False, resumed_ts=3000)
        await reader.read(ROOM, until_ts=0)
        assert await kept(archive) == ["$0", "$3", "$4"]


# -- what handlers ask for ---------------------------------------------------------------------

SLOT = Slot(WHITEBOARD, "board")


def stay(number: int, content: Mapping[str, Any], user: str = "@ann:hs") -> dict[str, Any]:
    return {**event(number), "sender": user, "state_key": f"_{user}_D", "content": content}


JOIN = {
    "application": WHITEBOARD,
    "call_id": "board",
    "device_id": "D",
    "expires": 4_000_000_000_000,
}


async def sessions(
    reader: Past, since: int = 0, *, may_read: bool = True
) -> list[tuple[int, int | None]]:
    found = await reader.sessions(ROOM, SLOT, since * 1000, 90_000, may_read=may_read)
    return [
        (span.start_ts // 1000, None if span.end_ts is None else span.end_ts // 1000)
        for one in found
        for span in one.spans
    ]


async def test_sessions_of_a_board_are_read_once_and_again_after_a_gap(tmp_path: Path) -> None:
    server = Server(0)
    server.events = [
        stay(1, JOIN, "@bot:hs"),
        stay(2, JOIN),
        stay(3, {}),
        stay(4, {**JOIN, "call_id": "other"}),
        stay(5, JOIN),
    ]
    async with reading(tmp_path, server) as (reader, archive):
        assert await sessions(reader, may_read=False) == []
        assert await sessions(reader) == [(2, 3), (5, None)]
        assert await sessions(reader, since=4) == [(5, None)]
        server.asked.clear()
        # What sync brings is there without asking …
        await past.keep_seen(archive, ROOM, (), [stay(6, {})], 0)
        assert await sessions(reader) == [(2, 3), (5, 6)]
        assert not server.asked
        # … but where it left something out, that is read.
        server.events += [stay(6, {}), stay(7, JOIN), stay(8, {})]
        await past.keep_seen(archive, ROOM, [stay(8, {})], [], 0)
        assert await sessions(reader) == [(2, 3), (5, 6), (7, 8)]
        assert set(server.asked) == {"forth"}
        # Nothing is left of a stay in a gap that was longer than it was sticky.
        server.asked.clear()
        server.events += [stay(9, JOIN), stay(10, {})]
        await past.keep_seen(archive, ROOM, (), [], 0, gap=True)
        assert (await sessions(reader))[-1] == (9, 10)
        assert set(server.asked) == {"forth"}


async def test_what_the_archive_did_not_take_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(0)
    async with reading(tmp_path, server) as (reader, archive):
        assert await sessions(reader) == []

        async def full(*_: object) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(archive, "saw_memberships", full)
        server.events = [stay(1, JOIN), stay(2, {})]
        await past.keep_seen(archive, ROOM, (), server.events, 0)
        assert "memberships could not be kept" in caplog.text
        assert await sessions(reader) == [(1, 2)]


async def test_what_cannot_be_read_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(0)
    server.events = [stay(1, JOIN)]
    async with reading(tmp_path, server) as (reader, archive):
        server.fails = True
        assert await sessions(reader) == []
        server.fails = False
        server.hangs = True
        monkeypatch.setattr(past, "WAIT_FOR", 0.01)
        assert await sessions(reader) == []
        assert [one.name for one in caplog.records].count("bot.rooms.past") == 2
        assert not archive.whole
        server.hangs = False
        monkeypatch.setattr(past, "WAIT_FOR", 30.0)
        assert await sessions(reader) == [(1, None)]
        await archive.set_room(ROOM, paused=True, paused_ts=5000)
        assert await sessions(reader) == [(1, 5)]
    async with reading(tmp_path, server) as (reader, archive):

        async def broken(*_: object) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(archive, "read_memberships", broken)
        with pytest.raises(StoreError):
            await sessions(reader)


async def test_who_asks_for_more_gets_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "PAGE", 2)
    monkeypatch.setattr(past, "PAGES", 3)
    monkeypatch.setattr(past, "LONGEST", 0)
    server = Server(0)
    server.events = [stay(number, JOIN if number % 2 else {}) for number in range(20)]
    async with reading(tmp_path, server) as (reader, _):
        assert (await sessions(reader, since=18))[-1] == (19, None)
        assert len(await sessions(reader, since=2)) < 9
        found = [await sessions(reader, since=2) for _ in range(5)]
        assert len(found[-1]) == 9
        server.asked.clear()
        assert await sessions(reader, since=4)
        assert not server.asked


async def test_one_reads_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two would both go on from where one of them ended."""
    monkeypatch.setattr(past, "PAGE", 2)
    server = Server(0)
    server.events = [stay(number, JOIN if number % 2 else {}) for number in range(9)]
    inside = [0]
    most = [0]
    shown = server.messages

    async def slowly(*about: Any, **more: Any) -> Page:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        await asyncio.sleep(0.05)
        page = await shown(*about, **more)
        inside[0] -= 1
        return page

    monkeypatch.setattr(server, "messages", slowly)
    async with reading(tmp_path, server) as (reader, archive):
        await asyncio.gather(*(reader.read(ROOM, until_ts=0) for _ in range(3)))
        assert most == [1]
        assert await kept(archive) == [f"${number}" for number in range(9)]


async def test_how_far_it_was_read_is_known_from_the_furthest_reading(tmp_path: Path) -> None:
    server = Server(0)
    server.events = [stay(number, JOIN if number % 2 else {}) for number in range(20)]
    async with reading(tmp_path, server) as (reader, _):
        assert (await sessions(reader, since=18))[-1] == (19, None)
        assert len(await sessions(reader, since=2)) == 9
        server.asked.clear()
        assert len(await sessions(reader, since=2)) == 9
        assert not server.asked


async def test_who_came_long_before_is_seen_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long before as a membership lasts that is not renewed."""
    monkeypatch.setattr(past, "PAGE", 2)
    server = Server(0)
    server.events = [stay(1, JOIN), *(stay(50 + number, {}, "@ben:hs") for number in range(9))]
    async with reading(tmp_path, server) as (reader, _):
        assert await sessions(reader, since=55) == [(1, None)]


async def test_of_an_outcome_who_is_out_of_the_room_has_gone_after_coming(tmp_path: Path) -> None:
    """State comes in no order: somebody who was kicked still stands under his key."""
    out = {**stay(2, {"membership": "leave"}, "@mod:hs"), "type": "m.room.member"}
    out["state_key"] = "@ann:hs"
    for state in ([stay(1, JOIN), out], [out, stay(1, JOIN)]):
        async with reading(tmp_path / f"{state[0]['event_id']}", Server(0)) as (reader, archive):
            await past.keep_seen(archive, ROOM, state, [], 0)
            assert await sessions(reader, may_read=False) == [(1, 2)]


async def test_one_past_is_gone_through_at_a_time_and_never_where_all_else_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(0)
    server.events = [stay(1, JOIN), stay(2, {})]
    async with reading(tmp_path, server) as (reader, archive):
        assert await sessions(reader) == [(1, 2)]
        kept_rows, inside, most = archive.memberships, 0, 0
        threads: set[int] = set()

        async def slowly(room_id: str, since_ts: int = 0) -> Iterator[Any]:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            rows = await kept_rows(room_id, since_ts)

            def taken() -> Iterator[Any]:
                nonlocal inside
                threads.add(threading.get_ident())
                yield from rows
                inside -= 1

            return taken()

        monkeypatch.setattr(archive, "memberships", slowly)
        found = await asyncio.gather(*(sessions(reader) for _ in range(5)))
    assert found == [[(1, 2)]] * 5
    assert most == 1
    assert threading.get_ident() not in threads
