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
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import aiohttp

from bot.handlers.events import (
    BoardFound,
    BoardGone,
    CursorMoved,
    DocumentUpdate,
    Event,
    Focused,
    Participant,
    Presented,
    RecordingChanged,
    SessionChanged,
    SnapshotSeen,
)
from bot.rtc.past import PastSession
from bot.rtc.spans import Span
from bot.whiteboard.board import BoardKey
from bot.whiteboard.slides import Slide
from bot.whiteboard.touched import Changes, ElementChange

__all__ = [
    "API_VERSION",
    "METHODS",
    "BoardFound",
    "BoardGone",
    "BoardKey",
    "BoardView",
    "Changes",
    "Context",
    "CursorMoved",
    "DocumentUpdate",
    "ElementChange",
    "Event",
    "Focused",
    "Handler",
    "Metrics",
    "NoSettings",
    "Participant",
    "PastSession",
    "Presented",
    "RecordingChanged",
    "SessionChanged",
    "Slide",
    "SnapshotSeen",
    "Span",
    "Store",
    "TryLater",
]

API_VERSION = 1


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

    def slides(self) -> tuple[Slide, ...]:
        """Return the slides now, in their order; an infinite canvas has one."""

    async def rewrite(
        self,
        slides: Sequence[Slide],
        *,
        was: Sequence[Slide] | None = None,
        unlock: bool = False,
    ) -> bool:
        """Make the board look like this: people see it at once, it is recorded and saved.

        Slides and elements that are there (by their ids) are changed in place. Slides that are not
        among these are deleted; those with an id that the board does not have are made, under ids
        of their own, and so are their elements.

        Args:
            slides: all of them, in order: what `slides()` gives, changed.
            was: what `slides()` gave: then what has come, changed or gone since stays so, unless
                these slides change it too. Without it all that came since is taken back.
            unlock: also where slides are locked that would change or go.

        Returns:
            Whether it changed anything.

        Raises:
            UsageError: the bot only observes (`boards.mode`), the room does not let it save boards,
                slides are locked, or strokes are missing that nobody has sent again.
            InvalidUpdate: NeoBoard would refuse the board; nothing is changed.
            RateLimited: the handler rewrites this board more often than 10 times in a row and then
                once a second; `retry_after` says how many seconds to wait.
            Transient: the board is not loaded completely yet.
        """

    async def change(self, update: bytes) -> bool:
        """Apply a Yjs update, send it to the people on the board and save it to the room.

        It waits where a handler writes too much to a board: more than 500 updates in a row and then
        100 a second, or 32 MiB in a row and then 1 MiB a second.

        Returns:
            Whether it changed anything.

        Raises:
            InvalidUpdate: NeoBoard's schema would refuse the result; nothing is changed.
            UsageError: the bot only observes (`boards.mode`).
            RateLimited: it would wait longer than 30 seconds.
            Transient: the board is not loaded completely yet.
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


class Metrics(Protocol):
    """Numbers of one handler, at `/metrics` beside the bot's own.

    A name is of the letters a to z, digits and `_`, begins with a letter and has at most 40
    characters; a handler has at most 50. Never count by what is on a board, or by who: names come
    from the code, not from people.
    """

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a number that only grows: `boardkeeper_handler_events_total{handler, name}`.

        Raises:
            UsageError: the name will not do, there are too many, or the amount is negative.
        """

    def set(self, name: str, value: float) -> None:
        """Say what a number is now: `boardkeeper_handler_value{handler, name}`.

        Raises:
            UsageError: the name will not do, or there are too many.
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

    async def changes(self, event: DocumentUpdate) -> Changes:
        """Return what an event changed, also one that comes from the recording.

        Live events know it (`event.changes`); for others the board is read as it was before: quick
        where events are asked for one after the other, else as `content_at`.

        Raises:
            UsageError: the recording does not reach back to it (any more).
            StoreError: the archive cannot be read.
        """

    async def content_at(self, event: Event) -> Mapping[str, Any]:
        """Return what the board looked like right after an event, as `BoardView.content`.

        It is read from the recording, beside everything else, one board at a time: that takes as
        long as a board takes to load (some ms, seconds for very large ones). For a live event it is
        the board at the event's millisecond.

        Raises:
            UsageError: nothing is recorded of the board at that time, or it is not known any more.
            StoreError: the archive cannot be read.
        """

    async def sessions(self, board: BoardKey, since_ts: int) -> Sequence[PastSession]:
        """Return a board's sessions that ended after an instant, or still run, by start.

        They are computed from the room's membership events, as `sessions --history` does: with
        them it is known also who came and left while the bot was down or behind, and when. What
        sync left out is read from the homeserver then. The bot is in none of them, and what
        happened while recording was paused is in none.

        Args:
            board: which.
            since_ts: ms since 1970. Reading years takes as long as the room is old.

        Raises:
            StoreError: the archive cannot be read.
        """

    def power(self, room_id: str, user_id: str) -> int:
        """Return a person's power level in a room (0 by default; 50 moderates, 100 administers).

        Who created a room of version 12 or later stands above everybody: 2**53 - 1.

        Raises:
            UsageError: the bot is not in this room.
        """

    @property
    def metrics(self) -> Metrics:
        """Numbers of the handler's own, served at `/metrics`."""

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
        asks_changes: whether it may ask live events what they changed (`event.changes`). Noting
            that takes some microseconds per update, of the whole bot: False saves them.
        batch: how many events a durable handler takes at once, in `on_batch`; 1 calls the methods
            of the events.
        collect: seconds that a durable handler's lane waits for more before it gives what is new.
    """

    api: ClassVar[int] = API_VERSION
    settings_type: ClassVar[type[Any]] = NoSettings
    durable: ClassVar[bool] = False
    asks_changes: ClassVar[bool] = True
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
