"""Room: one supervised task per Matrix room; its events in order, its boards, its presence.

The sync loop puts batches into the inbox; the Room alone changes its state. Whatever may take long
(reading snapshots, taking part in a session, writing a snapshot) is a task of the Room's own group.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from bot import conversation, metrics, snapshots
from bot.backoff import backoff
from bot.board import Arrival, Board, Services
from bot.commands.parser import read_request
from bot.errors import InvalidSnapshot, ServerError, Transient
from bot.handlers.base import BoardFound, BoardGone, RecordingChanged
from bot.roomstate import STATE_TYPES, RoomState
from bot.rtc.membership import MEMBER_TYPE, WHITEBOARD
from bot.sessions import Presence, Sessions
from bot.whiteboard.board import BOARD_TYPE, BoardKey
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE, Assembler, Snapshot

SAVE_AFTER = 5.0
"""Seconds between a change of our own and the snapshot that saves it: as NeoBoard does."""
LOOK_EVERY = 60.0
"""Seconds at the most between two looks at checkpoints."""

_log = logging.getLogger(__name__)


class Batch(Protocol):
    """What sync brought for one room."""

    @property
    def kind(self) -> str:
        """`join`, or `leave` when the bot is no longer in the room."""

    @property
    def state(self) -> Sequence[Mapping[str, Any]]:
        """State events, oldest first."""

    @property
    def timeline(self) -> Sequence[Mapping[str, Any]]:
        """Timeline events, oldest first."""


class Homeserver(snapshots.Homeserver, conversation.Homeserver, Protocol):
    """The calls a Room needs."""

    async def leave(self, room_id: str, reason: str | None = None) -> None:
        """Leave the room."""

    async def send_state(
        self, room_id: str, event_type: str, state_key: str, content: Mapping[str, Any]
    ) -> str:
        """Set a state event."""


class RoomRow(Protocol):
    """What the archive keeps of a room."""

    @property
    def paused(self) -> bool:
        """Whether recording is paused."""

    @property
    def noticed(self) -> bool:
        """Whether the room was told what the bot does."""

    @property
    def resumed_ts(self) -> int:
        """When recording was last resumed, ms; 0 never."""


class Archive(Protocol):
    """What a Room keeps."""

    async def room(self, room_id: str) -> RoomRow | None:
        """Return what is kept of the room."""

    async def set_room(
        self,
        room_id: str,
        *,
        paused: bool | None = None,
        noticed: bool | None = None,
        resumed_ts: int | None = None,
    ) -> None:
        """Keep something of the room."""

    async def board_id(self, key: BoardKey, ts: int) -> int:
        """Return the board's number."""

    async def board_gone(self, board_id: int, ts: int) -> None:
        """Note that the board is gone."""

    async def has_snapshot(self, event_id: str) -> bool:
        """Return whether the archive holds this snapshot."""

    async def saw_membership(
        self, room_id: str, state_key: str, event_id: str, sender: str, ts: int, content: Any
    ) -> None:
        """Keep a membership event."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all Rooms share.

    Attributes:
        presence: makes a Presence for a room.
        always: take part even where nobody is.
        linger: seconds to stay after the last person has left.
        prefix: what commands begin with.
        power: who may give them.
        languages: what people in rooms read.
    """

    homeserver: Homeserver
    archive: Archive
    services: Services
    own_user: str
    own_device: str
    presence: Callable[[Room], Presence]
    always: bool
    linger: float
    prefix: str
    power: int
    languages: tuple[str, ...]


class Room:
    """One Matrix room the bot is in.

    Args:
        room_id: which.
        shared: what all Rooms share.
        replaced: told when the room was upgraded: its id, and that of the new one.
    """

    def __init__(
        self, room_id: str, shared: Shared, *, replaced: Callable[[str, str], None]
    ) -> None:
        self.room_id = room_id
        self.state = RoomState(room_id, shared.own_user)
        self.boards: dict[str, Board] = {}
        self.sessions: Sessions
        self.paused = False
        self.ended = asyncio.Event()
        self._shared = shared
        self._replaced = replaced
        self._conversation = conversation.Conversation(
            shared.homeserver, room_id, shared.languages, shared.prefix, shared.power
        )
        self._assembler = Assembler()
        self._tasks: asyncio.TaskGroup
        self._saving: set[BoardKey] = set()
        self._wake = asyncio.Event()
        self._resumed_ts = 0
        self._forbidden_said = False
        self._met = False
        self._keys = {"room": room_id}

    # -- life ------------------------------------------------------------------------------

    async def run(
        self, inbox: asyncio.Queue[tuple[Batch, asyncio.Future[None]]], first: Batch | None = None
    ) -> None:
        """Handle batches until the bot is no longer in the room, or cancelled.

        Args:
            inbox: batches, each with a future that says it was handled.
            first: handled before them: the room's state, when this Room follows one that failed.
        """
        kept = await self._shared.archive.room(self.room_id)
        if kept is not None:
            self.paused, self._resumed_ts = kept.paused, kept.resumed_ts
        async with asyncio.TaskGroup() as self._tasks:
            self.sessions = Sessions(
                self.state,
                self.boards,
                self._shared.services,
                presence=lambda: self._shared.presence(self),
                prepare=self._prepare,
                release=self._release,
                always=self._shared.always,
                linger=self._shared.linger,
                tasks=self._tasks,
            )
            looks = self._tasks.create_task(self._look())
            if first is not None:
                await self._handle(first)
            while not self.ended.is_set():
                batch, handled = await inbox.get()
                try:
                    await self._handle(batch)
                except BaseException as error:
                    # Cancelled: the next start sees it again. Failed: that would help nobody.
                    _end(handled, error)
                    raise
                handled.set_result(None)
            looks.cancel()
            await self.sessions.stop()
            for board in list(self.boards.values()):
                await self._lose(board)

    async def close(self) -> None:
        """End taking part, at once and in order; the bot stays a member of the Matrix room."""
        await self.sessions.stop()
        for board in self.boards.values():
            await board.unload()

    async def _look(self) -> None:
        """Look at what changes without an event: memberships that expire, checkpoints due."""
        while True:
            self._wake.clear()
            wait = self.sessions.next_look()
            try:
                async with asyncio.timeout(LOOK_EVERY if wait is None else min(wait, LOOK_EVERY)):
                    await self._wake.wait()
            except TimeoutError:
                await self.sessions.reconsider()
            for board in list(self.boards.values()):
                if board.checkpoint_due:
                    await board.checkpoint()

    # -- batches ---------------------------------------------------------------------------

    async def _handle(self, batch: Batch) -> None:
        for event in batch.state:
            await self._take_state(event)
        for event in batch.timeline:
            if "state_key" in event:
                await self._take_state(event)
            else:
                await self._take(event)
        if batch.kind == "leave" or self.state.own_membership != "join":
            self.ended.set()
        elif self.state.encrypted:
            await self.leave("encrypted")
        elif self.state.replacement is not None:
            self._replaced(self.room_id, self.state.replacement)
            self.ended.set()
        else:
            await self._meet()
            await self.sessions.reconsider()
            self._wake.set()

    async def _take_state(self, event: Mapping[str, Any]) -> None:
        kind = event.get("type")
        if kind not in STATE_TYPES:
            return
        self.state.apply(event)
        presence = self.sessions.presence
        if kind == BOARD_TYPE:
            await self._follow_boards()
        elif kind == "m.room.power_levels" and presence is not None:
            self._forbidden_said = False
            presence.permission_changed()
        elif kind == MEMBER_TYPE:
            if presence is not None:
                presence.own_state(event)
            await self._keep_membership(event)

    async def _keep_membership(self, event: Mapping[str, Any]) -> None:
        key, sender, content = event.get("state_key"), event.get("sender"), event.get("content")
        event_id, ts = event.get("event_id"), event.get("origin_server_ts")
        if (
            self.recording
            and isinstance(key, str)
            and isinstance(sender, str)
            and isinstance(event_id, str)
            and isinstance(ts, int)
        ):
            await self._shared.archive.saw_membership(
                self.room_id, key, event_id, sender, ts, content
            )

    async def _take(self, event: Mapping[str, Any]) -> None:
        kind = event.get("type")
        if kind == "m.room.message":
            request = read_request(event, self._shared.prefix)
            if request is not None and request.sender != self._shared.own_user:
                power = self.state.power(request.sender)
                await self._conversation.answer(request, power, self)
        elif kind == "m.room.redaction":
            self.state.redact(event)
        elif kind in {SNAPSHOT_TYPE, CHUNK_TYPE}:
            await self._take_snapshot(event)

    async def _take_snapshot(self, event: Mapping[str, Any]) -> None:
        try:
            snapshot = self._assembler.add(event, monotonic())
        except InvalidSnapshot:
            metrics.REFUSED_EVENTS.labels("snapshot").inc()
            return
        for board in list(self.boards.values()):
            if snapshot is not None and board.key.document_id == snapshot.document_id:
                await self._merge(board, snapshot)
                await self._release(board)

    # -- boards ----------------------------------------------------------------------------

    async def _follow_boards(self) -> None:
        for whiteboard_id, board in list(self.boards.items()):
            if self.state.boards.get(whiteboard_id) != board.key:
                del self.boards[whiteboard_id]
                await self._lose(board)
        for whiteboard_id, key in self.state.boards.items():
            if whiteboard_id not in self.boards:
                await self._find(key)

    async def _find(self, key: BoardKey) -> None:
        services = self._shared.services
        board_id = await self._shared.archive.board_id(key, services.now_ts())
        board = Board(key, board_id, services, publish=self.sessions.publish, save=self._save_later)
        board.recording = self.recording
        self.boards[key.whiteboard_id] = board
        metrics.BOARDS.inc()
        self._tasks.create_task(self._introduce(board))

    async def _lose(self, board: Board) -> None:
        metrics.BOARDS.dec()
        await board.unload()
        now_ts = self._shared.services.now_ts()
        await self._shared.archive.board_gone(board.board_id, now_ts)
        self._shared.services.offer(BoardGone(board.key, now_ts))

    async def _introduce(self, board: Board) -> None:
        """Read a board for the first time; then tell handlers it is there."""
        await self._catch_up(board)
        await self._release(board)
        self._shared.services.offer(BoardFound(board.key, self._shared.services.now_ts()))

    async def open(self, board: Board) -> None:
        """Load a board for a handler; it stays in memory from now on."""
        board.pinned = True
        await board.load()
        if not board.complete:
            await self._catch_up(board)

    async def _prepare(self, board: Board) -> None:
        """Load a board that somebody is on; what the room has beyond the archive comes in later."""
        await board.load()
        if not board.complete:
            self._tasks.create_task(self._catch_up(board))

    async def _catch_up(self, board: Board) -> None:
        """Bring the board up to the room's newest snapshot."""
        waits = backoff(random.random)
        while self.boards.get(board.key.whiteboard_id) is board:
            try:
                await self._read_snapshots(board)
                break
            except Transient as error:
                await asyncio.sleep(error.retry_after or next(waits))
            except ServerError:
                _log.warning("the snapshots of a board cannot be read", extra=self._keys)
                break

    async def _read_snapshots(self, board: Board) -> None:
        async def known(event_id: str) -> bool:
            return board.recording and await self._shared.archive.has_snapshot(event_id)

        async def merge(snapshot: Snapshot) -> bool:
            return await self._merge(board, snapshot)

        await board.load()
        await snapshots.newest(self._shared.homeserver, board.key, known=known, merge=merge)
        board.complete = True

    async def _merge(self, board: Board, snapshot: Snapshot) -> bool:
        # What was written while recording was paused comes in without its author and time (rule 8).
        return await board.merge_snapshot(snapshot, anonymous=snapshot.ts < self._resumed_ts)

    async def _release(self, board: Board) -> None:
        """Free the document of a board nobody is on."""
        if board.key.whiteboard_id not in self.sessions.wanted and not board.pinned:
            await board.unload()

    def _save_later(self, board: Board) -> None:
        """Write the board to the room in a while; one snapshot for all changes until then."""
        if board.key not in self._saving:
            self._saving.add(board.key)
            self._tasks.create_task(self._save(board))

    async def _save(self, board: Board) -> None:
        await asyncio.sleep(SAVE_AFTER)
        self._saving.discard(board.key)  # a change from now on needs another snapshot
        waits = backoff(random.random, first=10.0)
        while self.boards.get(board.key.whiteboard_id) is board:
            await board.load()
            try:
                await snapshots.write(self._shared.homeserver, board.key, board.document.encode())
            except Transient as error:
                await asyncio.sleep(error.retry_after or next(waits))
            except ServerError:
                _log.warning("a snapshot could not be written", extra=self._keys)
                return
            else:
                return

    # -- what the Presence asks (presence.Home) ------------------------------------------------

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        """Take messages from the connection."""
        self.sessions.deliver(arrivals)

    def forbidden(self) -> None:
        """Say once that the membership is refused, and how to mend it."""
        if not self._forbidden_said:
            self._forbidden_said = True
            _log.warning("no permission to announce a membership", extra=self._keys)
            needed = self.state.needed_for_membership()
            self._tasks.create_task(
                self._conversation.say("forbidden", user=self._shared.own_user, needed=needed)
            )

    # -- what people ask (conversation.Acts) ---------------------------------------------------

    @property
    def recording(self) -> bool:
        """Whether what happens on the boards is recorded."""
        return self._shared.services.recording and not self.paused

    def status(self) -> tuple[bool, int, bool]:
        """Return whether it records, how many boards there are, whether it takes part."""
        return self.recording, len(self.boards), self.sessions.connected

    async def pause(self) -> bool:
        """Stop recording; False when nothing was recorded."""
        if not self.recording:
            return False
        for board in self.boards.values():
            await board.checkpoint()
            board.recording = False
        self.paused = True
        await self._shared.archive.set_room(self.room_id, paused=True)
        self._tell_recording()
        return True

    async def resume(self) -> bool:
        """Go on recording with one baseline per board; False when nothing was paused."""
        if not self.paused:
            return False
        self._resumed_ts = self._shared.services.now_ts()
        self.paused = False
        await self._shared.archive.set_room(self.room_id, paused=False, resumed_ts=self._resumed_ts)
        for board in self.boards.values():
            await board.resume()
            self._tasks.create_task(self._catch_up(board))
        self._tell_recording()
        return True

    def _tell_recording(self) -> None:
        now_ts = self._shared.services.now_ts()
        for board in self.boards.values():
            self._shared.services.offer(RecordingChanged(board.key, now_ts, self.recording, None))

    async def leave(self, why: str) -> None:
        """Say why, and leave."""
        await self._conversation.say(why)
        await self.sessions.stop()
        await self._shared.homeserver.leave(self.room_id)
        await self._shared.archive.set_room(self.room_id, noticed=False, paused=False)
        self.ended.set()

    async def _meet(self) -> None:
        """Say once on joining what the bot does, what it records and how to stop it."""
        if self._met:
            return
        self._met = True
        await self._clear_stale()
        kept = await self._shared.archive.room(self.room_id)
        if kept is None or not kept.noticed:
            recorded = self._shared.services.recording
            await self._conversation.say("hello" if recorded else "hello_unrecorded")
            await self._shared.archive.set_room(self.room_id, noticed=True)

    async def _clear_stale(self) -> None:
        """Clear a membership that an earlier life of ours left behind (its dead man was lost)."""
        us = (self._shared.own_user, self._shared.own_device)
        for key, memberships in list(self.state.memberships.items()):
            ours = any((one.user_id, one.device_id) == us for one in memberships)
            if ours and all(one.application == WHITEBOARD for one in memberships):
                try:
                    await self._shared.homeserver.send_state(self.room_id, MEMBER_TYPE, key, {})
                except ServerError:
                    _log.warning("a stale membership could not be cleared", extra=self._keys)


def _end(handled: asyncio.Future[None], error: BaseException) -> None:
    if isinstance(error, Exception):
        handled.set_exception(error)
    else:
        handled.cancel()
