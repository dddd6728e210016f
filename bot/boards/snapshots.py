"""Snapshots in the room: reading the newest good one, writing our own.

NeoBoard writes a snapshot as one event and its chunks, best effort: incomplete ones are normal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from math import inf
from time import monotonic
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

MAX_TRIED = 100
"""Snapshots whose chunks are asked for at the most in one search."""
MAX_BESIDE = 500
"""Events read besides the chunks that a snapshot announces: anybody may put some there."""
MAX_OPEN = 4
"""Incomplete snapshots per search that may still be in the writing."""
MAX_BROKEN = 25_000
"""Snapshots remembered that are not to be read again: more than one listing brings."""
TRY_AGAIN = 60.0
"""Seconds after which a snapshot that was not complete is read once more."""
MAX_READ = 5_000
"""Events read at the most in one search, and when ours are read back."""
WRITES = 3
"""Times a chunk is sent at the most; it happens that one does not get into the room."""


class Homeserver(Protocol):
    """The calls needed here."""

    def relations(
        self, room_id: str, event_id: str, event_type: str, *, oldest_first: bool = False
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Iterate over the events that refer to an event."""

    async def send_event(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        """Send a room event."""


class Broken:
    """The snapshots of a room that were not complete or not valid when they were read.

    Anybody may send as many as he likes, so that none is read more than twice: the second time
    after a while, as it may have been in the writing.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def skips(self, event_id: str, now: float) -> bool:
        """Return whether a snapshot is not to be read now (monotonic seconds)."""
        return now < self._until.get(event_id, -inf)

    def found(self, event_id: str, now: float) -> None:
        """Note that a snapshot was read in vain."""
        self._until[event_id] = inf if event_id in self._until else now + TRY_AGAIN
        if len(self._until) > MAX_BROKEN:
            del self._until[next(iter(self._until))]


async def newest(
    homeserver: Homeserver,
    board: BoardKey,
    *,
    known: Callable[[str], Awaitable[bool]],
    merge: Callable[[Snapshot], Awaitable[bool]],
    broken: Broken,
    opened: Callable[[Mapping[str, Any]], object],
) -> bool:
    """Find the board's newest complete snapshot and merge it.

    Args:
        homeserver: to read from.
        board: whose.
        known: whether a snapshot (by event id) is in the archive already: then nothing is read.
        merge: takes the snapshot; answers False when it is not valid, and an older one is tried.
        broken: what need not be read again.
        opened: takes the events of a snapshot that is not complete; the rest of them may follow.

    Returns:
        Whether the board is up to the room: False when only broken snapshots were seen, as many
        as are read in one search, so that a whole one may lie behind them. The next search goes
        on there.

    Raises:
        ServerError: the room could not be read; what is missing is not known.
    """
    tried = read = 0
    async for event in homeserver.relations(board.room_id, board.document_id, SNAPSHOT_TYPE):
        event_id = str(event.get("event_id"))
        if broken.skips(event_id, monotonic()):
            continue
        if await known(event_id):
            return True
        if tried >= MAX_TRIED or read >= MAX_READ:
            return False
        reading = _Reading(opened if tried < MAX_OPEN else None)
        snapshot = await reading.read(homeserver, board, event)
        if snapshot is not None and await merge(snapshot):
            return True
        broken.found(event_id, monotonic())
        tried += reading.asked
        read += reading.events
    return True


async def read(homeserver: Homeserver, board: BoardKey, event_id: str) -> Snapshot | None:
    """Return one snapshot of a board; None when there is none, or it is not complete.

    Raises:
        ServerError: the room could not be read.
    """
    async for event in homeserver.relations(board.room_id, board.document_id, SNAPSHOT_TYPE):
        if event.get("event_id") == event_id:
            return await _Reading().read(homeserver, board, event)
    return None


class _Reading:
    """Reads one snapshot.

    Args:
        opened: takes its events too.

    Attributes:
        asked: whether its chunks were asked for.
        events: how many were read.
    """

    def __init__(self, opened: Callable[[Mapping[str, Any]], object] | None = None) -> None:
        self.asked = False
        self.events = 0
        self._opened = opened
        self._assembler = Assembler()

    async def read(
        self, homeserver: Homeserver, board: BoardKey, event: Mapping[str, Any]
    ) -> Snapshot | None:
        """Return the snapshot, if it is complete."""
        try:
            head = read_snapshot(event)
            self._take(event)
            self.asked = True
            # Its own chunks follow it at once; what others put beside them later comes after.
            async for chunk in homeserver.relations(
                board.room_id, head.event_id, CHUNK_TYPE, oldest_first=True
            ):
                self.events += 1
                snapshot = self._take(chunk) if chunk.get("sender") == head.sender else None
                if snapshot is not None or self.events >= head.chunk_count + MAX_BESIDE:
                    return snapshot
        except InvalidSnapshot:
            metrics.REFUSED_EVENTS.labels("snapshot").inc()
        return None

    def _take(self, event: Mapping[str, Any]) -> Snapshot | None:
        if self._opened is not None:
            self._opened(event)
        return self._assembler.add(event, 0.0)


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
    async for event in homeserver.relations(board.room_id, event_id, CHUNK_TYPE, oldest_first=True):
        read += 1
        match event:
            case {"sender": sender, "content": {"sequenceNumber": int(number)}}:
                if sender == own_user:
                    parts.pop(number, None)
        if not parts or read > MAX_READ:
            return
