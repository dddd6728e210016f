"""The public API for handler authors; the one module they import.

A handler is told what happens on boards. It overrides the methods it wants; the rest cost nothing::

    from bot.handlers.base import DocumentUpdate, Handler

    class Shout(Handler):
        async def on_document_update(self, event: DocumentUpdate) -> None:
            self.context.log.info("somebody drew", extra={"who": event.sender})

Each handler has one lane per board: its events arrive one after the other, in order; a handler
that is slow or raises costs only its own lane (docs/handlers.md). What may change between versions
of the API: new events, new fields at the end, new context methods. What may not: everything else.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import aiohttp

from bot.whiteboard.board import BoardKey

API_VERSION = 1


@dataclass(frozen=True, slots=True)
class Event:
    """What all events have.

    Attributes:
        board: the board it happened on.
        ts: when, ms since 1970, by the homeserver's clock.
        seq: its number in the archive, for a durable handler: grows, and is the same when the event
            comes again. None for what is told live.
        replayed: whether it is told once more, because an operator asked for that.
    """

    board: BoardKey
    ts: int
    seq: int | None = field(default=None, kw_only=True)
    replayed: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class BoardFound(Event):
    """The bot knows this board now (a new board, or after a start)."""


@dataclass(frozen=True, slots=True)
class BoardGone(Event):
    """The board was removed, or the bot left its room."""


@dataclass(frozen=True, slots=True)
class Participant:
    """A device in a session."""

    user_id: str
    device_id: str


@dataclass(frozen=True, slots=True)
class SessionChanged(Event):
    """Who takes part in the board's session has changed; `participants` excludes the bot."""

    participants: tuple[Participant, ...]


@dataclass(frozen=True, slots=True)
class DocumentUpdate(Event):
    """The document changed.

    Attributes:
        sender: Matrix user id; None when nobody can be named for certain, the bot's own included.
        update: the Yjs update (v1). An overflowing lane merges several into one; `sender` is
            then None unless all had the same.
    """

    sender: str | None
    update: bytes


@dataclass(frozen=True, slots=True)
class SnapshotSeen(Event):
    """A complete snapshot is in the room."""

    sender: str
    event_id: str


@dataclass(frozen=True, slots=True)
class CursorMoved(Event):
    """A person's cursor moved (slide coordinates)."""

    sender: str | None
    slide_id: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Focused(Event):
    """Somebody brought all to a slide."""

    sender: str | None
    slide_id: str


@dataclass(frozen=True, slots=True)
class Presented(Event):
    """Somebody presents a slide or frame (`kind`), or stopped (`target` None)."""

    sender: str | None
    kind: str
    target: str | None
    edit: bool


@dataclass(frozen=True, slots=True)
class RecordingChanged(Event):
    """Recording was paused or resumed; `sender` asked for it."""

    recording: bool
    sender: str | None


class TryLater(Exception):
    """Raised by a durable handler that cannot take an event now, through no fault of the event.

    The lane waits and gives it the same event again, for as long as it takes. Any other exception
    counts against the event: after some tries it becomes a dead letter.

    `why` is shown to the operator and logged: never say in it what is on the board.

    Attributes:
        after: seconds to wait; None leaves it to the lane.
    """

    def __init__(self, why: str, after: float | None = None) -> None:
        self.after = after
        super().__init__(why)


class BoardView(Protocol):
    """A board as a handler may see and change it."""

    @property
    def version(self) -> str | None:
        """`"0"` slides, `"1"` infinite canvas, None while unknown."""

    def content(self) -> Mapping[str, Any]:
        """Return the content now: `{"slides": [{"id", "elements": [{"id", ...}], ...}]}`."""

    def state_vector(self) -> bytes:
        """Return the document's Yjs state vector."""

    def diff(self, state_vector: bytes) -> bytes:
        """Return the Yjs update that a document with this state vector lacks."""

    async def change(self, update: bytes) -> bool:
        """Apply an update, send it to the people on the board and save it to the room.

        Returns:
            Whether it changed anything.

        Raises:
            InvalidUpdate: NeoBoard's schema would refuse the result.
        """


class Store(Protocol):
    """Small texts of one handler, in the archive."""

    async def get(self, name: str) -> str | None:
        """Return what is kept under a name; None when nothing is."""

    async def set(self, name: str, value: str) -> None:
        """Keep a text, on disk when this returns; an empty one is none.

        Raises:
            UsageError: it is too long.
        """


class Context(Protocol):
    """What a handler is handed at start."""

    @property
    def log(self) -> logging.Logger:
        """A logger of the handler's own."""

    async def board(self, key: BoardKey) -> BoardView | None:
        """Return the board, loaded; None when the bot does not know it (any more)."""

    def find(self, room_id: str, whiteboard_id: str | None = None) -> BoardKey | None:
        """Return the room's board with this id; without an id the oldest one of the room."""

    @property
    def store(self) -> Store:
        """Small texts of the handler's own, kept across restarts."""

    @property
    def http(self) -> aiohttp.ClientSession:
        """For requests; the handler sets its own time limits."""

    def now_ts(self) -> int:
        """Return the time by the homeserver's clock, ms since 1970, as events have it."""

    async def post(self, room_id: str, text: str) -> None:
        """Write a notice into a room.

        Raises:
            UsageError: it is too long.
            RateLimited: the handler writes too much.
            ServerError: the homeserver does not take it.
        """

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the events until the end; what it raises is logged."""


@dataclass(frozen=True)
class NoSettings:
    """Settings of a handler that has none."""


class Handler:
    """Base class of every handler.

    Attributes:
        api: the version of this API it is written for; say it (`api = 1`) to be told when a bot has
            another.
        settings_type: a dataclass; YAML `settings:` are read into it with the same strict errors
            as the rest of the configuration.
        settings: an instance of it.
        context: what the handler may use; there from `start` on.
        durable: whether changes, cursors and presentations come from what is recorded: each at
            least once and in order, also those from before a crash. Where nothing is recorded
            nothing comes. Other events are told live.
        batch: how many events a durable handler takes at once, in `on_batch`; 1 calls the methods
            of the events.
        collect: seconds that a durable handler's lane waits for more before it gives what is new.
    """

    api: ClassVar[int] = API_VERSION
    settings_type: ClassVar[type[Any]] = NoSettings
    durable: ClassVar[bool] = False
    batch: ClassVar[int] = 1
    collect: float = 0.0

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.context: Context

    async def start(self, context: Context) -> None:
        """Begin; called once before the first event. Override and call `super().start()`."""
        self.context = context

    async def stop(self) -> None:
        """End; called once after the last event."""

    def wants(self) -> frozenset[type[Event]]:
        """Return the events to be told: those whose method is overridden.

        With `on_batch` and none of them: all changes, signals included.
        """
        if self.batch > 1 and not self._overridden():
            return frozenset({DocumentUpdate, CursorMoved, Focused, Presented})
        return self._overridden()

    def _overridden(self) -> frozenset[type[Event]]:
        return frozenset(
            event
            for event, method in METHODS.items()
            if getattr(type(self), method) is not getattr(Handler, method)
        )

    async def on_batch(self, events: Sequence[Event]) -> None:
        """React to several events of one board at once (`batch`); raising fails all of them."""

    async def on_board_found(self, event: BoardFound) -> None:
        """React to a board becoming known."""

    async def on_board_gone(self, event: BoardGone) -> None:
        """React to a board going away."""

    async def on_session_changed(self, event: SessionChanged) -> None:
        """React to people coming and going."""

    async def on_document_update(self, event: DocumentUpdate) -> None:
        """React to a change of the document."""

    async def on_snapshot_seen(self, event: SnapshotSeen) -> None:
        """React to a snapshot in the room."""

    async def on_cursor_moved(self, event: CursorMoved) -> None:
        """React to a cursor (at most 10 a second and person)."""

    async def on_focused(self, event: Focused) -> None:
        """React to somebody bringing all to a slide."""

    async def on_presented(self, event: Presented) -> None:
        """React to a presentation."""

    async def on_recording_changed(self, event: RecordingChanged) -> None:
        """React to recording being paused or resumed."""


METHODS: Mapping[type[Event], str] = {
    BoardFound: "on_board_found",
    BoardGone: "on_board_gone",
    SessionChanged: "on_session_changed",
    DocumentUpdate: "on_document_update",
    SnapshotSeen: "on_snapshot_seen",
    CursorMoved: "on_cursor_moved",
    Focused: "on_focused",
    Presented: "on_presented",
    RecordingChanged: "on_recording_changed",
}
"""The method that is told of each event."""
