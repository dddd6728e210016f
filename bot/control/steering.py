"""Steering: what the operator asks of the running bot through its control socket.

    status                  how it is
    sessions {room}         who is on which board of a room, until when
    history {room …}        read a room's past into the archive, see `past`
    pause, resume {room}    as `!board pause` in the room, which hears of it
    leave {room}            as `!board leave`
    restore, import, clone, snapshot {board …}    see `orders`
    handlers {action …}     see `handlers.delivery`
    drain {on}              leave all boards and begin no more; or take part again

A drained bot stays in its rooms, follows them and saves what is not saved; invites wait.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any, Protocol

from bot import __version__
from bot.actions import actions
from bot.actions.naming import RoomNames, find_room
from bot.control.orders import Orders
from bot.control.saved import Saved
from bot.errors import ServerError, UsageError
from bot.presence.admission import Admission
from bot.rooms.host import Host
from bot.rooms.overview import SessionView
from bot.rooms.past import Past
from bot.rooms.room import Room
from bot.web.server import Component
from bot.whiteboard.form import FORM

DRAIN_WITHIN = 45.0
"""Seconds that boards get to be left and saved, and handlers to finish."""
_LOOK = 0.1

UNKNOWN = "This bot does not know that command; is it of another version?"

_log = logging.getLogger(__name__)


class Statistics(Protocol):
    """The archive in numbers."""

    @property
    def entries(self) -> int:
        """Of all boards."""

    @property
    def file_bytes(self) -> int:
        """On disk."""


class Archive(Protocol):
    """What is asked of the archive."""

    async def statistics(self) -> Statistics:
        """Return it in numbers."""


class Steering:
    """Answers what is asked of the running bot (`control.Answer`).

    Args:
        own: the bot's user id and device, as far as it is known.
        host: the rooms; None until the bot is logged in.
        archive: counts entries.
        admission: counts places.
        components: as `/ready` shows them.
        open: cleared while the bot is drained.
        orders: does to boards what is ordered.
        flush: waits until all entries are on disk.
        busy: how many handlers' lanes have something to do.
        handlers: answers what is asked of durable handlers.
        saved: says of each board how safe it is.
        past: reads the past of rooms.
    """

    def __init__(
        self,
        own: Callable[[], tuple[str, str]],
        host: Callable[[], Host | None],
        archive: Archive,
        admission: Admission,
        *,
        components: Callable[[], Mapping[str, Component]],
        open: asyncio.Event,  # noqa: A002 - as Shared calls it
        orders: Orders,
        flush: Callable[[], Awaitable[None]],
        busy: Callable[[], int],
        handlers: Callable[[Mapping[str, Any]], Awaitable[Any]],
        saved: Callable[[], Sequence[Saved]],
        past: Past,
    ) -> None:
        self._own = own
        self._host = host
        self._archive = archive
        self._admission = admission
        self._components = components
        self._open = open
        self._orders = orders
        self._flush = flush
        self._busy = busy
        self._handlers = handlers
        self._saved = saved
        self._past = past
        self._since_ts = int(time.time() * 1000)

    async def answer(self, request: Mapping[str, Any]) -> Any:
        """Do what a request asks for.

        Raises:
            BoardkeeperError: it cannot be done; the text says why.
        """
        match request:
            case {"command": "status"}:
                return await self._status()
            case {"command": "sessions" | "history" | "pause" | "resume" | "leave", "room": str()}:
                return await self._of_room(self._room(request["room"]), request)
            case {"command": "restore" | "import" | "clone" | "snapshot"}:
                return await self._orders.answer(request)
            case {"command": "handlers"}:
                return await self._handlers(request)
            case {"command": "drain", "on": bool(on)}:
                return await (self._drain() if on else self._take_part())
            case _:
                raise UsageError(UNKNOWN)

    # -- rooms -------------------------------------------------------------------------------

    @property
    def _rooms(self) -> Sequence[Room]:
        host = self._host()
        return [] if host is None else [room for room in host.rooms if not room.ended.is_set()]

    def _room(self, text: str) -> Room:
        if self._host() is None:
            raise UsageError("The bot is not logged in yet: “boardkeeper status” says why.")
        rooms = {room.room_id: room for room in self._rooms}
        return rooms[find_room([_names(room) for room in rooms.values()], text).room_id]

    async def _of_room(self, room: Room, request: Mapping[str, Any]) -> Any:
        match request:
            case {"command": "sessions"}:
                return self._sessions(room)
            case {"command": "history", "until_ts": int(until_ts), "anew": bool(anew)}:
                return await self._read_past(room, until_ts, anew=anew)
            case {"command": "pause" | "resume" | "leave" as command}:
                return await self._tell(room, command)
            case _:
                raise UsageError(UNKNOWN)

    async def _tell(self, room: Room, command: str) -> dict[str, Any]:
        _log.info("told by the operator", extra={"room": room.room_id, "command": command})
        shown = _names(room).shown
        changed = True
        match command:
            case "pause":
                changed = await actions.pause(room)
            case "resume":
                changed = await actions.resume(room)
            case _:
                try:
                    await actions.leave(room)
                except ServerError as error:
                    raise UsageError(f"{shown} could not be left: {error}") from error
        recording = room.boards.recording
        return {"room": room.room_id, "shown": shown, "changed": changed, "recording": recording}

    def _sessions(self, room: Room) -> dict[str, Any]:
        numbers = {board.key: board.board_id for board in room.boards.found.values()}
        views = room.sessions.views()
        return {
            "room": room.room_id,
            "name": room.state.name,
            "now_ts": room.sessions.now_ts(),
            "connected": room.sessions.connected,
            "sessions": [
                {**_session(view), "board": numbers.get(view.board) if view.board else None}
                for view in views
            ],
        }

    async def _read_past(self, room: Room, until_ts: int, *, anew: bool) -> dict[str, Any]:
        if not room.boards.recording:  # what is read is kept, and nothing is to be kept now
            return {"now_ts": room.sessions.now_ts(), "recording": False, "done": True}
        found = await self._past.read(room.room_id, until_ts=until_ts, anew=anew)
        return {"now_ts": room.sessions.now_ts(), "recording": True, **found}

    # -- the whole bot -------------------------------------------------------------------------

    async def _status(self) -> dict[str, Any]:
        statistics = await self._archive.statistics()
        rooms = self._rooms
        capacity = self._admission.capacity
        user_id, device_id = self._own()
        return {
            "running": True,
            "version": __version__,
            "merger": FORM,
            "pid": os.getpid(),
            "since_ts": self._since_ts,
            "user_id": user_id,
            "device_id": device_id,
            "logged_in": self._host() is not None,
            "draining": not self._open.is_set(),
            "components": {name: asdict(one) for name, one in self._components().items()},
            "rooms": len(rooms),
            "paused": sum(room.boards.paused for room in rooms),
            "boards": sum(len(room.boards.found) for room in rooms),
            "attended": sum(
                view.board is not None and bool(view.people)
                for room in rooms
                for view in room.sessions.views()
            ),
            "bridged": sum(view.bridged for room in rooms for view in room.sessions.views()),
            "memberships": self._memberships(),
            "unsaved": self._unsaved(),
            "saved": [asdict(one) for one in self._saved()],
            "entries": statistics.entries,
            "archive_bytes": statistics.file_bytes,
            "admission": {
                "on": self._admission.on,
                "waiting": self._admission.waiting,
                "capacity": int(capacity) if isfinite(capacity) else None,
                "refresh": self._admission.refresh,
            },
        }

    def _memberships(self) -> int:
        """Count what the rooms say of us: the homeserver's word, not ours."""
        own = self._own()
        return sum(
            1 + view.bridged
            for room in self._rooms
            for view in room.sessions.views()
            if any((one.user_id, one.device_id) == own for one in view.members)
        )

    def _unsaved(self) -> int:
        return sum(
            room.boards.saving.since(board.key) is not None
            for room in self._rooms
            for board in room.boards.found.values()
        )

    async def _drain(self) -> dict[str, Any]:
        """Leave all boards; wait until nothing is left to do."""
        if self._open.is_set():
            _log.info("drained by the operator: leaving all boards")
        self._open.clear()
        before = self._memberships()
        try:
            async with asyncio.timeout(DRAIN_WITHIN):
                await asyncio.gather(*(room.sessions.reconsider() for room in self._rooms))
                while any(self._left().values()):  # noqa: ASYNC110 - nobody tells of all these
                    await asyncio.sleep(_LOOK)
                await self._flush()
        except TimeoutError:
            _log.warning("not everything was done when the bot was drained", extra=self._left())
        left = self._left()
        return {"draining": True, "withdrawn": before, "left": left, "done": not any(left.values())}

    def _left(self) -> dict[str, int]:
        return {
            "memberships": self._memberships(),
            "connections": sum(room.sessions.taking_part for room in self._rooms),
            "unsaved": self._unsaved(),
            "handlers": self._busy(),
        }

    async def _take_part(self) -> dict[str, Any]:
        self._open.set()
        _log.info("told by the operator to take part again")
        host = self._host()
        if host is not None:
            host.look_soon()
        return {"draining": False}


def _names(room: Room) -> RoomNames:
    state = room.state
    boards = {board.board_id: board.key for board in room.boards.found.values()}
    return RoomNames(room.room_id, state.name, state.alias, boards)


def _session(view: SessionView) -> dict[str, Any]:
    ours = {"profile": "both"} if view.bridged else {}
    return {
        "application": view.application,
        "call_id": view.call_id,
        "whiteboard_id": view.board.whiteboard_id if view.board else None,
        "next_change_ts": view.next_change_ts,
        "bridged": view.bridged,
        "members": [{**asdict(member), **(ours if member.ours else {})} for member in view.members],
    }
