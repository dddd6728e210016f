"""What Rooms need of the rest of the program, and share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from bot.boards import boards, snapshots
from bot.rooms import conversation, remembered, stale
from bot.rooms.sessions import Presence
from bot.rtc.history import Row
from bot.rtc.life import ALONE, Life
from bot.services import Services
from bot.whiteboard.keep import Pace


class Batch(Protocol):
    """What sync brought for one room."""

    @property
    def kind(self) -> str:
        """`join`, or `leave` when the bot is no longer in the room."""

    @property
    def state(self) -> Sequence[Mapping[str, Any]]:
        """State events, oldest first."""

    @property
    def timeline(self) -> Sequence[Mapping[str, Any]]:
        """Timeline events, oldest first."""

    @property
    def gap(self) -> bool:
        """Whether of what happened before the timeline only the outcome is here."""

    @property
    def sticky(self) -> Sequence[Mapping[str, Any]]:
        """Sticky events of members beside the timeline, in no order."""


@dataclass(frozen=True, slots=True)
class Reread:
    """The state of a room, read apart from sync, as a batch."""

    state: Sequence[Mapping[str, Any]]
    kind: Literal["join", "leave"] = "join"
    timeline: Sequence[Mapping[str, Any]] = ()
    sticky: Sequence[Mapping[str, Any]] = ()
    full_state: bool = True
    gap: bool = True


Inbox = asyncio.Queue[tuple[Batch, "asyncio.Future[None]"]]


class Homeserver(snapshots.Homeserver, conversation.Homeserver, stale.Homeserver, Protocol):
    """The calls a Room needs."""

    async def leave(self, room_id: str, reason: str | None = None) -> None:
        """Leave the room."""


class RoomRow(Protocol):
    """What the archive keeps of a room."""

    @property
    def name(self) -> str:
        """What it was last called."""

    @property
    def alias(self) -> str:
        """Its address for people."""

    @property
    def paused(self) -> bool:
        """Whether recording is paused."""

    @property
    def noticed(self) -> bool:
        """Whether the room was told what the bot does."""

    @property
    def resumed_ts(self) -> int:
        """When recording was last resumed, ms; 0 never."""


class Archive(boards.Archive, remembered.Archive, Protocol):
    """What a Room keeps."""

    async def room(self, room_id: str) -> RoomRow | None:
        """Return what is kept of the room."""

    @property
    def whole(self) -> MutableMapping[str, int]:
        """Since when (ms) nothing is missing of a room's past, by room."""

    async def saw_memberships(self, room_id: str, rows: Sequence[Row]) -> None:
        """Keep who was where."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all Rooms share.

    Attributes:
        presence: makes a Presence for a Room.
        always: take part even where nobody is.
        linger: seconds to stay after the last person has left.
        pace: how boards are saved to the room; None never writes to any.
        prefix: what commands begin with.
        power: who may give them.
        languages: what people in rooms read.
        open: set while the bot takes part and accepts invites; cleared while it is drained.
        tell_repairs: whether a room is told what was removed to unblock somebody.
        require_open_slot: whether sticky memberships count only where their slot is open.
        life: tells what was left behind from what another process does.
    """

    homeserver: Homeserver
    archive: Archive
    services: Services
    own_user: str
    own_device: str
    presence: Callable[[Any], Presence]
    always: bool
    linger: float
    pace: Pace | None
    prefix: str
    power: int
    languages: tuple[str, ...]
    open: asyncio.Event
    tell_repairs: bool = False
    require_open_slot: bool = False
    life: Life = ALONE
