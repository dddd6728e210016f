"""Our own sticky membership against a real Synapse, and the JWT service's word for its seat."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from bot.account import send_left_over
from bot.config import Config, Livekit
from bot.config import Homeserver as Account
from bot.config.secret import Secret
from bot.entrance import Entrance
from bot.errors import Transient
from bot.livekit import lean
from bot.livekit.auth import get_token, room_name
from bot.matrix.client import Homeserver
from bot.matrix.delayed import DelayedEvent
from bot.presence.forms import StickyForm
from bot.presence.keeper import Keeper
from bot.rtc import sticky
from bot.rtc.membership import Focus
from bot.rtc.own import OwnMembership, Status
from bot.rtc.sticky import STICKY_TYPE, Seat, pseudonym
from bot.rtc.timing import Timing
from tests.fakes.homeserver import MemoryTokens
from tests.stack.bot import until
from tests.stack.client.sticky import sticky_problems
from tests.stack.stack import Login, Stack
from tests.system.people import name

lean.apply()

V3 = "/_matrix/client/v3"
BOARD = "board"
QUICK = Timing(refresh=1.0, delay=8.0, attempt=1.0, expires=3600.0, renew=3240.0)
"""Restarts and leaves that make tests short, with a whole hour of stickiness."""


class Kept:
    """A membership that is kept, and what the room says of it."""

    def __init__(self, life: Life, timing: Timing) -> None:
        self.member_id = secrets.token_hex(8)
        self.statuses: list[Status] = []
        hs = life.hs

        def content() -> dict[str, Any]:
            return sticky.join_content(
                call_id=BOARD,
                whose=(hs.user_id, hs.device_id),
                member_id=self.member_id,
                foci=[Focus(life.stack.jwt_url)],
                spelling="livekit",
            )

        self.keeper = Keeper(
            StickyForm(
                hs, life.room_id, (hs.user_id, hs.device_id), BOARD, self.member_id, content
            ),
            OwnMembership(timing, once=True),
            supported=lambda: True,
            changed=self.statuses.append,
        )
        self.task = asyncio.create_task(self.keeper.run())

    async def joined(self) -> None:
        self.keeper.join()
        await until(lambda: self.statuses[-1:] == [Status.JOINED], 15, "not joined")

    async def ended(self, within: float = 20) -> None:
        await until(lambda: self.statuses[-1:] == [Status.ENDED], within, "not ended")


class Life:
    """One life of a bot: its client, its sync, its memberships in a room of alice's."""

    def __init__(self, stack: Stack, hs: Homeserver, alice: Login, room_id: str) -> None:
        self.stack = stack
        self.hs = hs
        self.alice = alice
        self.room_id = room_id
        self.kept: list[Kept] = []

    def keep(self, timing: Timing = QUICK) -> Kept:
        kept = Kept(self, timing)
        self.kept.append(kept)
        return kept

    async def sync(self) -> None:
        """Tell the memberships what the room says, until cancelled."""
        since: dict[str, str] = {}
        about = {"room": {"timeline": {"types": [STICKY_TYPE, "m.room.redaction"]}}}
        login = Login(self.hs.user_id, self.hs.device_id, self.hs.transport.token, "")
        while True:
            query = {"timeout": "1000", "filter": json.dumps(about), **since}
            try:
                answer = await self.stack.call(login, "GET", f"{V3}/sync", **query)
            except OSError:
                await asyncio.sleep(0.2)  # the homeserver is down
                continue
            if answer.status != 200:
                continue
            since = {"since": answer.body["next_batch"]}
            room = answer.body.get("rooms", {}).get("join", {}).get(self.room_id, {})
            events = room.get("msc4354_sticky", {}).get("events", [])
            for event in [*events, *room.get("timeline", {}).get("events", [])]:
                for kept in self.kept:
                    kept.keeper.own_state(event)

    async def events(self, *kept: Kept) -> list[dict[str, Any]]:
        """Return the events of memberships as alice finds them, oldest first."""
        about = json.dumps({"types": [STICKY_TYPE]})
        path = f"{V3}/rooms/{quote(self.room_id)}/messages"
        query = {"dir": "b", "limit": "100", "filter": about}
        answer = await self.stack.call(self.alice, "GET", path, **query)
        ids = {one.member_id for one in kept}
        found = [one for one in answer.body["chunk"] if _key(one) in ids]
        assert [problem for one in found for problem in sticky_problems(one)] == []
        return list(reversed(found))

    async def says(self, *kept: Kept) -> list[str]:
        """Return, of each event, the join or the leave's reason."""
        contents = [one["content"] for one in await self.events(*kept)]
        return [one.get("leave_reason", {"code": "join"})["code"] for one in contents]

    async def delayed(self, kept: Kept) -> list[DelayedEvent]:
        listed = await self.hs.delayed_events()
        return [one for one in listed if one.sticky_key == kept.member_id]


def _key(event: dict[str, Any]) -> object:
    return event["content"].get("msc4354_sticky_key")


@asynccontextmanager
async def login(stack: Stack, user: Login) -> AsyncIterator[Homeserver]:
    """A client of an account on its device, as after a start."""
    async with Homeserver(
        stack.homeserver_url,
        user.user_id,
        user.device_id,
        access_token=user.access_token,
        tokens=MemoryTokens(),
    ) as hs:
        await hs.login()
        yield hs


@asynccontextmanager
async def lived(stack: Stack, user: Login, alice: Login, room_id: str) -> AsyncIterator[Life]:
    """A life that ends as if killed."""
    async with login(stack, user) as hs:
        life = Life(stack, hs, alice, room_id)
        syncing = asyncio.create_task(life.sync())
        try:
            yield life
        finally:
            tasks = [syncing, *(one.task for one in life.kept)]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@asynccontextmanager
async def life(stack: Stack) -> AsyncIterator[Life]:
    alice, bot = await stack.user(name("alice")), await stack.user(name("bot"))
    async with lived(stack, bot, alice, await room_of(stack, alice, bot)) as here:
        yield here


async def room_of(stack: Stack, alice: Login, bot: Login) -> str:
    """A room of alice's with the bot in it."""
    created = await stack.call(alice, "POST", f"{V3}/createRoom", {"invite": [bot.user_id]})
    room_id = str(created.body["room_id"])
    await stack.call(bot, "POST", f"{V3}/join/{quote(room_id)}", {})
    return room_id


@pytest.mark.scenario("M01", "M02", "M03", "M29")
async def test_m01_m02_m03_m29_sticky_it_joins_stays_and_leaves(stack: Stack) -> None:
    async with life(stack) as here:
        kept = here.keep()
        await kept.joined()
        [join] = await here.events(kept)
        assert join["msc4354_sticky"]["duration_ms"] == 3_600_000
        [armed] = await here.delayed(kept)
        assert armed.slot_id == f"net.nordeck.whiteboard#{BOARD}"
        assert (armed.state_key, armed.device_id) == (None, here.hs.device_id)
        await asyncio.sleep(QUICK.delay + 2)
        assert await here.says(kept) == ["join"]
        kept.keeper.leave()
        await asyncio.wait_for(kept.keeper.left(), 60)
        assert await here.says(kept) == ["join", "leave"]
        assert await here.delayed(kept) == []
        await kept.ended()
        kept.keeper.join()
        await asyncio.sleep(1)
        assert await here.says(kept) == ["join", "leave"]


@pytest.mark.scenario("C08", "M42")
async def test_c08_m42_sticky_killed_it_is_gone_and_comes_back_under_another_id(
    stack: Stack,
) -> None:
    async with life(stack) as here:
        first, second = here.keep(), here.keep()
        await first.joined()
        first.task.cancel()
        await until(lambda: here.delayed(first), 1, "it was not armed")
        killed = time.time() * 1000
        await second.joined()

        async def fired() -> bool:
            return (await here.says(first))[-1] == "delayed_leave"

        await until(fired, 30, "the delayed leave has not fired")
        [_, leave] = await here.events(first)
        assert leave["origin_server_ts"] < killed + 10 * QUICK.delay * 1000
        assert leave["msc4354_sticky"]["duration_ms"] == 3_600_000
        assert await here.says(second) == ["join"]
        assert len(await here.delayed(second)) == 1
        assert second.statuses[-1] is Status.JOINED


@pytest.mark.scenario("M25", "M28")
async def test_m25_m28_sticky_renewed_and_armed_anew_it_never_ends(stack: Stack) -> None:
    async with life(stack) as here:
        kept = here.keep(replace(QUICK, expires=40.0, renew=3.0))
        await kept.joined()
        armed: set[str] = set()

        async def renewed() -> bool:
            delayed = await here.delayed(kept)
            assert delayed, "a moment with nothing armed"
            armed.update(one.delay_id for one in delayed)
            events = await here.events(kept)
            assert time.time() * 1000 < events[-1]["origin_server_ts"] + 40_000
            return len(events) >= 5

        await until(renewed, 60, "not renewed")
        events = (await here.events(kept))[:5]
        assert {one["msc4354_sticky"]["duration_ms"] for one in events} == {40_000}
        gaps = [b["origin_server_ts"] - a["origin_server_ts"] for a, b in pairwise(events)]
        assert min(gaps) > 2900
        await until(lambda: _one(here, kept), 15, "the old leave is still armed")
        assert len(armed) >= 3, "it was not armed anew"
        assert kept.statuses == [Status.JOINING, Status.JOINED]


async def _one(here: Life, kept: Kept) -> bool:
    return len(await here.delayed(kept)) == 1


@pytest.mark.scenario("M38")
async def test_m38_sticky_its_leave_fired_it_is_over(stack: Stack) -> None:
    async with life(stack) as here:
        kept, next_one = here.keep(), here.keep()
        await kept.joined()
        [armed] = await here.delayed(kept)
        await here.hs.send_delayed(armed.delay_id)
        await kept.ended()
        await asyncio.sleep(QUICK.refresh)
        assert await here.says(kept) == ["join", "delayed_leave"]
        await next_one.joined()


@pytest.mark.scenario("M37")
async def test_m37_sticky_redacted_it_is_over(stack: Stack) -> None:
    async with life(stack) as here:
        kept = here.keep()
        await kept.joined()
        [join] = await here.events(kept)
        path = f"{V3}/rooms/{quote(here.room_id)}/redact/{quote(join['event_id'])}/t1"
        assert (await stack.call(here.alice, "PUT", path, {})).status == 200
        await kept.ended()
        await asyncio.wait_for(kept.keeper.left(), 60)
        assert await here.says(kept) == ["leave"]
        assert await here.delayed(kept) == []


@pytest.mark.scenario("M42")
async def test_m42_sticky_what_an_earlier_life_left_is_sent_at_the_start(stack: Stack) -> None:
    alice, bot = await stack.user(name("alice")), await stack.user(name("bot"))
    room_id = await room_of(stack, alice, bot)
    long = replace(QUICK, delay=600.0)
    localpart = bot.user_id[1:].partition(":")[0]
    phone = await stack.user(localpart, "PHONE")
    async with (
        lived(stack, bot, alice, room_id) as first,
        lived(stack, phone, alice, room_id) as another,
    ):
        old, others = first.keep(long), another.keep(long)
        await old.joined()
        await others.joined()
    async with lived(stack, bot, alice, room_id) as second:
        assert await second.says(old, others) == ["join", "join"]
        await send_left_over(second.hs)
        assert await second.says(old) == ["join", "delayed_leave"]
        assert await second.says(others) == ["join"]
        assert await second.delayed(old) == []
        [armed] = await second.delayed(others)
        kept = second.keep()
        await kept.joined()
        await second.hs.cancel_delayed(armed.delay_id)


@pytest.mark.scenario("M45")
async def test_m45_sticky_forbidden_it_waits(stack: Stack) -> None:
    async with life(stack) as here:
        path = f"{V3}/rooms/{quote(here.room_id)}/state/m.room.power_levels"
        levels = (await stack.call(here.alice, "GET", path)).body
        closed = levels | {"events": levels["events"] | {STICKY_TYPE: 50}}
        assert (await stack.call(here.alice, "PUT", path, closed)).status == 200
        kept = here.keep()
        kept.keeper.join()
        await until(lambda: Status.FORBIDDEN in kept.statuses, 15, "not refused")

        async def nothing_armed() -> bool:
            return not await here.delayed(kept)

        await until(nothing_armed, 15, "the leave is still armed")
        assert (await stack.call(here.alice, "PUT", path, levels)).status == 200
        kept.keeper.permission_changed()
        await kept.joined()
        assert await here.says(kept) == ["join"]


@pytest.mark.scenario("M21", "M51")
async def test_m21_m51_sticky_synapse_down_for_longer_than_the_delay(stack: Stack) -> None:
    async with life(stack) as here:
        kept = here.keep()
        await kept.joined()
        await stack.synapse.kill()
        await asyncio.sleep(QUICK.delay + 1)
        await stack.synapse.start()
        await kept.ended(60)
        await asyncio.wait_for(kept.keeper.left(), 60)
        # Ours is sent to be sure, when the 404 comes before the sync; Synapse may be later.
        joined, *left = await here.says(kept)
        assert joined == "join"
        assert left
        assert set(left) <= {"delayed_leave", "leave"}
        assert await here.delayed(kept) == []
        another = here.keep()
        await another.joined()


@pytest.mark.scenario("J01", "J02", "J09")
async def test_a_seat_is_let_in_by_its_pseudonym_and_the_slots_room(stack: Stack) -> None:
    async with life(stack) as here, aiohttp.ClientSession() as http:
        hs, seat = here.hs, Seat(sticky.slot_id(BOARD), "memberABC")
        who = (hs.user_id, hs.device_id)
        openid = await hs.openid_token()
        grant = await get_token(http, stack.jwt_url + "/", here.room_id, seat, openid, *who)
        assert grant.identity == pseudonym(*who, "memberABC")
        assert grant.room == room_name(here.room_id, seat.slot_id)
        openid = await hs.openid_token()
        with pytest.raises(Transient, match="OpenID"):
            await get_token(http, stack.jwt_url, here.room_id, seat, openid, "@x:y", "DEV")


@pytest.mark.scenario("J02", "X08")
async def test_through_the_entrance_it_meets_others_of_the_slot_only(stack: Stack) -> None:
    async with life(stack) as here, aiohttp.ClientSession() as http:
        account = Account(url=stack.homeserver_url, user_id=here.hs.user_id)
        asking = Entrance(Config(homeserver=account), here.hs, http, list)
        secret = Secret(stack.livekit_secret)
        key = Livekit("api_key", stack.livekit_url, stack.livekit_key, secret)
        making = Entrance(Config(homeserver=account, livekit=key), here.hs, http, list)
        seen: dict[str, set[str]] = {"a": set(), "b": set(), "legacy": set()}

        def meets(name: str) -> Callable[[str, bool], None]:
            return lambda who, there: seen[name].add(who) if there else None

        slot = "net.nordeck.whiteboard#w1"
        where, nothing = (here.room_id, stack.jwt_url), lambda: None
        connections = [
            asking.connect(*where, nothing, meets("a"), Seat(slot, "a")),
            making.connect(*where, nothing, meets("b"), Seat(slot, "b")),
            asking.connect(*where, nothing, meets("legacy")),
        ]
        tasks = [asyncio.create_task(one.run()) for one in connections]
        try:
            await until(lambda: all(one.connected for one in connections), 30, "not connected")
            await until(lambda: seen["a"] and seen["b"], 30, "they do not meet")
            names = {name: pseudonym(here.hs.user_id, here.hs.device_id, name) for name in "ab"}
            assert seen == {"a": {names["b"]}, "b": {names["a"]}, "legacy": set()}
        finally:
            for one in connections:
                await one.close()
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(tasks)
