"""Our own taking part in a room's sessions of the legacy profile (NeoBoard up to 2.4).

One LiveKit connection (all boards of a Matrix room share a LiveKit room) and one Keeper per board
that we are announced on. The room tells the truth about us (DESIGN rule 4): memberships are
announced when the connection stands and withdrawn when it has been gone for the grace.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from bot.errors import Transient
from bot.presence.admission import Claims
from bot.presence.forms import LegacyForm
from bot.presence.hearing import Hearing, Packet
from bot.presence.keeper import Keeper
from bot.presence.links import Connection, Links
from bot.presence.newcomers import Newcomers
from bot.presence.setting import Home, Setting
from bot.rtc import focus, legacy, own
from bot.rtc.membership import LEGACY, WHITEBOARD, Focus, identity
from bot.services import Origin
from bot.whiteboard.message import Message, Update, encode

LEAVE_WITHIN = 0.9
"""Seconds the homeserver gets to take our leave; then the armed delayed leave has to do."""

_log = logging.getLogger(__name__)


class LegacyPresence:
    """Takes part in one room until closed.

    Args:
        home: the Room it is of.
        setting: what all share.
        greet: what somebody is told who has just come onto a board (by its whiteboard id).
    """

    def __init__(
        self, home: Home, setting: Setting, greet: Callable[[str], Sequence[Message]]
    ) -> None:
        self._home = home
        self._greet = greet
        self._setting = setting
        self._wake = asyncio.Event()
        self._withdrawing = False
        self._closing = False
        self._wanted: frozenset[str] = frozenset()
        self._placed: frozenset[str] = frozenset()
        self._claims = Claims(setting.admission, home.room_id)
        self._keepers: dict[str, Keeper[LegacyForm]] = {}
        # Those that gave way, and cancel what they had armed.
        self._former: list[Keeper[LegacyForm]] = []
        self._keeper_tasks: dict[Keeper[LegacyForm], asyncio.Task[None]] = {}
        self._unfocused = False  # whether it was said that there is none
        self._lost_at: float | None = None
        self._hearing = Hearing(self._names, home.deliver, setting.now_ts, Origin(LEGACY))
        self._newcomers = Newcomers()
        self._identity = f"{setting.own_user}:{setting.own_device}"
        self._met: frozenset[str] = frozenset()
        self._links: Links | None = None
        self._tasks: asyncio.TaskGroup
        self._keys = {"room": home.room_id, "profile": LEGACY}

    @property
    def connected(self) -> bool:
        """Whether a LiveKit connection stands."""
        return self._links is not None and self._links.connected

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
            if keeper.form.state_key != event.get("state_key"):
                continue
            if self._is_foreign(keeper.form.state_key):
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
        if self._links is None:
            raise Transient("not connected")
        await self._links.publish(encode(message), reliable=isinstance(message, Update))

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
                self._links = Links(self._connect, self._received, self._tasks)
                await self._follow(self._links)
                await self._links.close()
                for task in self._keeper_tasks.values():
                    task.cancel()
        finally:
            self._claims.end()

    async def _follow(self, links: Links) -> None:
        while not self._closing:
            self._wake.clear()
            self._follow_places()
            self._follow_focus(links)
            self._follow_connection()
            self._follow_boards()
            self._hearing.settle()
            self._meet_newcomers()
            try:
                async with asyncio.timeout(self._next_look(links)):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _next_look(self, links: Links) -> float:
        """Return the seconds until something is due by itself."""
        now = monotonic()
        instants = (links.due, self._hearing.due, self._newcomers.due(self._hearing.names))
        due = [now + 30.0, *(instant for instant in instants if instant is not None)]
        if self._lost_at is not None and not all(one.leaving for one in self._keepers.values()):
            due.append(self._lost_at + self._setting.sfu_grace)
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
        foci = focus.choose(
            self._home.state.live(setting.now_ts(), LEGACY),
            self._identity,
            setting.own_foci(),
            setting.configured_foci,
            None if self._links is None else self._links.focus,
        )
        # Where the others are we may not be, and where we may be nobody is.
        return foci if foci and setting.allowed(foci[0]) else []

    def _follow_focus(self, links: Links) -> None:
        """Connect where the session is."""
        if not self._home.state.may_announce():
            # Without a membership nobody could see us: then we do not listen either.
            self._home.forbidden(LEGACY)
            links.disconnect()
            return
        if not (self._placed or self._withdrawing):
            links.disconnect()  # likewise
            return
        foci = self._foci()
        if not foci and links.focus is None:
            if not self._unfocused:
                _log.warning("no focus is known that may be used", extra=self._keys)
            self._unfocused = True
            return
        self._unfocused = False
        right = foci[0] if foci else links.focus
        assert right is not None
        if links.follow(right):
            for keeper in self._keepers.values():
                keeper.renew()

    def _connect(self, where: Focus) -> Connection:
        return self._setting.connect(
            self._home.room_id, where.service_url, self._wake.set, self._participant
        )

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
            shown = not self._home.state.under(keeper.form.state_key)
            if whiteboard_id not in self._placed and self._has_left(whiteboard_id) and shown:
                del self._keepers[whiteboard_id]
                self._keeper_tasks.pop(keeper).cancel()

    def _announce(self, whiteboard_id: str) -> None:
        setting = self._setting
        key = self._state_key(whiteboard_id)
        form = LegacyForm(
            setting.homeserver,
            self._home.room_id,
            key,
            (setting.own_user, setting.own_device),
            whiteboard_id,
            content=lambda expires_ts, created_ts: self._content(
                whiteboard_id, expires_ts, created_ts
            ),
            now_ts=setting.now_ts,
        )
        keeper = Keeper(
            form,
            own.OwnMembership(setting.timing()),
            supported=setting.delayed,
            changed=self._status_changed,
        )
        self._keepers[whiteboard_id] = keeper
        self._keeper_tasks[keeper] = self._tasks.create_task(keeper.run())

    def _state_key(self, whiteboard_id: str) -> str:
        """The plain key for the first board, a suffixed one for more, or where it is not ours."""
        setting = self._setting
        plain = legacy.member_key(setting.own_user, setting.own_device)
        taken = {keeper.form.state_key for keeper in (*self._keepers.values(), *self._former)}
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
        used = None if self._links is None else self._links.focus
        return foci if used is None else [used, *(one for one in foci if one != used)]

    def _status_changed(self, status: own.Status) -> None:
        _log.info("own membership", extra={**self._keys, "status": status.value})
        self._wake.set()  # what has been left gives its place back
        if status is own.Status.FORBIDDEN:
            self._home.forbidden(LEGACY)

    # -- packets -------------------------------------------------------------------------------

    def _received(self, packets: Sequence[Packet]) -> None:
        self._hearing.take(packets)
        if self._hearing.due is not None:
            self._wake.set()

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
            for whiteboard_id in self._boards_of(who):
                for message in self._greet(whiteboard_id):
                    self._tasks.create_task(self._send_to(who, message))

    def _boards_of(self, who: str) -> set[str]:
        live = self._home.state.live(self._setting.now_ts(), LEGACY)
        return {one.call_id for one in live if identity(one) == who}

    async def _send_to(self, who: str, message: Message) -> None:
        if self._links is not None:
            with contextlib.suppress(Transient):  # he gets it with the next snapshot
                await self._links.publish(encode(message), reliable=True, to=[who])

    def _names(self) -> dict[str, tuple[str, str]]:
        """Return who is behind each LiveKit identity, as the room's memberships say (rule 4)."""
        return {
            identity(membership): (membership.user_id, membership.device_id)
            for membership in self._home.state.live(self._setting.now_ts(), LEGACY)
        }
