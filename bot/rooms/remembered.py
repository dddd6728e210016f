"""Remembered: what the archive keeps of a room, so that a bot that is started again knows it."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from bot.boards.boards import Boards
from bot.errors import StoreError
from bot.roomstate import RoomState

KEEP_AGAIN = 10.0
"""Seconds until the bot tries again to keep what the archive did not take."""

_log = logging.getLogger(__name__)


class Archive(Protocol):
    """Keeps it."""

    async def set_room(
        self,
        room_id: str,
        *,
        name: str | None = None,
        alias: str | None = None,
        paused: bool | None = None,
        noticed: bool | None = None,
        resumed_ts: int | None = None,
        paused_ts: int | None = None,
    ) -> None:
        """Keep something of the room."""


class Remembered:
    """What is kept of one room.

    Args:
        archive: keeps it.
        room_id: which room.
        tasks: the Room's own group.

    Attributes:
        named: name and alias as the archive has them.
    """

    def __init__(self, archive: Archive, room_id: str, tasks: asyncio.TaskGroup) -> None:
        self.named = ("", "")
        self._archive = archive
        self._room_id = room_id
        self._tasks = tasks
        self._keys = {"room": room_id}

    async def name(self, state: RoomState) -> None:
        """Keep what people call the room: operators know rooms by that."""
        named = state.name, state.alias
        if named == self.named:
            return
        try:
            await self._archive.set_room(self._room_id, name=state.name, alias=state.alias)
        except StoreError:
            return  # the next batch tries again
        self.named = named

    async def pause(self, boards: Boards) -> None:
        """Have the next start know whether recording is paused; what was said holds at once.

        Raises:
            StoreError: it could not be kept; that is tried again.
        """
        try:
            await self._archive.set_room(
                self._room_id,
                paused=boards.paused,
                resumed_ts=boards.resumed_ts,
                paused_ts=boards.paused_ts,
            )
        except StoreError:
            self._tasks.create_task(self._pause_later(boards))
            raise

    async def _pause_later(self, boards: Boards) -> None:
        await asyncio.sleep(KEEP_AGAIN)
        try:
            await self.pause(boards)
        except StoreError:
            _log.warning("a pause could not be kept; trying again", extra=self._keys)

    async def noticed(self, *, noticed: bool, paused: bool | None = None) -> None:
        """Keep whether the room was told what the bot does; else that is said once too often."""
        try:
            await self._archive.set_room(self._room_id, noticed=noticed, paused=paused)
        except StoreError:
            _log.warning("the archive does not take what is to be kept of a room", extra=self._keys)
