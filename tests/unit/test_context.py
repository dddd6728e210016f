"""What a handler is handed, and its life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import generate_latest

from bot import handling, metrics
from bot.actions.history import History
from bot.boards.board import Board
from bot.context import MAX_METRICS, MAX_TEXT, MAX_VALUE, POSTS, Context, Metrics
from bot.errors import RateLimited, UsageError
from bot.handlers import base
from bot.handlers.base import DocumentUpdate, Event, Focused, Handler
from bot.handling import Handling
from bot.rooms.past import Past
from bot.roomstate import RoomState
from bot.rtc.past import PastSession
from bot.rtc.session import Slot
from bot.store.archive import Archive
from bot.whiteboard.board import BoardKey
from bot.whiteboard.document import Document
from bot.whiteboard.message import Message
from tests.fakes.rooms import (
    ALICE,
    BOT,
    KEY,
    NOW,
    OTHER,
    ROOM,
    MemoryArchive,
    NotMending,
    NotSaving,
    services,
    until,
)
from tests.unit.whiteboard.people import plain, shape


class Server:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Mapping[str, Any]]] = []

    async def send_event(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        self.sent.append((room_id, event_type, content))
        return "$1"

    def server_ts(self) -> int:
        return 7


async def settled() -> bool:
    return True


async def test_a_handler_may_keep_post_and_begin_things(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    async with (
        Archive(tmp_path) as archive,
        aiohttp.ClientSession() as http,
        asyncio.TaskGroup() as tasks,
    ):

        def made(name: str) -> Context:
            return Context(
                name,
                lambda: None,
                archive=archive,
                homeserver=server,
                http=http,
                history=History(archive, empty=Document, committed=settled),
                past=Asked(),
                tasks=tasks,
            )

        one, other = made("one"), made("other")
        as_authors_see_it: base.Context = one
        assert as_authors_see_it.now_ts() == 7
        assert one.find(ROOM) is None
        assert await one.board(KEY) is None

        await one.store.set("a", "1")
        await other.store.set("a", "2")
        assert [await each.store.get("a") for each in (one, other)] == ["1", "2"]
        await one.store.set("a", "")
        assert await one.store.get("a") is None
        with pytest.raises(UsageError, match="keeps at most"):
            await one.store.set("a", "x" * (MAX_VALUE + 1))

        for _ in range(POSTS):
            await one.post(ROOM, "hello")
        with pytest.raises(RateLimited):
            await one.post(ROOM, "hello")
        await other.post(ROOM, "it has its own")
        with pytest.raises(UsageError, match="at most"):
            await other.post(ROOM, "x" * (MAX_TEXT + 1))
        assert len(server.sent) == POSTS + 1
        assert server.sent[0] == (ROOM, "m.room.message", {"msgtype": "m.notice", "body": "hello"})

        async def fails() -> None:
            raise ValueError("what is on the board")

        one.spawn(fails())
        one.spawn(asyncio.sleep(1000))
        await until(lambda: "a handler's task failed" in caplog.text)
        assert "what is on the board" not in caplog.text
        one.end()


class Rooms:
    """One room with one board."""

    def __init__(self, board: Board) -> None:
        self.there = board
        self.rooms = RoomState(ROOM, BOT)
        self.rooms.apply(
            {
                "type": "m.room.power_levels",
                "state_key": "",
                "sender": ALICE,
                "content": {"users": {ALICE: 50}, "users_default": 5},
            }
        )

    def find(self, room_id: str, whiteboard_id: str | None = None) -> BoardKey | None:
        return KEY

    async def board(self, key: BoardKey) -> Board | None:
        return self.there if key == KEY else None

    def state(self, room_id: str) -> RoomState | None:
        return self.rooms if room_id == ROOM else None

    def recorded(self, room_id: str, ts: int) -> bool:
        return ts != NOW - 1


async def test_a_handler_reads_boards_power_and_what_happened() -> None:
    archive, told = MemoryArchive(), list[Event]()
    board = Board(
        KEY,
        1,
        services(archive, told, noting=True),
        publish=nobody,
        heard=lambda _: None,
        saving=NotSaving(),
        repeat=lambda _: None,
        mending=NotMending(),
    )
    await board.load()
    board.complete = True
    rooms = Rooms(board)
    none: Any = None
    kept: Any = archive
    async with asyncio.TaskGroup() as tasks:
        handed = Context(
            "one",
            lambda: rooms,
            archive=none,
            homeserver=none,
            http=none,
            history=History(kept, empty=Document, committed=settled),
            past=none,
            tasks=tasks,
        )
        as_authors_see_it: base.Context = handed
        view = await as_authors_see_it.board(KEY)
        assert view is not None
        (slide,) = view.slides()
        note = {"id": "a", **plain(shape(text="a"))}
        for number in range(10):
            view = await handed.board(KEY)
            assert view is not None
            assert await view.rewrite([slide.put({**note, "text": f"{number}"})])
        with pytest.raises(RateLimited):  # however often it asks for the board
            await view.rewrite([slide])
        first = told[0]
        assert isinstance(first, DocumentUpdate)
        assert (await as_authors_see_it.changes(first)).elements[0].kind == "added"
        for unknown in (Focused(KEY, 1, None, "s", seq=1), Focused(KEY, NOW - 1, None, "s")):
            with pytest.raises(UsageError, match="nothing is recorded"):
                await as_authors_see_it.content_at(unknown)
        assert await handed.board(OTHER) is None
        assert handed.power(ROOM, ALICE) == 50
        assert handed.power(ROOM, "@bob:here") == 5
        with pytest.raises(UsageError, match="not in this room"):
            handed.power("!elsewhere:here", ALICE)


class Asked(Past):
    """Notes what is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def sessions(self, *args: Any, may_read: bool) -> list[PastSession]:
        self.asked.append((*args, may_read))
        return []


async def test_a_handler_asks_who_was_there() -> None:
    board: Any = None
    rooms: list[Rooms | None] = [None]
    none: Any = None
    server: Any = Server()
    asked = Asked()
    async with asyncio.TaskGroup() as tasks:
        handed: base.Context = Context(
            "one",
            lambda: rooms[-1],
            archive=none,
            homeserver=server,
            http=none,
            history=none,
            past=asked,
            tasks=tasks,
        )
        for now in (Rooms(board), Paused(board)):
            assert await handed.sessions(KEY, 5) == []
            rooms.append(now)
        await handed.sessions(KEY, 5)
    slot = Slot("net.nordeck.whiteboard", KEY.whiteboard_id)
    assert asked.asked == [(ROOM, slot, 5, 7, may) for may in (False, True, False)]


class Paused(Rooms):
    def recorded(self, room_id: str, ts: int) -> bool:
        return False


async def nobody(_: Message) -> None:
    """Nobody is connected."""


def test_a_handler_counts_and_measures() -> None:
    numbers: base.Metrics = Metrics("counts")
    numbers.count("notes")
    numbers.count("notes", 2)
    numbers.set("open", 7)
    numbers.set("open", 5)
    served = generate_latest(metrics.REGISTRY).decode()
    assert 'boardkeeper_handler_events_total{handler="counts",name="notes"} 3.0' in served
    assert 'boardkeeper_handler_value{handler="counts",name="open"} 5.0' in served
    for wrong in ("Notes", "", "1a", "a" * 41, "a b"):
        with pytest.raises(UsageError, match="a metric has a name"):
            numbers.count(wrong)
    for amount in (-1, float("nan")):
        with pytest.raises(UsageError, match="only grows"):
            numbers.count("notes", amount)
    for number in range(MAX_METRICS - 2):
        numbers.set(f"n{number}", 1)
    with pytest.raises(UsageError, match="at most"):
        numbers.set("more", 1)
    numbers.set("open", 1)


class Life(Handler):
    def __init__(self, *, start: float = 0, fault: Exception | None = None) -> None:
        super().__init__(None)
        self.takes = start
        self.fault = fault
        self.stopped = False

    async def start(self, context: base.Context) -> None:
        await super().start(context)
        await asyncio.sleep(self.takes)
        if self.fault is not None:
            raise self.fault

    async def stop(self) -> None:
        self.stopped = True
        raise RuntimeError("at the end")


def handed(tasks: asyncio.TaskGroup) -> Any:
    def made(name: str) -> Context:
        none: Any = None
        return Context(
            name,
            lambda: None,
            archive=none,
            homeserver=none,
            http=none,
            history=none,
            past=none,
            tasks=tasks,
        )

    return made


async def test_one_that_cannot_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "WITHIN", 0.05)
    async with asyncio.TaskGroup() as tasks:
        with pytest.raises(UsageError, match="“slow” did not start within"):
            await Handling({"slow": Life(start=1000)}, handed(tasks)).start()
        broken = Life(fault=KeyError("url"))
        with pytest.raises(UsageError, match=r"“broken” could not start: KeyError at .*: 'url'"):
            await Handling({"broken": broken}, handed(tasks)).start()


async def test_each_is_stopped_whatever_the_others_do(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    lives = {"one": Life(), "two": Life()}
    async with asyncio.TaskGroup() as tasks:
        running = Handling(lives, handed(tasks))
        await running.start()
        lives["one"].context.spawn(asyncio.sleep(1000))
        await running.stop()
    assert all(life.stopped for life in lives.values())
    assert caplog.text.count("did not stop in order") == 2
