"""What boards need of the rest of the program, and what comes to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from bot.handlers.base import Event
from bot.patience import Patience
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.message import Message


@dataclass(frozen=True, slots=True)
class Origin:
    """Over what a message came.

    Attributes:
        profile: the profile of the connection's memberships.
        whiteboard_id: the board whose LiveKit room it is; None where boards share one.
    """

    profile: str
    whiteboard_id: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message from a peer, attributed.

    Attributes:
        message: decoded.
        sender: Matrix user id; None when no membership of the room has this LiveKit identity.
        device: its device; None likewise.
        ts: when it arrived, ms by the homeserver's clock.
        raw: the packet as it came.
        origin: over what; None for what did not come over a connection.
    """

    message: Message
    sender: str | None
    device: str | None
    ts: int
    raw: bytes
    origin: Origin | None = None


class Checkpoint(Protocol):
    """A document as the archive kept it."""

    @property
    def seq(self) -> int:
        """The entry it reaches to."""

    @property
    def data(self) -> bytes:
        """The whole document."""


class Archive(Protocol):
    """What a board reads from the archive."""

    async def checkpoint(self, board_id: int, until_ts: int | None = None) -> Checkpoint | None:
        """Return the latest checkpoint."""

    async def save_checkpoint(self, board_id: int, seq: int, ts: int, data: bytes) -> None:
        """Keep the whole document as it is after entry `seq`."""

    def all_entries(
        self,
        board_id: int,
        *,
        after_seq: int = 0,
        until_ts: int | None = None,
        kinds: Collection[Kind] | None = None,
    ) -> AsyncIterator[Entry]:
        """Iterate over entries in order."""

    async def has_snapshot(self, event_id: str) -> bool:
        """Return whether this snapshot was merged before."""

    async def saw_snapshot(
        self, board_id: int, event_id: str, sender: str, ts: int, size: int
    ) -> None:
        """Remember a snapshot."""


@dataclass(frozen=True, slots=True)
class Services:
    """What boards and rooms share.

    Attributes:
        record: appends an entry without blocking; answers False when its buffer is full.
        offer: hands an event to the lanes.
        now_ts: ms by the homeserver's clock.
        lacks: whether a board's recording lacks something, because the archive was full or gone.
        committed: waits until everything recorded so far is on disk; False when that fails.
        recording: whether anything is recorded at all.
        cursors: whether cursors are recorded too.
        noting: whether handlers are told what an update changed.
        patience: with those who send what is refused.
    """

    archive: Archive
    record: Callable[[Entry], bool]
    offer: Callable[[Event], None]
    lacks: Callable[[int], bool]
    committed: Callable[[], Awaitable[bool]]
    now_ts: Callable[[], int]
    default_version: str
    max_document: int
    recording: bool = True
    cursors: bool = True
    noting: bool = False
    patience: Patience = field(default_factory=Patience)
