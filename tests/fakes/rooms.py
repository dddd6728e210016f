"""What rooms and boards need of an archive and a homeserver: in memory, failing when told to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from bot.boards.board import Board
from bot.errors import StoreError
from bot.handlers.base import Event
from bot.rtc.history import Row
from bot.services import Arrival, Services
from bot.store.rows import BoardRow, Checkpoint, RoomRow
from bot.whiteboard.board import BOARD_TYPE, BoardKey
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.message import Update
from bot.whiteboard.snapshot import (
    CHUNK_TYPE,
    SNAPSHOT_TYPE,
    Snapshot,
    chunk_content,
    snapshot_content,
    split,
)

ROOM = "!room:here"
BOT = "@bot:here"
DEVICE = "BOTDEVICE"
ALICE = "@alice:here"
KEY = BoardKey(ROOM, "w1", "$d1")
OTHER = BoardKey(ROOM, "w2", "$d2")
NOW = 1_800_000_000_000


class MemoryArchive:
    """Keeps everything in memory.

    Attributes:
        broken: names of the methods that fail.
        slow: names of the methods that first wait until `go` is set.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.checkpoints: dict[int, Checkpoint] = {}
        self.keys: dict[BoardKey, int] = {}
        self.gone: list[int] = []
        self.times: list[int] = []  # of boards found and gone
        self.seen: dict[str, tuple[str, int]] = {}
        self.rooms: dict[str, RoomRow] = {}
        self.memberships: list[tuple[str, str]] = []
        self.whole: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        self.paused: list[tuple[int, int | None]] = []
        self.broken: set[str] = set()
        self.slow: set[str] = set()
        self.go = asyncio.Event()
        self.calls: Counter[str] = Counter()

    async def _do(self, name: str) -> None:
        self.calls[name] += 1
        await asyncio.sleep(0)
        if name in self.slow:
            await self.go.wait()
        if name in self.broken:
            raise StoreError("the disk is full")

    def record(self, entry: Entry) -> bool:
        seq = len(self.entries) + 1
        self.entries.append(
            Entry(entry.board_id, entry.ts, entry.kind, entry.sender, entry.device, entry.data, seq)
        )
        return True

    def kinds(self) -> list[str]:
        return [entry.kind.value for entry in self.entries]

    async def get(self, name: str) -> str | None:
        await self._do("get")
        return self.texts.get(name)

    async def set(self, name: str, value: str) -> None:
        await self._do("set")
        self.texts[name] = value

    async def boards(self) -> list[BoardRow]:
        await self._do("boards")
        return [BoardRow(row, key, "", 1, None, 0, 0, 1, 2) for key, row in self.keys.items()]

    async def board_id(self, key: BoardKey, ts: int) -> int:
        await self._do("board_id")
        self.times.append(ts)
        return self.keys.setdefault(key, len(self.keys) + 1)

    async def board_gone(self, board_id: int, ts: int) -> None:
        await self._do("board_gone")
        self.times.append(ts)
        self.gone.append(board_id)

    async def has_snapshot(self, event_id: str) -> bool:
        await self._do("has_snapshot")
        return event_id in self.seen

    async def saw_snapshot(
        self, board_id: int, event_id: str, sender: str, ts: int, size: int
    ) -> None:
        await self._do("saw_snapshot")
        self.seen[event_id] = (sender, ts)

    async def checkpoint(self, board_id: int, until_ts: int | None = None) -> Checkpoint | None:
        await self._do("checkpoint")
        found = self.checkpoints.get(board_id)
        return None if found is None or (until_ts or found.ts) < found.ts else found

    async def save_checkpoint(self, board_id: int, seq: int, ts: int, data: bytes) -> None:
        await self._do("save_checkpoint")
        self.checkpoints[board_id] = Checkpoint(seq, ts, data)

    async def all_entries(
        self,
        board_id: int,
        *,
        after_seq: int = 0,
        until_ts: int | None = None,
        kinds: Collection[Kind] | None = None,
    ) -> AsyncIterator[Entry]:
        await self._do("all_entries")
        for entry in list(self.entries):
            if entry.board_id == board_id and entry.seq > after_seq:
                late = until_ts is not None and entry.ts > until_ts
                if not late and (kinds is None or entry.kind in kinds):
                    yield entry

    async def pauses(self, room_id: str) -> list[tuple[int, int | None]]:
        await self._do("pauses")
        return self.paused

    async def room(self, room_id: str) -> RoomRow | None:
        await self._do("room")
        return self.rooms.get(room_id)

    async def set_room(
        self,
        room_id: str,
        *,
        name: str | None = None,
        alias: str | None = None,
        paused: bool | None = None,
        noticed: bool | None = None,
        resumed_ts: int | None = None,
        paused_ts: int | None = None,
    ) -> None:
        await self._do("set_room")
        old = self.rooms.get(room_id, RoomRow(room_id, "", False, False, 0))
        self.rooms[room_id] = RoomRow(
            room_id,
            old.name if name is None else name,
            old.paused if paused is None else paused,
            old.noticed if noticed is None else noticed,
            old.resumed_ts if resumed_ts is None else resumed_ts,
            old.alias if alias is None else alias,
        )

    async def saw_memberships(self, room_id: str, rows: Sequence[Row]) -> None:
        await self._do("saw_memberships")
        self.memberships += [(row.state_key, row.event_id) for row in rows]


def services(archive: MemoryArchive, told: list[Event], **values: Any) -> Services:
    async def committed() -> bool:
        return True

    settings: dict[str, Any] = {
        "archive": archive,
        "record": archive.record,
        "offer": told.append,
        "lacks": lambda board_id: False,
        "committed": committed,
        "now_ts": lambda: NOW,
        "default_version": "0",
        "max_document": 2**24,
    }
    return Services(**(settings | values))


class NotSaving:
    """Takes note of nothing."""

    writes = True

    def changed(self, board: Board, update: bytes, *, ours: bool = False) -> None: ...

    async def noted(self, board: Board) -> None: ...

    def saved(self, board: Board, snapshot: Snapshot, ids: object = None) -> None: ...

    def not_taken(self, board: Board, snapshot: Snapshot, beyond: str) -> None: ...

    def withheld(self, board: Board) -> str:
        return ""


class NotMending:
    """Takes note of nothing."""

    def applying(self, board: Board) -> AbstractContextManager[None]:
        return nullcontext()

    def refused(self, board: Board, update: bytes) -> None: ...


class Server:
    """A homeserver as rooms see it.

    Attributes:
        failures: raised by the method of that name, one after the other, before it works.
        past: events by what they refer to and their type, newest first.
        sent: events sent: type and content.
        states: state sent: room, key, content.
        stickies: contents of sticky events sent.
        vanishing: how many of the next events of a type do not get into the room.
    """

    def __init__(self) -> None:
        self.failures: dict[str, list[Exception]] = {}
        self.past: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.states: list[tuple[str, str, Mapping[str, Any]]] = []
        self.stickies: list[dict[str, Any]] = []
        self.notices: list[str] = []
        self.left: list[tuple[str, str | None]] = []
        self.joined: list[str] = []
        self.state: list[dict[str, Any]] = []
        self.delayed: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.slow: set[str] = set()
        self.vanishing: Counter[str] = Counter()
        self.contents: dict[tuple[str, str], dict[str, Any]] = {}
        self.go = asyncio.Event()

    async def _do(self, name: str) -> None:
        self.calls[name] += 1
        await asyncio.sleep(0)
        if name in self.slow:
            await self.go.wait()
        if self.failures.get(name):
            raise self.failures[name].pop(0)

    async def relations(
        self, room_id: str, event_id: str, event_type: str, *, oldest_first: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        await self._do("relations")
        events = list(self.past.get((event_id, event_type), []))
        for event in reversed(events) if oldest_first else events:
            yield event

    async def send_event(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        await self._do("send_event")
        self.sent.append((event_type, dict(content)))
        event_id = f"$sent{len(self.sent)}"
        target = content.get("m.relates_to", {}).get("event_id")
        if self.vanishing[event_type]:
            self.vanishing[event_type] -= 1
        else:
            self.past.setdefault((target, event_type), []).insert(
                0,
                {
                    "type": event_type,
                    "event_id": event_id,
                    "sender": BOT,
                    "origin_server_ts": NOW,
                    "content": dict(content),
                },
            )
        return event_id

    async def send_notice(self, room_id: str, body: str) -> str:
        await self._do("send_notice")
        self.notices.append(body)
        return "$notice"

    async def send_state(
        self,
        room_id: str,
        event_type: str,
        state_key: str,
        content: Mapping[str, Any],
        *,
        timeout: float = 1.0,
        patience: float = 1.0,
    ) -> str:
        await self._do("send_state")
        self.states.append((room_id, state_key, dict(content)))
        return f"$state{len(self.states)}"

    async def leave(self, room_id: str, reason: str | None = None) -> None:
        await self._do("leave")
        self.left.append((room_id, reason))

    async def join(self, room_id: str, via: Sequence[str] = ()) -> None:
        await self._do("join")
        self.joined.append(room_id)

    async def state_event(
        self, room_id: str, event_type: str, state_key: str = ""
    ) -> dict[str, Any] | None:
        await self._do("state_event")
        return self.contents.get((room_id, event_type))

    async def room_state(self, room_id: str) -> list[dict[str, Any]]:
        await self._do("room_state")
        return self.state

    async def schedule_state(
        self,
        room_id: str,
        event_type: str,
        state_key: str,
        content: Mapping[str, Any],
        delay_ms: int,
        *,
        timeout: float,
    ) -> str:
        await self._do("schedule_state")
        delay_id = f"delay{self.calls['schedule_state']}"
        self.delayed[delay_id] = state_key
        return delay_id

    async def send_sticky(
        self,
        room_id: str,
        event_type: str,
        content: Mapping[str, Any],
        duration_ms: int,
        *,
        timeout: float = 1.0,
        patience: float = 1.0,
        txn_id: str = "",
    ) -> str:
        await self._do("send_sticky")
        self.stickies.append(dict(content))
        return f"$sticky{len(self.stickies)}"

    async def schedule_sticky(
        self,
        room_id: str,
        event_type: str,
        content: Mapping[str, Any],
        duration_ms: int,
        delay_ms: int,
        *,
        timeout: float,
    ) -> str:
        await self._do("schedule_sticky")
        delay_id = f"sticky{self.calls['schedule_sticky']}"
        self.delayed[delay_id] = content["msc4354_sticky_key"]
        return delay_id

    async def restart_delayed(self, delay_id: str, *, timeout: float) -> None:
        await self._do("restart_delayed")

    async def send_delayed(self, delay_id: str, *, timeout: float) -> None:
        await self._do("send_delayed")
        self.states.append((ROOM, self.delayed.pop(delay_id), {}))

    async def cancel_delayed(self, delay_id: str, *, timeout: float) -> None:
        await self._do("cancel_delayed")
        self.delayed.pop(delay_id, None)

    async def delayed_events(self, *, timeout: float) -> Sequence[Any]:
        await self._do("delayed_events")
        return []

    def events(self) -> list[dict[str, Any]]:
        """The room's snapshot events and their chunks, as sync brings them."""
        return [event for events in self.past.values() for event in reversed(events)]

    def has_snapshot(self, data: bytes, event_id: str = "$s1", **values: Any) -> list[Any]:
        """Put a snapshot into the room's past; returns its events, oldest first."""
        events = snapshot_events(data, event_id, **values)
        self.past.setdefault((KEY.document_id, SNAPSHOT_TYPE), []).insert(0, events[0])
        self.past[event_id, CHUNK_TYPE] = list(reversed(events[1:]))
        return events


def snapshot_events(
    data: bytes, event_id: str = "$s1", *, ts: int = NOW, document_id: str = KEY.document_id
) -> list[dict[str, Any]]:
    parts = split(data)
    head = {
        "type": SNAPSHOT_TYPE,
        "event_id": event_id,
        "sender": ALICE,
        "origin_server_ts": ts,
        "content": snapshot_content(document_id, len(parts)),
    }
    return [
        head,
        *(
            {
                "type": CHUNK_TYPE,
                "event_id": f"{event_id}c{number}",
                "sender": ALICE,
                "origin_server_ts": ts,
                "content": chunk_content(document_id, event_id, number, part),
            }
            for number, part in enumerate(parts)
        ),
    ]


def snapshot(data: bytes, event_id: str = "$s1", ts: int = NOW) -> Snapshot:
    return Snapshot(event_id, ALICE, ts, KEY.document_id, data)


def drawn(update: bytes, document_id: str = KEY.document_id) -> Arrival:
    return Arrival(Update(document_id, update), ALICE, "AD", NOW, b"{}")


def board_event(key: BoardKey = KEY, **values: Any) -> dict[str, Any]:
    return {
        "type": BOARD_TYPE,
        "state_key": key.whiteboard_id,
        "sender": ALICE,
        "event_id": "$b" + key.whiteboard_id,
        "origin_server_ts": 1,
        "content": {"documentId": key.document_id},
        **values,
    }


def member(user: str, membership: str = "join") -> dict[str, Any]:
    return {
        "type": "m.room.member",
        "state_key": user,
        "sender": user,
        "content": {"membership": membership},
    }


def on_board(
    user: str = ALICE,
    device: str = "AD",
    call_id: str = KEY.whiteboard_id,
    *,
    expires: int = NOW + 3_600_000,
    url: str = "https://sfu.here",
    event_id: str = "$m1",
) -> dict[str, Any]:
    """A membership as NeoBoard writes it."""
    return {
        "type": "org.matrix.msc3401.call.member",
        "state_key": f"_{user}_{device}",
        "sender": user,
        "event_id": event_id,
        "origin_server_ts": NOW - 1000,
        "content": {
            "application": "net.nordeck.whiteboard",
            "call_id": call_id,
            "device_id": device,
            "focus_active": {"type": "livekit", "focus_selection": "oldest_membership"},
            "foci_preferred": [
                {"type": "livekit", "livekit_service_url": url, "livekit_alias": ROOM}
            ],
            "scope": "m.room",
            "expires": expires,
        },
    }


def on_sticky(
    user: str = ALICE,
    device: str = "AD",
    call_id: str = KEY.whiteboard_id,
    *,
    member_id: str = "",
    url: str = "https://sfu.here",
    joined: bool = True,
    ts: int = NOW - 1000,
) -> dict[str, Any]:
    """A sticky membership as NeoBoard writes it; not `joined`, its leave."""
    member_id = member_id or f"{user}{device}"
    member = {"id": member_id, "device_id": device, "membership": "join" if joined else "leave"}
    content: dict[str, Any] = {
        "slot_id": f"net.nordeck.whiteboard#{call_id}",
        "member": member,
        "msc4354_sticky_key": member_id,
    }
    if joined:
        content["application"] = {"type": "net.nordeck.whiteboard", "whiteboard_id": call_id}
        published = {"type": "livekit", "livekit_service_url": url}
        content["transports"] = {"published": [published], "can_subscribe": ["livekit"]}
    else:
        content["leave_reason"] = {"code": "leave"}
    return {
        "type": "org.matrix.msc4143.rtc.member",
        "sender": user,
        "event_id": f"${member_id}{ts}{joined}",
        "origin_server_ts": ts,
        "msc4354_sticky": {"duration_ms": 3_600_000},
        "content": content,
    }


def off_board(user: str = ALICE, device: str = "AD") -> dict[str, Any]:
    return {**on_board(user, device), "content": {}, "event_id": "$m2"}


async def until(condition: Any, within: float = 2.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(6 * within):  # a busy machine takes its time
        while not condition():
            await asyncio.sleep(0.001)
