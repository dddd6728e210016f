"""Board: one whiteboard of a room; owns its Document, writes its entries, feeds its lanes.

Everything that reaches a board comes through here, in one order: packets (`ingest`), snapshots of
the room (`merge_snapshot`), changes of our own (`change`). First the document decides, then the
entry is written, then the lanes are told (DESIGN, flow "Live").
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol

from bot import metrics
from bot.beside import IN_PLACE, merged
from bot.boards.holding import Holding
from bot.boards.recorded import read_back
from bot.errors import InvalidUpdate, StoreError, Transient, UsageError
from bot.handlers.base import DocumentUpdate, SnapshotSeen
from bot.handlers.recorded import SIGNALS, signalled
from bot.services import Arrival, Services
from bot.whiteboard.board import BoardKey
from bot.whiteboard.document import Document
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.message import Signal, Update
from bot.whiteboard.snapshot import Snapshot
from bot.whiteboard.unsaved import Ids
from bot.whiteboard.verdict import Outcome, Verdict

CHECKPOINT_EVERY = 500
"""Accepted updates between two checkpoints: bounds what a start has to replay."""

_log = logging.getLogger(__name__)


class Saving(Protocol):
    """Sees to it that the room has what the board holds."""

    @property
    def writes(self) -> bool:
        """Whether the bot writes to boards at all."""

    def changed(self, board: Board, update: bytes, *, ours: bool = False) -> None:
        """Hear of an accepted change."""

    def saved(self, board: Board, snapshot: Snapshot, ids: Ids | None = None) -> None:
        """Hear of a complete snapshot in the room, merged in; its ids, if they are read."""

    def not_taken(self, board: Board, snapshot: Snapshot, beyond: str) -> None:
        """Hear of a complete snapshot of another version, or beyond us: then why."""

    def withheld(self, board: Board) -> str:
        """Return why nothing of ours may be written to a board; empty where it may."""

    async def noted(self, board: Board) -> None:
        """Return when the next start would look whether the board is saved."""


class Mending(Protocol):
    """Takes out of people's way what blocks them."""

    def applying(self, board: Board) -> AbstractContextManager[None]:
        """Watch what becomes of gaps meanwhile."""

    def refused(self, board: Board, update: bytes) -> None:
        """Hear of a refused update."""


class Board:
    """One board.

    Args:
        key: names it.
        board_id: the archive's number.
        services: shared parts.
        publish: sends a change to the people on the board, if anybody is connected.
        heard: told of what people did, once it is taken.
        saving: has what reaches the board saved to the room.
        repeat: takes accepted updates of people, to reach those who lost them.
        mending: unblocks people.
    """

    def __init__(
        self,
        key: BoardKey,
        board_id: int,
        services: Services,
        *,
        publish: Callable[[Update], Any],
        heard: Callable[[Arrival], None],
        saving: Saving,
        repeat: Callable[[bytes], None],
        mending: Mending,
    ) -> None:
        self.key = key
        self.board_id = board_id
        self.recording = services.recording
        self.complete = False  # whether the room's newest complete snapshot is merged in
        self.pinned = False  # a handler reads it: stays in memory
        self.catching_up = asyncio.Lock()  # held while the room's snapshots are read
        self.last_seq = 0
        self.loads = 0  # counts documents: who has worked on one asks whether it is still there
        self._services = services
        self._publish = publish
        self._heard = heard
        self._saving = saving
        self._repeat = repeat
        self._mending = mending
        self._document: Document | None = None
        self._loading = asyncio.Lock()
        self._since_checkpoint = 0
        self._held: Holding | None = None  # what came while a snapshot is merged
        self._lacks = False  # whether changes were lost meanwhile
        self.whole = True  # whether all that the archive has could be read back

    @property
    def loaded(self) -> bool:
        """Whether the document is in memory."""
        return self._document is not None

    @property
    def document(self) -> Document:
        """The document; `load` was called before."""
        assert self._document is not None
        return self._document

    # -- loading ---------------------------------------------------------------------------

    async def load(self) -> None:
        """Bring the document into memory from the archive; concurrent calls share one load."""
        async with self._loading:
            await self._loaded()

    async def _loaded(self) -> Document:
        if self._document is None:
            # Nothing of the archive while paused: it will be merged on resuming.
            self._take(await self._from_archive() if self.recording else self._empty())
        return self.document

    def _take(self, document: Document) -> None:
        document.notes.on = self._services.noting
        self._document = document
        self.loads += 1

    def _empty(self) -> Document:
        return Document(
            default_version=self._services.default_version, max_bytes=self._services.max_document
        )

    async def _from_archive(self) -> Document:
        document, archive = self._empty(), self._services.archive
        self.last_seq, self.whole = await read_back(archive, self.board_id, document)
        if not self.whole:
            _log.warning(
                "not all that is recorded of a board can be read back: the room is asked",
                extra={"room": self.key.room_id},
            )
        return document

    async def unload(self) -> None:
        """Write a checkpoint and free the document; if it does not hold all the document stays."""
        async with self._loading:
            if self.loaded and await self.checkpoint():
                self._document = None
                self.complete = False

    async def checkpoint(self) -> bool:
        """Keep the whole document in the archive, so that the next load is quick.

        Returns:
            False when it could not be written, or something came meanwhile: what is not committed
            yet could not be read back.
        """
        if not self.loaded or not self.recording or not self._since_checkpoint or not self.whole:
            return True
        if self._held is not None:
            return False
        # The document may hold more than entry `last_seq`: replaying the rest again is harmless.
        # The instant is now, so that an export of an earlier instant never starts from it.
        covered = self._since_checkpoint
        try:
            await self._services.archive.save_checkpoint(
                self.board_id, self.last_seq, self._services.now_ts(), self.document.encode()
            )
        except StoreError:
            _log.warning("a checkpoint could not be written", extra={"room": self.key.room_id})
            return False
        self._since_checkpoint -= covered
        return not self._since_checkpoint

    @property
    def checkpoint_due(self) -> bool:
        """Whether enough has happened for another checkpoint."""
        return self.loaded and self._since_checkpoint >= CHECKPOINT_EVERY

    # -- what arrives ----------------------------------------------------------------------

    def ingest(self, arrivals: Sequence[Arrival]) -> None:
        """Take messages from peers, in order. Never blocks.

        Raises:
            AssertionError: the board is not loaded.
        """
        if self._held is not None:
            self._held.add(arrivals)
            return
        patience = self._services.patience
        with self._mending.applying(self):
            for arrival in arrivals:
                if isinstance(arrival.message, Update):
                    data, sender = arrival.message.data, arrival.sender
                    outcome = patience.apply(self.document, data, sender)
                    self._updated(arrival, arrival.message, outcome)
                else:
                    self._signalled(arrival, arrival.message)

    def _updated(self, arrival: Arrival, update: Update, outcome: Outcome) -> None:
        metrics.UPDATES.labels(outcome.verdict.name.lower()).inc()
        refused = outcome.verdict is Verdict.REFUSED
        # What was given up is not tried when it is read back either.
        kind = Kind.REFUSED if refused or outcome.verdict is Verdict.GIVEN_UP else Kind.UPDATE
        self._record(kind, arrival.ts, update.data, arrival.sender, arrival.device)
        if outcome.verdict in {Verdict.CHANGED, Verdict.WAITING}:
            self._since_checkpoint += 1
            self._saving.changed(self, update.data)
            self._heard(arrival)
            self._repeat(update.data)
            self._tell(arrival.ts, arrival.sender, update.data, outcome)
        elif refused and not outcome.other_version:
            self._mending.refused(self, update.data)

    def _tell(self, ts: int, sender: str | None, update: bytes, outcome: Outcome) -> None:
        touched = outcome.touched if self._services.noting else None
        self._services.offer(DocumentUpdate(self.key, ts, sender, update, touched=touched))

    def _signalled(self, arrival: Arrival, signal: Signal) -> None:
        kind = SIGNALS[type(signal)]
        event = signalled(self.key, arrival.ts, arrival.sender, signal)
        if self._services.cursors or kind is not Kind.CURSOR:
            self._record(kind, arrival.ts, arrival.raw, arrival.sender, arrival.device)
        self._services.offer(event)
        self._heard(arrival)

    def _record(
        self, kind: Kind, ts: int, data: bytes, sender: str | None = None, device: str | None = None
    ) -> None:
        if self.recording:
            self._services.record(Entry(self.board_id, ts, kind, sender, device, data))

    async def merge_snapshot(self, snapshot: Snapshot, *, anonymous: bool = False) -> bool:
        """Merge a complete snapshot of the room into the document.

        Args:
            snapshot: from the room.
            anonymous: record what it brings as a baseline, without author and time: it was
                written while recording was paused (rule 8).

        Returns:
            False when it is not a valid document: an older one may be.
        """
        # A server whose clock is ahead must not hide it from who asks for an instant since.
        snapshot = replace(snapshot, ts=min(snapshot.ts, self._services.now_ts()))
        outcome, ids = await self._merge(snapshot.data)
        if outcome.verdict is Verdict.REFUSED:
            metrics.REFUSED_EVENTS.labels("document").inc()
            if outcome.other_version or outcome.beyond:
                self._saving.not_taken(self, snapshot, outcome.reason if outcome.beyond else "")
            return False
        metrics.SNAPSHOTS.labels("room").inc()
        # What was lost meanwhile may be in a snapshot that is newer still.
        self.complete = not self._lacks
        self._saving.saved(self, snapshot, ids)
        if outcome.verdict is not Verdict.KNOWN:
            self._since_checkpoint += 1
            if anonymous:
                self.baseline()
            else:
                self._record(Kind.SNAPSHOT, snapshot.ts, snapshot.data, snapshot.sender)
            self._tell(snapshot.ts, snapshot.sender, snapshot.data, outcome)
        await self._remember(snapshot, anonymous=anonymous)
        self._services.offer(
            SnapshotSeen(self.key, snapshot.ts, snapshot.sender, snapshot.event_id)
        )
        return True

    async def _merge(self, data: bytes) -> tuple[Outcome, Ids | None]:
        """Merge into the document; what people send meanwhile is taken afterwards, in order."""
        async with self._loading:
            document = await self._loaded()
            self._lacks = False
            with self._mending.applying(self):
                if len(data) <= IN_PLACE:
                    return document.merge_snapshot(data), None
                held = self._held = Holding()
                try:
                    # A copy: handlers read the document meanwhile, and a cancelled thread goes on.
                    self._document, outcome, ids = await merged(document, data)
                    return outcome, ids
                finally:
                    self._held = None
                    self.ingest(held.messages)
                    self._lacks = held.lost

    async def _remember(self, snapshot: Snapshot, *, anonymous: bool) -> None:
        """Note that this snapshot need never be read again: after what it brought is on disk."""
        if not self.recording or not await self._services.committed():
            return
        sender, ts = ("", 0) if anonymous else (snapshot.sender, snapshot.ts)
        try:
            await self._services.archive.saw_snapshot(
                self.board_id, snapshot.event_id, sender, ts, len(snapshot.data)
            )
        except StoreError:
            _log.warning("a snapshot could not be noted", extra={"room": self.key.room_id})

    def baseline(self) -> None:
        """Record the whole document as it is: where a recording begins or goes on; no author."""
        self._record(Kind.BASELINE, self._services.now_ts(), self.document.encode())

    def mend(self) -> None:
        """Record the whole document again if entries of the recording were lost."""
        if (
            self.loaded
            and self._held is None
            and self.recording
            and self._services.lacks(self.board_id)
        ):
            self.baseline()

    async def resume(self) -> None:
        """Record again, beginning with one baseline; the document keeps what it saw meanwhile.

        Raises:
            StoreError: the archive cannot be read; the board goes on as it was.
        """
        async with self._loading:
            meanwhile, self._document = self._document, None
            try:
                document = await self._from_archive()
            except StoreError:
                self._document = meanwhile
                raise
            if meanwhile is not None:
                document.merge_snapshot(meanwhile.encode())
            self._take(document)
            self.recording, self.complete = True, False
            self.baseline()

    # -- changes of our own --------------------------------------------------------------------

    @property
    def writes(self) -> bool:
        """Whether the bot writes to boards at all."""
        return self._saving.writes

    async def change(self, update: bytes, *, check: Callable[[], None] | None = None) -> bool:
        """Apply an update of our own, send it live and have it saved.

        Args:
            update: by `whiteboard.edit`, or a handler's.
            check: called before it is applied, with nothing in between; may raise.

        Raises:
            InvalidUpdate: NeoBoard's schema would refuse the result.
            Transient: the room's own state is not known yet, so nothing may be written.
            UsageError: the bot only observes.
        """
        if not self.writes:
            raise UsageError("boards.mode is observe: the bot writes to no board")
        # First: what is in the archive and not saved by the next start is seen by that bot alone.
        await self._saving.noted(self)
        await self.load()  # also waits until a snapshot is merged
        if not self.complete:
            raise Transient("the board is not loaded completely yet")
        if why := self._saving.withheld(self):
            raise Transient(why)
        if check is not None:
            check()
        with self._mending.applying(self):
            outcome = self.document.apply([update])[0]
        if outcome.verdict is Verdict.REFUSED:
            raise InvalidUpdate(outcome.reason)
        if outcome.verdict is Verdict.KNOWN:
            return False
        self._since_checkpoint += 1
        ts = self._services.now_ts()
        self._record(Kind.UPDATE, ts, update)
        self._tell(ts, None, update, outcome)
        self._saving.changed(self, update, ours=True)
        # People must not see what a crash would have us forget: nobody else would save it. An
        # archive that fails is no reason to wait, the room gets it as a snapshot.
        await self._services.committed()
        await self._publish(Update(self.key.document_id, update))
        return True
