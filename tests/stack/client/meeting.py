"""Where a NeoBoard client meets the others: focus, token, connection, membership, in this order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from tests.stack.client.attendance import Attendance
from tests.stack.client.channel import Channel
from tests.stack.client.events import Board, member_key
from tests.stack.client.habits import Habits
from tests.stack.client.jobs import Jobs
from tests.stack.client.matrix import UNREACHABLE, MatrixUser
from tests.stack.client.members import Member, choose_focus, read_well_known

_POLL_EVERY = 60.0
_RELOAD_AFTER = 1.0
_LEAVE_WITHIN = 5.0

OnPacket = Callable[[str | None, bytes, bool], None]


class Meeting:
    """One client's part in the session of a board.

    Args:
        members: tells who is on any board of the room now.
        on_packet: gets identity (None: not announced yet), payload and reliability of each packet.

    Attributes:
        attendance: the own membership.
        channel: the connection; None when there is none.
        focus: the JWT service in use.
        connects: how many connections stood so far.
    """

    def __init__(
        self,
        user: MatrixUser,
        board: Board,
        habits: Habits,
        members: Callable[[], list[Member]],
        on_packet: OnPacket,
    ) -> None:
        self._user = user
        self._board = board
        self._habits = habits
        self._members = members
        self._on_packet = on_packet
        self._jobs = Jobs()
        self._own_urls: list[str] = []
        self._changed = asyncio.Event()
        self._wanted: str | None = None
        self.attendance = self._attendance()
        self.channel: Channel | None = None
        self.focus: str | None = None
        self.connects = 0

    @property
    def met(self) -> bool:
        """Whether we are connected and others can see that."""
        return self.attendance.joined and self.channel is not None and self.channel.connected

    @property
    def others(self) -> set[str]:
        """Identities that have been announced to us: we hear only these."""
        return self.channel.others if self.channel is not None else set()

    def start(self) -> None:
        """Begins to look for the focus, to connect and to join."""
        self._jobs.start(self._poll())
        self._jobs.start(self._follow())

    def check(self) -> None:
        """Raises what went wrong in the background."""
        self._jobs.check()

    def look_again(self) -> None:
        """Says that members have come or gone: the focus may be another one."""
        self._changed.set()

    async def leave(self) -> None:
        """Leaves as a client does that has the time."""
        await self._jobs.end()
        await self._go_out()
        await self._hang_up()

    async def vanish(self) -> None:
        """Goes without clearing the membership, as a killed tab does."""
        await self._jobs.end()
        await self.attendance.vanish()
        await self._hang_up()

    async def _poll(self) -> None:
        """Reads the own homeserver's foci; what was good stays when the file is not there."""
        url = f"{self._user.homeserver_url}/.well-known/matrix/client"
        while True:
            with contextlib.suppress(*UNREACHABLE):
                self._own_urls = read_well_known(await self._user.fetch("GET", url))
                self._changed.set()
            await asyncio.sleep(_POLL_EVERY if self._own_urls else _RELOAD_AFTER)

    async def _follow(self) -> None:
        """Is where the focus is; a client that moves leaves and joins again."""
        key = member_key(self._user.user_id, self._user.device_id)
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = choose_focus(self._members(), key, self._own_urls)
            lost = self.channel is None or not self.channel.connected
            if wanted != self._wanted or (lost and self._habits.reloads):
                self._wanted = wanted
                await self._move(wanted)

    async def _move(self, focus: str | None) -> None:
        await self._go_out()
        await self._hang_up()
        try:
            if focus is not None:
                await self._connect(focus)
        except UNREACHABLE:
            await self._hang_up()
            if self._habits.reloads:
                self._jobs.start(self._reload())

    async def _connect(self, focus: str) -> None:
        channel = Channel(on_lost=self._lost)
        await channel.connect(self._user, focus, self._board.room_id, self._seat())
        self.channel, self.focus = channel, focus
        self.connects += 1
        self._jobs.start(self._listen(channel))
        if self._habits.announces:
            await channel.announce()
        others = [url for url in self._own_urls if url != focus]
        await self.attendance.join([focus, *others])

    def _attendance(self) -> Attendance:
        return Attendance(self._user, self._board)

    def _seat(self) -> tuple[str, str] | None:
        """What the JWT service is told beside the room: nothing in the legacy profile."""
        return None

    async def _listen(self, channel: Channel) -> None:
        while (heard := await channel.inbox.get()) is not None:
            self._on_packet(*heard)

    async def _go_out(self) -> None:
        """Clears the membership; when that fails, the homeserver does it later."""
        with contextlib.suppress(*UNREACHABLE):
            async with asyncio.timeout(_LEAVE_WITHIN):
                await self.attendance.leave()

    async def _hang_up(self) -> None:
        channel, self.channel = self.channel, None
        self.focus = None
        if channel is not None:
            await channel.close()

    def _lost(self) -> None:
        self._jobs.start(self._give_up())

    async def _give_up(self) -> None:
        """The connection is gone for good: so is the membership."""
        await self._go_out()
        if self._habits.reloads:
            await self._reload()

    async def _reload(self) -> None:
        await asyncio.sleep(_RELOAD_AFTER)
        self._changed.set()


def now_ts() -> int:
    """The time, ms since 1970."""
    return int(time.time() * 1000)
