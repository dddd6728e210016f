"""A NeoBoard client's own membership: joined, kept alive by a delayed leave, left."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.stack.client.events import (
    EXPIRES_AFTER_MS,
    LEAVE_AFTER_MS,
    MEMBER,
    Board,
    member_content,
    member_key,
)
from tests.stack.client.jobs import Jobs
from tests.stack.client.matrix import UNREACHABLE, MatrixUser

_RESTART_EVERY = 0.75 * LEAVE_AFTER_MS / 1000
_RENEW_EVERY = 0.75 * EXPIRES_AFTER_MS / 1000


class Attendance:
    """What others see of us being on a board.

    As the real client does it: the membership first and the delayed leave after it; one failed
    restart ends the restarting, and when the homeserver then clears us, we join anew.
    """

    def __init__(self, user: MatrixUser, board: Board) -> None:
        self._user = user
        self._board = board
        self._jobs = Jobs()
        self._key = member_key(user.user_id, user.device_id)
        self._focus_urls: Sequence[str] = ()
        self._delay_id = ""
        self._event_id = ""
        self._seen = False
        self.joined = False
        self.joins = 0
        """How often we have joined so far."""

    async def join(self, focus_urls: Sequence[str]) -> None:
        """Enters.

        Raises:
            MatrixError: the room does not let us.
        """
        self._focus_urls = focus_urls
        await self._write()
        self.joined = True
        self.joins += 1
        self._delay_id = await self._schedule()
        self._jobs.start(self._restart())
        self._jobs.start(self._renew())

    async def leave(self) -> None:
        """Leaves: the membership is cleared, then the delayed leave is cancelled."""
        if not self.joined:
            return
        await self.vanish()
        await self._clear()
        await self._user.manage_delayed(self._delay_id, "cancel")

    async def vanish(self) -> None:
        """Stops without a word: the homeserver clears the membership when the delay is over."""
        self.joined = False
        await self._jobs.end()

    def notice(self, event: Mapping[str, Any]) -> None:
        """Looks at an event of the room: has our membership been cleared?"""
        if event["type"] != MEMBER or event.get("state_key") != self._key:
            return
        if event["event_id"] == self._event_id:
            self._seen = True
        elif not event["content"] and self._seen and self.joined:
            self._seen = False
            self._jobs.start(self._join_anew())

    async def _write(self) -> None:
        expires = int(time.time() * 1000) + EXPIRES_AFTER_MS
        board = self._board
        content = member_content(board, self._user.device_id, self._focus_urls, expires)
        self._seen = False
        self._event_id = await self._user.put_state(board.room_id, MEMBER, content, self._key)

    async def _schedule(self) -> str:
        """Lets the homeserver clear us later; returns the delay id."""
        room_id = self._board.room_id
        return await self._user.put_state_later(room_id, MEMBER, self._key, LEAVE_AFTER_MS)

    async def _clear(self) -> None:
        await self._user.put_state(self._board.room_id, MEMBER, {}, self._key)

    async def _restart(self) -> None:
        while True:
            await asyncio.sleep(_RESTART_EVERY)
            delay_id = self._delay_id
            try:
                await self._user.manage_delayed(delay_id, "restart")
            except UNREACHABLE:
                # Unless it has been armed anew meanwhile.
                if delay_id == self._delay_id:
                    return

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            with contextlib.suppress(*UNREACHABLE):
                await self._write()

    async def _join_anew(self) -> None:
        await self._jobs.end()
        with contextlib.suppress(*UNREACHABLE):
            await self.join(self._focus_urls)
