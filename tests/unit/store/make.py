"""Entries and boards for the tests of the archive."""

from __future__ import annotations

from bot.store.archive import Archive
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry, Kind

KEY = BoardKey("!room:example.org", "whiteboard", "$document")


def entry(
    board_id: int = 1,
    data: bytes = b"update",
    *,
    ts: int = 1_795_218_261_000,
    kind: Kind = Kind.UPDATE,
    sender: str | None = "@anna:example.org",
    device: str | None = "ANNA",
) -> Entry:
    return Entry(board_id, ts, kind, sender, device, data)


async def new_boards(archive: Archive, count: int) -> list[int]:
    keys = [BoardKey("!room:example.org", f"whiteboard{at}", "$document") for at in range(count)]
    return [await archive.board_id(key, 1) for key in keys]
