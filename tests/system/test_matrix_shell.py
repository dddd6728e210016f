"""The homeserver shell against a real Synapse."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from bot.errors import (
    AuthLost,
    DelayTooLarge,
    Forbidden,
    NotFound,
    RateLimited,
    Refused,
    TooManyDelayed,
    Unsupported,
)
from bot.matrix.batches import RoomBatch
from bot.matrix.client import Homeserver
from bot.matrix.delayed import DelayedSupport
from bot.matrix.sync import Syncer
from tests.fakes.homeserver import MemoryTokens
from tests.stack.http import request
from tests.stack.stack import Login, Options, Stack

MEMBER = "org.matrix.msc3401.call.member"
CHUNK = "net.nordeck.whiteboard.document.chunk"
_numbers = itertools.count(1)


@asynccontextmanager
async def opened(
    stack: Stack, account: Login, tokens: MemoryTokens | None = None, password: str | None = None
) -> AsyncIterator[Homeserver]:
    """A logged-in client of an account."""
    async with Homeserver(
        stack.homeserver_url,
        account.user_id,
        "BOTDEV",
        password=password or account.password,
        tokens=tokens or MemoryTokens(),
    ) as hs:
        await hs.login()
        yield hs


@pytest.fixture
async def account(stack: Stack) -> Login:
    return await stack.user(f"bot{next(_numbers)}-{secrets.token_hex(3)}")


@pytest.fixture
async def alice(stack: Stack) -> Login:
    return await stack.user(f"alice{next(_numbers)}-{secrets.token_hex(3)}")


@pytest.fixture
async def hs(stack: Stack, account: Login) -> AsyncIterator[Homeserver]:
    async with opened(stack, account) as client:
        yield client


async def create_room(stack: Stack, owner: Login, *invited: str) -> str:
    body = {"invite": list(invited), "power_level_content_override": {"state_default": 0}}
    answer = await stack.call(owner, "POST", "/_matrix/client/v3/createRoom", body)
    assert answer.status == 200
    return str(answer.body["room_id"])


async def say(
    stack: Stack, who: Login, room_id: str, body: str, kind: str = "m.room.message", **more: Any
) -> str:
    path = f"/_matrix/client/v3/rooms/{quote(room_id)}/send/{kind}/{secrets.token_hex(4)}"
    content = {"msgtype": "m.text", "body": body, **more}
    answer = await stack.call(who, "PUT", path, content)
    assert answer.status == 200
    return str(answer.body["event_id"])


# --- logging in


async def test_a_login_is_resumed_not_repeated(stack: Stack, account: Login) -> None:
    tokens = MemoryTokens()
    async with opened(stack, account, tokens) as first, opened(stack, account, tokens) as second:
        assert first.device_id == second.device_id == "BOTDEV"
        assert first.transport.token == second.transport.token
        assert [name for name, _ in tokens.history].count("access_token") == 1
        assert await first.openid_token()
        assert abs(first.clock_offset) < 10


async def test_a_token_ended_elsewhere_is_replaced(stack: Stack, account: Login) -> None:
    tokens = MemoryTokens()
    async with opened(stack, account, tokens) as first:
        await log_out(stack, first)
        with pytest.raises(AuthLost):
            await first.openid_token()
    async with opened(stack, account, tokens) as second:
        assert await second.openid_token()


async def test_a_wrong_password(stack: Stack, account: Login) -> None:
    with pytest.raises(AuthLost, match="refuses the password"):
        async with opened(stack, account, password="wrong"):
            pass


async def log_out(stack: Stack, hs: Homeserver) -> None:
    """As somebody does who ends the session in another client."""
    url = f"{stack.homeserver_url}/_matrix/client/v3/logout"
    assert (await request("POST", url, token=hs.transport.token, body={})).status == 200


# --- rooms


async def test_join_state_events_leave(
    stack: Stack, hs: Homeserver, account: Login, alice: Login
) -> None:
    room_id = await create_room(stack, alice, account.user_id)
    with pytest.raises(Forbidden):
        await hs.send_notice(room_id, "too early")
    await hs.join(room_id)
    await hs.join(room_id)
    key = f"_{account.user_id}_BOTDEV"
    assert await hs.state_event(room_id, MEMBER, key) is None
    first = await hs.send_state(room_id, MEMBER, key, {"call_id": "b"})
    assert await hs.send_state(room_id, MEMBER, key, {"call_id": "b"}) == first
    assert await hs.state_event(room_id, MEMBER, key) == {"call_id": "b"}
    assert (await hs.state_event(room_id, "m.room.create") or {})["room_version"]
    state = await hs.room_state(room_id)
    assert first in [event["event_id"] for event in state]
    notice = await hs.send_notice(room_id, "plain", "<b>bold</b>")
    text = {"msgtype": "m.text", "body": "x"}
    again = await hs.send_event(room_id, "m.room.message", text, "txn")
    assert await hs.send_event(room_id, "m.room.message", text, "txn") == again != notice
    await hs.leave(room_id, "enough")
    await hs.forget(room_id)
    with pytest.raises(Forbidden):
        await hs.send_notice(room_id, "too late")


async def test_relations_come_newest_first_in_pages(
    stack: Stack, hs: Homeserver, account: Login, alice: Login
) -> None:
    room_id = await create_room(stack, alice, account.user_id)
    await hs.join(room_id)
    board = await say(stack, alice, room_id, "board")
    refers: Any = {"m.relates_to": {"rel_type": "m.reference", "event_id": board}}
    sent = [await say(stack, alice, room_id, f"{n}", CHUNK, **refers) for n in range(7)]
    await say(stack, alice, room_id, "of another type", **refers)
    found = [event async for event in hs.relations(room_id, board, CHUNK, limit=3)]
    assert [event["event_id"] for event in found] == sent[::-1]
    oldest = [one async for one in hs.relations(room_id, board, CHUNK, limit=3, oldest_first=True)]
    assert [event["event_id"] for event in oldest] == sent


async def test_openid_token_says_who_we_are(stack: Stack, hs: Homeserver) -> None:
    token = await hs.openid_token()
    assert set(token) == {"access_token", "token_type", "matrix_server_name", "expires_in"}
    url = f"{stack.homeserver_url}/_matrix/federation/v1/openid/userinfo"
    answer = await request("GET", url, query={"access_token": token["access_token"]})
    assert answer.body == {"sub": hs.user_id}


async def test_well_known(stack: Stack, hs: Homeserver) -> None:
    found = await hs.well_known_foci(f"{stack.homeserver_url}/.well-known/matrix/client")
    assert found is not None
    (focus,) = found["org.matrix.msc4143.rtc_foci"]
    assert focus["livekit_service_url"] == stack.jwt_url
    assert await hs.well_known_foci(f"{stack.homeserver_url}/.well-known/nothing") is None


async def test_media(stack: Stack, hs: Homeserver, alice: Login) -> None:
    data = secrets.token_bytes(200_000)
    headers = {"Authorization": f"Bearer {alice.access_token}", "Content-Type": "image/png"}
    url = f"{stack.homeserver_url}/_matrix/media/v3/upload"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=data, headers=headers) as response,
    ):
        mxc = (await response.json())["content_uri"]
    assert await hs.download(mxc, 200_000) == data
    with pytest.raises(Refused):
        await hs.download(mxc, 199_999)
    with pytest.raises(NotFound):
        await hs.download(f"mxc://{stack.server_name}/nothing", 10)


# --- delayed events


async def test_delayed_events(stack: Stack, hs: Homeserver, account: Login, alice: Login) -> None:
    assert await hs.delayed_support() == DelayedSupport(
        supported=True, max_delay_ms=86_400_000, max_scheduled=100, sticky=True
    )
    room_id = await create_room(stack, alice, account.user_id)
    await hs.join(room_id)
    key = f"_{account.user_id}_BOTDEV"
    leave = await hs.schedule_state(room_id, MEMBER, key, {}, 60_000)
    await hs.send_state(room_id, MEMBER, key, {"call_id": "b"})
    await hs.restart_delayed(leave)
    (waiting,) = await hs.delayed_events()
    assert (waiting.delay_id, waiting.room_id) == (leave, room_id)
    assert (waiting.type, waiting.state_key) == (MEMBER, key)
    await hs.send_delayed(leave)
    assert await hs.state_event(room_id, MEMBER, key) == {}
    with pytest.raises(NotFound):
        await hs.restart_delayed(leave)
    other = await hs.schedule_state(room_id, MEMBER, key, {}, 60_000)
    await hs.cancel_delayed(other)
    assert await hs.delayed_events() == []
    with pytest.raises(DelayTooLarge):
        await hs.schedule_state(room_id, MEMBER, key, {}, 86_400_001)


async def test_a_delayed_event_fires_by_itself(
    stack: Stack, hs: Homeserver, account: Login, alice: Login
) -> None:
    room_id = await create_room(stack, alice, account.user_id)
    await hs.join(room_id)
    key = f"_{account.user_id}_BOTDEV"
    await hs.send_state(room_id, MEMBER, key, {"call_id": "b"})
    await hs.schedule_state(room_id, MEMBER, key, {}, 300)
    async with asyncio.timeout(60):
        while await hs.state_event(room_id, MEMBER, key):
            await asyncio.sleep(0.1)


async def test_too_many_delayed_events(
    stack: Stack, hs: Homeserver, account: Login, alice: Login
) -> None:
    room_id = await create_room(stack, alice, account.user_id)
    await hs.join(room_id)
    for _ in range(100):
        await hs.schedule_state(room_id, MEMBER, "_key", {}, 60_000, timeout=10)
    with pytest.raises(TooManyDelayed):
        await hs.schedule_state(room_id, MEMBER, "_key", {}, 60_000, timeout=10)


async def test_default_limits_are_said_at_once(tmp_path: Path) -> None:
    options = Options(default_limits=True)
    async with Stack.start(tmp_path / "stack", options) as limited:
        account = await limited.user("bot")
        async with opened(limited, account) as hs:
            room_id = await create_room(limited, account)
            leave = await hs.schedule_state(room_id, MEMBER, "_key", {}, 60_000)

            async def restart_often() -> None:
                for _ in range(20):
                    await hs.restart_delayed(leave)

            with pytest.raises(RateLimited) as caught:
                await restart_often()
            assert caught.value.retry_after == 1.0, "Synapse rounds the header up"
            # An ordinary call waits it out: rc_message is 10, then one in 5 s.
            for number in range(10):
                await hs.send_notice(room_id, str(number))


async def test_a_server_with_delayed_and_sticky_events_switched_off(tmp_path: Path) -> None:
    options = Options(sticky=False, synapse={"max_event_delay_duration": None})
    async with Stack.start(tmp_path / "stack", options) as without:
        account = await without.user("bot")
        async with opened(without, account) as hs:
            assert await hs.delayed_support() == DelayedSupport(supported=False)
            room_id = await create_room(without, account)
            with pytest.raises(Unsupported):
                await hs.schedule_state(room_id, MEMBER, "_key", {}, 60_000)


# --- sync


class Rooms:
    """Takes batches and handles them at once, unless it is closed."""

    def __init__(self) -> None:
        self.batches: list[RoomBatch] = []
        self.open = asyncio.Event()
        self.open.set()

    async def deliver(self, batch: RoomBatch) -> asyncio.Future[None]:
        self.batches.append(batch)
        await self.open.wait()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    def of(self, room_id: str) -> list[RoomBatch]:
        return [batch for batch in self.batches if batch.room_id == room_id]

    def said(self, room_id: str) -> list[str]:
        return [
            event["content"]["body"]
            for batch in self.of(room_id)
            for event in batch.timeline
            if event["type"] in ("m.room.message", CHUNK)
        ]

    def kinds(self, room_id: str) -> list[str]:
        return [batch.kind for batch in self.of(room_id)]


@asynccontextmanager
async def following(syncer: Syncer, rooms: Rooms) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(syncer.run(rooms.deliver))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await syncer.settle()


async def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds * 4):
        while not holds():
            await asyncio.sleep(0.05)


async def test_invite_join_talk_kick(
    stack: Stack, hs: Homeserver, account: Login, alice: Login
) -> None:
    rooms = Rooms()
    syncer = Syncer(hs, MemoryTokens())
    async with following(syncer, rooms):
        await until(lambda: syncer.healthy)
        room_id = await create_room(stack, alice, account.user_id)
        await until(lambda: rooms.kinds(room_id) == ["invite"])
        senders = [event["sender"] for event in rooms.batches[0].state]
        assert alice.user_id in senders
        await say(stack, alice, room_id, "!board leave, said before we came")
        await hs.join(room_id)
        await until(lambda: "join" in rooms.kinds(room_id))
        await say(stack, alice, room_id, "hello")
        await until(lambda: rooms.said(room_id) == ["hello"])
        joined = next(batch for batch in rooms.of(room_id) if batch.kind == "join")
        assert joined.full_state
        types = {event["type"] for event in (*joined.state, *joined.timeline)}
        assert types >= {"m.room.create", "m.room.member", "m.room.power_levels"}
        assert "m.room.join_rules" not in types
        kick = f"/_matrix/client/v3/rooms/{quote(room_id)}/kick"
        await stack.call(alice, "POST", kick, {"user_id": account.user_id})
        await until(lambda: rooms.kinds(room_id)[-1] == "leave")


async def test_a_limited_timeline_is_filled(
    stack: Stack, hs: Homeserver, account: Login, alice: Login
) -> None:
    room_id = await create_room(stack, alice, account.user_id)
    await hs.join(room_id)
    bob = await stack.user(f"bob{next(_numbers)}-{secrets.token_hex(3)}")
    await stack.call(
        alice, "POST", f"/_matrix/client/v3/rooms/{quote(room_id)}/invite", {"user_id": bob.user_id}
    )
    await stack.call(bob, "POST", f"/_matrix/client/v3/join/{quote(room_id)}", {})
    rooms = Rooms()
    syncer = Syncer(hs, MemoryTokens())
    async with following(syncer, rooms):
        await until(lambda: syncer.healthy)
        rooms.open.clear()
        await say(stack, alice, room_id, "0")
        await until(lambda: rooms.said(room_id) == ["0"])
        await stack.call(bob, "POST", f"/_matrix/client/v3/rooms/{quote(room_id)}/leave", {})
        for number in range(1, 131):
            await say(stack, alice, room_id, str(number), CHUNK if number % 3 else "m.room.message")
        rooms.open.set()
        await until(lambda: len(rooms.said(room_id)) >= 131)
    assert rooms.said(room_id) == [str(number) for number in range(131)]
    gap = rooms.of(room_id)[-1]
    assert not gap.limited
    left = [event for event in gap.state if event.get("state_key") == bob.user_id]
    assert [event["content"]["membership"] for event in left] == ["leave"], "no lazy members"


async def test_a_restart_goes_on_where_it_was(stack: Stack, account: Login, alice: Login) -> None:
    tokens = MemoryTokens()
    async with opened(stack, account, tokens) as hs:
        busy, quiet = [await create_room(stack, alice, account.user_id) for _ in range(2)]
        await hs.join(busy)
        await hs.join(quiet)
        rooms = Rooms()
        async with following(Syncer(hs, tokens), rooms):
            await until(lambda: len(rooms.batches) == 2)
            await say(stack, alice, busy, "before")
            await until(lambda: rooms.said(busy) == ["before"])
    for number in range(50):
        await say(stack, alice, busy, str(number))
        await say(stack, alice, busy, "not in a first response", CHUNK)
    late = await create_room(stack, alice, account.user_id)
    async with opened(stack, account, tokens) as hs:
        rooms = Rooms()
        async with following(Syncer(hs, tokens), rooms):
            await until(lambda: len(rooms.batches) >= 3)
            await say(stack, alice, busy, "after", CHUNK)
            await until(lambda: rooms.said(busy)[-1:] == ["after"])
    assert rooms.said(busy) == [*map(str, range(50)), "after"]
    assert rooms.kinds(late) == ["invite"]
    for room_id in (busy, quiet):
        batch = rooms.of(room_id)[0]
        assert batch.full_state
        assert not batch.limited
        found = {event["type"] for event in batch.state}
        assert found >= {"m.room.create", "m.room.member", "m.room.power_levels"}


async def test_the_network_goes_and_comes(
    stack: Stack, hs: Homeserver, account: Login, alice: Login
) -> None:
    room_id = await create_room(stack, alice, account.user_id)
    await hs.join(room_id)
    rooms = Rooms()
    syncer = Syncer(hs, MemoryTokens())
    async with following(syncer, rooms):
        await until(lambda: syncer.healthy)
        await stack.proxies.synapse.cut()
        await until(lambda: not syncer.healthy)
        await asyncio.sleep(1)
        await stack.proxies.synapse.restore()
        await say(stack, alice, room_id, "back")
        await until(lambda: rooms.said(room_id) == ["back"])
        assert syncer.healthy


async def test_a_homeserver_that_restarts(
    stack: Stack, hs: Homeserver, account: Login, alice: Login
) -> None:
    room_id = await create_room(stack, alice, account.user_id)
    await hs.join(room_id)
    rooms = Rooms()
    syncer = Syncer(hs, MemoryTokens())
    async with following(syncer, rooms):
        await until(lambda: syncer.healthy)
        await say(stack, alice, room_id, "1")
        await until(lambda: rooms.said(room_id) == ["1"])
        await stack.synapse.restart()
        await say(stack, alice, room_id, "2")
        await until(lambda: rooms.said(room_id) == ["1", "2"], 60)


async def test_a_device_logged_out_ends_sync(stack: Stack, account: Login) -> None:
    async with opened(stack, account) as hs:
        syncer = Syncer(hs, MemoryTokens())
        async with following(syncer, Rooms()) as task:
            await until(lambda: syncer.healthy)
            await log_out(stack, hs)
            with pytest.raises(AuthLost):
                await asyncio.wait_for(task, 180)


async def test_a_position_of_another_database(
    stack: Stack, hs: Homeserver, account: Login, alice: Login
) -> None:
    room_id = await create_room(stack, alice, account.user_id)
    await hs.join(room_id)
    rooms = Rooms()
    tokens = MemoryTokens(sync_token="garbage")
    async with following(Syncer(hs, tokens), rooms):
        await until(lambda: rooms.kinds(room_id) == ["join"])
    assert tokens.texts["sync_token"].startswith("s")
