"""Pasts: what a room's history of sessions is computed from, and how far it was read.

The order is the room's: by `place`, which whoever reads the room gives (`rtc.walk`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bot.store.sqlite import SqliteFile, Transaction

MEMBERSHIPS_OF_ONE = 4_000
"""Events of one person that a room's history keeps; the oldest go first."""
MEMBERSHIPS_OF_ROOM = 40_000
"""Of all people together, and as many of people who left the room."""
MAX_MEMBERSHIP = 2_048
"""Bytes of one event's content; NeoBoard's have about 300 of what is kept. With every text as long
as may be it fits, as does one in the oldest form (R8) that names ten devices."""
_TRIM_EVERY = 200

Row = tuple[str, str, str, str, int, Any]
"""Type, state key, event id, sender, time (ms since 1970), content (JSON)."""

_KEEP = (
    "INSERT INTO memberships (room_id, place, type, state_key, event_id, sender, ts, content)"
    " SELECT $1, $2, $3, $4, $5, $6, $7, $8"
    # A redaction of something else is none of this.
    " WHERE $3 <> 'm.room.redaction' OR EXISTS (SELECT 1 FROM memberships WHERE event_id = $4)"
    " ON CONFLICT (event_id) DO "
)
_SEEN = _KEEP + "NOTHING"
_READ = _KEEP + "UPDATE SET place = excluded.place"
"""What was seen before keeps its content: it may be redacted by now."""

_TRIM = """DELETE FROM memberships WHERE room_id = $1 AND rowid NOT IN (
    SELECT kept FROM (
        SELECT kept, ROW_NUMBER() OVER (PARTITION BY person ORDER BY place DESC) AS of_room FROM (
            SELECT rowid AS kept, place, type = 'm.room.member' AS person,
                ROW_NUMBER() OVER (PARTITION BY sender, type ORDER BY place DESC) AS of_one
            FROM memberships WHERE room_id = $1
        ) WHERE of_one <= $2
    ) WHERE of_room <= $3
)"""
"""In the room's order: the times of events are their senders' word."""

_PLACES = "UPDATE counters SET value = value + $1 WHERE name = 'places' RETURNING value"

_PAUSE = (
    "INSERT INTO pauses (room_id, from_ts) SELECT $1, $2 WHERE NOT EXISTS"
    " (SELECT 1 FROM pauses WHERE room_id = $1 AND until_ts IS NULL)"
)
_RESUME = "UPDATE pauses SET until_ts = $2 WHERE room_id = $1 AND until_ts IS NULL"


async def note_pause(transaction: Transaction, room_id: str, ts: int, *, paused: bool) -> None:
    """Note since when recording is paused, or until when it was; the same again changes nothing."""
    await transaction.execute(_PAUSE if paused else _RESUME, room_id, ts)


class Pasts:
    """The part of the archive that histories are made of.

    Attributes:
        whole: since when (ms since 1970) nothing is missing of a room's past; of rooms that are
            not here nobody knows, as after a start, or when sync has left something out.
    """

    whole: dict[str, int]
    _file: SqliteFile
    _untrimmed: Counter[str]  # events kept per room since it was trimmed

    async def saw_memberships(self, room_id: str, rows: Sequence[Row]) -> None:
        """Keep what happened in a room since what was kept before, all or none.

        What is there already stays as it is; what is beyond all measure is left out.
        """
        async with self._file.write() as transaction:
            last = int((await transaction.fetch(_PLACES, len(rows)))[0][0])
            placed = enumerate(rows, last - len(rows) + 1)
            await self._keep(transaction, _SEEN, room_id, placed)
        self._untrimmed[room_id] += len(rows)

    async def read_memberships(
        self, room_id: str, placed: Sequence[tuple[int, Row]], walk: Mapping[str, Any]
    ) -> None:
        """Keep what was read of a room's past, and how far that is.

        Args:
            room_id: which.
            placed: rows with their places; what is there already gets its place.
            walk: what `walk` returns from now on.
        """
        async with self._file.write() as transaction:
            await self._keep(transaction, _READ, room_id, placed)
            await transaction.execute(
                "INSERT INTO walks (room_id, walk) VALUES ($1, $2)"
                " ON CONFLICT (room_id) DO UPDATE SET walk = excluded.walk",
                room_id,
                json.dumps(walk),
            )
        self._untrimmed[room_id] += len(placed)

    async def _keep(
        self,
        transaction: Transaction,
        statement: str,
        room_id: str,
        placed: Iterable[tuple[int, Row]],
    ) -> None:
        texts = ((place, row, json.dumps(row[5], separators=(",", ":"))) for place, row in placed)
        await transaction.executemany(
            statement,
            [
                (room_id, place, *row[:5], text)
                for place, row, text in texts
                if len(text) <= MAX_MEMBERSHIP
            ],
        )
        # Not each time: it looks through all that is kept of the room.
        if room_id not in self._untrimmed or self._untrimmed[room_id] >= _TRIM_EVERY:
            await transaction.execute(_TRIM, room_id, MEMBERSHIPS_OF_ONE, MEMBERSHIPS_OF_ROOM)
            self._untrimmed[room_id] = 0

    async def reserve_places(self, number: int) -> int:
        """Return the first of so many places that nothing else will get."""
        async with self._file.write() as transaction:
            return int((await transaction.fetch(_PLACES, number))[0][0]) - number + 1

    async def walk(self, room_id: str) -> Mapping[str, Any] | None:
        """Return how far a room's past was read; None when it was not."""
        rows = await self._file.read("SELECT walk FROM walks WHERE room_id = $1", room_id)
        return None if not rows else dict(json.loads(rows[0][0]))

    async def is_full(self, room_id: str) -> bool:
        """Return whether of a room as much is kept as can be: what is older would go at once."""
        rows = await self._file.read(
            "SELECT COUNT(*) FROM memberships WHERE room_id = $1 AND type <> 'm.room.member'",
            room_id,
        )
        return int(rows[0][0]) >= MEMBERSHIPS_OF_ROOM

    async def memberships(self, room_id: str, since_ts: int = 0) -> Iterator[Row]:
        """Return what is kept of a room's past, in its order: all, or what was sent since.

        Each is decoded when it is taken, as there may be many: take them in a thread of their own.
        """
        rows = await self._file.read(
            "SELECT type, state_key, event_id, sender, ts, content FROM memberships"
            " WHERE room_id = $1 AND ts >= $2 ORDER BY place",
            room_id,
            since_ts,
        )
        return ((*row[:5], json.loads(row[5])) for row in rows)

    async def pauses(self, room_id: str) -> list[tuple[int, int | None]]:
        """Return from when until when (ms; None: still) recording was paused in a room."""
        rows = await self._file.read(
            "SELECT from_ts, until_ts FROM pauses WHERE room_id = $1 ORDER BY from_ts", room_id
        )
        return [(row[0], row[1]) for row in rows]
