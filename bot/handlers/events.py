"""What handlers are told: typed, frozen, and picklable. Authors import them from `base`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bot.errors import UsageError
from bot.whiteboard.board import BoardKey
from bot.whiteboard.touched import Changes, Touched, in_a_row
from bot.whiteboard.update import merge_updates


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
        touched: what `changes` is made from; None for what comes from the recording, and where no
            handler asks (`Handler.asks_changes`).
    """

    sender: str | None
    update: bytes
    touched: Touched | None = field(default=None, kw_only=True, repr=False, compare=False)

    @property
    def changes(self) -> Changes:
        """What changed on the board by this, as people see it; of merged updates by all of them.

        It is what the board really did: an update that says again what is known changes nothing,
        one that waits for another changes nothing yet, the one it waited for changes what both
        bring. A snapshot changes what it brings that was not there.

        Raises:
            UsageError: the event comes from the recording (`seq` is not None): what it changed has
                to be read first, `await context.changes(event)`. Or the handler says that it never
                asks (`asks_changes`).
        """
        if self.touched is not None:
            return self.touched.changes()
        if self.seq is None:
            raise UsageError("nobody noted what changed: the handler says asks_changes = False")
        raise UsageError(
            "what a recorded event changed has to be read: await context.changes(event)"
        )


def merged(updates: Sequence[DocumentUpdate]) -> DocumentUpdate:
    """Return one event for several of a board, oldest first."""
    if len(updates) == 1:
        return updates[0]
    senders = {event.sender for event in updates}
    noted = [event.touched for event in updates if event.touched is not None]
    return replace(
        updates[-1],
        update=merge_updates([event.update for event in updates]),
        sender=senders.pop() if len(senders) == 1 else None,
        touched=in_a_row(noted) if len(noted) == len(updates) else None,
    )


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
