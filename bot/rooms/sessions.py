"""Sessions: who is on which board of a room, and our own taking part where somebody is.

Computes the sessions from the room's memberships, tells handlers, starts and ends the Presence, and
routes what the Presence receives to the boards.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Protocol

from bot import metrics
from bot.backoff import backoff
from bot.boards.board import Board
from bot.borders import end_if_cancelled
from bot.errors import InvalidMessage, ServerError, StoreError, UsageError
from bot.handlers.base import Participant
from bot.rooms.attendance import Attendance
from bot.rooms.overview import SessionView, overview
from bot.roomstate import RoomState
from bot.rtc.profile import is_bot
from bot.rtc.session import next_change
from bot.services import Arrival, Services
from bot.turns import AT_ONCE, Turns
from bot.whiteboard.board import BoardKey
from bot.whiteboard.message import Update

MAX_HELD = 1_000
"""Messages kept for a board whose document is being loaded, each of up to 64 kB."""

_log = logging.getLogger(__name__)


class Presence(Protocol):
    """Our taking part in the room's sessions (`bot.presence.presence`)."""

    @property
    def connected(self) -> bool:
        """Whether a LiveKit connection stands."""

    @property
    def member_ids(self) -> frozenset[str]:
        """Under which ids we are in the room by the sticky profile."""

    async def run(self) -> None:
        """Take part until closed."""

    async def close(self) -> None:
        """Withdraw memberships, then disconnect."""

    def want(self, whiteboards: frozenset[str]) -> None:
        """Say for which boards to be announced."""

    def room_changed(self) -> None:
        """Look at the room's memberships again."""

    def own_state(self, event: Mapping[str, Any]) -> None:
        """Take what sync shows under one of our keys."""

    def permission_changed(self) -> None:
        """Power levels have changed."""

    def retime(self) -> None:
        """The durations of memberships have changed."""

    async def publish(self, update: Update) -> None:
        """Send a change to everybody on its board."""

    def own_sticky(self, event: Mapping[str, Any]) -> None:
        """Take what sync shows of a sticky membership of ours."""

    def pass_on(self, whiteboard_id: str, arrival: Arrival) -> None:
        """Have people of the other profile see what somebody did."""


class Sessions:
    """The sessions of one room.

    Args:
        state: what the room says; the Room changes it and calls `reconsider`.
        boards: by whiteboard id; the Room changes it.
        services: shared parts.
        presence: makes a Presence.
        always: take part even where nobody is.
        linger: seconds to stay on a board after the last person has left it.
        prepare: loads a board that somebody is on.
        release: frees a board that nobody is on.
        tasks: the Room's own group.
        admits: whether to take part at all, now.
    """

    def __init__(
        self,
        state: RoomState,
        boards: Mapping[str, Board],
        services: Services,
        *,
        presence: Callable[[], Presence],
        always: bool,
        linger: float,
        prepare: Callable[[Board], Awaitable[None]],
        release: Callable[[Board], Awaitable[None]],
        tasks: asyncio.TaskGroup,
        admits: Callable[[], bool] = lambda: True,
    ) -> None:
        self.presence: Presence | None = None
        self.wanted: frozenset[str] = frozenset()
        self._state = state
        self._boards = boards
        self._services = services
        self._make = presence
        self._always = always
        self._linger = linger
        self._prepare = prepare
        self._release = release
        self._tasks = tasks
        self._admits = admits
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._attendance = Attendance(state.room_id, services.offer)
        self._held: dict[BoardKey, list[Arrival]] = {}
        self._quiet: dict[str, float] = {}  # boards that nobody is on any more, and since when
        self._one = asyncio.Lock()  # the Room's batches and its looks both call in
        self._keys = {"room": state.room_id}

    @property
    def taking_part(self) -> bool:
        """Whether a Presence is there or being made."""
        return self._task is not None

    @property
    def connected(self) -> bool:
        """Whether a LiveKit connection stands."""
        return self.presence is not None and self.presence.connected

    @property
    def attended(self) -> Mapping[BoardKey, int]:
        """How many people are on each board, as of the last look."""
        return {key: _people(there) for key, there in self._attendance.here.items()}

    @property
    def ranks(self) -> Mapping[BoardKey, int]:
        """How many other bots on each board come before us, as all of them see it."""
        own = self._state.own_user
        return {
            key: len({one.user_id for one in there if is_bot(one.device_id) and one.user_id < own})
            for key, there in self._attendance.here.items()
        }

    def views(self) -> tuple[SessionView, ...]:
        """Return the room's sessions as they are now, of every application."""
        return overview(self._state, self._services.now_ts())

    def now_ts(self) -> int:
        """Return the time at which `views` looks: ms by the homeserver's clock."""
        return self._services.now_ts()

    def next_look(self) -> float | None:
        """Return the seconds until something may change by itself."""
        now_ts = self.now_ts()
        waits = []
        change = next_change(self._state.live_of_all(now_ts), now_ts)
        if change is not None:
            waits.append((change - now_ts) / 1000)
        waits += [since + self._linger - monotonic() for since in self._quiet.values()]
        return max(0.05, min(waits)) if waits else None

    async def reconsider(self) -> None:
        """Compute who is where, and take part where somebody is; once closed, nothing."""
        async with self._one:
            if not self._closed:
                await self._reconsider()

    async def _reconsider(self) -> None:
        boards = [board.key for board in self._boards.values()]
        self._attendance.look(self.views(), boards, self._services.now_ts())
        admits = self._admits()
        active = frozenset(
            whiteboard_id
            for whiteboard_id, board in self._boards.items()
            if admits and (self._always or self._is_needed(board.key))
        )
        self._quiet = {one: since for one, since in self._quiet.items() if one in active}
        await self._want(active)
        if self.presence is not None:
            self.presence.room_changed()

    def _is_needed(self, key: BoardKey) -> bool:
        """Whether somebody is on a board, or was lately: people come back, snapshots come late."""
        whiteboard_id = key.whiteboard_id
        if _people(self._attendance.here.get(key, ())):
            self._quiet.pop(whiteboard_id, None)
            return True
        if self.presence is None or whiteboard_id not in self.wanted:
            return False
        now = monotonic()
        return now < self._quiet.setdefault(whiteboard_id, now) + self._linger

    async def _want(self, active: frozenset[str]) -> None:
        released = self.wanted - active
        self.wanted = active
        if active and self._task is None:
            self._task = self._tasks.create_task(self._take_part())
        elif not active and self._task is not None:
            await self.stop()
        elif self.presence is not None:
            try:
                await self._prepare_all(active)
            except StoreError:
                _log.warning("a board cannot be loaded yet", extra=self._keys)
            if self.presence is not None:
                self.presence.want(active)
        for whiteboard_id in released:
            if whiteboard_id in self._boards:
                await self._release(self._boards[whiteboard_id])

    async def _prepare_all(self, whiteboards: frozenset[str]) -> None:
        for whiteboard_id in whiteboards:
            if whiteboard_id in self._boards:  # it may have gone meanwhile
                await self._prepare(self._boards[whiteboard_id])

    async def _take_part(self) -> None:
        """Keep a Presence; one that fails is begun anew."""
        waits = backoff(random.random)
        metrics.PRESENCES.inc()
        try:
            while True:
                try:
                    await self._prepare_all(self.wanted)
                    self.presence = self._make()
                    self.presence.want(self.wanted)
                    await self.presence.run()
                except Exception:  # noqa: BLE001 - the border of a presence
                    _log.exception("taking part failed; beginning anew", extra=self._keys)
                    end_if_cancelled()
                else:
                    return
                await asyncio.sleep(next(waits))
        finally:
            self.presence = None
            metrics.PRESENCES.dec()

    async def stop(self) -> None:
        """End taking part: withdraw, disconnect."""
        task, self._task = self._task, None
        self._quiet.clear()
        if task is None:
            return
        if self.presence is not None:
            await self.presence.close()
        task.cancel()
        await asyncio.wait([task])

    async def close(self) -> None:
        """End taking part for good: what the room says from now on brings nothing back."""
        self._closed = True
        await self.stop()
        async with self._one:  # somebody else may be in the middle of stopping
            pass

    def reopen(self) -> None:
        """Take part again at the next look, after all."""
        self._closed = False

    def forget(self) -> None:
        """Count nobody any more: the Room ends."""
        self._attendance.forget()

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        """Take messages from the connection: each to the board it is about."""
        routed: dict[BoardKey, list[Arrival]] = {}
        boards: dict[BoardKey, Board] = {}
        for arrival in arrivals:
            board = self._board_for(arrival)
            if board is None:
                metrics.PACKETS.labels("unknown_board").inc()
                continue
            boards[board.key] = board
            routed.setdefault(board.key, []).append(arrival)
        for key, mine in routed.items():
            if boards[key].loaded and key not in self._held:
                boards[key].ingest(mine)
            else:
                self._hold(boards[key], mine)

    def _hold(self, board: Board, arrivals: Sequence[Arrival]) -> None:
        """Keep messages, in order, until their board is loaded; not without a bound."""
        held = self._held.get(board.key)
        if held is None:
            held = self._held[board.key] = []
            self._tasks.create_task(self._ingest_later(board, held))
        for arrival in arrivals:
            if len(held) < MAX_HELD:
                held.append(arrival)
            else:  # the document heals from the next snapshot
                metrics.PACKETS.labels("too_many").inc()

    async def _ingest_later(self, board: Board, held: list[Arrival]) -> None:
        turns = Turns()
        try:
            while held:
                await board.load()
                board.ingest(held[:AT_ONCE])
                del held[:AT_ONCE]
                await turns.next()
        except StoreError:
            _log.warning("messages are lost: their board could not be loaded", extra=self._keys)
        finally:
            del self._held[board.key]

    def _board_for(self, arrival: Arrival) -> Board | None:
        """Only updates name their document; a signal belongs to the board its sender is on.

        In the sticky profile all that comes over a connection is of one board.
        """
        here = arrival.origin.whiteboard_id if arrival.origin is not None else None
        boards = [one for name, one in self._boards.items() if here is None or name == here]
        if isinstance(arrival.message, Update):
            document_id = arrival.message.document_id
            return next((one for one in boards if one.key.document_id == document_id), None)
        if here is not None:
            return boards[0] if boards else None
        someone = Participant(arrival.sender or "", arrival.device or "")
        attending = self._attendance.here
        on = [key.whiteboard_id for key, people in attending.items() if someone in people]
        if len(on) != 1:
            on = list(self.wanted) if not on else []
        return self._boards.get(on[0]) if len(on) == 1 else None

    def heard(self, key: BoardKey, arrival: Arrival) -> None:
        """Hear of what somebody did, once the board has taken it."""
        if self.presence is not None:
            self.presence.pass_on(key.whiteboard_id, arrival)

    async def publish(self, update: Update) -> None:
        """Send a change to the people on the board; nobody connected is no error."""
        if self.presence is not None and self.presence.connected:
            try:
                await self.presence.publish(update)
            except (ServerError, UsageError, InvalidMessage):  # too large for a packet
                # The snapshot that follows every change of ours carries it.
                _log.info("a change could not be sent live", extra=self._keys)


def _people(there: Iterable[Participant]) -> int:
    return sum(not is_bot(one.device_id) for one in there)
