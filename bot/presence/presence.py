"""Presence: our own taking part in a room's sessions, in each profile that its people speak.

legacy    one LiveKit connection for the room             bot.presence.legacy
sticky    one LiveKit room for each board, and focus      bot.presence.sticky, bot.presence.stay
both      what people of one do reaches the other         bot.presence.bridge
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

from bot.errors import Transient
from bot.presence.bridge import Bridge, Side, device_of
from bot.presence.holding import Holding
from bot.presence.legacy import LegacyPresence
from bot.presence.memory import Memory
from bot.presence.setting import Home, Setting
from bot.presence.sticky import StickyPresence
from bot.rtc.membership import LEGACY, STICKY
from bot.rtc.profile import Device, choose, is_bot
from bot.rtc.slots import Slot
from bot.services import Arrival
from bot.whiteboard.message import Message, Present, Update

FLUSH_WITHIN = 0.2
"""Seconds that messages still to be passed on get when we leave."""

Here = Mapping[Device, int]
"""Devices on a board, and since when (ms)."""

_log = logging.getLogger(__name__)


class Presence:
    """Takes part in one room until closed."""

    def __init__(self, home: Home, setting: Setting) -> None:
        self._home = home
        self._setting = setting
        self._wanted: frozenset[str] = frozenset()
        self._held = Holding()
        self._memories: dict[str, Memory] = {}  # of boards that have a sticky side, or had one
        self._mixed: frozenset[str] = frozenset()  # boards that people of both are on now
        self._here: dict[str, Mapping[str, Here]] = {}
        self._legacy = LegacyPresence(home, setting, partial(self._greeting, LEGACY))
        self._sticky: dict[str, StickyPresence] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ending: set[str] = set()  # boards whose sticky side is being left
        self._bridge = Bridge(self._send)
        self._impossible = False  # whether it was said that the homeserver cannot do it
        self._closing = False
        self._wake = asyncio.Event()
        self._tasks: asyncio.TaskGroup

    @property
    def connected(self) -> bool:
        """Whether a LiveKit connection stands."""
        return self._legacy.connected or any(one.connected for one in self._sticky.values())

    @property
    def member_ids(self) -> frozenset[str]:
        """Under which ids we are in the room by the sticky profile."""
        return frozenset().union(*(one.member_ids for one in self._sticky.values()))

    # -- what the Room says ------------------------------------------------------------------

    def want(self, whiteboards: frozenset[str]) -> None:
        """Say for which boards to be announced."""
        for whiteboard_id in self._wanted - whiteboards:
            self._bridge.forget(whiteboard_id)
        self._wanted = whiteboards
        self._wake.set()

    def room_changed(self) -> None:
        """Look at the room's memberships again: who is there, and in which profile."""
        self._here.clear()
        self._legacy.room_changed()
        for side in self._sticky.values():
            side.room_changed()
        self._wake.set()

    def own_state(self, event: Mapping[str, Any]) -> None:
        """Take what sync shows under one of our keys."""
        self._legacy.own_state(event)

    def own_sticky(self, event: Mapping[str, Any]) -> None:
        """Take what sync shows of a sticky membership of ours."""
        for side in self._sticky.values():
            side.own_sticky(event)

    def permission_changed(self) -> None:
        """Try to announce again: the room's power levels have changed."""
        self._legacy.permission_changed()
        for side in self._sticky.values():
            side.permission_changed()

    def retime(self) -> None:
        """Take the durations anew: there are more boards, or fewer."""
        self._legacy.retime()
        for side in self._sticky.values():
            side.retime()

    async def publish(self, update: Update) -> None:
        """Send a change to everybody on its board, whatever profile they speak.

        Raises:
            Transient: there is no connection.
            UsageError: it is too large for a packet.
        """
        boards = self._home.state.boards
        broken: Transient | None = None
        for whiteboard_id, side in [*self._sticky.items()]:
            board = boards.get(whiteboard_id)
            if board is not None and board.document_id == update.document_id:
                try:
                    await side.publish(update)
                except Transient as error:  # the others get it all the same
                    broken = error
        if self._legacy.connected or not self._sticky:
            await self._legacy.publish(update)
        if broken is not None:
            raise broken

    async def close(self) -> None:
        """Withdraw the memberships, then disconnect."""
        for whiteboard_id in self._wanted:
            self._bridge.forget(whiteboard_id)
        try:
            async with asyncio.timeout(FLUSH_WITHIN):
                await self._bridge.flush()
        except TimeoutError:
            _log.info("not everything was passed on", extra={"room": self._home.room_id})
        self._closing = True
        self._wake.set()
        await asyncio.gather(self._legacy.close(), *(one.close() for one in self._sticky.values()))

    # -- the loop ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Take part until closed."""
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._legacy.run())
            bridging = self._tasks.create_task(self._bridge.run())
            while not self._closing:
                self._wake.clear()
                again = self._follow()
                try:
                    async with asyncio.timeout(again):
                        await self._wake.wait()
                except TimeoutError:
                    pass
            bridging.cancel()

    def _follow(self) -> float | None:
        """Be in the profiles that are needed; return the seconds until to look again."""
        now = monotonic()
        chosen = {one: self._profiles(one) for one in self._wanted}
        self._mixed = frozenset(one for one, profiles in chosen.items() if len(profiles) > 1)
        needed = [(profile, one) for one, profiles in chosen.items() for profile in profiles]
        self._held.follow(needed, self._wanted, now)
        sides = self._held.sides
        self._legacy.want(frozenset(board for profile, board in sides if profile == LEGACY))
        for profile, whiteboard_id in sides:
            if profile == STICKY and whiteboard_id not in self._sticky:
                self._join(whiteboard_id)
        for whiteboard_id in self._sticky.keys() - self._ending:
            if (STICKY, whiteboard_id) not in sides:
                self._ending.add(whiteboard_id)
                self._tasks.create_task(self._leave(whiteboard_id))
        for whiteboard_id in self._wanted:
            self._bridge.look(whiteboard_id, self._devices(whiteboard_id))
        return self._held.due(now)

    def _profiles(self, whiteboard_id: str) -> frozenset[str]:
        setting, here = self._setting, self._devices(whiteboard_id)
        possible = setting.sticky()
        if setting.profile == STICKY and not possible and not self._impossible:
            _log.warning("rtc.profile is sticky, but the homeserver has no sticky events")
            self._impossible = True
        strangers = self._people(here[STICKY]).keys() - here[LEGACY].keys()
        if strangers and not possible and setting.profile != LEGACY:
            self._home.unheard()
        return choose(
            setting.profile,
            self._people(here[LEGACY]),
            self._people(here[STICKY]),
            possible=possible,
            has_slot=self._home.state.slot(whiteboard_id) is not Slot.ABSENT,
            bridge=setting.bridge,
        )

    def _join(self, whiteboard_id: str) -> None:
        side = StickyPresence(
            self._home,
            self._setting,
            whiteboard_id,
            partial(self._greeting, STICKY, whiteboard_id),
            self._memories.setdefault(whiteboard_id, Memory()),
        )
        self._sticky[whiteboard_id] = side
        self._running[whiteboard_id] = self._tasks.create_task(side.run())

    async def _leave(self, whiteboard_id: str) -> None:
        await self._sticky[whiteboard_id].close()
        await asyncio.wait([self._running.pop(whiteboard_id)])  # till then its place is not free
        del self._sticky[whiteboard_id]
        self._ending.discard(whiteboard_id)
        self._wake.set()  # it may be needed again

    def _people(self, devices: Here) -> Here:
        us = self._setting.own_user, self._setting.own_device
        return {
            one: since_ts for one, since_ts in devices.items() if one != us and not is_bot(one[1])
        }

    def _devices(self, whiteboard_id: str) -> Mapping[str, Here]:
        """Return who is on a board since when, ourselves included, by profile."""
        here = self._here.get(whiteboard_id)
        if here is None:
            state = self._home.state
            boards, live = state.call_ids(), state.live(self._setting.now_ts())
            here = self._here[whiteboard_id] = {
                profile: {
                    (one.user_id, one.device_id): state.since(one)
                    for one in live
                    if one.profile == profile
                    and (board := boards.get(one.call_id)) is not None
                    and board.whiteboard_id == whiteboard_id
                }
                for profile in (LEGACY, STICKY)
            }
        return here

    # -- between the profiles --------------------------------------------------------------------

    def pass_on(self, whiteboard_id: str, arrival: Arrival) -> None:
        """Have people of the other profile see what somebody did; the board has taken it."""
        setting = self._setting
        # Switched off we may still be in both for a moment, while one side is held.
        if arrival.origin is None or not (setting.bridge and setting.passes):
            return
        side, who = (arrival.origin.profile, whiteboard_id), device_of(arrival)
        # Of changes only what was new to us comes here: they cannot go round.
        if not isinstance(arrival.message, Update) and self._is_bridge(whiteboard_id, who):
            return  # which passes on by itself
        if who is not None and isinstance(arrival.message, Present):
            self._bridge.note(side, who, arrival.message)
        if {(LEGACY, whiteboard_id), (STICKY, whiteboard_id)} <= self._held.sides:
            self._bridge.take(side, who, arrival.message)

    def _is_bridge(self, whiteboard_id: str, who: Device | None) -> bool:
        """Whether somebody is on a board by both profiles."""
        return all(who in devices for devices in self._devices(whiteboard_id).values())

    async def _send(self, side: Side, message: Message) -> None:
        profile, whiteboard_id = side
        if profile == LEGACY:
            await self._legacy.publish(message)
        elif whiteboard_id in self._sticky:
            await self._sticky[whiteboard_id].publish(message)
        if whiteboard_id in self._mixed:  # while a side is only held, nobody is there to hear it
            self._home.bridged()

    def _greeting(self, profile: str, whiteboard_id: str) -> Sequence[Message]:
        """Return what somebody is told who has just come: what the room lacks, who presents."""
        found = self._home.lacking(whiteboard_id), self._bridge.shown((profile, whiteboard_id))
        return [one for one in found if one is not None]
