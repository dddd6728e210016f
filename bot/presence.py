"""Presence: our own taking part in a room's sessions, in each profile that its people speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.legacy import LegacyPresence
from bot.setting import Home, Setting
from bot.whiteboard.message import Message


class Presence:
    """Takes part in one room until closed."""

    def __init__(self, home: Home, setting: Setting) -> None:
        self._home = home
        self._legacy = LegacyPresence(home, setting, self._greeting)

    @property
    def connected(self) -> bool:
        """Whether a LiveKit connection stands."""
        return self._legacy.connected

    def want(self, whiteboards: frozenset[str]) -> None:
        """Say for which boards to be announced."""
        self._legacy.want(whiteboards)

    def room_changed(self) -> None:
        """Look at the room's memberships again."""
        self._legacy.room_changed()

    def own_state(self, event: Mapping[str, Any]) -> None:
        """Take what sync shows under one of our keys."""
        self._legacy.own_state(event)

    def permission_changed(self) -> None:
        """Try to announce again: the room's power levels have changed."""
        self._legacy.permission_changed()

    def retime(self) -> None:
        """Take the durations anew: there are more boards, or fewer."""
        self._legacy.retime()

    async def publish(self, message: Message) -> None:
        """Send a message to everybody.

        Raises:
            Transient: there is no connection, or the message is too large for it.
        """
        await self._legacy.publish(message)

    async def close(self) -> None:
        """Withdraw the memberships, then disconnect."""
        await self._legacy.close()

    async def run(self) -> None:
        """Take part until closed."""
        await self._legacy.run()

    def _greeting(self, whiteboard_id: str) -> Sequence[Message]:
        lacking = self._home.lacking(whiteboard_id)
        return () if lacking is None else (lacking,)
