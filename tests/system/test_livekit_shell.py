"""The LiveKit shell against a real SFU, a real homeserver and the JWT service."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from livekit import api, rtc

from bot.errors import Forbidden, NotFound, RateLimited, ServerError, Transient
from bot.livekit import lean, native
from bot.livekit.auth import Grant, api_key_grant, sfu_get
from bot.livekit.connection import MAX_DATA, Connection, State
from bot.livekit.inbox import Packet
from tests.stack.stack import Login, Stack

# Before the first room of the process: afterwards it is too late.
lean.apply()

ROOM = "!room:example.com"


@pytest_asyncio.fixture(autouse=True)
async def _nothing_left_connecting() -> AsyncIterator[None]:
    """Waits for what cancelled joins left behind.

    The event loop of a test ends before the process does: a connect cut off with it would kill
    all tests 15 s later.
    """
    yield
    await until(lambda: not native._unfinished)


async def until(true: Callable[[], object], within: float = 30.0) -> None:
    async with asyncio.timeout(within * 4):
        while not true():
            await asyncio.sleep(0.01)


async def token(stack: Stack, login: Login, room_id: str = ROOM) -> Grant:
    path = f"/_matrix/client/v3/user/{login.user_id}/openid/request_token"
    openid: Any = (await stack.call(login, "POST", path, {})).body
    async with aiohttp.ClientSession() as http:
        return await sfu_get(http, stack.jwt_url, room_id, openid, login.device_id, seconds=1.0)


@dataclass
class Bot:
    """A connection and what it told."""

    connection: Connection = field(init=False)
    told: list[tuple[State, str]] = field(default_factory=list)
    seen: list[tuple[str, bool]] = field(default_factory=list)
    got: list[Packet] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)

    @property
    def states(self) -> list[State]:
        return [state for state, _ in self.told]

    async def take(self) -> None:
        while True:
            self.got += await self.connection.packets()


@asynccontextmanager
async def running(
    stack: Stack, name: str, room_id: str = ROOM, **options: Any
) -> AsyncIterator[Bot]:
    login = await stack.user(name)
    bot = Bot()

    async def grant() -> Grant:
        bot.grants.append(await token(stack, login, room_id))
        return bot.grants[-1]

    bot.connection = Connection(
        grant,
        on_state=lambda state, why: bot.told.append((state, why)),
        on_participant=lambda who, here: bot.seen.append((who, here)),
        attributes={"boardkeeper": "test"},
        **options,
    )
    tasks = [asyncio.create_task(bot.connection.run()), asyncio.create_task(bot.take())]
    try:
        await until(lambda: bot.connection.connected)
        yield bot
    finally:
        await bot.connection.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def operator(stack: Stack) -> api.LiveKitAPI:
    address = stack.livekit_url.replace("ws://", "http://")
    return api.LiveKitAPI(address, stack.livekit_key, stack.livekit_secret)


async def test_packets_of_either_kind_arrive_with_their_sender(stack: Stack) -> None:
    async with running(stack, "ann") as ann, running(stack, "bob") as bob:
        sent = {(b"lossy", False), (b"x" * MAX_DATA, True), (b"y" * MAX_DATA, False)}
        for data, reliable in sent:
            await ann.connection.publish(data, reliable=reliable)
        await until(lambda: len(bob.got) == len(sent))
        assert {(one.data, one.reliable) for one in bob.got} == sent
        assert {one.identity for one in bob.got} == {ann.grants[0].identity}
        assert all(0 <= time.monotonic() - one.at < 100 for one in bob.got)
        assert bob.connection.participants() == {ann.grants[0].identity}


async def test_a_packet_may_be_for_one_only(stack: Stack) -> None:
    async with (
        running(stack, "ann") as ann,
        running(stack, "bob") as bob,
        running(stack, "eve") as eve,
    ):
        await ann.connection.publish(b"bob's", reliable=True, to=[bob.grants[0].identity])
        await ann.connection.publish(b"all's", reliable=True)
        await until(lambda: len(bob.got) == 2 and eve.got)
        assert [one.data for one in eve.got] == [b"all's"]


async def test_we_are_heard_from_the_first_packet_on(stack: Stack) -> None:
    async with running(stack, "bob") as bob:
        before = time.monotonic()
        async with running(stack, "ann") as ann:
            await ann.connection.publish(b"first", reliable=False)
            await until(lambda: bob.got)
            assert time.monotonic() - before < 20
            assert bob.got[0].identity == ann.grants[0].identity
            assert bob.seen == [(ann.grants[0].identity, True)]
        await until(lambda: (ann.grants[0].identity, False) in bob.seen)


async def test_who_does_not_announce_himself_has_no_name_at_first(stack: Stack) -> None:
    async with running(stack, "bob") as bob:
        grant = await token(stack, await stack.user("mute"))
        mute = rtc.Room()
        await mute.connect(grant.url, grant.jwt)
        # The SFU announces in batches, and one may just be due.
        async with asyncio.timeout(60):
            while not (bob.got and bob.got[-1].identity):
                await mute.local_participant.publish_data(b"x", reliable=True)
                await asyncio.sleep(0.1)
        assert {one.identity for one in bob.got} <= {None, grant.identity}
        assert bob.connection.participants() == {grant.identity}
        await mute.disconnect()


@pytest.mark.scenario("C10", "J11")
async def test_after_the_sfu_died_it_comes_back_with_a_fresh_token(stack: Stack) -> None:
    async with running(stack, "ann") as ann, running(stack, "bob") as bob:
        await stack.livekit.kill()
        await until(lambda: State.RECONNECTING in ann.states or State.LOST in ann.states)
        with pytest.raises(Transient):
            await ann.connection.publish(b"lost", reliable=True)
        # Only the JWT service may create the room again, so the SDK cannot repair this.
        await stack.livekit.start()
        await until(lambda: ann.connection.connected and bob.connection.connected)
        assert len(ann.grants) + len(bob.grants) > 2
        await until(lambda: ann.connection.participants() and bob.connection.participants())
        await ann.connection.publish(b"back", reliable=True)
        await until(lambda: bob.got)
        assert bob.got[0].identity == ann.grants[0].identity


async def test_a_long_outage_ends_within_the_longest_wait(stack: Stack) -> None:
    async with running(stack, "ann") as ann:
        await stack.livekit.kill()
        await until(lambda: ann.states.count(State.LOST) >= 3)
        assert {why for state, why in ann.told if state is State.LOST} <= {
            "the connection to LiveKit broke",
            "the JWT service failed (500)",
            "no connection to the LiveKit server",
        }
        await stack.livekit.start()
        await until(lambda: ann.connection.connected, within=35)


@pytest.mark.scenario("C04")
async def test_a_second_process_with_our_identity_is_not_fought(stack: Stack) -> None:
    async with running(stack, "ann") as ann:
        login = await stack.user("ann", ann.grants[0].identity.rpartition(":")[2])
        grant = await token(stack, login)
        assert grant.identity == ann.grants[0].identity
        twin = rtc.Room()
        await twin.connect(grant.url, grant.jwt)
        await until(lambda: ann.connection.state is State.REFUSED)
        await asyncio.sleep(2)
        assert ann.told[-1] == (State.REFUSED, "another process is in the LiveKit room as us")
        assert twin.isconnected()
        await twin.disconnect()


@pytest.mark.scenario("C11")
async def test_removed_by_an_operator_it_stays_away_and_comes_back(stack: Stack) -> None:
    async with running(stack, "ann", refused_for=1.0) as ann, operator(stack) as sfu:
        who = api.RoomParticipantIdentity(room=ann.grants[0].room, identity=ann.grants[0].identity)
        await sfu.room.remove_participant(who)
        await until(lambda: ann.connection.state is State.REFUSED)
        assert ann.told[-1][1] == "we were removed from the LiveKit room"
        await until(lambda: ann.connection.connected)
        assert len(ann.grants) == 2


async def test_what_was_published_last_arrives_before_the_end(stack: Stack) -> None:
    async with running(stack, "bob") as bob:
        async with running(stack, "ann") as ann:
            await until(ann.connection.participants)
            for number in range(100):
                await ann.connection.publish(b"%d" % number, reliable=True)
            before = time.monotonic()
            await ann.connection.close()
            assert time.monotonic() - before < 10
        await until(lambda: len(bob.got) == 100)
        assert [int(one.data) for one in bob.got] == list(range(100))


async def test_closing_does_not_wait_for_a_frozen_sfu(stack: Stack) -> None:
    async with running(stack, "ann") as ann:
        await stack.livekit.pause()
        before = time.monotonic()
        await ann.connection.close()
        assert time.monotonic() - before < 10
        assert ann.states[-1] is State.CLOSED


async def test_closing_while_it_connects_leaves_nobody_in_the_room(stack: Stack) -> None:
    login = await stack.user("ann")
    grant = await token(stack, login, "!closing:example.com")
    for delay in (0.0, 0.02, 0.05, 0.1):

        async def give() -> Grant:
            return grant

        connection = Connection(give, on_state=lambda *_: None, attributes={})
        task = asyncio.create_task(connection.run())
        await asyncio.sleep(delay)
        before = time.monotonic()
        await connection.close()
        assert time.monotonic() - before < 10
        await task
    async with operator(stack) as sfu:
        asked = api.ListParticipantsRequest(room=grant.room)
        async with asyncio.timeout(80):
            while (await sfu.room.list_participants(asked)).participants:
                await asyncio.sleep(0.1)


async def test_a_flood_is_bounded_before_anybody_takes_it(stack: Stack) -> None:
    async with running(stack, "ann") as ann:
        login = await stack.user("bob")
        grant = await token(stack, login)

        async def give() -> Grant:
            return grant

        full = Connection(give, on_state=lambda *_: None, attributes={"a": "b"}, inbox_limit=50)
        task = asyncio.create_task(full.run())
        await until(lambda: full.connected and ann.connection.participants())
        for number in range(80):
            await ann.connection.publish(b"%d" % number, reliable=True)
        await until(lambda: full.received + full.dropped == 80)
        assert (full.received, full.dropped) == (50, 30)
        assert [int(one.data) for one in await full.packets()] == list(range(50))
        await full.close()
        await task


async def test_an_own_token_needs_no_jwt_service(stack: Stack) -> None:
    await stack.jwt.stop()
    grant = api_key_grant(
        stack.livekit_key, stack.livekit_secret, stack.livekit_url, "!own:test", "@b:test", "D"
    )
    room = rtc.Room()
    await room.connect(grant.url, grant.jwt)
    assert (room.name, room.local_participant.identity) == (grant.room, grant.identity)
    await room.disconnect()


@pytest.mark.scenario("J03", "J06", "J08")
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("unauthorized", Transient),
        ("lookup_failed", Transient),
        ("no_room", Transient),
        ("shutting_down", Transient),
        ("rate_limited", RateLimited),
        ("forbidden", Forbidden),
        ("bad_json", ServerError),
        ("hang", Transient),
        ("garbage", ServerError),
        ("no_jwt", ServerError),
    ],
)
async def test_faults_of_the_jwt_service(stack: Stack, fault: str, kind: type[ServerError]) -> None:
    login = await stack.user("ann")
    await stack.jwt.fault(fault)
    with pytest.raises(ServerError) as caught:
        await token(stack, login)
    assert type(caught.value) is kind


@pytest.mark.scenario("J05")
async def test_an_address_that_is_another_servers_is_told(stack: Stack) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(NotFound):
            await sfu_get(http, stack.homeserver_url, ROOM, {}, "DEV")


@pytest.mark.scenario("C10", "J11")
async def test_a_token_out_of_date_is_followed_by_a_fresh_one(stack: Stack) -> None:
    await stack.jwt.fault("stale_token", times=1)
    async with running(stack, "ann") as ann:
        assert ann.told[:2] == [
            (State.CONNECTING, ""),
            (State.LOST, "LiveKit did not accept the token"),
        ]
        assert len(ann.grants) == 2


async def child(stack: Stack, mode: str) -> tuple[int | None, str, str]:
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.system.livekit_child",
        mode,
        stack.livekit_url,
        stack.livekit_key,
        stack.livekit_secret,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await program.communicate()
    return program.returncode, out.decode(), err.decode()


async def test_cancelling_while_it_connects_does_not_kill_the_process(stack: Stack) -> None:
    assert await child(stack, "cancel") == (0, "adapted\ndone\n", "")


@pytest.mark.parametrize(("mode", "said"), [("exchange", "adapted"), ("stock-exchange", "stock")])
async def test_packets_arrive_whether_the_sdk_is_adapted_or_not(
    stack: Stack, mode: str, said: str
) -> None:
    code, out, _ = await child(stack, mode)
    assert (code, out) == (0, f"{said}\n@left:test:DEV b'hello' True\ndone\n")


async def test_the_native_library_prints_nothing(stack: Stack) -> None:
    assert await child(stack, "refuse") == (0, "adapted\ndone\n", "")
