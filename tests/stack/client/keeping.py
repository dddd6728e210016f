"""How a NeoBoard client loads a board and saves it: snapshots, read and written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from tests.stack.client.document import BoardDocument, Refused
from tests.stack.client.events import (
    CHUNK,
    SNAPSHOT,
    Board,
    chunk_contents,
    chunk_count,
    snapshot_content,
)
from tests.stack.client.jobs import Jobs
from tests.stack.client.matrix import UNREACHABLE, MatrixUser
from tests.stack.client.snapshots import Backlog, Snapshot
from tests.stack.client.throttle import Throttle

_SAVE_EVERY = 5.0
_RETRY_AFTER = 10.0
_MAX_PAGE = 50


class Keeping:
    """The snapshots of one board, for one client.

    Args:
        saves: whether it ever writes one by itself.

    Attributes:
        loaded: snapshots merged, by their event ids, in this order.
        skipped: snapshots that were not valid.
        saved: ids of the snapshot events written.
    """

    def __init__(
        self, user: MatrixUser, board: Board, document: BoardDocument, *, saves: bool
    ) -> None:
        self._user = user
        self._board = board
        self._document = document
        self._saves = saves
        self._jobs = Jobs()
        self._backlog = Backlog(board.document_id)
        self._throttle = Throttle[bool](_SAVE_EVERY, leading=False)
        self.loaded: list[str] = []
        self.skipped: list[str] = []
        self.saved: list[str] = []

    async def load(self, local_copy: bytes | None = None) -> None:
        """Merges the local copy and then the newest good snapshot of the room."""
        if local_copy is not None:
            self._document.load(local_copy)
        user, board = self._user, self._board
        for event in await user.relations(board.room_id, board.document_id, SNAPSHOT):
            snapshot = await self._fetch(event)
            if snapshot is not None and self._merge(snapshot):
                return
        if local_copy is not None:
            self.changed()

    def notice(self, event: Mapping[str, Any]) -> None:
        """Looks at an event of the room: does it complete a newer snapshot?"""
        if event["type"] in (SNAPSHOT, CHUNK):
            snapshot = self._backlog.add(event)
            if snapshot is not None:
                self._merge(snapshot)

    def changed(self) -> None:
        """Says that the document holds what no snapshot does: it will be saved, if at all."""
        idle = self._throttle.deadline is None
        self._throttle.offer(True, time.monotonic())
        if idle and self._saves:
            self._jobs.start(self._save_in_time())

    async def save(self, data: bytes | None = None) -> str:
        """Writes a snapshot now; returns its event id.

        Args:
            data: what to write; by default the document.

        Raises:
            MatrixError, OSError: the snapshot event was refused; nothing more was tried.
        """
        user, board = self._user, self._board
        data = self._document.data if data is None else data
        content = snapshot_content(board.document_id, chunk_count(data))
        event_id = await user.send_event(board.room_id, SNAPSHOT, content)
        chunks = chunk_contents(board.document_id, event_id, data)
        sending = [user.send_event(board.room_id, CHUNK, chunk) for chunk in chunks]
        # What becomes of them nobody asks: incomplete snapshots are normal.
        await asyncio.gather(*sending, return_exceptions=True)
        self.saved.append(event_id)
        return event_id

    async def end(self) -> None:
        """Stops saving; what has not been saved is lost."""
        await self._jobs.end()

    async def _save_in_time(self) -> None:
        while self._throttle.deadline is not None:
            await asyncio.sleep(self._throttle.deadline - time.monotonic())
            if self._throttle.take(time.monotonic()):
                await self._save_at_last()

    async def _save_at_last(self) -> None:
        while True:
            try:
                await self.save()
            except UNREACHABLE:
                await asyncio.sleep(_RETRY_AFTER)
            else:
                return

    async def _fetch(self, event: dict[str, Any]) -> Snapshot | None:
        """Collects the chunks of a snapshot; None when it is not complete."""
        snapshot = self._backlog.add(event)
        count = event["content"].get("chunkCount")
        if snapshot is not None or not isinstance(count, int):
            return snapshot
        page = max(1, min(_MAX_PAGE, count))
        room_id, event_id = self._board.room_id, event["event_id"]
        for chunk in await self._user.relations(room_id, event_id, CHUNK, page):
            snapshot = self._backlog.add(chunk) or snapshot
        return snapshot

    def _merge(self, snapshot: Snapshot) -> bool:
        assert snapshot.data is not None
        try:
            more = self._document.load(snapshot.data)
        except Refused:
            self.skipped.append(snapshot.event_id)
            return False
        self._backlog.accept(snapshot)
        self.loaded.append(snapshot.event_id)
        if more:
            self.changed()
        return True
