"""Presence: our own taking part in a room's sessions.

One Presence holds one LiveKit connection (all boards of a Matrix room share a LiveKit room) and one
Keeper per board it is announced on. The room tells the truth about us (DESIGN rule 4): memberships
are announced when the connection stands and withdrawn when it has been gone for the grace.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

from bot.admission import Claims, Places
from bot.errors import Transient
from bot.hearing import Hearing, Packet
from bot.keeper import Homeserver, Keeper
from bot.newcomers import Newcomers
from bot.roomstate import RoomState
from bot.rtc import focus, legacy, own
from bot.rtc.membership import WHITEBOARD, Focus, identity
from bot.rtc.timing import Timing
from bot.services import Arrival
from bot.whiteboard.message import Message, Update, encode

SWITCH_AFTER = 1.5
"""Seconds a different focus must stay the right one before we move: it may flap (F18)."""
LEAVE_WITHIN = 0.9
"""Seconds the homeserver gets to take our leave; then the armed delayed leave has to do."""

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """One LiveKit room joined on one focus; reconnects by itself."""

    @property
    def connected(self) -> bool:
        """Whether it stands now."""

    async def run(self) -> None:
        """Connect, and reconnect, until closed."""

    async def packets(self) -> Sequence[Packet]:
        """Wait for packets and return them."""

    async def publish(self, data: bytes, *, reliable: bool, to: Sequence[str] = ()) -> None:
        """Send a packet."""

    async def close(self) -> None:
        """Disconnect."""


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
    timing: Callable[[], Timing]
    sfu_grace: float
    now_ts: Callable[[], int]
    admission: Places


@dataclass(slots=True)
class _Link:
    """A connection with its tasks."""

    focus: Focus
    connection: Connection
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Presence:
    """Takes part in one room until closed."""

    def __init__(self, home: Home, setting: Setting) -> None:
        self._home = home
        self._setting = setting
        self._wake = asyncio.Event()
        self._withdrawing = False
        self._closing = False
        self._wanted: frozenset[str] = frozenset()
        self._placed: frozenset[str] = frozenset()
        self._claims = Claims(setting.admission, home.room_id)
        self._keepers: dict[str, Keeper] = {}
        self._former: list[Keeper] = []  # those that gave way, and cancel what they had armed
        self._keeper_tasks: dict[Keeper, asyncio.Task[None]] = {}
        self._link: _Link | None = None
        self._next: _Link | None = None
        self._unfocused = False  # whether it was said that there is none
        self._switch_at: float | None = None
        self._lost_at: float | None = None
        self._hearing = Hearing(self._names, home.deliver, setting.now_ts)
        self._newcomers = Newcomers()
        self._identity = f"{setting.own_user}:{setting.own_device}"
        self._met: frozenset[str] = frozenset()
        self._tasks: asyncio.TaskGroup
        self._keys = {"room": home.room_id}

    @property
    def connected(self) -> bool:
        """Whether a LiveKit connection stands."""
        return self._link is not None and self._link.connection.connected

    # -- what the Room says ------------------------------------------------------------------

    def want(self, whiteboards: frozenset[str]) -> None:
        """Say for which boards to be announced."""
        self._wanted = whiteboards
        self._wake.set()

    def room_changed(self) -> None:
        """Look at the room's memberships again: senders may be known now, the focus another."""
        self._hearing.memberships_changed()
        self._wake.set()

    def own_state(self, event: Mapping[str, Any]) -> None:
        """Take what sync shows under one of our keys."""
        for whiteboard_id, keeper in list(self._keepers.items()):
            if keeper.state_key != event.get("state_key"):
                continue
            if self._is_foreign(keeper.state_key):
                self._give_way(whiteboard_id)
            else:
                keeper.own_state(event)

    def _is_foreign(self, state_key: str) -> bool:
        """Whether another application of ours stands there: neither overwritten nor cleared."""
        now_ts = self._setting.now_ts()
        return any(
            one.application != WHITEBOARD and one.expires_ts > now_ts
            for one in self._home.state.under(state_key)
        )

    def _give_way(self, whiteboard_id: str) -> None:
        """Leave the key to the other application; the board is announced under another one."""
        _log.warning("another application took the state key of a membership", extra=self._keys)
        keeper = self._keepers.pop(whiteboard_id)
        keeper.give_way()
        self._former.append(keeper)
        self._wake.set()

    def permission_changed(self) -> None:
        """Try to announce again: the room's power levels have changed."""
        self._wake.set()
        for keeper in self._keepers.values():
            keeper.permission_changed()

    def retime(self) -> None:
        """Take the durations anew: there are more boards, or fewer."""
        for keeper in self._keepers.values():
            keeper.retime(self._setting.timing())

    async def publish(self, message: Message) -> None:
        """Send a message to everybody: updates reliably, signals as NeoBoard does.

        Raises:
            Transient: there is no connection, or the message is too large for it.
        """
        if self._link is None:
            raise Transient("not connected")
        await self._link.connection.publish(encode(message), reliable=isinstance(message, Update))

    async def close(self) -> None:
        """Withdraw the memberships, then disconnect."""
        self._withdrawing = True
        for keeper in self._keepers.values():
            if not keeper.leaving:
                keeper.leave()
        try:
            async with asyncio.timeout(LEAVE_WITHIN):
                for keeper in (*self._keepers.values(), *self._former):
                    await keeper.left()
        except TimeoutError:
            _log.warning("the homeserver did not take the leave in time", extra=self._keys)
        self._closing = True
        self._wake.set()

    # -- the loop ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Take part until closed."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await self._follow()
                for link in (self._link, self._next):
                    if link is not None:
                        await self._drop(link)
                for task in self._keeper_tasks.values():
                    task.cancel()
        finally:
            self._claims.end()

    async def _follow(self) -> None:
        while not self._closing:
            self._wake.clear()
            self._follow_places()
            self._follow_focus()
            self._follow_connection()
            self._follow_boards()
            self._hearing.settle()
            self._meet_newcomers()
            try:
                async with asyncio.timeout(self._next_look()):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _next_look(self) -> float:
        """Return the seconds until something is due by itself."""
        now = monotonic()
        due = [now + 30.0]
        if self._switch_at is not None and self._next is None:
            due.append(self._switch_at)
        if self._lost_at is not None and not all(one.leaving for one in self._keepers.values()):
            due.append(self._lost_at + self._setting.sfu_grace)
        if self._hearing.due is not None:
            due.append(self._hearing.due)
        newcomer = self._newcomers.due(self._hearing.names)
        if newcomer is not None:
            due.append(newcomer)
        return max(0.02, min(due) - now)

    # -- places ------------------------------------------------------------------------------

    def _follow_places(self) -> None:
        """Learn which of the wanted boards the homeserver's limits carry (M48)."""
        # While withdrawing, whatever the room says: nothing is announced any more.
        idle = self._withdrawing or not self._home.state.may_announce()
        wanted = frozenset() if idle else self._wanted
        self._placed = self._claims.follow(wanted, self._has_left)
        if self._placed != wanted:
            self._home.full()

    def _has_left(self, whiteboard_id: str) -> bool:
        keeper = self._keepers.get(whiteboard_id)
        return keeper is None or (keeper.leaving and keeper.machine.left)

    # -- focus -------------------------------------------------------------------------------

    def _foci(self) -> list[Focus]:
        setting = self._setting
        return focus.choose(
            self._home.state.live(setting.now_ts()),
            self._identity,
            setting.own_foci(),
            setting.configured_foci,
        )

    def _follow_focus(self) -> None:
        """Connect where the session is."""
        if not self._home.state.may_announce():
            # Without a membership nobody could see us: then we do not listen either.
            self._home.forbidden()
            self._disconnect()
            return
        if not (self._placed or self._withdrawing):
            self._disconnect()  # likewise
            return
        foci = self._foci()
        if not foci and self._link is None:
            if not self._unfocused:
                _log.warning("no focus is known: nothing to connect to", extra=self._keys)
            self._unfocused = True
            return
        self._unfocused = False
        if self._link is None:
            self._link = self._open(foci[0])
        else:
            self._move(self._link, foci[0] if foci else self._link.focus)

    def _move(self, link: _Link, right: Focus) -> None:
        """Change to another focus; its connection stands before the old one closes (F19)."""
        if right == link.focus:
            self._switch_at = None
            self._give_up_next()
        elif self._switch_at is None:
            self._switch_at = monotonic() + SWITCH_AFTER
        elif monotonic() >= self._switch_at and (self._next is None or self._next.focus != right):
            self._give_up_next()
            self._next = self._open(right)
        if self._next is not None and self._next.connection.connected:
            self._tasks.create_task(self._drop(link))
            self._link, self._next, self._switch_at = self._next, None, None
            for keeper in self._keepers.values():
                keeper.renew()

    def _disconnect(self) -> None:
        self._give_up_next()
        if self._link is not None:
            self._tasks.create_task(self._drop(self._link))
        self._link = self._switch_at = None

    def _give_up_next(self) -> None:
        if self._next is not None:
            self._tasks.create_task(self._drop(self._next))
            self._next = None

    def _open(self, where: Focus) -> _Link:
        connection = self._setting.connect(
            self._home.room_id, where.service_url, self._wake.set, self._participant
        )
        link = _Link(where, connection)
        link.tasks += [
            self._tasks.create_task(connection.run()),
            self._tasks.create_task(self._receive(connection)),
        ]
        return link

    async def _drop(self, link: _Link) -> None:
        await link.connection.close()
        for task in link.tasks:
            task.cancel()

    # -- own memberships -----------------------------------------------------------------------

    def _follow_connection(self) -> None:
        if self.connected:
            self._lost_at = None
        elif self._lost_at is None and self._keepers:
            self._lost_at = monotonic()

    def _follow_boards(self) -> None:
        """Be announced on the wanted boards while the connection stands, or may come back."""
        lost_for = 0.0 if self._lost_at is None else monotonic() - self._lost_at
        may_announce = self.connected or (
            self._lost_at is not None and lost_for < self._setting.sfu_grace
        )
        wanted = self._placed
        for whiteboard_id in wanted - self._keepers.keys():
            if self.connected:
                self._retire()
                self._announce(whiteboard_id)
        for whiteboard_id, keeper in self._keepers.items():
            if whiteboard_id not in wanted or not may_announce:
                if not keeper.leaving:
                    keeper.leave()
            elif self.connected:
                keeper.join()

    def _retire(self) -> None:
        """Let go of boards that are left for good, so that their state keys are free again.

        Only once sync has shown the leave too: a new Keeper would take it for somebody else's.
        """
        for whiteboard_id, keeper in list(self._keepers.items()):
            shown = not self._home.state.under(keeper.state_key)
            if whiteboard_id not in self._placed and self._has_left(whiteboard_id) and shown:
                del self._keepers[whiteboard_id]
                self._keeper_tasks.pop(keeper).cancel()

    def _announce(self, whiteboard_id: str) -> None:
        setting = self._setting
        key = self._state_key(whiteboard_id)
        keeper = Keeper(
            setting.homeserver,
            self._home.room_id,
            key,
            (setting.own_user, setting.own_device),
            whiteboard_id,
            own.OwnMembership(setting.timing()),
            supported=setting.delayed,
            content=lambda expires_ts, created_ts: self._content(
                whiteboard_id, expires_ts, created_ts
            ),
            now_ts=setting.now_ts,
            changed=self._status_changed,
        )
        self._keepers[whiteboard_id] = keeper
        self._keeper_tasks[keeper] = self._tasks.create_task(keeper.run())

    def _state_key(self, whiteboard_id: str) -> str:
        """The plain key for the first board, a suffixed one for more, or where it is not ours."""
        setting = self._setting
        plain = legacy.member_key(setting.own_user, setting.own_device)
        taken = {keeper.state_key for keeper in (*self._keepers.values(), *self._former)}
        if plain in taken or self._is_foreign(plain):
            return legacy.member_key(setting.own_user, setting.own_device, whiteboard_id)
        return plain

    def _content(
        self, whiteboard_id: str, expires_ts: int, created_ts: int | None
    ) -> Mapping[str, Any]:
        return legacy.join_content(
            call_id=whiteboard_id,
            device_id=self._setting.own_device,
            room_id=self._home.room_id,
            foci=self._preferred(),
            expires_ts=expires_ts,
            created_ts=created_ts,
        )

    def _preferred(self) -> list[Focus]:
        """Return the foci we name: the one in use first (QF4)."""
        foci = self._foci()
        if self._link is not None:
            return [self._link.focus, *(one for one in foci if one != self._link.focus)]
        return foci

    def _status_changed(self, status: own.Status) -> None:
        _log.info("own membership", extra={**self._keys, "status": status.value})
        self._wake.set()  # what has been left gives its place back
        if status is own.Status.FORBIDDEN:
            self._home.forbidden()

    # -- packets -------------------------------------------------------------------------------

    async def _receive(self, connection: Connection) -> None:
        while True:
            self._hearing.take(await connection.packets())
            if self._hearing.due is not None:
                self._wake.set()
            await asyncio.sleep(0)  # a flood on one board leaves the others their turn

    # -- newcomers -----------------------------------------------------------------------------

    def _participant(self, identity: str, here: bool) -> None:  # noqa: FBT001 - a callback
        if here:
            self._newcomers.came(identity, monotonic())
            self._wake.set()
        else:
            self._newcomers.went(identity)

    def _meet_newcomers(self) -> None:
        """Send to whoever has come onto a board what its room does not have yet, to him alone.

        A client writes its membership once it is connected; the SFU tells of it up to 3 s later.
        """
        names = self._hearing.names.keys()
        for who in names - self._met - {self._identity}:
            self._newcomers.came(who, monotonic())
        self._met = frozenset(names)
        for who in self._newcomers.take(self._hearing.names, monotonic()):
            for message in map(self._home.lacking, self._boards_of(who)):
                if message is not None:
                    self._tasks.create_task(self._send_to(who, message))

    def _boards_of(self, who: str) -> list[str]:
        live = self._home.state.live(self._setting.now_ts())
        return [one.call_id for one in live if identity(one) == who]

    async def _send_to(self, who: str, message: Message) -> None:
        if self._link is not None:
            with contextlib.suppress(Transient):  # he gets it with the next snapshot
                await self._link.connection.publish(encode(message), reliable=True, to=[who])

    def _names(self) -> dict[str, tuple[str, str]]:
        """Return who is behind each LiveKit identity, as the room's memberships say (rule 4)."""
        return {
            identity(membership): (membership.user_id, membership.device_id)
            for membership in self._home.state.live(self._setting.now_ts())
        }
