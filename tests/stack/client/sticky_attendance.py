"""A NeoBoard client's own membership in the sticky profile."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from tests.stack.client.attendance import Attendance
from tests.stack.client.events import LEAVE_AFTER_MS, Board
from tests.stack.client.habits import Habits
from tests.stack.client.matrix import UNREACHABLE, MatrixUser
from tests.stack.client.members import pseudonym
from tests.stack.client.sticky import STICKY, join_content, leave_content

_RENEW_AT = 0.9
_RETRY_AFTER = 1.0


class StickyAttendance(Attendance):
    """The same as a sticky event: renewed before it ends, under a member id of its own.

    Args:
        on_cleared: told when the homeserver has taken us out: the member id is spent, and with it
            the LiveKit identity, so that only joining anew helps.

    Attributes:
        member_id: of this joining; empty before the first.
        leave_code: the reason given when leaving.
    """

    def __init__(
        self, user: MatrixUser, board: Board, habits: Habits, on_cleared: Callable[[], None]
    ) -> None:
        super().__init__(user, board)
        self._habits = habits
        self._on_cleared = on_cleared
        self.member_id = ""
        self.leave_code = "leave"

    @property
    def identity(self) -> str:
        """Our name on LiveKit while this joining lasts."""
        return pseudonym(self._user.user_id, self._user.device_id, self.member_id)

    def draw_id(self) -> str:
        """A member id for the next joining; the connection needs it first."""
        self.member_id = secrets.token_urlsafe(15)
        return self.member_id

    def notice(self, event: Mapping[str, Any]) -> None:
        """Looks at an event of the room: have we been taken out?"""
        if event["type"] != STICKY or event["sender"] != self._user.user_id or not self.joined:
            return
        member = event["content"].get("member")
        if not isinstance(member, dict) or member.get("membership") != "leave":
            return
        if member.get("id") == self.member_id:
            self.joined = False
            self._jobs.start(self._give_up())

    async def _give_up(self) -> None:
        await self._jobs.end()
        self._on_cleared()

    async def _write(self) -> None:
        habits, device_id = self._habits, self._user.device_id
        url = self._focus_urls[0]
        content = join_content(self._board, device_id, self.member_id, url, habits.spelling)
        await self._user.send_sticky(self._board.room_id, STICKY, content, habits.sticky_ms)

    async def _schedule(self) -> str:
        return await self._user.send_sticky_later(
            self._board.room_id,
            STICKY,
            self._leave_content("delayed_leave"),
            self._habits.sticky_ms,
            LEAVE_AFTER_MS,
        )

    async def _clear(self) -> None:
        await self._user.send_sticky(
            self._board.room_id,
            STICKY,
            self._leave_content(self.leave_code),
            self._habits.sticky_ms,
        )

    async def _renew(self) -> None:
        wait = _RENEW_AT * self._habits.sticky_ms / 1000
        while True:
            await asyncio.sleep(wait)
            try:
                await self._write()
                await self._user.manage_delayed(self._delay_id, "cancel")
                self._delay_id = await self._schedule()
            except UNREACHABLE:
                wait = _RETRY_AFTER
            else:
                wait = _RENEW_AT * self._habits.sticky_ms / 1000

    def _leave_content(self, code: str) -> dict[str, Any]:
        return leave_content(self._board, self._user.device_id, self.member_id, code)
