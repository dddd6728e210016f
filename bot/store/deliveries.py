"""Deliveries: how far each durable handler has got on each board, and what it could not take."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bot.store.sqlite import SqliteFile
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Kind

MAX_DEAD = 10_000
"""Dead letters kept per handler: beyond that the oldest are dropped."""

_ADVANCE = (
    "INSERT INTO cursors (handler, board_id, seq) VALUES ($1, $2, $3)"
    " ON CONFLICT (handler, board_id) DO UPDATE SET"
    " seq = CASE WHEN cursors.seq > excluded.seq THEN cursors.seq ELSE excluded.seq END"
)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What of a board a handler has not been given yet.

    Attributes:
        board_id: the archive's number of the board.
        key: what names it in its room.
        after_seq: the last entry that was given.
        entries: how many wait, of all kinds.
        oldest_ts: when the first of them happened, ms since 1970; None when none waits.
    """

    board_id: int
    key: BoardKey
    after_seq: int
    entries: int
    oldest_ts: int | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry that a handler could not take, and was skipped for it.

    Attributes:
        handler: its name.
        seq: the entry.
        board_id: the archive's number of its board.
        ts: when it was given up, ms since 1970.
        tries: how often it was given.
        reason: the kind of error and where; never what is on the board.
    """

    handler: str
    seq: int
    board_id: int
    ts: int
    tries: int
    reason: str


class Deliveries:
    """Cursors and dead letters in the archive's file."""

    _file: SqliteFile

    async def enrol(self, handler: str) -> None:
        """Have a new handler begin now: what is recorded already is for a replay only.

        Boards found later are given to it from their first entry. One that is known stays as it is.
        """
        async with self._file.write() as transaction:
            rows = await transaction.fetch(
                "INSERT INTO meta (name, value) VALUES ($1, '1') ON CONFLICT DO NOTHING"
                " RETURNING name",
                f"handler.{handler}",
            )
            if rows:
                await transaction.execute(
                    "INSERT INTO cursors (handler, board_id, seq) SELECT $1, id,"
                    " (SELECT value FROM counters WHERE name = 'entries') FROM boards"
                    " WHERE TRUE"  # else SQLite reads ON as a part of a join
                    " ON CONFLICT DO NOTHING",
                    handler,
                )

    async def cursor(self, handler: str, board_id: int) -> int:
        """Return the last entry of a board that a handler was given; 0 before the first."""
        rows = await self._file.read(
            "SELECT seq FROM cursors WHERE handler = $1 AND board_id = $2", handler, board_id
        )
        return int(rows[0][0]) if rows else 0

    async def set_cursor(self, handler: str, board_id: int, seq: int) -> None:
        """Note the last entry of a board that a handler was given; never an earlier one."""
        async with self._file.write() as transaction:
            await transaction.execute(_ADVANCE, handler, board_id, seq)

    async def board_key(self, board_id: int) -> BoardKey | None:
        """Return what names a board in its room; None when there is none with this number."""
        rows = await self._file.read(
            "SELECT room_id, whiteboard_id, document_id FROM boards WHERE id = $1", board_id
        )
        return BoardKey(*rows[0]) if rows else None

    async def backlog(self, handler: str, kinds: Collection[Kind] | None = None) -> list[Backlog]:
        """List the boards of which a handler has not been given everything (of these kinds)."""
        places = ", ".join(f"${at}" for at in range(2, len(kinds or ()) + 2))
        wanted = "" if kinds is None else f" AND e.kind IN ({places})"
        rows = await self._file.read(
            "SELECT b.id, b.room_id, b.whiteboard_id, b.document_id, COALESCE(c.seq, 0),"  # noqa: S608 - placeholders only
            " COUNT(e.seq), MIN(e.ts) FROM boards b"
            " LEFT JOIN cursors c ON c.board_id = b.id AND c.handler = $1"
            f" JOIN entries e ON e.board_id = b.id AND e.seq > COALESCE(c.seq, 0){wanted}"
            " WHERE b.room_id <> ''"  # one that is being imported has none yet
            " GROUP BY b.id ORDER BY b.id",
            handler,
            *sorted(kind.value for kind in kinds or ()),
        )
        return [
            Backlog(row[0], BoardKey(row[1], row[2], row[3]), row[4], row[5], row[6])
            for row in rows
        ]

    # -- dead letters --------------------------------------------------------------------------

    async def bury(
        self, handler: str, board_id: int, seq: int, *, ts: int, tries: int, reason: str
    ) -> None:
        """Keep a dead letter (see DeadLetter) and pass its entry by, in one transaction."""
        async with self._file.write() as transaction:
            await transaction.execute(
                "INSERT INTO dead_letters (handler, seq, board_id, ts, tries, reason)"
                " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (handler, seq) DO UPDATE SET"
                " ts = excluded.ts, tries = excluded.tries, reason = excluded.reason",
                handler,
                seq,
                board_id,
                ts,
                tries,
                reason,
            )
            await transaction.execute(_ADVANCE, handler, board_id, seq)
            await transaction.execute(
                "DELETE FROM dead_letters WHERE handler = $1 AND seq <= (SELECT seq FROM"
                " dead_letters WHERE handler = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2)",
                handler,
                MAX_DEAD,
            )

    async def dead_letters(self, handler: str | None = None) -> list[DeadLetter]:
        """List dead letters, of one handler or all, oldest entry first."""
        rows = await self._file.read(
            "SELECT handler, seq, board_id, ts, tries, reason FROM dead_letters"
            " WHERE $1 IS NULL OR handler = $1 ORDER BY handler, seq",
            handler,
        )
        return [DeadLetter(*row) for row in rows]

    async def drop_dead(self, handler: str, seq: int | None = None) -> int:
        """Forget one dead letter of a handler, or all of them; return how many there were."""
        async with self._file.write() as transaction:
            rows = await transaction.fetch(
                "DELETE FROM dead_letters WHERE handler = $1 AND ($2 IS NULL OR seq = $2)"
                " RETURNING seq",
                handler,
                seq,
            )
        return len(rows)
