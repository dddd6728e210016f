"""The archive's schema, as numbered steps: one transaction each, never changed once released.

The SQL is the subset that SQLite and PostgreSQL share, as far as that costs nothing. `seq` comes
out of `counters` inside the committing transaction, so entries become visible in the order of
their numbers even with several writers: a durable lane's cursor never passes one by.
"""

from __future__ import annotations

from mautrix.util.async_db import Connection, UpgradeTable

VERSION_TABLE = "boardkeeper_version"

migrations = UpgradeTable(version_table_name=VERSION_TABLE, database_name="archive")

_FIRST = (
    """CREATE TABLE meta (
        name  TEXT PRIMARY KEY,
        value TEXT NOT NULL
    )""",
    """CREATE TABLE counters (
        name  TEXT PRIMARY KEY,
        value BIGINT NOT NULL
    )""",
    "INSERT INTO counters (name, value) VALUES ('entries', 0)",
    """CREATE TABLE rooms (
        room_id    TEXT PRIMARY KEY,
        name       TEXT NOT NULL,
        paused     INTEGER NOT NULL,
        noticed    INTEGER NOT NULL,
        resumed_ts BIGINT NOT NULL
    )""",
    # entries, bytes, first_ts and last_ts sum up the board's entries, in their transaction: a
    # list of boards must not read the whole archive. AUTOINCREMENT: a number is never given twice.
    """CREATE TABLE boards (
        id            INTEGER PRIMARY KEY AUTOINCREMENT,
        room_id       TEXT NOT NULL,
        whiteboard_id TEXT NOT NULL,
        document_id   TEXT NOT NULL,
        found_ts      BIGINT NOT NULL,
        gone_ts       BIGINT,
        entries       BIGINT NOT NULL DEFAULT 0,
        bytes         BIGINT NOT NULL DEFAULT 0,
        first_ts      BIGINT,
        last_ts       BIGINT,
        UNIQUE (room_id, whiteboard_id, document_id)
    )""",
    # `data` last: what comes before is read without the pages a long one continues on. INTEGER
    # makes `seq` SQLite's own row number, which every index holds anyway.
    """CREATE TABLE entries (
        seq      INTEGER PRIMARY KEY,
        board_id INTEGER NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
        ts       BIGINT NOT NULL,
        kind     TEXT NOT NULL,
        sender   TEXT,
        device   TEXT,
        data     BLOB NOT NULL
    )""",
    "CREATE INDEX entries_of_board ON entries (board_id)",
    """CREATE TABLE checkpoints (
        board_id INTEGER NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
        seq      BIGINT NOT NULL,
        ts       BIGINT NOT NULL,
        data     BLOB NOT NULL,
        PRIMARY KEY (board_id, seq)
    )""",
    """CREATE TABLE snapshots (
        event_id TEXT PRIMARY KEY,
        board_id INTEGER NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
        sender   TEXT NOT NULL,
        ts       BIGINT NOT NULL,
        size     BIGINT NOT NULL
    )""",
    "CREATE INDEX snapshots_of_board ON snapshots (board_id, ts)",
    """CREATE TABLE memberships (
        event_id  TEXT PRIMARY KEY,
        room_id   TEXT NOT NULL,
        state_key TEXT NOT NULL,
        sender    TEXT NOT NULL,
        ts        BIGINT NOT NULL,
        content   TEXT NOT NULL
    )""",
    "CREATE INDEX memberships_of_room ON memberships (room_id, ts)",
    """CREATE TABLE cursors (
        handler  TEXT NOT NULL,
        board_id INTEGER NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
        seq      BIGINT NOT NULL,
        PRIMARY KEY (handler, board_id)
    )""",
)


async def _first(connection: Connection) -> None:
    for statement in _FIRST:
        await connection.execute(statement)


migrations.register(_first, description="rooms, boards and what happened on them")

_SECOND = (
    "ALTER TABLE rooms ADD COLUMN alias TEXT NOT NULL DEFAULT ''",
    # Who is in a board's entries: kept in their transaction, as the sums of `boards` are.
    """CREATE TABLE authors (
        board_id INTEGER NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
        sender   TEXT NOT NULL,
        PRIMARY KEY (board_id, sender)
    )""",
    """INSERT INTO authors (board_id, sender)
        SELECT DISTINCT board_id, sender FROM entries WHERE sender IS NOT NULL AND sender <> ''""",
)


async def _second(connection: Connection) -> None:
    for statement in _SECOND:
        await connection.execute(statement)


migrations.register(_second, description="how people call rooms, and who drew on boards")

_THIRD = """CREATE TABLE dead_letters (
    handler  TEXT NOT NULL,
    seq      BIGINT NOT NULL,
    board_id INTEGER NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    ts       BIGINT NOT NULL,
    tries    INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    PRIMARY KEY (handler, seq)
)"""


async def _third(connection: Connection) -> None:
    await connection.execute(_THIRD)


migrations.register(_third, description="what durable handlers could not take")

_FOURTH = (
    """ALTER TABLE memberships
        ADD COLUMN type TEXT NOT NULL DEFAULT 'org.matrix.msc3401.call.member'""",
    # The room's order, as far as it is known: until here only that in which we saw them.
    "ALTER TABLE memberships ADD COLUMN place BIGINT NOT NULL DEFAULT 0",
    "UPDATE memberships SET place = rowid",
    "INSERT INTO counters (name, value) SELECT 'places', COALESCE(MAX(place), 0) FROM memberships",
    "DROP INDEX memberships_of_room",
    "CREATE INDEX memberships_of_room ON memberships (room_id, place)",
    """CREATE TABLE walks (
        room_id TEXT PRIMARY KEY,
        walk    TEXT NOT NULL
    )""",
    """CREATE TABLE pauses (
        room_id  TEXT NOT NULL,
        from_ts  BIGINT NOT NULL,
        until_ts BIGINT
    )""",
    "CREATE INDEX pauses_of_room ON pauses (room_id)",
    # When earlier pauses began was not kept: whatever was before their end may have been in one.
    """INSERT INTO pauses (room_id, from_ts, until_ts)
        SELECT room_id, 0, CASE WHEN paused = 1 THEN NULL ELSE resumed_ts END
        FROM rooms WHERE paused = 1 OR resumed_ts > 0""",
)


async def _fourth(connection: Connection) -> None:
    for statement in _FOURTH:
        await connection.execute(statement)


migrations.register(_fourth, description="what the history of sessions is computed from")


async def _fifth(connection: Connection) -> None:
    # Until here sticky members were not asked for: every room's past has to be read once more.
    await connection.execute("DELETE FROM walks")


migrations.register(_fifth, description="sticky members belong to the history of sessions")

SCHEMA_VERSION = len(migrations.upgrades)
"""What this program reads and writes."""
