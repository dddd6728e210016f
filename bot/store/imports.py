"""Imports: boards that come into the archive from a file, whole or not at all.

A board that is being imported has no room, so nobody sees it; its entries come in transactions
that are short enough for a bot that records meanwhile. The last one gives it its name. What an
import leaves behind that was killed is removed by the next one.
"""

from __future__ import annotations

from bot.store.sqlite import SqliteFile
from bot.whiteboard.board import BoardKey

_AT_ONCE = 2_000


class Imports:
    """Boards that are being imported into the archive's file; one at a time (`beside`)."""

    _file: SqliteFile

    async def begin_import(self, ts: int) -> int:
        """Return the number of a new board that nobody sees; `append` takes its entries.

        Args:
            ts: now, ms since 1970.
        """
        async with self._file.write() as transaction:
            rows = await transaction.fetch(
                "INSERT INTO boards (room_id, whiteboard_id, document_id, found_ts, gone_ts)"
                " VALUES ('', '', '', $1, 0) RETURNING id",
                ts,
            )
        return int(rows[0][0])

    async def end_import(self, board_id: int, key: BoardKey) -> bool:
        """Have a board be there, with all its entries; no durable handler takes them for news.

        Returns:
            False when there is such a board by now; then nothing has changed.
        """
        async with self._file.write() as transaction:
            rows = await transaction.fetch(
                "UPDATE boards SET room_id = $2, whiteboard_id = $3, document_id = $4"
                " WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM boards"
                " WHERE room_id = $2 AND whiteboard_id = $3 AND document_id = $4) RETURNING id",
                board_id,
                key.room_id,
                key.whiteboard_id,
                key.document_id,
            )
            # As `enrol` does: what is recorded already is for a replay only.
            await transaction.execute(
                "INSERT INTO cursors (handler, board_id, seq) SELECT SUBSTR(name, 9), $1,"
                " (SELECT value FROM counters WHERE name = 'entries') FROM meta"
                " WHERE SUBSTR(name, 1, 8) = 'handler.'"
                " ON CONFLICT (handler, board_id) DO UPDATE SET seq = excluded.seq",
                board_id,
            )
        return bool(rows)

    async def discard_imports(self) -> None:
        """Remove boards that are not whole: of this import, and of one that was killed."""
        for (board_id,) in await self._file.read("SELECT id FROM boards WHERE room_id = ''"):
            while await self._discard_some(board_id):
                pass
            async with self._file.write() as transaction:
                await transaction.execute("DELETE FROM boards WHERE id = $1", board_id)

    async def _discard_some(self, board_id: int) -> bool:
        async with self._file.write() as transaction:
            rows = await transaction.fetch(
                "DELETE FROM entries WHERE seq IN (SELECT seq FROM entries WHERE board_id = $1"
                " ORDER BY seq LIMIT $2) RETURNING seq",
                board_id,
                _AT_ONCE,
            )
        return bool(rows)
