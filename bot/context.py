"""What a handler is handed (handlers.base.Context)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

import aiohttp

from bot import metrics
from bot.board import Board
from bot.commands.bucket import Bucket
from bot.errors import RateLimited, UsageError
from bot.handlers.calling import where
from bot.whiteboard.board import BoardKey

MAX_VALUE = 64 * 1024
"""Characters a handler may keep under one name."""
MAX_TEXT = 10_000
"""Characters of a message into a room."""
POSTS, POSTS_EVERY = 5, 5.0
"""Messages a handler may write in a row, and seconds until one more."""

_log = logging.getLogger(__name__)


class Host(Protocol):
    """The rooms."""

    def find(self, room_id: str, whiteboard_id: str | None = None) -> BoardKey | None:
        """Return a board by room and id; without an id the room's oldest."""

    async def board(self, key: BoardKey) -> Board | None:
        """Return a board, loaded."""


class Archive(Protocol):
    """Keeps small texts."""

    async def get(self, name: str) -> str | None:
        """Return the text kept under a name."""

    async def set(self, name: str, value: str) -> None:
        """Keep a text."""


class Homeserver(Protocol):
    """Takes messages."""

    async def send_event(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        """Send a room event."""

    def server_ts(self) -> int:
        """Return the time by its clock, ms since 1970."""


class Store:
    """What one handler keeps: small texts, on disk when `set` returns."""

    def __init__(self, archive: Archive, name: str) -> None:
        self._archive = archive
        self._name = name

    async def get(self, name: str) -> str | None:
        """Return what is kept under a name; None when nothing is.

        Raises:
            StoreError: the archive cannot be read.
        """
        return await self._archive.get(self._key(name)) or None

    async def set(self, name: str, value: str) -> None:
        """Keep a text; an empty one is none.

        Raises:
            StoreError: the archive cannot be written.
            UsageError: the text is too long.
        """
        if len(value) > MAX_VALUE:
            raise UsageError(f"a handler keeps at most {MAX_VALUE} characters under a name")
        await self._archive.set(self._key(name), value)

    def _key(self, name: str) -> str:
        return f"kept.{self._name}.{name}"


class Context:
    """What one handler is handed.

    Args:
        name: the handler's.
        host: the rooms; None until the bot is logged in.
        archive: keeps what it keeps.
        homeserver: takes its messages.
        http: a session for all handlers.
        tasks: the owner of its tasks.

    Attributes:
        log: a logger of its own.
        http: for requests; the handler sets its own time limits.
        store: small texts of its own, kept across restarts.
    """

    def __init__(
        self,
        name: str,
        host: Callable[[], Host | None],
        *,
        archive: Archive,
        homeserver: Homeserver,
        http: aiohttp.ClientSession,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.log = logging.getLogger(f"boardkeeper.{name}")
        self.http = http
        self.store = Store(archive, name)
        self._name = name
        self._host = host
        self._homeserver = homeserver
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        self._posts = Bucket(POSTS, POSTS_EVERY)

    async def board(self, key: BoardKey) -> Board | None:
        """Return the board, loaded; None when the bot does not know it (any more)."""
        host = self._host()
        return None if host is None else await host.board(key)

    def find(self, room_id: str, whiteboard_id: str | None = None) -> BoardKey | None:
        """Return the room's board with this id; without an id the oldest one of the room."""
        host = self._host()
        return None if host is None else host.find(room_id, whiteboard_id)

    def now_ts(self) -> int:
        """Return the time by the homeserver's clock, ms since 1970, as events have it."""
        return self._homeserver.server_ts()

    async def post(self, room_id: str, text: str) -> None:
        """Write a notice into a room.

        Raises:
            UsageError: it is too long.
            RateLimited: the handler writes too much.
            ServerError: the homeserver does not take it.
        """
        if len(text) > MAX_TEXT:
            raise UsageError(f"a message has at most {MAX_TEXT} characters")
        if not self._posts.take(time.monotonic()):
            raise RateLimited("a handler may not write that many messages", POSTS_EVERY)
        content = {"msgtype": "m.notice", "body": text}
        await self._homeserver.send_event(room_id, "m.room.message", content)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the events; what it raises is logged and harms nobody."""
        task = self._tasks.create_task(self._guarded(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: work.close())  # one that is ended before it began

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - the border of a handler
            metrics.HANDLER_FAILURES.labels(self._name).inc()
            what = {"error": type(error).__name__, "where": where(error)}
            _log.warning("a handler's task failed", extra={"handler": self._name, **what})

    def end(self) -> None:
        """End what it has spawned."""
        for task in self._running:
            task.cancel()
