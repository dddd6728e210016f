"""Reading: the boards of a room are brought up to the newest snapshot that is in the room."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from bot.backoff import backoff
from bot.boards import snapshots
from bot.boards.board import Board
from bot.errors import ServerError, StoreError, Transient
from bot.whiteboard.board import BoardKey
from bot.whiteboard.snapshot import Snapshot

READ_ON = 1.0
"""Seconds between two searches for a whole snapshot behind broken ones."""

_SEARCHING = "only broken snapshots were found in the room so far; the search goes on"

_log = logging.getLogger(__name__)


class Archive(Protocol):
    """What is kept of snapshots."""

    async def has_snapshot(self, event_id: str) -> bool:
        """Return whether the archive holds this snapshot."""


class Reading:
    """Reads the snapshots of one room.

    Args:
        homeserver: has them.
        archive: has some of them already.
        follows: whether a board is still one of the room's.
        kept: keeps a board's document in memory meanwhile.
        merge: merges a snapshot; answers whether it is valid.
        release: told when the board's document is not needed for this any more.
        opened: takes the events of a snapshot that is not complete yet.
        tasks: the Room's own group.
    """

    def __init__(
        self,
        homeserver: snapshots.Homeserver,
        archive: Archive,
        *,
        follows: Callable[[Board], bool],
        kept: Callable[[Board], AbstractContextManager[None]],
        merge: Callable[[Board, Snapshot], Awaitable[bool]],
        release: Callable[[Board], Awaitable[None]],
        opened: Callable[[Mapping[str, Any]], object],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._homeserver = homeserver
        self._archive = archive
        self._follows = follows
        self._kept = kept
        self._merge = merge
        self._release = release
        self._opened = opened
        self._tasks = tasks
        self._broken = snapshots.Broken()
        self._troubles: dict[BoardKey, tuple[str, str]] = {}

    def trouble(self, board: Board) -> tuple[str, str] | None:
        """Return why it is not known what the room has of a board, as `saved.Lack` has it."""
        return None if board.complete else self._troubles.get(board.key)

    def forget(self, key: BoardKey) -> None:
        """The board is gone."""
        self._troubles.pop(key, None)

    async def catch_up_later(self, board: Board) -> None:
        """The same, for a task of its own."""
        await self.catch_up(board)
        await self._release(board)

    async def catch_up(self, board: Board) -> None:
        """Bring the board up to the room's newest snapshot; concurrent calls share one reading."""
        waits, warned = backoff(random.random), False
        async with board.catching_up:
            while not board.complete and self._follows(board):
                try:
                    found = await self._read(board)
                except Transient as error:
                    self._unreadable(board, error)
                    await asyncio.sleep(error.retry_after or next(waits))
                except StoreError as error:
                    self._unreadable(board, error)
                    await asyncio.sleep(next(waits))
                except ServerError as error:
                    self._unreadable(board, error)
                    _warn("the snapshots of a board cannot be read", board)
                    break
                else:
                    if not found:
                        self._troubles[board.key] = ("searching", _SEARCHING)
                        warned = warned or _warn("a board has only broken snapshots so far", board)
                        await asyncio.sleep(READ_ON)

    async def _read(self, board: Board) -> bool:
        """Merge the room's newest good snapshot; answer whether the room was read so far."""

        async def known(event_id: str) -> bool:
            read_back = board.recording and board.whole
            return read_back and await self._archive.has_snapshot(event_id)

        with self._kept(board):
            await board.load()
            loads = board.loads
            found = await snapshots.newest(
                self._homeserver,
                board.key,
                known=known,
                merge=lambda snapshot: self._merge(board, snapshot),
                broken=self._broken,
                opened=self._opened,
            )
            # Ended, or resumed, meanwhile: then the document is another one, if it is there at all.
            if board.loaded and board.loads == loads:
                board.complete = found
                self._troubles.pop(board.key, None)
        return found

    def _unreadable(self, board: Board, error: Exception) -> None:
        self._troubles[board.key] = ("unreadable", f"what the room has cannot be read: {error}")

    async def ready(self, board: Board) -> bool:
        """Load a board and bring it up to the room's newest snapshot; tell whether it is."""
        await board.load()
        if not board.complete and not await self._read(board):
            self.catch_up_beside(board)
        return board.complete

    def catch_up_beside(self, board: Board) -> None:
        """Have that done by a task, if none is at it."""
        if not board.catching_up.locked():
            self._tasks.create_task(self.catch_up_later(board))


def _warn(what: str, board: Board) -> bool:
    _log.warning(what, extra={"room": board.key.room_id})
    return True
