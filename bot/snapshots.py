"""Snapshots in the room: reading the newest good one, writing our own.

NeoBoard writes a snapshot as one event and its chunks, best effort: incomplete ones are normal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from bot import metrics
from bot.errors import InvalidSnapshot, Transient
from bot.whiteboard.board import BoardKey
from bot.whiteboard.snapshot import (
    CHUNK_TYPE,
    SNAPSHOT_TYPE,
    Assembler,
    Snapshot,
    chunk_content,
    read_snapshot,
    snapshot_content,
    split,
)

MAX_TRIED = 50
"""Snapshots read at the most until a complete one is found."""
MAX_READ = 5_000
"""Events read back at the most; anybody may put some beside our chunks."""
WRITES = 3
"""Times a chunk is sent at the most; it happens that one does not get into the room."""


class Homeserver(Protocol):
    """The calls needed here."""

    def relations(
        self, room_id: str, event_id: str, event_type: str
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Iterate over the events that refer to an event, newest first."""

    async def send_event(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        """Send a room event."""


async def newest(
    homeserver: Homeserver,
    board: BoardKey,
    *,
    known: Callable[[str], Awaitable[bool]],
    merge: Callable[[Snapshot], Awaitable[bool]],
) -> bool:
    """Find the board's newest complete snapshot and merge it.

    Args:
        homeserver: to read from.
        board: whose.
        known: whether a snapshot (by event id) is in the archive already: then nothing is read.
        merge: takes the snapshot; answers False when it is not valid, and an older one is tried.

    Returns:
        Whether the board is up to the room: False when only broken snapshots were seen, as many
        as are tried, so that an older, whole one may lie behind them.

    Raises:
        ServerError: the room could not be read; what is missing is not known.
    """
    tried = 0
    async for event in homeserver.relations(board.room_id, board.document_id, SNAPSHOT_TYPE):
        tried += 1
        if tried > MAX_TRIED:
            return False
        if await known(str(event.get("event_id"))):
            return True
        snapshot = await _read(homeserver, board, event)
        if snapshot is not None and await merge(snapshot):
            return True
    return True


async def read(homeserver: Homeserver, board: BoardKey, event_id: str) -> Snapshot | None:
    """Return one snapshot of a board; None when there is none, or it is not complete.

    Raises:
        ServerError: the room could not be read.
    """
    async for event in homeserver.relations(board.room_id, board.document_id, SNAPSHOT_TYPE):
        if event.get("event_id") == event_id:
            return await _read(homeserver, board, event)
    return None


async def _read(
    homeserver: Homeserver, board: BoardKey, event: Mapping[str, Any]
) -> Snapshot | None:
    try:
        head = read_snapshot(event)
        assembler = Assembler()
        assembler.add(event, 0.0)
        async for chunk in homeserver.relations(board.room_id, head.event_id, CHUNK_TYPE):
            snapshot = assembler.add(chunk, 0.0)
            if snapshot is not None:
                return snapshot
    except InvalidSnapshot:
        metrics.REFUSED_EVENTS.labels("snapshot").inc()
    return None


async def write(homeserver: Homeserver, board: BoardKey, data: bytes, own_user: str) -> str:
    """Write a whole document to the room as a snapshot, and see that all of it is there.

    Args:
        homeserver: takes it.
        board: whose it is.
        data: the document.
        own_user: ours; what others put beside our chunks does not count.

    Returns:
        The snapshot's event id.

    Raises:
        ServerError: it is not in the room, or not completely.
    """
    parts = dict(enumerate(split(data)))
    event_id = await homeserver.send_event(
        board.room_id, SNAPSHOT_TYPE, snapshot_content(board.document_id, len(parts))
    )
    for _ in range(WRITES):
        for number, part in parts.items():
            await homeserver.send_event(
                board.room_id, CHUNK_TYPE, chunk_content(board.document_id, event_id, number, part)
            )
        await _strike_out(homeserver, board, event_id, own_user, parts)
        if not parts:
            metrics.SNAPSHOTS.labels("us").inc()
            return event_id
    raise Transient("chunks of a snapshot did not get into the room")


async def _strike_out(
    homeserver: Homeserver, board: BoardKey, event_id: str, own_user: str, parts: dict[int, bytes]
) -> None:
    """Remove the parts whose chunks of ours are in the room."""
    read = 0
    async for event in homeserver.relations(board.room_id, event_id, CHUNK_TYPE):
        read += 1
        match event:
            case {"sender": sender, "content": {"sequenceNumber": int(number)}}:
                if sender == own_user:
                    parts.pop(number, None)
        if not parts or read > MAX_READ:
            return
