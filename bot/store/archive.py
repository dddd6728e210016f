"""Archive: everything the bot keeps, in one file of the data folder.

Entries are the recording; all else helps: small facts, what is known of rooms and boards,
checkpoints that make loading quick, snapshots and memberships that were seen, cursors of durable
lanes. Every method raises StoreError, with a text that says what to do, when the file cannot be
read or written.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from bot.store.deliveries import Deliveries
from bot.store.imports import Imports
from bot.store.pasts import Pasts, note_pause
from bot.store.recordings import Recordings
from bot.store.rows import BoardRow, RoomRow, SnapshotRow, Statistics
from bot.store.sqlite import SqliteFile
from bot.whiteboard.board import BoardKey

_ROOMS = "SELECT room_id, name, paused, noticed, resumed_ts, alias FROM rooms"


def _room(row: Sequence[Any]) -> RoomRow:
    room_id, name, paused, noticed, resumed_ts, alias = row
    return RoomRow(room_id, name, bool(paused), bool(noticed), resumed_ts, alias)


def _board(row: Sequence[Any]) -> BoardRow:
    number, room_id, whiteboard_id, document_id, *rest, paused, alias = row
    values: list[Any] = [*rest, bool(paused), alias]
    return BoardRow(number, BoardKey(room_id, whiteboard_id, document_id), *values)


class Archive(Recordings, Deliveries, Imports, Pasts):
    """The archive. Use as `async with`.

    Args:
        folder: the data folder; it is made when missing.
        read_only: only read, beside a running bot or without one; nothing is made or migrated.
        beside: for an import, beside a running bot or without one.

    Raises:
        StoreError: on entering: there is no archive to read, a newer boardkeeper wrote it, it is
            damaged, locked, not ours to use, or another bot uses the folder.
    """

    def __init__(self, folder: Path, *, read_only: bool = False, beside: bool = False) -> None:
        super().__init__(SqliteFile(folder, read_only=read_only, beside=beside))
        self._untrimmed = Counter()
        self.whole = {}

    async def __aenter__(self) -> Self:
        await self._file.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._file.__aexit__(*exc_info)

    @property
    def path(self) -> Path:
        """The database file."""
        return self._file.path

    # -- small facts -------------------------------------------------------------------------

    async def get(self, name: str) -> str | None:
        """Return the text kept under a name; None when there is none."""
        rows = await self._file.read("SELECT value FROM meta WHERE name = $1", name)
        return rows[0][0] if rows else None

    async def set(self, name: str, value: str) -> None:
        """Keep a text; it is on disk when this returns."""
        async with self._file.write() as transaction:
            await transaction.execute(
                "INSERT INTO meta (name, value) VALUES ($1, $2)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                name,
                value,
            )

    # -- rooms and boards --------------------------------------------------------------------

    async def room(self, room_id: str) -> RoomRow | None:
        """Return what is kept of a room; None when nothing is."""
        rows = await self._file.read(f"{_ROOMS} WHERE room_id = $1", room_id)
        return _room(rows[0]) if rows else None

    async def rooms(self) -> list[RoomRow]:
        """List what is kept of rooms."""
        return [_room(row) for row in await self._file.read(f"{_ROOMS} ORDER BY room_id")]

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
        """Keep something of a room; what is None stays as it was (empty, false, 0 at first).

        Of a pause, also when it was: since `paused_ts`, until `resumed_ts` (now without).
        """
        async with self._file.write() as transaction:
            await transaction.execute(
                "INSERT INTO rooms (room_id, name, paused, noticed, resumed_ts, alias) VALUES"
                " ($1, COALESCE($2, ''), COALESCE($3, 0), COALESCE($4, 0), COALESCE($5, 0),"
                " COALESCE($6, ''))"
                " ON CONFLICT (room_id) DO UPDATE SET name = COALESCE($2, rooms.name),"
                " paused = COALESCE($3, rooms.paused), noticed = COALESCE($4, rooms.noticed),"
                " resumed_ts = COALESCE($5, rooms.resumed_ts),"
                " alias = COALESCE($6, rooms.alias)",
                room_id,
                name,
                paused,
                noticed,
                resumed_ts,
                alias,
            )
            if paused is not None:
                now_ts = int(time.time() * 1000)
                if paused or paused_ts:  # that it was paused could perhaps not be kept then
                    await note_pause(transaction, room_id, paused_ts or now_ts, paused=True)
                if not paused:
                    await note_pause(transaction, room_id, resumed_ts or now_ts, paused=False)

    async def board_id(self, key: BoardKey, ts: int) -> int:
        """Return a board's number, giving it one if it is new; it is there (again) from now on.

        Args:
            key: names the board.
            ts: now, ms since 1970: when it was found, if it is new.
        """
        async with self._file.write() as transaction:
            rows = await transaction.fetch(
                "INSERT INTO boards (room_id, whiteboard_id, document_id, found_ts)"
                " VALUES ($1, $2, $3, $4) ON CONFLICT (room_id, whiteboard_id, document_id)"
                " DO UPDATE SET gone_ts = NULL RETURNING id",
                key.room_id,
                key.whiteboard_id,
                key.document_id,
                ts,
            )
        return int(rows[0][0])

    async def board_gone(self, board_id: int, ts: int) -> None:
        """Note that a board was removed, or that the bot left its room; its entries stay."""
        async with self._file.write() as transaction:
            await transaction.execute("UPDATE boards SET gone_ts = $2 WHERE id = $1", board_id, ts)

    async def boards(self) -> list[BoardRow]:
        """List all boards in the order they were found."""
        rows = await self._file.read(
            "SELECT id, boards.room_id, whiteboard_id, document_id, COALESCE(name, ''), found_ts,"
            " gone_ts, entries, bytes, first_ts, last_ts,"
            " (SELECT COUNT(*) FROM authors WHERE board_id = boards.id),"
            " COALESCE(paused, 0), COALESCE(alias, '')"
            " FROM boards LEFT JOIN rooms ON rooms.room_id = boards.room_id"
            " WHERE boards.room_id <> '' ORDER BY id"
        )
        return [_board(row) for row in rows]

    # -- snapshots and memberships seen ----------------------------------------------------------

    async def saw_snapshot(
        self, board_id: int, event_id: str, sender: str, ts: int, size: int
    ) -> None:
        """Remember a complete snapshot of the room; once is enough, more do no harm."""
        async with self._file.write() as transaction:
            await transaction.execute(
                "INSERT INTO snapshots (event_id, board_id, sender, ts, size)"
                " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (event_id) DO NOTHING",
                event_id,
                board_id,
                sender,
                ts,
                size,
            )

    async def has_snapshot(self, event_id: str) -> bool:
        """Return whether this snapshot was seen before."""
        return bool(await self._file.read("SELECT 1 FROM snapshots WHERE event_id = $1", event_id))

    async def snapshots(self, board_id: int) -> list[SnapshotRow]:
        """List the snapshots seen of a board, oldest first."""
        rows = await self._file.read(
            "SELECT event_id, sender, ts, size FROM snapshots WHERE board_id = $1 ORDER BY ts",
            board_id,
        )
        return [SnapshotRow(*row) for row in rows]

    async def statistics(self) -> Statistics:
        """Return the archive in numbers."""
        rows = await self._file.read(
            "SELECT COUNT(*), COALESCE(SUM(entries), 0), COALESCE(SUM(bytes), 0) FROM boards"
            " WHERE room_id <> ''"
        )
        boards, entries, entry_bytes = rows[0]
        return Statistics(boards, entries, entry_bytes, await asyncio.to_thread(self._file.size))
