"""What a Presence needs: the Room it is of, and what all Presences share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.admission import Places
from bot.forms import Homeserver
from bot.links import Connection
from bot.roomstate import RoomState
from bot.rtc.membership import Focus
from bot.rtc.timing import Timing
from bot.services import Arrival
from bot.whiteboard.message import Message


class Home(Protocol):
    """The Room a Presence is of."""

    @property
    def room_id(self) -> str:
        """Its id."""

    @property
    def state(self) -> RoomState:
        """What it says."""

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        """Take messages."""

    def lacking(self, whiteboard_id: str) -> Message | None:
        """Return what somebody lacks who has just come onto a board; None for nothing."""

    def forbidden(self) -> None:
        """Hear that announcing is refused."""

    def full(self) -> None:
        """Hear that a board has to wait until the homeserver's limits carry it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all Presences share.

    Attributes:
        connect: makes a connection to a room on a focus; the callbacks are called when its state
            changes, and when somebody comes (True) or goes.
        delayed: whether the homeserver has delayed events.
        own_foci: our homeserver's foci, newest known list.
        configured_foci: the operator's, last resort.
        allowed: whether to go to a focus; any member of the room may name one.
        timing: the durations of a new membership; each its own, so that not all renew at once.
        sfu_grace: seconds a lost connection may take to come back before we withdraw.
        admission: asked before a board is announced.
    """

    homeserver: Homeserver
    own_user: str
    own_device: str
    connect: Callable[[str, str, Callable[[], None], Callable[[str, bool], None]], Connection]
    delayed: Callable[[], bool]
    own_foci: Callable[[], Sequence[Focus]]
    configured_foci: Sequence[Focus]
    allowed: Callable[[Focus], bool]
    timing: Callable[[], Timing]
    sfu_grace: float
    now_ts: Callable[[], int]
    admission: Places
