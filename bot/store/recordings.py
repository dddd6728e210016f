"""Recordings: the entries of boards, and the checkpoints that make replaying them short."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

from bot.store.entries import authors, from_row, mend, sums, to_rows
from bot.store.faults import Unstorable, damaged
from bot.store.rows import Checkpoint
from bot.store.sqlite import SqliteFile, Transaction
from bot.store.thinning import superfluous
from bot.whiteboard.entry import Entry, Kind

PAGE = 1000
"""Entries read at once."""
PAGE_BYTES = 8 * 2**20
"""Bytes of entries read at once; an entry that is larger comes alone."""

_INSERT = (
    "INSERT INTO entries (seq, board_id, ts, kind, sender, device, data)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7)"
)
_SUM_UP = (
    "UPDATE boards SET entries = entries + $2, bytes = bytes + $3,"
    " first_ts = CASE WHEN first_ts < $4 THEN first_ts ELSE $4 END,"
    " last_ts = CASE WHEN last_ts > $5 THEN last_ts ELSE $5 END WHERE id = $1"
)
_AUTHOR = "INSERT INTO authors (board_id, sender) VALUES ($1, $2) ON CONFLICT DO NOTHING"

_log = logging.getLogger(__name__)


class Recordings:
    """Entries and checkpoints in the archive's file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    # -- entries -----------------------------------------------------------------------------

    async def append(self, entries: Sequence[Entry]) -> list[int]:
        """Keep entries, all in one transaction, in this order; they are on disk on return.

        Returns:
            Their sequence numbers, growing; 0 for one that can never be kept (its board is
            unknown, its values impossible): that is logged, and the others are kept.
        """
        try:
            return await self._append(entries)
        except Unstorable:
            known = {row[0] for row in await self._file.read("SELECT id FROM boards")}
            mended = [mend(entry, known) for entry in entries]
            good = [entry for entry in mended if entry is not None]
            _log.warning(
                "entries that cannot be stored are left out",
                extra={"entries": len(entries) - len(good)},
            )
            seqs = iter(await self._append(good))
            return [next(seqs) if entry is not None else 0 for entry in mended]

    async def _append(self, entries: Sequence[Entry]) -> list[int]:
        if not entries:
            return []
        async with self._file.write() as transaction:
            rows = await transaction.fetch(
                "UPDATE counters SET value = value + $1 WHERE name = 'entries' RETURNING value",
                len(entries),
            )
            first = int(rows[0][0]) - len(entries) + 1
            await _insert(transaction, entries, first)
        return list(range(first, first + len(entries)))

    async def entries(
        self,
        board_id: int,
        *,
        after_seq: int = 0,
        until_ts: int | None = None,
        kinds: Collection[Kind] | None = None,
        limit: int = PAGE,
    ) -> list[Entry]:
        """Return a board's next entries, oldest first.

        Args:
            board_id: which board.
            after_seq: only entries after this one.
            until_ts: only entries up to this instant, ms since 1970.
            kinds: only entries of these kinds.
            limit: how many; fewer come when they are large (PAGE_BYTES). None come only when
                there are no more.
        """
        args: list[Any] = [board_id, after_seq, limit, PAGE_BYTES]
        where = "board_id = $1 AND seq > $2"
        if until_ts is not None:
            args.append(until_ts)
            where += f" AND ts <= ${len(args)}"
        if kinds is not None:
            first = len(args) + 1
            args += sorted(kind.value for kind in kinds)
            where += f" AND kind IN ({', '.join(f'${at}' for at in range(first, len(args) + 1))})"
        # The inner query finds where the page ends; it reads no data, only how long that is.
        rows = await self._file.read(
            f"SELECT seq, board_id, ts, kind, sender, device, data FROM entries WHERE {where}"  # noqa: S608 - placeholders only
            " AND seq <= (SELECT MAX(seq) FROM"
            " (SELECT seq, SUM(size) OVER (ORDER BY seq) - size AS before FROM"
            f" (SELECT seq, LENGTH(data) AS size FROM entries WHERE {where}"
            " ORDER BY seq LIMIT $3) AS page) AS sums WHERE before < $4) ORDER BY seq",
            *args,
        )
        try:
            return [from_row(row) for row in rows]
        except KeyError as error:
            raise damaged(self._file.path, "read") from error

    async def all_entries(
        self,
        board_id: int,
        *,
        after_seq: int = 0,
        until_ts: int | None = None,
        kinds: Collection[Kind] | None = None,
    ) -> AsyncIterator[Entry]:
        """Iterate over a board's entries, oldest first, page by page; arguments as of `entries`."""
        while page := await self.entries(
            board_id, after_seq=after_seq, until_ts=until_ts, kinds=kinds
        ):
            for entry in page:
                yield entry
            after_seq = page[-1].seq

    # -- checkpoints ---------------------------------------------------------------------------

    async def save_checkpoint(self, board_id: int, seq: int, ts: int, data: bytes) -> None:
        """Keep a board's whole document, and drop checkpoints there are too many of.

        Args:
            board_id: which board.
            seq: the document holds everything up to this entry.
            ts: the document holds nothing that happened after this instant, ms since 1970.
            data: the document as one Yjs update.
        """
        async with self._file.write() as transaction:
            await transaction.execute(
                "INSERT INTO checkpoints (board_id, seq, ts, data) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (board_id, seq) DO UPDATE SET ts = excluded.ts, data = excluded.data",
                board_id,
                seq,
                ts,
                data,
            )
            rows = await transaction.fetch(
                "SELECT seq, LENGTH(data) FROM checkpoints WHERE board_id = $1 ORDER BY seq",
                board_id,
            )
            drop = superfluous([(row[0], row[1]) for row in rows])
            await transaction.executemany(
                "DELETE FROM checkpoints WHERE board_id = $1 AND seq = $2",
                [(board_id, old) for old in drop],
            )

    async def checkpoint(self, board_id: int, until_ts: int | None = None) -> Checkpoint | None:
        """Return a board's latest checkpoint, or the latest that holds nothing after an instant.

        Replaying the entries after its `seq` gives the document; None means: replay them all.
        """
        query = "SELECT seq, ts, data FROM checkpoints WHERE board_id = $1"
        last = " ORDER BY seq DESC LIMIT 1"
        if until_ts is None:
            rows = await self._file.read(query + last, board_id)
        else:
            rows = await self._file.read(f"{query} AND ts <= $2{last}", board_id, until_ts)
        return Checkpoint(*rows[0]) if rows else None


async def _insert(transaction: Transaction, entries: Sequence[Entry], first: int) -> None:
    try:
        added = [
            (board_id, sum_.entries, sum_.bytes, sum_.first_ts, sum_.last_ts)
            for board_id, sum_ in sums(entries).items()
        ]
        await transaction.executemany(_INSERT, to_rows(entries, first))
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise Unstorable("an entry holds values that the archive cannot keep") from error
    await transaction.executemany(_SUM_UP, added)
    await transaction.executemany(_AUTHOR, sorted(authors(entries)))
