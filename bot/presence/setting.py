"""What a Presence needs: the Room it is of, and what all Presences share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.presence.admission import Places
from bot.presence.forms import Homeserver
from bot.presence.links import Connection
from bot.roomstate import RoomState
from bot.rtc.life import ALONE, Life
from bot.rtc.membership import Focus
from bot.rtc.profile import AUTO
from bot.rtc.sticky import Seat
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

    def forbidden(self, profile: str) -> None:
        """Hear that announcing is refused."""

    def full(self) -> None:
        """Hear that a board has to wait until the homeserver's limits carry it."""

    def unheard(self) -> None:
        """Hear that people are there whom our homeserver keeps us from hearing."""

    def bridged(self) -> None:
        """Hear that something was passed from people of one profile to those of the other."""


class Connect(Protocol):
    """Makes connections."""

    def __call__(
        self,
        room_id: str,
        service_url: str,
        changed: Callable[[], None],
        participant: Callable[[str, bool], None],
        seat: Seat | None = None,
        /,
    ) -> Connection:
        """Make a connection to a room on a focus.

        Args:
            room_id: the Matrix room.
            service_url: the focus.
            changed: called when the connection's state changes.
            participant: called when somebody comes (True) or goes.
            seat: where we sit in the sticky profile; None for the legacy one.
        """


@dataclass(frozen=True, slots=True)
class Setting:
    """What all Presences share.

    Attributes:
        connect: makes connections.
        delayed: whether the homeserver has delayed events.
        own_foci: our homeserver's foci, newest known list.
        configured_foci: the operator's, last resort.
        allowed: whether to go to a focus; any member of the room may name one.
        timing: the durations of a new membership; each its own, so that not all renew at once.
        sfu_grace: seconds a lost connection may take to come back before we withdraw.
        admission: asked before a board is announced.
        profile: `rtc.profile`: auto, legacy or sticky.
        bridge: whether to be in both profiles where people of both are.
        passes: whether to pass what people do from one to the other then.
        sticky: whether the homeserver has sticky events.
        sticky_timing: as `timing`, of a sticky membership.
        spelling: how the homeserver spells LiveKit among its transports; empty without any.
        member_id: makes a new one, which the mark of our life is put before.
        life: tells claims of ours from those of a twin.
    """

    homeserver: Homeserver
    own_user: str
    own_device: str
    connect: Connect
    delayed: Callable[[], bool]
    own_foci: Callable[[], Sequence[Focus]]
    configured_foci: Sequence[Focus]
    allowed: Callable[[Focus], bool]
    timing: Callable[[], Timing]
    sfu_grace: float
    now_ts: Callable[[], int]
    admission: Places
    profile: str = AUTO
    bridge: bool = True
    passes: bool = True
    sticky: Callable[[], bool] = lambda: False
    sticky_timing: Callable[[], Timing] = Timing
    spelling: Callable[[], str] = str
    member_id: Callable[[], str] = secrets.token_urlsafe
    life: Life = ALONE
