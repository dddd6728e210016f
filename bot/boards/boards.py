"""The boards of one room: found and followed, read at a start, saved after changes of our own."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from time import monotonic
from typing import Any, Protocol

from bot import metrics
from bot.backoff import backoff
from bot.boards import reading, saving, snapshots
from bot.boards.board import Board
from bot.boards.mending import Mending
from bot.boards.reading import Reading
from bot.boards.repeating import Repeating
from bot.boards.saving import Saving
from bot.errors import InvalidSnapshot, StoreError, Transient
from bot.handlers.base import BoardFound, BoardGone, RecordingChanged
from bot.permission import own_refusal
from bot.roomstate import RoomState
from bot.services import Arrival, Services
from bot.whiteboard.board import BoardKey
from bot.whiteboard.keep import Pace
from bot.whiteboard.message import Update
from bot.whiteboard.snapshot import SNAPSHOT_TYPE, Assembler, Snapshot, read_snapshot

RESCUE_WITHIN = 5.0
"""Seconds that boards get to be saved before the bot leaves or ends."""

_log = logging.getLogger(__name__)


class Archive(saving.Archive, reading.Archive, Protocol):
    """What is kept of boards, besides what a Board itself keeps."""

    async def board_id(self, key: BoardKey, ts: int) -> int:
        """Return the board's number."""

    async def board_gone(self, board_id: int, ts: int) -> None:
        """Note that the board is gone."""


class Boards:
    """The boards of one room.

    Args:
        state: what the room says.
        homeserver: reads and writes snapshots.
        archive: numbers boards.
        services: shared parts.
        wanted: the boards that people are on; their documents stay in memory.
        publish: sends a change to the people on the boards.
        heard: told what people did once a board has taken it.
        changed: told when there is another board.
        pace: how boards are saved to the room; None never writes to any.
        refused: told when the room does not let us save, and when it does again.
        tasks: the Room's own group.
        mended: says what had to go to unblock somebody (a sentence's name); None says nothing.

    Attributes:
        found: the boards by whiteboard id.
        saving: sees to it that the room has what the boards hold.
        paused: whether recording is paused in this room.
        paused_ts: when it was last paused, ms; 0 never, as far as this process knows.
        resumed_ts: when it was last resumed, ms; 0 never.
    """

    def __init__(
        self,
        state: RoomState,
        homeserver: snapshots.Homeserver,
        archive: Archive,
        services: Services,
        *,
        wanted: Callable[[], frozenset[str]],
        publish: Callable[[Update], Awaitable[None]],
        heard: Callable[[BoardKey, Arrival], None],
        changed: Callable[[], None],
        pace: Pace | None,
        refused: Callable[[bool], None],
        tasks: asyncio.TaskGroup,
        mended: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.found: dict[str, Board] = {}
        self.paused = False
        self.paused_ts = self.resumed_ts = 0
        self._state = state
        self._homeserver = homeserver
        self._archive = archive
        self._services = services
        self._wanted = wanted
        self._publish = publish
        self._heard = heard
        self._changed = changed
        self._mended = mended
        self._tasks = tasks
        self._assembler = Assembler()
        self._reading = Reading(
            homeserver,
            archive,
            follows=lambda board: self.found.get(board.key.whiteboard_id) is board,
            kept=self._kept,
            merge=self._merge,
            release=self.release,
            opened=lambda event: self._assembler.add(event, monotonic()),
            tasks=tasks,
        )
        self.saving = Saving(
            homeserver,
            state.own_user,
            archive,
            pace,
            ready=self._reading.ready,
            release=self.release,
            permitted=lambda: own_refusal(state) is None,
            refused=refused,
            tasks=tasks,
        )
        self._finding: set[BoardKey] = set()
        self._held: Counter[BoardKey] = Counter()
        self._people: Mapping[BoardKey, int] = {}
        self._ended = False
        self._keys = {"room": state.room_id}

    @property
    def recording(self) -> bool:
        """Whether what happens here is recorded."""
        return self._services.recording and not self.paused

    # -- what the room says --------------------------------------------------------------------

    async def take(self, event: Mapping[str, Any]) -> None:
        """Take a snapshot or chunk event; merge the snapshot that it completes."""
        try:
            snapshot = self._assembler.add(event, monotonic())
        except InvalidSnapshot:
            metrics.REFUSED_EVENTS.labels("snapshot").inc()
            return
        if event["type"] == SNAPSHOT_TYPE:
            head = read_snapshot(event)
            ours = head.sender == self._state.own_user
            self.saving.begun(head.document_id, head.event_id, ours=ours)
        for board in list(self.found.values()):
            if snapshot is not None and board.key.document_id == snapshot.document_id:
                try:
                    merged = await self._merge(board, snapshot)
                except StoreError:
                    _log.warning("a snapshot could not be merged yet", extra=self._keys)
                    board.complete = False
                    self._tasks.create_task(self._reading.catch_up_later(board))
                else:
                    if merged and not board.complete:  # something was lost meanwhile
                        self._tasks.create_task(self._reading.catch_up_later(board))
                    await self.release(board)

    async def follow(self) -> None:
        """Find the boards the room has now; lose those it no longer has."""
        for whiteboard_id, board in list(self.found.items()):
            if self._state.boards.get(whiteboard_id) != board.key:
                del self.found[whiteboard_id]
                await self._lose(board)
        for whiteboard_id, key in self._state.boards.items():
            if whiteboard_id not in self.found and key not in self._finding:
                self._finding.add(key)
                self._tasks.create_task(self._find(key))

    async def _find(self, key: BoardKey) -> None:
        board_id = await self._number(key)
        self._finding.discard(key)
        known = key.whiteboard_id in self.found
        if known or self._ended or self._state.boards.get(key.whiteboard_id) != key:
            return
        board = self._board(key, board_id)
        board.recording = self.recording
        self.found[key.whiteboard_id] = board
        if self.paused:  # before anything else is told of it
            self._services.offer(RecordingChanged(key, self._services.now_ts(), False, None))
        self.saving.found(board)
        metrics.BOARDS.inc()
        self._changed()
        await self._introduce(board)

    def _board(self, key: BoardKey, board_id: int) -> Board:
        async def send(update: bytes) -> None:
            await self._publish(Update(key.document_id, update))

        mending = Mending(send, saving=self.saving, told=self._mended, tasks=self._tasks)
        repeating = Repeating(
            send,
            needed=lambda: self.saving.writes and self._people.get(key, 0) > 1,
            tasks=self._tasks,
        )
        return Board(
            key,
            board_id,
            self._services,
            publish=self._publish,
            heard=partial(self._heard, key),
            saving=self.saving,
            repeat=repeating.took,
            mending=mending,
        )

    async def _number(self, key: BoardKey) -> int:
        """Have the archive number the board; one that cannot be written now is waited for."""
        waits = backoff(random.random)
        while True:
            try:
                return await self._archive.board_id(key, self._noted_ts())
            except StoreError:
                _log.warning("a board cannot be recorded yet", extra=self._keys)
                await asyncio.sleep(next(waits))

    def _noted_ts(self) -> int:
        """Return the time to keep with what happens now: none while paused (rule 8)."""
        return 0 if self.paused else self._services.now_ts()

    async def _lose(self, board: Board) -> None:
        metrics.BOARDS.dec()
        self.saving.gone(board.key)
        self._reading.forget(board.key)
        await board.unload()
        now_ts = self._services.now_ts()
        try:
            await self._archive.board_gone(board.board_id, self._noted_ts())
        except StoreError:
            _log.warning("the end of a board could not be kept", extra=self._keys)
        self._services.offer(BoardGone(board.key, now_ts))

    async def _introduce(self, board: Board) -> None:
        """Read a board for the first time; then tell handlers it is there."""
        with self._kept(board):
            await self._reading.catch_up(board)
            if board.loaded:
                await self.saving.recall(board)
        await self.release(board)
        self._services.offer(BoardFound(board.key, self._services.now_ts()))

    async def open(self, board: Board) -> None:
        """Load a board for a handler; it stays in memory from now on."""
        board.pinned = True
        await board.load()
        if not board.complete:
            await self._reading.catch_up(board)

    async def prepare(self, board: Board) -> None:
        """Load a board that somebody is on; what the room has beyond the archive comes in later."""
        await board.load()
        if not board.complete:
            self._reading.catch_up_beside(board)

    async def _merge(self, board: Board, snapshot: Snapshot) -> bool:
        # What was written while recording was paused comes in without its author and time (rule 8).
        return await board.merge_snapshot(snapshot, anonymous=snapshot.ts < self.resumed_ts)

    def unsaved_for(self) -> float | None:
        """Return how long ago (s) the oldest change came that is not in the room, if any is not."""
        sinces = [self.saving.since(board.key) for board in self.found.values()]
        return max((monotonic() - since for since in sinces if since is not None), default=None)

    def unread(self, board: Board) -> tuple[str, str] | None:
        """Return why it is not known what the room has of a board (`saved.Lack`), if it is not."""
        return self._reading.trouble(board)

    def attended(self, people: Mapping[BoardKey, int], ranks: Mapping[BoardKey, int]) -> None:
        """Hear how many people are on each board, and how many bots that save it before us."""
        self._people = people
        for board in self.found.values():
            self.saving.alone(board.key, yes=not people.get(board.key))
            self.saving.ranked(board.key, ranks.get(board.key, 0))

    def lacking(self, whiteboard_id: str) -> Update | None:
        """Return what somebody lacks who has just come onto a board (`Saving.lacking`)."""
        board = self.found.get(whiteboard_id)
        update = None if board is None else self.saving.lacking(board)
        return None if board is None or update is None else Update(board.key.document_id, update)

    @asynccontextmanager
    async def held(self, board: Board) -> AsyncIterator[None]:
        """Keep a board in memory, up to the room's newest snapshot, while something is done to it.

        Raises:
            ServerError: the room's snapshots cannot be read, are all broken, or beyond us.
            StoreError: the archive cannot be read.
        """
        try:
            with self._kept(board):
                if not await self._reading.ready(board):
                    raise Transient(
                        "only broken snapshots of this board were found so far; try again"
                    )
                if why := self.saving.withheld(board):
                    raise Transient(why)
                yield
        finally:
            await self.release(board)

    @contextmanager
    def _kept(self, board: Board) -> Iterator[None]:
        """Have nobody free a board's document meanwhile."""
        self._held[board.key] += 1
        try:
            yield
        finally:
            self._held[board.key] -= 1

    async def release(self, board: Board) -> None:
        """Free the document of a board nobody is on."""
        # What is recorded is in the archive; what is not would be gone with the document.
        kept = board.recording or self.saving.since(board.key) is None
        needed = board.pinned or self._held[board.key] or not kept
        if board.key.whiteboard_id not in self._wanted() and not needed:
            await board.unload()

    # -- recording -----------------------------------------------------------------------------

    async def look(self) -> None:
        """Mend recordings that lack something; write checkpoints that are due."""
        for board in list(self.found.values()):
            board.mend()
            if board.checkpoint_due:
                await board.checkpoint()

    async def pause(self) -> None:
        """Stop recording."""
        self.paused = True
        self.paused_ts = self._services.now_ts()
        for board in list(self.found.values()):
            await board.checkpoint()
            board.recording = False
        self._tell_recording()

    async def resume(self) -> None:
        """Go on recording, with one baseline per board."""
        self.paused = False
        self.resumed_ts = self._services.now_ts()
        for board in list(self.found.values()):
            try:
                await board.resume()
            except StoreError:  # one that the archive cannot give back now keeps no other waiting
                self._tasks.create_task(self._resume_later(board))
            else:
                self._tasks.create_task(self._reading.catch_up_later(board))
        self._tell_recording()

    async def _resume_later(self, board: Board) -> None:
        waits = backoff(random.random)
        while True:
            await asyncio.sleep(next(waits))
            if self.paused or self.found.get(board.key.whiteboard_id) is not board:
                return
            try:
                await board.resume()
            except StoreError:
                _log.warning("a board cannot be recorded yet", extra=self._keys)
            else:
                board.recording = self.recording  # paused again meanwhile?
                await self._reading.catch_up_later(board)
                return

    def _tell_recording(self) -> None:
        now_ts = self._services.now_ts()
        for board in self.found.values():
            self._services.offer(RecordingChanged(board.key, now_ts, self.recording, None))

    async def rescue(self, *, leaving: bool) -> None:
        """Save what might be lost when the bot leaves or ends (`Saving.rescue`), if in time."""
        if self._state.own_membership != "join" or self._state.encrypted:
            return  # snapshots are not encrypted, and must not be where all else is
        try:
            async with asyncio.timeout(RESCUE_WITHIN):
                await self.saving.rescue(leaving=leaving)
        except TimeoutError:
            _log.warning("not every board was saved in time", extra=self._keys)

    async def close(self) -> None:
        """Write checkpoints; the boards are still there at the next start."""
        for board in list(self.found.values()):
            await board.unload()

    async def lose_all(self) -> None:
        """The bot is out of the room."""
        self._ended = True
        while self.found:
            _, board = self.found.popitem()
            await self._lose(board)

    def forget(self) -> None:
        """Count the boards no more: the Room ends."""
        metrics.BOARDS.dec(len(self.found))
        for board in self.found.values():
            self.saving.gone(board.key)
        self.found.clear()
