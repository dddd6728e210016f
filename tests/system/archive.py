"""The archive as anybody with sqlite3 sees it: none of the bot's own code is used here."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def query(data: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Ask the archive, read-only."""
    connection = sqlite3.connect(f"file:{data / 'boardkeeper.db'}?mode=ro", uri=True, timeout=10)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def count_entries(data: Path, whiteboard_id: str, **where: object) -> int:
    """Count the entries of a board, with conditions on columns."""
    conditions = "".join(f" AND e.{column} = ?" for column in where)
    sql = (
        "SELECT count(*) FROM entries e JOIN boards b ON b.id = e.board_id"
        f" WHERE b.whiteboard_id = ?{conditions}"
    )
    return int(str(query(data, sql, whiteboard_id, *where.values())[0][0]))
