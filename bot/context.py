"""What a handler is handed (handlers.base.Context)."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

import aiohttp

from bot import metrics
from bot.actions.history import NOTHING, History
from bot.boards.board import Board
from bot.commands.bucket import Bucket
from bot.errors import RateLimited, UsageError
from bot.handlers.base import Changes, DocumentUpdate, Event
from bot.handlers.calling import contained, kind_of, where
from bot.permission import State
from bot.rooms.past import Past
from bot.rtc.membership import WHITEBOARD
from bot.rtc.past import PastSession
from bot.rtc.session import Slot
from bot.view import Limits, View
from bot.whiteboard.board import BoardKey

MAX_VALUE = 64 * 1024
"""Characters a handler may keep under one name."""
MAX_TEXT = 10_000
"""Characters of a message into a room."""
POSTS, POSTS_EVERY = 5, 5.0
"""Messages a handler may write in a row, and seconds until one more."""

MAX_METRICS = 50
"""Numbers that a handler may have at `/metrics`."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

_log = logging.getLogger(__name__)


class Host(Protocol):
    """The rooms."""

    def find(self, room_id: str, whiteboard_id: str | None = None) -> BoardKey | None:
        """Return a board by room and id; without an id the room's oldest."""

    async def board(self, key: BoardKey) -> Board | None:
        """Return a board, loaded."""

    def state(self, room_id: str) -> State | None:
        """Return what a room says; None when the bot is not in it."""

    def recorded(self, room_id: str, ts: int) -> bool:
        """Return whether what happened in a room at an instant may be recorded."""


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


class Metrics:
    """Numbers of one handler at `/metrics`; meaning and errors: handlers.base.Metrics."""

    def __init__(self, handler: str) -> None:
        self._handler = handler
        self._names: set[str] = set()

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a number that only grows."""
        if not amount >= 0:
            raise UsageError("what is counted only grows")
        self._check(name)
        metrics.HANDLER_EVENTS.labels(self._handler, name).inc(amount)

    def set(self, name: str, value: float) -> None:
        """Say what a number is now."""
        self._check(name)
        metrics.HANDLER_VALUES.labels(self._handler, name).set(value)

    def _check(self, name: str) -> None:
        if name in self._names:
            return
        if _NAME.fullmatch(name) is None:
            raise UsageError("a metric has a name of a to z, 0 to 9 and _, of 40 at the most")
        if len(self._names) >= MAX_METRICS:
            raise UsageError(f"a handler has at most {MAX_METRICS} metrics")
        self._names.add(name)


class Context:
    """What one handler is handed.

    Args:
        name: the handler's.
        host: the rooms; None until the bot is logged in.
        archive: keeps what it keeps.
        homeserver: takes its messages.
        http: a session for all handlers.
        history: reads boards as they were.
        past: reads who was there.
        tasks: the owner of its tasks.

    Attributes:
        log: a logger of its own.
        http: for requests; the handler sets its own time limits.
        store: small texts of its own, kept across restarts.
        metrics: numbers of its own.
    """

    def __init__(
        self,
        name: str,
        host: Callable[[], Host | None],
        *,
        archive: Archive,
        homeserver: Homeserver,
        http: aiohttp.ClientSession,
        history: History,
        past: Past,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.log = logging.getLogger(f"boardkeeper.{name}")
        self.http = http
        self.store = Store(archive, name)
        self.metrics = Metrics(name)
        self._name = name
        self._host = host
        self._homeserver = homeserver
        self._history = history
        self._past = past
        self._limits: dict[BoardKey, Limits] = {}
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        self._posts = Bucket(POSTS, POSTS_EVERY)

    async def board(self, key: BoardKey) -> View | None:
        """Return the board, loaded; None when the bot does not know it (any more)."""
        host = self._host()
        board = None if host is None else await host.board(key)
        if board is None:
            return None
        limits = self._limits.setdefault(key, Limits())
        return View(board, lambda: self._state(key.room_id), limits)

    def _state(self, room_id: str) -> State | None:
        host = self._host()
        return None if host is None else host.state(room_id)

    async def changes(self, event: DocumentUpdate) -> Changes:
        """Return what an event changed; meaning and errors: handlers.base.Context."""
        return await self._history.changes(event)

    async def content_at(self, event: Event) -> Mapping[str, Any]:
        """Return the board right after an event; meaning and errors: handlers.base.Context."""
        host = self._host()
        if event.seq is None and host and not host.recorded(event.board.room_id, event.ts):
            raise UsageError(NOTHING)  # and not what it was before the pause
        return await self._history.content_at(event)

    async def sessions(self, board: BoardKey, since_ts: int) -> list[PastSession]:
        """Return a board's sessions from an instant on; meaning and errors: handlers.base.Context.

        Of a room that nothing may be kept of now, only what is known is told.
        """
        host, now_ts = self._host(), self.now_ts()
        may_read = host is not None and host.recorded(board.room_id, now_ts)
        slot = Slot(WHITEBOARD, board.whiteboard_id)
        return await self._past.sessions(board.room_id, slot, since_ts, now_ts, may_read=may_read)

    def power(self, room_id: str, user_id: str) -> int:
        """Return a person's power level in a room.

        Raises:
            UsageError: the bot is not in this room.
        """
        state = self._state(room_id)
        if state is None:
            raise UsageError("the bot is not in this room")
        return state.power(user_id)

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
            with contained():
                await work
        except Exception as error:  # noqa: BLE001 - the border of a handler
            metrics.HANDLER_FAILURES.labels(self._name).inc()
            what = {"error": kind_of(error), "where": where(error)}
            _log.warning("a handler's task failed", extra={"handler": self._name, **what})

    def end(self) -> None:
        """End what it has spawned."""
        for task in self._running:
            task.cancel()
