"""Where a NeoBoard client of the sticky profile meets the others: each on his own homeserver's SFU.

It publishes on that of its own homeserver only, and listens on every one that a member of the board
publishes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from tests.stack.client.attendance import Attendance
from tests.stack.client.channel import Channel
from tests.stack.client.events import Board
from tests.stack.client.habits import Habits
from tests.stack.client.jobs import Jobs
from tests.stack.client.matrix import UNREACHABLE, MatrixUser
from tests.stack.client.meeting import Meeting, OnPacket
from tests.stack.client.members import Member, service_urls
from tests.stack.client.room import RoomView
from tests.stack.client.sticky import TRANSPORTS, slot_id
from tests.stack.client.sticky_attendance import StickyAttendance

_POLL_EVERY = 60.0
_LOOK_EVERY = 0.5
_RETRY_AFTER = 1.0


class StickyMeeting(Meeting):
    """One client's part in the sticky session of a board.

    Args:
        room: tells who is on any board of it, and of slots.
        came: told when somebody is new on the board.
        gone: told user and device of a member who is no more.

    Attributes:
        abroad: the connections to other homeservers' SFUs, by their JWT services.
    """

    attendance: StickyAttendance

    def __init__(
        self,
        user: MatrixUser,
        board: Board,
        habits: Habits,
        room: RoomView,
        on_packet: OnPacket,
        *,
        came: Callable[[], None],
        gone: Callable[[str, str], None],
    ) -> None:
        super().__init__(user, board, habits, room.sticky_members, on_packet)
        self._room = room
        self._came, self._gone = came, gone
        self._known: set[Member] = set()
        self._visits: dict[str, Jobs] = {}
        self.abroad: dict[str, Channel] = {}

    @property
    def others(self) -> set[str]:
        """Identities that have been announced to us on any SFU."""
        return super().others.union(*(channel.others for channel in self.abroad.values()))

    @property
    def active(self) -> set[tuple[str, str]]:
        """User and device of all who are members and on LiveKit, but for ourselves."""
        there = self.others
        return {(one.user_id, one.device_id) for one in self._here() if one.identity in there}

    def check(self) -> None:
        """Raises what went wrong in the background."""
        super().check()
        for visit in self._visits.values():
            visit.check()

    def _attendance(self) -> Attendance:
        return StickyAttendance(self._user, self._board, self._habits, self._cleared)

    def _seat(self) -> tuple[str, str]:
        return slot_id(self._board), self.attendance.draw_id()

    async def _poll(self) -> None:
        """Reads the own homeserver's transports; what was good stays."""
        while True:
            with contextlib.suppress(*UNREACHABLE):
                found = await self._user.request("GET", TRANSPORTS)
                self._own_urls = service_urls(found.get("rtc_transports"))
                self._changed.set()
            await asyncio.sleep(_POLL_EVERY if self._own_urls else _RETRY_AFTER)

    async def _follow(self) -> None:
        while True:
            # Also without a word: memberships end by themselves.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._changed.wait()
            self._changed.clear()
            self._greet()
            wanted = self._own_urls[0] if self._own_urls and self._may_join() else None
            lost = self.channel is None or not self.channel.connected
            if wanted != self._wanted or (wanted and lost and self._habits.reloads):
                self._wanted = wanted
                await self._move(wanted)
            await self._visit_others()

    def _may_join(self) -> bool:
        is_open = self._room.slot(self._board.whiteboard_id)
        return not self._habits.needs_slot if is_open is None else is_open

    def _here(self) -> list[Member]:
        here = self._board.whiteboard_id
        return [member for member in self._members() if member.call_id == here]

    def _greet(self) -> None:
        """Tells who has come and gone; somebody who renews is neither."""
        now = {one.identity: one for one in self._here()}
        before = {one.identity: one for one in self._known}
        self._known = set(now.values())
        for identity in before.keys() - now.keys():
            self._gone(before[identity].user_id, before[identity].device_id)
        if any(now[new].user_id != self._user.user_id for new in now.keys() - before.keys()):
            self._came()

    async def _visit_others(self) -> None:
        """Connects to what the others publish on, and leaves what nobody does."""
        urls = {url for member in self._here() for url in member.focus_urls} - {self.focus}
        wanted = urls if self.met else set()
        for url in self._visits.keys() - wanted:
            await self._visits.pop(url).end()
        for url in wanted - self._visits.keys():
            visit = self._visits[url] = Jobs()
            visit.start(self._visit(url))

    async def _visit(self, url: str) -> None:
        seat = slot_id(self._board), self.attendance.member_id
        while True:
            channel = Channel(on_lost=lambda: channel.inbox.put_nowait(None))  # noqa: B023 - awaited below, within its turn
            try:
                await channel.connect(self._user, url, self._board.room_id, seat)
                self.abroad[url] = channel
                await self._listen(channel)
            except UNREACHABLE:
                pass
            finally:
                self.abroad.pop(url, None)
                await channel.close()
            await asyncio.sleep(_RETRY_AFTER)

    async def _go_out(self) -> None:
        closed = self._room.slot(self._board.whiteboard_id) is False
        self.attendance.leave_code = "slot_closed" if closed else "leave"
        await super()._go_out()

    async def _hang_up(self) -> None:
        visits, self._visits = self._visits, {}
        for visit in visits.values():
            await visit.end()
        await super()._hang_up()

    def _cleared(self) -> None:
        self._wanted = None
        self._changed.set()
