"""Servers fail while people draw: the bot comes back by itself, and nothing is missing after."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.stack.bot import Bot, until
from tests.stack.client.events import MEMBER, member_content, member_key
from tests.stack.client.matrix import MatrixUser
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.drawing import (
    BY_HAND,
    drawing,
    readiness,
    ready,
    same_after_next_snapshot,
    unready,
    well_again,
)
from tests.system.people import QUICK, Meeting, logged, meeting, name, person
from tests.system.smalldisk import SmallDisk

DELAY = 4.0
"""Of the bot's delayed leave here (people.QUICK)."""


async def stays_announced(here: Meeting) -> None:
    """No leave of the time before has taken it out for good.

    That none does for a moment either: test_killed_and_started_at_once_it_stays_announced.
    """
    await asyncio.sleep(DELAY + 1)
    await here.announced()


@pytest.mark.scenario("C06")
async def test_synapse_gone_for_ten_seconds(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, habits=BY_HAND) as here:
        async with drawing(here.alice) as pen:
            await here.recorded(5)
            await stack.synapse.kill()
            gone = time.monotonic()
            await unready(here.bot, "homeserver", within=8)
            recorded = here.entries(kind="update")
            await asyncio.sleep(gone + 10 - time.monotonic())
            # LiveKit knows nothing of it: what is drawn meanwhile is recorded.
            await until(
                lambda: here.entries(kind="update") > recorded, 10, "not recorded", here.bot
            )
            await stack.synapse.start()
            await well_again(here, within=40)
            await stays_announced(here)
        assert len(pen.drawn) > 10
        await same_after_next_snapshot(here)


@pytest.mark.scenario("C05")
async def test_livekit_killed_and_started_again(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, habits=BY_HAND) as here:
        async with drawing(here.alice):
            await here.recorded(5)
            await stack.livekit.kill()
            await unready(here.bot, "livekit", within=10)
            await asyncio.sleep(1)
            await stack.livekit.start()
            await well_again(here, within=40)
            recorded = here.entries(kind="update")
            await here.recorded(recorded + 5)
        await same_after_next_snapshot(here)


async def test_jwt_service_answers_500_for_five_seconds(stack: Stack, tmp_path: Path) -> None:
    """With a LiveKit that has just lost everybody, so that everybody needs a token."""
    async with meeting(stack, tmp_path, habits=BY_HAND) as here:
        async with drawing(here.alice):
            await here.recorded(5)
            await stack.jwt.fault("lookup_failed")
            await stack.livekit.restart()
            await until(lambda: refusals(here) >= 1, 15, "no token was asked for", here.bot)
            await asyncio.sleep(5)
            await stack.jwt.heal()
            await well_again(here, within=40)
            recorded = here.entries(kind="update")
            await here.recorded(recorded + 5)
        await same_after_next_snapshot(here)


def refusals(here: Meeting) -> int:
    """Return how often the bot's connection was lost before it stood."""
    return len([line for line in logged(here.bot, "livekit") if line["state"] == "lost"])


async def test_connections_cut_and_frozen_while_the_servers_live(
    stack: Stack, tmp_path: Path
) -> None:
    """A network that goes away: refused connections, and worse, ones that only fall silent."""
    async with meeting(stack, tmp_path, habits=BY_HAND) as here:
        async with drawing(here.alice):
            await here.recorded(5)
            for proxy in (stack.proxies.synapse, stack.proxies.livekit):
                await proxy.cut()
            await asyncio.sleep(3)
            for proxy in (stack.proxies.synapse, stack.proxies.livekit):
                await proxy.restore()
            await well_again(here, within=40)
            await stack.proxies.synapse.pause()
            await stack.livekit.pause()
            await asyncio.sleep(3)
            await stack.livekit.resume()
            await stack.proxies.synapse.restore()
            await well_again(here, within=40)
            recorded = here.entries(kind="update")
            await here.recorded(recorded + 5)
        await same_after_next_snapshot(here)


async def test_full_disk(stack: Stack, tmp_path: Path) -> None:
    """It stays announced, says what is wrong, and writes all of it when there is room again."""
    bot = Bot(stack, tmp_path / "bot", await stack.user(name("bot")), QUICK)
    disk = SmallDisk(bot)
    await bot.start()
    try:
        async with person(stack, "alice", BY_HAND) as alice:
            here = Meeting(stack, bot, alice, await alice.create_board(invite=[bot.user_id]))
            await alice.open(here.board)
            await here.heard()
            async with drawing(alice, reliable=True) as pen:
                await committed(bot, 5)
                free = disk.fill()
                await unready(bot, "archive", within=20)
                stuck = await committed(bot, 5)
                await stays_announced(here)
                assert await committed(bot, 5) == stuck
                _, components = await readiness(bot)
                assert components["homeserver"]
                assert components["livekit"]
                free()
                await ready(bot, within=40)
            # Not one is lost: they waited in memory.
            await until(
                lambda: disk.copied_whole() and here.entries(kind="update") == len(pen.drawn),
                20,
                f"not {len(pen.drawn)} strokes",
                bot,
            )
            await same_after_next_snapshot(here)
    finally:
        await bot.kill()


async def committed(bot: Bot, count: int) -> float:
    """Wait until so many entries are committed; return how many are."""

    async def check() -> float:
        found = (await bot.metrics())["boardkeeper_entries_total"]
        return found if found >= count else 0

    return float(await until(check, 10, f"{count} entries are not committed", bot))


async def test_told_to_end_while_the_room_changes_it_leaves_all_the_same(
    stack: Stack, tmp_path: Path
) -> None:
    """Nobody's membership that comes in the last moment makes it announce itself again."""
    config = {"rtc": {"refresh": "1s", "delay": "60s"}}
    async with meeting(stack, tmp_path, config, habits=BY_HAND) as here:
        user, room_id = here.alice.user, here.board.room_id
        content = member_content(here.board, "OTHER", [stack.jwt_url], 2**45)

        async def come_and_go() -> None:
            key = member_key(user.user_id, "OTHER")
            while True:
                await user.put_state(room_id, MEMBER, content, key)
                await user.put_state(room_id, MEMBER, {}, key)

        task = asyncio.create_task(come_and_go())
        await asyncio.sleep(0.5)
        begun = time.time() * 1000
        await here.bot.stop()
        task.cancel()
        await asyncio.wait([task])
        event = await here.state_event(MEMBER, here.bot.state_key)
        assert event is not None
        assert event["content"] == {}
        assert event["origin_server_ts"] - begun < 50_000  # the delayed leave would come later


async def test_who_came_at_the_same_instant_as_somebody_else_is_seen_after_a_restart(
    stack: Stack, tmp_path: Path
) -> None:
    """Synapse's first sync leaves him out: two events that do not know of each other come last."""
    async with meeting(stack, tmp_path, opened=False) as here, person(stack, "bob") as bob:
        room_id = here.board.room_id
        await here.alice.user.membership(room_id, "invite", bob.user.user_id)
        await bob.user.membership(room_id, "join")
        await stack.jwt.fault("lookup_failed")  # the bot sees her, and writes nothing to the room
        while not await left_out(here, bob.user):
            pass
        position = sync_position(here)
        await here.alice.create_board(invite=[here.bot.user_id])  # so that sync goes on
        await until(lambda: len(logged(here.bot, "board found")) > 1, 30, "sync hangs", here.bot)
        await until(lambda: sync_position(here) != position, 30, "nothing is stored", here.bot)
        await here.bot.kill()
        assert await alice_is_missing(here)
        await stack.jwt.heal()
        await here.bot.start()
        await here.announced()


async def left_out(here: Meeting, bob: MatrixUser) -> bool:
    """Have Alice come while Bob writes something; return whether sync's state lacks her."""
    alice, room_id = here.alice.user, here.board.room_id
    key = member_key(alice.user_id, "PHONE")
    await alice.put_state(room_id, MEMBER, {}, key)
    content = member_content(here.board, "PHONE", [here.stack.jwt_url], 2**45)
    other = {"application": "none", "n": time.time_ns() // 1000}
    await asyncio.gather(
        alice.put_state(room_id, MEMBER, content, key),
        bob.put_state(room_id, MEMBER, other, member_key(bob.user_id, "PC")),
    )
    return await alice_is_missing(here)


async def alice_is_missing(here: Meeting) -> bool:
    """Return whether the whole state that sync gives at a start shows that she has left."""
    user = here.alice.user
    path = "/_matrix/client/v3/sync"
    asked = {"timeout": "0", "filter": json.dumps({"room": {"state": {"types": [MEMBER]}}})}
    since = (await user.request("GET", path, query=asked))["next_batch"]
    found = await user.request("GET", path, query={**asked, "since": since, "full_state": "true"})
    state = found["rooms"]["join"][here.board.room_id]["state"]["events"]
    return not any(one["content"] for one in state if one["sender"] == user.user_id)


def sync_position(here: Meeting) -> str:
    """Return the position of sync that the bot has stored."""
    [[position]] = query(here.bot.data, "SELECT value FROM meta WHERE name = 'sync_token'")
    return str(position)
