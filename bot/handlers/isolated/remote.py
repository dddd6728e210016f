"""The context as a handler in a thread or process of its own has it: it asks the bot."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import aiohttp

from bot.handlers.base import BoardKey, Changes, DocumentUpdate, Event, PastSession, Slide


class Asker(Protocol):
    """Brings questions to the bot; what it raises there is raised here."""

    async def ask(self, what: str, *args: Any, **options: Any) -> Any:
        """Ask, and wait for the answer."""

    def ask_now(self, what: str, *args: Any, **options: Any) -> Any:
        """Likewise, holding up this thread."""


class RemoteBoard:
    """A board (`base.BoardView`)."""

    def __init__(self, asker: Asker, key: BoardKey) -> None:
        self._asker = asker
        self._key = key

    @property
    def version(self) -> str | None:
        """`"0"` slides, `"1"` infinite canvas, None while unknown."""
        version: str | None = self._asker.ask_now("board.version", self._key)
        return version

    def content(self) -> Mapping[str, Any]:
        """Return the content now."""
        content: Mapping[str, Any] = self._asker.ask_now("board.content", self._key)
        return content

    def state_vector(self) -> bytes:
        """Return the document's Yjs state vector."""
        return bytes(self._asker.ask_now("board.state_vector", self._key))

    def diff(self, state_vector: bytes) -> bytes:
        """Return the Yjs update that a document with this state vector lacks."""
        return bytes(self._asker.ask_now("board.diff", self._key, state_vector))

    def slides(self) -> tuple[Slide, ...]:
        """Return the slides now, in their order."""
        return tuple(self._asker.ask_now("board.slides", self._key))

    async def rewrite(
        self,
        slides: Sequence[Slide],
        *,
        was: Sequence[Slide] | None = None,
        unlock: bool = False,
    ) -> bool:
        """Make the board look like this."""
        asked = self._asker.ask("board.rewrite", self._key, slides, was=was, unlock=unlock)
        return bool(await asked)

    async def change(self, update: bytes) -> bool:
        """Apply a Yjs update, send it to the people on the board and save it to the room."""
        return bool(await self._asker.ask("board.change", self._key, update))


class RemoteStore:
    """Small texts of the handler's own (`base.Store`)."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def get(self, name: str) -> str | None:
        """Return what is kept under a name; None when nothing is."""
        text: str | None = await self._asker.ask("store.get", name)
        return text

    async def set(self, name: str, value: str) -> None:
        """Keep a text."""
        await self._asker.ask("store.set", name, value)


class RemoteMetrics:
    """Numbers of the handler's own (`base.Metrics`)."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a number that only grows."""
        self._asker.ask_now("metrics.count", name, amount)

    def set(self, name: str, value: float) -> None:
        """Say what a number is now."""
        self._asker.ask_now("metrics.set", name, value)


class RemoteContext:
    """What the handler is handed (`base.Context`).

    Args:
        name: the handler's.
        asker: brings questions to the bot.
        http: a session in the handler's own loop.
        spawn: runs something there beside the events.

    Attributes:
        log: a logger of its own.
        http: for requests; the handler sets its own time limits.
        store: small texts of its own.
        metrics: numbers of its own.
        spawn: runs something beside the events until the end; what it raises is logged.
    """

    def __init__(
        self,
        name: str,
        asker: Asker,
        http: aiohttp.ClientSession,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.log = logging.getLogger(f"boardkeeper.{name}")
        self.http = http
        self.store = RemoteStore(asker)
        self.metrics = RemoteMetrics(asker)
        self.spawn = spawn
        self._asker = asker

    async def board(self, key: BoardKey) -> RemoteBoard | None:
        """Return the board, loaded; None when the bot does not know it (any more)."""
        return RemoteBoard(self._asker, key) if await self._asker.ask("board.known", key) else None

    def find(self, room_id: str, whiteboard_id: str | None = None) -> BoardKey | None:
        """Return the room's board with this id; without an id the oldest one of the room."""
        key: BoardKey | None = self._asker.ask_now("context.find", room_id, whiteboard_id)
        return key

    async def changes(self, event: DocumentUpdate) -> Changes:
        """Return what an event changed, also one that comes from the recording."""
        changes: Changes = await self._asker.ask("context.changes", event)
        return changes

    async def sessions(self, board: BoardKey, since_ts: int) -> Sequence[PastSession]:
        """Return a board's sessions that ended after an instant, or still run."""
        sessions: Sequence[PastSession] = await self._asker.ask("context.sessions", board, since_ts)
        return sessions

    async def content_at(self, event: Event) -> Mapping[str, Any]:
        """Return what the board looked like right after an event."""
        content: Mapping[str, Any] = await self._asker.ask("context.content_at", event)
        return content

    def power(self, room_id: str, user_id: str) -> int:
        """Return a person's power level in a room."""
        return int(self._asker.ask_now("context.power", room_id, user_id))

    def now_ts(self) -> int:
        """Return the time by the homeserver's clock, ms since 1970, as events have it."""
        return int(self._asker.ask_now("context.now_ts"))

    async def post(self, room_id: str, text: str) -> None:
        """Write a notice into a room."""
        await self._asker.ask("context.post", room_id, text)
