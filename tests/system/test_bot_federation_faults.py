"""The bot among people of two homeservers when a cable, a homeserver, an SFU or the bot fails."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.client.events import MEMBER, member_content, member_key
from tests.stack.client.matrix import Event, MatrixUser
from tests.stack.client.meeting import now_ts
from tests.stack.federation import Federation
from tests.stack.neoboard import NeoBoard
from tests.system.federated import NEW, OLD, Two, bot_among, crossed, meet, membership_at, sees, two
from tests.system.people import logged

CUT = 30.0


def present(someone: NeoBoard) -> set[str]:
    """Who is on the board, as somebody sees it."""
    return {one.user_id for one in someone.members}


async def bot_gone(here: Two, *people: NeoBoard, within: float = 20) -> None:
    """Wait until these do not see the bot any more."""
    for someone in people:
        await someone.until(lambda who=someone: not bot_among(here, who), within, "it gone")  # type: ignore[misc]


async def seen_by_bot(here: Two, users: set[str], within: float = 20) -> None:
    """Wait until the bot counts just these on the board."""

    def check() -> bool:
        told = logged(here.bot, "session changed")
        return bool(told) and set(told[-1]["users"]) - {here.bot.user_id} == users

    await until(check, within, f"the bot does not see {users}", here.bot)


@pytest.mark.scenario("X03")
async def test_x03_drawing_goes_on_while_the_cable_is_cut_and_nobody_is_lost(
    federation: Federation, tmp_path: Path
) -> None:
    async with two(federation, tmp_path, alice=NEW, bob=NEW) as here:
        alice, bob = here.alice, here.bob
        carol = await here.guest(federation.b, "carol", NEW)
        dave = await here.guest(federation.b, "dave", NEW)
        for someone in (alice, bob, carol):
            await someone.open(here.board)
        await meet(here, alice, bob, carol)
        await federation.cut()
        begun = time.monotonic()
        await carol.leave()  # nobody of A hears of it
        await dave.open(here.board)  # nor of that
        drawn = []
        while time.monotonic() - begun < CUT:
            drawn += [await one.draw(elements.shape(text="cut")) for one in (alice, bob)]
            await asyncio.sleep(1)
        # Who is in no membership that A knows is not heard by anybody there: a snapshot brings it.
        unknown = await dave.draw(elements.shape(text="unknown"))
        told = logged(here.bot, "session changed")[-1]["users"]
        assert set(told) - {here.bot.user_id} == {alice.user_id, bob.user_id, carol.user_id}
        await federation.restore()
        await seen_by_bot(here, {alice.user_id, bob.user_id, dave.user_id}, 60)
        await meet(here, dave)  # from now on he has a name
        for element in (*drawn, unknown):
            for someone in (alice, bob):
                await sees(someone, element, 30)

        async def all_kept() -> bool:
            exported = str(await here.bot.export(here.board.whiteboard_id))
            return (exported.count("'cut'"), exported.count("'unknown'")) == (len(drawn), 1)

        await until(all_kept, 20, "not every stroke is kept", here.bot)


@pytest.mark.scenario("X03")
async def test_x03_sticky_a_leave_that_never_comes_is_ended_by_the_stickiness(
    federation: Federation, tmp_path: Path
) -> None:
    async with two(federation, tmp_path, bob=replace(NEW, sticky_ms=20_000)) as here:
        await here.bob.open(here.board)
        await here.bob.until(partial(bot_among, here, here.bob), 40, "the bot")
        await federation.cut()
        await here.bob.kill()
        await seen_by_bot(here, set(), 40)


@pytest.mark.scenario("X03")
async def test_x03_legacy_a_leave_that_never_comes_is_ended_by_the_expiry(
    federation: Federation, tmp_path: Path
) -> None:
    async with two(federation, tmp_path) as here:
        bob, room_id = here.bob, here.board.room_id
        key = member_key(bob.user_id, bob.device_id)
        content = member_content(here.board, bob.device_id, [federation.a.jwt_url], now_ts() + 8000)
        await bob.user.put_state(room_id, MEMBER, content, key)
        await here.announced(within=20)
        await federation.cut()
        await bob.user.put_state(room_id, MEMBER, {}, key)
        await here.gone(within=30)
        assert await membership_at(here.alice, bob) == content  # nobody of A has heard
        await federation.restore()

        async def arrived() -> bool:
            return not await membership_at(here.alice, bob)

        await until(arrived, 30, "the leave does not come")
        assert await here.membership() == {}


@pytest.mark.scenario("X04")
async def test_x04_what_another_server_knew_before_the_cut_brings_nobody_back(
    federation: Federation, tmp_path: Path
) -> None:
    async with two(federation, tmp_path) as here:
        alice = here.alice
        await alice.open(here.board)
        await here.announced()
        await crossed(here.bob, alice)
        await federation.cut()
        await alice.leave()
        await here.gone()
        # For B she is there; Synapse tells the bot of A what B knew, beside what Bob says.
        said = await here.bob.say("on another branch")
        token, _ = await alice.user.begin_sync(here.board.room_id)
        await federation.restore()
        told = await heard(alice.user, here.board.room_id, token, said)
        assert any(event["content"] for event in told if event["type"] == MEMBER)
        await asyncio.sleep(4)
        await seen_by_bot(here, set())
        await here.gone()
        assert await membership_at(alice, alice) == {}


async def heard(user: MatrixUser, room_id: str, token: str, event_id: str) -> list[Event]:
    """Follow a room until an event comes; returns all that came."""
    events: list[Event] = []
    following = asyncio.create_task(user.follow(room_id, token, events.append))
    try:
        await until(lambda: event_id in {one["event_id"] for one in events}, 30, "it comes late")
    finally:
        following.cancel()
    return events


async def test_killed_it_vanishes_on_both_servers_and_comes_back(
    federation: Federation, tmp_path: Path
) -> None:
    async with two(federation, tmp_path, alice=NEW, bob=OLD) as here:
        people = here.alice, here.bob
        for someone in people:
            await someone.open(here.board)
        await meet(here, *people)
        await here.bot.kill()
        await bot_gone(here, *people)
        await here.bot.start()
        await meet(here, *people)


async def test_sticky_the_other_servers_sfu_down_takes_only_its_own_people(
    federation: Federation, tmp_path: Path
) -> None:
    async with two(federation, tmp_path, alice=NEW, bob=NEW) as here:
        alice, bob = here.alice, here.bob
        await alice.open(here.board)
        await bob.open(here.board)
        await meet(here, alice, bob)
        (before,) = [one.member_id for one in alice.members if one.user_id == here.bot.user_id]
        await federation.b.livekit.kill()
        await until(lambda: "lost" in states(here), 40, "it does not notice", here.bot)
        await here.says(alice, "meanwhile")
        await asyncio.sleep(4)  # longer than the grace
        (now,) = [one.member_id for one in alice.members if one.user_id == here.bot.user_id]
        assert now == before
        await federation.b.livekit.start()
        await meet(here, bob)


async def test_sticky_the_own_sfu_down_it_withdraws_and_comes_back(
    federation: Federation, tmp_path: Path
) -> None:
    async with two(federation, tmp_path, alice=NEW, bob=NEW) as here:
        await here.alice.open(here.board)
        await here.bob.open(here.board)
        await meet(here, here.alice, here.bob)
        await federation.a.livekit.kill()
        await bot_gone(here, here.bob, within=30)
        await federation.a.livekit.start()
        await meet(here, here.alice, here.bob)


async def test_legacy_the_oldests_homeserver_down_changes_nothing_until_it_is_back(
    federation: Federation, tmp_path: Path
) -> None:
    async with two(federation, tmp_path, host="b") as here:
        await here.bob.open(here.board)
        await here.moved(federation.b.jwt_url)
        await crossed(here.alice, here.bob)
        await here.alice.open(here.board)
        await meet(here, here.alice, here.bob)
        await federation.b.synapse.kill()
        await asyncio.sleep(5)
        for someone in (here.alice, here.bob):
            await here.says(someone, "without B's homeserver")
        assert await here.focus() == federation.b.jwt_url
        await federation.b.synapse.start()
        await meet(here, here.alice, here.bob)


def states(here: Two) -> list[str]:
    """The states of its LiveKit connections, in order."""
    return [event["state"] for event in logged(here.bot, "livekit")]
