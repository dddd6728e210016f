"""Who sits at a board by sticky events, as a real Synapse's syncs tell it: whole, cut, again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import quote

import pytest

from bot.matrix.batches import RoomBatch
from bot.matrix.client import Homeserver
from bot.matrix.standing import standing
from bot.matrix.sync import Syncer
from bot.roomstate import RoomState
from bot.rtc.membership import STICKY, Focus
from bot.rtc.slots import SLOT_TYPE, Slot
from bot.rtc.sticky import STICKY_MS, STICKY_TYPE, join_content, leave_content, slot_id
from tests.fakes.homeserver import MemoryTokens
from tests.stack.bot import until as wait_until
from tests.stack.stack import Login, Options, Stack
from tests.system.people import name

V3 = "/_matrix/client/v3"
BOARD = "board"


def now_ts() -> int:
    return round(time() * 1000)


async def until(holds: Callable[[], object]) -> None:
    await wait_until(holds, 60, "what sync is to tell")


class Rooms:
    """What the rooms say, as a bot reads it; handles nothing while it is not open."""

    def __init__(self, own_user: str) -> None:
        self._own_user = own_user
        self._states: dict[str, RoomState] = {}
        self.batches: list[RoomBatch] = []
        self.open = asyncio.Event()
        self.open.set()

    async def deliver(self, batch: RoomBatch) -> asyncio.Future[None]:
        await self.open.wait()
        self.batches.append(batch)
        state = self.state(batch.room_id)
        for event in batch.state:
            state.apply(event)
        for event in (*batch.sticky, *batch.timeline):
            if "state_key" in event:
                state.apply(event)
            else:
                state.take_sticky(event, now_ts())
        handled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        handled.set_result(None)
        return handled

    def state(self, room_id: str) -> RoomState:
        return self._states.setdefault(room_id, RoomState(room_id, self._own_user))

    def sitting(self, room_id: str) -> list[str]:
        return sorted(one.member_id for one in self.state(room_id).live(now_ts(), STICKY))

    def said(self) -> list[str]:
        events = [event for batch in self.batches for event in batch.timeline]
        return [one["content"]["body"] for one in events if one["type"] == "m.room.message"]

    def apart(self) -> int:
        return sum(len(batch.sticky) for batch in self.batches)


class Person:
    """Somebody who sits down, gets up, and says things."""

    def __init__(self, stack: Stack, login: Login) -> None:
        self._stack = stack
        self.login = login

    async def ask(self, method: str, path: str, body: object = None, **query: str) -> Any:
        answer = await self._stack.call(self.login, method, V3 + path, body, **query)
        assert answer.status == 200
        return answer.body

    async def room(self, *invited: str) -> str:
        found = await self.ask("POST", "/createRoom", {"invite": list(invited)})
        return str(found["room_id"])

    async def send(self, room_id: str, kind: str, content: Any, **query: str) -> str:
        path = f"/rooms/{quote(room_id)}/send/{kind}/{secrets.token_hex(8)}"
        return str((await self.ask("PUT", path, content, **query))["event_id"])

    async def says(self, room_id: str, text: str) -> None:
        await self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": text})

    async def _sticky(self, room_id: str, content: Any) -> str:
        duration = {"org.matrix.msc4354.sticky_duration_ms": str(STICKY_MS)}
        return await self.send(room_id, STICKY_TYPE, content, **duration)

    async def sits(self, room_id: str, member_id: str) -> str:
        content = join_content(
            call_id=BOARD,
            whose=(self.login.user_id, "DEV"),
            member_id=member_id,
            foci=[Focus("https://sfu.example.org")],
            spelling="livekit",
        )
        return await self._sticky(room_id, content)

    async def rises(self, room_id: str, member_id: str) -> str:
        content = leave_content(call_id=BOARD, device_id="DEV", member_id=member_id, code="leave")
        return await self._sticky(room_id, content)

    async def slot(self, room_id: str, status: str) -> None:
        content = {"status": status, "application": {"type": "net.nordeck.whiteboard"}}
        path = f"/rooms/{quote(room_id)}/state/{SLOT_TYPE}/{quote(slot_id(BOARD), safe='')}"
        await self.ask("PUT", path, content)


@asynccontextmanager
async def opened(stack: Stack, account: Login) -> AsyncIterator[Homeserver]:
    async with Homeserver(
        stack.homeserver_url,
        account.user_id,
        "BOTDEV",
        password=account.password,
        tokens=MemoryTokens(),
    ) as hs:
        await hs.login()
        yield hs


@pytest.fixture
async def account(stack: Stack) -> Login:
    return await stack.user(name("bot"))


@pytest.fixture
async def alice(stack: Stack) -> Person:
    return Person(stack, await stack.user(name("alice")))


@pytest.fixture
async def hs(stack: Stack, account: Login) -> AsyncIterator[Homeserver]:
    async with opened(stack, account) as client:
        yield client


@asynccontextmanager
async def following(hs: Homeserver, tokens: MemoryTokens | None = None) -> AsyncIterator[Rooms]:
    rooms = Rooms(hs.user_id)
    syncer = Syncer(hs, tokens or MemoryTokens())
    task = asyncio.create_task(syncer.run(rooms.deliver))
    try:
        await until(lambda: syncer.healthy)
        yield rooms
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await syncer.settle()


def sit(rooms: Rooms, room_id: str, *members: str) -> Callable[[], bool]:
    return lambda: rooms.sitting(room_id) == sorted(members)


async def test_they_are_seen_sitting_down_and_getting_up(hs: Homeserver, alice: Person) -> None:
    room_id = await alice.room(hs.user_id)
    await hs.join(room_id)
    async with following(hs) as rooms:
        await alice.sits(room_id, "one")
        await until(sit(rooms, room_id, "one"))
        await alice.sits(room_id, "two")
        await until(sit(rooms, room_id, "one", "two"))
        await alice.rises(room_id, "one")
        await until(sit(rooms, room_id, "two"))
        await alice.slot(room_id, "open")
        await until(lambda: rooms.state(room_id).slot(BOARD) is Slot.OPEN)
        await alice.slot(room_id, "closed")
        await until(sit(rooms, room_id))
        await alice.slot(room_id, "open")
        await until(sit(rooms, room_id, "two"))
        event_id = rooms.state(room_id).live(now_ts())[0].event_id
        await alice.ask("PUT", f"/rooms/{quote(room_id)}/redact/{quote(event_id)}/1", {})
        await until(lambda: rooms.batches[-1].timeline[-1]["type"] == "m.room.redaction")
        rooms.state(room_id).redact(rooms.batches[-1].timeline[-1])
        assert rooms.sitting(room_id) == []


async def test_a_cut_sync_tells_them_apart_from_the_timeline(hs: Homeserver, alice: Person) -> None:
    room_id = await alice.room(hs.user_id)
    await hs.join(room_id)
    async with following(hs) as rooms:
        rooms.open.clear()
        await alice.says(room_id, "first")
        await alice.sits(room_id, "stays")
        await alice.sits(room_id, "gone")
        for number in range(40):
            await alice.says(room_id, str(number))
        await alice.rises(room_id, "gone")
        await alice.says(room_id, "last")
        rooms.open.set()
        await until(lambda: "last" in rooms.said())
        await until(sit(rooms, room_id, "stays"))
        assert rooms.apart() >= 2
        assert rooms.said() == ["first", *map(str, range(40)), "last"]


async def test_a_first_sync_raises_no_ghost(hs: Homeserver, alice: Person) -> None:
    """The superseded join comes apart from its leave, which is still in the timeline."""
    room_id = await alice.room(hs.user_id)
    await hs.join(room_id)
    for member_id in ("gone", "stays"):
        await alice.sits(room_id, member_id)
    for number in range(40):
        await alice.says(room_id, str(number))
    left = await alice.rises(room_id, "gone")
    async with following(hs) as rooms:
        await until(sit(rooms, room_id, "stays"))
        (batch,) = rooms.batches
        assert len(batch.sticky) == 2
        assert left in [event["event_id"] for event in batch.timeline]


async def test_who_comes_into_a_room_sees_who_sits_there(hs: Homeserver, alice: Person) -> None:
    room_id = await alice.room(hs.user_id)
    for member_id in ("gone", "stays"):
        await alice.sits(room_id, member_id)
    await alice.rises(room_id, "gone")
    async with following(hs) as rooms:
        await hs.join(room_id)
        await until(sit(rooms, room_id, "stays"))


async def test_after_a_restart_who_sat_there_before_is_there(
    stack: Stack, account: Login, alice: Person
) -> None:
    tokens = MemoryTokens()
    async with opened(stack, account) as hs:
        room_id = await alice.room(hs.user_id)
        await hs.join(room_id)
        async with following(hs, tokens) as rooms:
            for member_id in ("before", "gone"):
                await alice.sits(room_id, member_id)
            await until(sit(rooms, room_id, "before", "gone"))
            await alice.says(room_id, "a position behind them")
            await until(lambda: "a position behind them" in rooms.said())
    await alice.rises(room_id, "gone")
    await alice.sits(room_id, "meanwhile")
    async with opened(stack, account) as hs, following(hs, tokens) as rooms:
        await until(sit(rooms, room_id, "before", "meanwhile"))
        batch = rooms.batches[0]
        told = [
            event["content"]["member"]["id"]
            for event in batch.timeline
            if "msc4354_sticky" in event
        ]
        assert told == ["gone", "meanwhile"], "the sync itself says nothing of before"


async def test_a_second_restart_does_not_hear_what_the_first_was_told(tmp_path: Path) -> None:
    """Synapse gives a response again for two minutes, as it does wherever nobody turned it off."""
    as_shipped = {"caches": {"sync_response_cache_duration": "2m"}}
    async with Stack.start(tmp_path / "stack", Options(synapse=as_shipped)) as stack:
        account = await stack.user(name("bot"))
        alice = Person(stack, await stack.user(name("alice")))
        tokens = MemoryTokens()
        async with opened(stack, account) as hs:
            room_id = await alice.room(hs.user_id)
            await hs.join(room_id)
            async with following(hs, tokens) as rooms:
                await alice.says(room_id, "nobody")
                await until(lambda: "nobody" in rooms.said())
        async with opened(stack, account) as hs, following(hs, tokens) as rooms:
            await alice.sits(room_id, "one")
            await until(sit(rooms, room_id, "one"))
            await alice.says(room_id, "a position behind her")
            await until(lambda: "a position behind her" in rooms.said())
        async with opened(stack, account) as hs, following(hs, tokens) as rooms:
            await alice.says(room_id, "hear me")
            await until(lambda: "hear me" in rooms.said())
            assert rooms.sitting(room_id) == ["one"]


async def test_more_than_one_response_holds(hs: Homeserver, alice: Person) -> None:
    """Synapse tells a hundred sticky events at once, of all rooms together."""
    room_id = await alice.room(hs.user_id)
    await hs.join(room_id)
    for number in range(90):
        await alice.sits(room_id, f"m{number:03}")
        await alice.rises(room_id, f"m{number:03}")
    await alice.sits(room_id, "stays")
    found = await standing(hs.transport, seconds=30, patience=0)
    assert len(found[room_id]) == 181
    async with following(hs) as rooms:
        await until(sit(rooms, room_id, "stays"))
