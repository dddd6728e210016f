"""What a handler is handed, and its life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot import handling
from bot.context import MAX_TEXT, MAX_VALUE, POSTS, Context
from bot.errors import RateLimited, UsageError
from bot.handlers import base
from bot.handlers.base import Handler
from bot.handling import Handling
from bot.history import History
from bot.store.archive import Archive
from bot.whiteboard.document import Document
from tests.fakes.rooms import KEY, ROOM, until


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
