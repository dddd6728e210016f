"""Orders: what the operator has the running bot do to boards, through its control socket.

    restore {board, at_ts or snapshot, slide?}   as it was then
    import {board, file, append}                 the slides of a `.nwb` file
    clone {board, target}                        one board onto another
    snapshot {board}                             to the room, now

All but the last take `force` and `dry_run`. A file to be imported lies in the data folder, under a
name that only the command line makes: what the operator may read, the bot need not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bot.actions import changes
from bot.actions.actions import Archive, find_board
from bot.actions.rewriting import Changed, Homeserver, Order, Place, Tools
from bot.errors import UsageError
from bot.rooms.host import Host
from bot.whiteboard.board import BoardKey
from bot.whiteboard.document import Document
from bot.whiteboard.nwb import MAX_BYTES

_FILE = re.compile(r"import\.[0-9a-f]{32}\.nwb")

_log = logging.getLogger(__name__)


class Orders:
    """Does what is ordered, one thing at a time.

    Args:
        host: the rooms; None until the bot is logged in.
        archive: finds boards, and what they were.
        homeserver: takes events and images.
        empty: makes a fresh document of the configured version and size.
        now_ts: ms by the homeserver's clock.
        committed: waits until all that is recorded is on disk; False when that fails.
        own_user: the bot's user id.
        folder: the data folder.
    """

    def __init__(
        self,
        host: Callable[[], Host | None],
        archive: Archive,
        homeserver: Homeserver,
        *,
        empty: Callable[[], Document],
        now_ts: Callable[[], int],
        committed: Callable[[], Awaitable[bool]],
        own_user: str,
        folder: Path,
    ) -> None:
        self._host = host
        self._archive = archive
        self._folder = folder
        self._tools = Tools(archive, homeserver, self._place, empty, now_ts, committed, own_user)
        self._one = asyncio.Lock()

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a request asks for.

        Raises:
            BoardkeeperError: it cannot be done; the text says why.
        """
        board = request.get("board")
        if not isinstance(board, str):
            raise UsageError("The request names no board.")
        async with self._one:
            row = await find_board(self._archive, board)
            _log.info(
                "ordered by the operator",
                extra={"room": row.key.room_id, "command": request["command"]},
            )
            found = await self._do(request, row.key)
        return {"board": row.id, **found}

    async def _do(self, request: Mapping[str, Any], key: BoardKey) -> dict[str, Any]:
        order = Order(request.get("force") is True, request.get("dry_run") is True)
        match request:
            case {"command": "restore", "at_ts": int(at_ts), "slide": int() | None as slide}:
                done = await changes.restore_instant(self._tools, key, at_ts, slide, order)
            case {"command": "restore", "snapshot": str(one), "slide": int() | None as slide}:
                done = await changes.restore_snapshot(self._tools, key, one, slide, order)
            case {"command": "import", "file": str(name), "append": bool(append)}:
                data = await asyncio.to_thread(fetch, self._folder, name)
                done = await changes.import_nwb(self._tools, key, data, append=append, order=order)
            case {"command": "clone", "target": str(name)}:
                target = await find_board(self._archive, name)
                done = await changes.clone(self._tools, key, target.key, order)
                return {"target": target.id, **_told(done, order)}
            case {"command": "snapshot"}:
                return {"bytes": await changes.write_snapshot(self._tools, key)}
            case _:
                raise UsageError("This bot does not know that order; is it of another version?")
        return _told(done, order)

    @asynccontextmanager
    async def _place(self, key: BoardKey) -> AsyncIterator[Place]:
        host = self._host()
        if host is None:
            raise UsageError("The bot is not logged in yet: “boardkeeper status” says why.")
        room = next((one for one in host.rooms if one.room_id == key.room_id), None)
        board = room.boards.found.get(key.whiteboard_id) if room is not None else None
        if room is None or board is None or board.key != key:
            raise UsageError("This board is in no room of the bot any more.")
        async with room.boards.held(board):
            yield Place(board, room.state, room.boards.saving.writes)


def _told(done: Changed, order: Order) -> dict[str, Any]:
    return {**asdict(done), "dry_run": order.dry}


# -- files to be imported --------------------------------------------------------------------------


def leave(folder: Path, data: bytes) -> str:
    """Leave a file for the bot in the data folder; return its name.

    Raises:
        OSError: that cannot be done.
    """
    name = f"import.{secrets.token_hex(16)}.nwb"
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
        file.write(data)
    return name


def take_away(folder: Path, name: str) -> None:
    """Remove a file that was left, if it is still there."""
    with suppress(OSError):
        (folder / name).unlink(missing_ok=True)


def fetch(folder: Path, name: str) -> bytes:
    """Read a file that was left, and remove it.

    Raises:
        UsageError: there is none, or it is too large.
    """
    if _FILE.fullmatch(name) is None:
        raise UsageError("There is no such file.")
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor
            return file.read(MAX_BYTES + 1)  # a byte too many is for who reads it to refuse
    except OSError as error:
        raise UsageError(f"The file cannot be read: {error.strerror}.") from error
    finally:
        take_away(folder, name)


def sweep(folder: Path) -> None:
    """Remove files that were left for a bot that has ended before it read them."""
    for path in folder.glob("import.*.nwb"):
        if _FILE.fullmatch(path.name):
            take_away(folder, path.name)
