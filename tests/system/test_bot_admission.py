"""The homeserver's limits carry so many boards: no more are admitted, and none is lost (M48, M49).

With a refresh of 1 s and a limit five times Synapse's own, things go as fast as with 5 s and
Synapse's own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.chaos.checks import gaps, standing
from tests.chaos.crew import Crew, crew
from tests.stack.bot import Bot, until
from tests.stack.client import events
from tests.stack.client.events import MEMBER
from tests.stack.stack import Options, Stack
from tests.system.people import logged

CARRIED = 4
WATCHED = 20.0
"""Seconds: with one board too many, restarts would be refused from the first on."""
LIMITED = Options(synapse={"rc_delayed_event_mgmt": {"per_second": 5, "burst_count": 5}})
SLOWER = "restarts are refused again and again: no further boards, longer intervals"
WAITS = "the homeserver's limits carry no more boards: this one has to wait"
CONFIG: Mapping[str, Any] = {
    "rtc": {"refresh": "1s", "delay": "4s"},
    "presence": {"linger": "0s"},
    "invites": {"per_minute": 1000},
}


@asynccontextmanager
async def boards(
    folder: Path, count: int, options: Options, config: Mapping[str, Any], *, exempt: bool = False
) -> AsyncIterator[tuple[Crew, Bot]]:
    """A person on so many boards, and the bot invited to all of them."""
    async with Stack.start(folder / "stack", options) as stack, crew(stack) as people:
        await stack.exempt(people.person.user_id)
        login = await stack.user("bot")
        if exempt:
            await stack.exempt(login.user_id)
        bot = Bot(stack, folder / "bot", login, config)
        await people.make_boards(bot, count)
        await people.enter()
        await bot.start()
        try:
            yield people, bot
        finally:
            await bot.kill()


async def said(people: Crew, room_id: str) -> list[str]:
    """Return what was written into a room."""
    path = f"/_matrix/client/v3/rooms/{quote(room_id)}/messages"
    found = await people.user.request("GET", path, query={"dir": "b", "limit": "100"})
    return [
        event["content"].get("body", "")
        for event in found["chunk"]
        if event["type"] == "m.room.message"
    ]


def on(people: Crew) -> set[str]:
    """Return the rooms in which the bot is announced."""
    return {room_id for (room_id, _), marks in people.marks.items() if standing(marks)}


def lost(people: Crew) -> int:
    """Return how often a membership was missing after it had been there."""
    return sum(len(gaps(marks)) for marks in people.marks.values())


@pytest.mark.scenario("M48")
async def test_boards_beyond_the_limits_wait_and_none_is_lost(tmp_path: Path) -> None:
    async with boards(tmp_path, 2 * CARRIED, LIMITED, CONFIG) as (people, bot):
        await people.bot_on(CARRIED, 30, bot)
        await asyncio.sleep(WATCHED)
        first = on(people)
        assert len(first) == CARRIED
        assert lost(people) == 0
        metrics = await bot.metrics()
        assert metrics["boardkeeper_boards_admitted"] == CARRIED
        assert metrics["boardkeeper_boards_capacity"] == CARRIED
        assert metrics["boardkeeper_boards_refused"] == CARRIED
        for room_id, _ in people.marks:
            told = [text for text in await said(people, room_id) if "homeserver carry" in text]
            assert len(told) == (room_id not in first)
        await leave(people, first.pop())
        await until(lambda: len(on(people) - first) == 1, 15, "nobody moves up", bot)
        await asyncio.sleep(3)
        assert len(on(people)) == CARRIED


async def leave(people: Crew, room_id: str) -> None:
    """Take the person off one board: the bot goes too."""
    key = events.member_key(people.person.user_id, people.person.device_id)
    await people.user.put_state(room_id, MEMBER, {}, key)


@pytest.mark.scenario("M49")
async def test_an_exempt_account_keeps_five_seconds_on_twenty_boards(tmp_path: Path) -> None:
    """Under Synapse's own limits, lifted for this account as operators are told."""
    config = {**CONFIG, "rtc": {}}
    limits = Options(default_limits=True)
    async with boards(tmp_path, 20, limits, config, exempt=True) as (people, bot):
        await people.bot_on(20, 60, bot)
        begun, before = time.monotonic(), await restarts(people.stack, bot)
        await asyncio.sleep(WATCHED)
        asked, spent = await restarts(people.stack, bot) - before, time.monotonic() - begun
        assert asked == pytest.approx(20 * spent / 5, rel=0.2)
        assert lost(people) == 0
        assert (await bot.metrics())["boardkeeper_boards_admitted"] == 20


async def restarts(stack: Stack, bot: Bot) -> int:
    """Return how many restarts of delayed events have been granted so far."""
    log = await asyncio.to_thread((stack.folder / "synapse.log").read_text)
    return sum(
        1
        for line in log.splitlines()
        if f"{{{bot.user_id}}}" in line and '/restart HTTP/1.1"' in line and " 200 " in line
    )


@pytest.mark.scenario("M48")
async def test_stretched_intervals_carry_more(tmp_path: Path) -> None:
    """Only when configured; the boards that came first are not lost either.

    At half the pace of the others: of their 4 s long intervals leave a busy machine too little.
    """
    config = {**CONFIG, "rtc": {"refresh": "2s", "delay": "8s", "stretch": True}}
    slower = Options(synapse={"rc_delayed_event_mgmt": {"per_second": 2.5, "burst_count": 5}})
    async with boards(tmp_path, 2 * CARRIED, slower, config) as (people, bot):
        await people.bot_on(2 * CARRIED, 40, bot)
        await asyncio.sleep(WATCHED)
        assert len(on(people)) == 2 * CARRIED
        assert lost(people) == 0


@pytest.mark.scenario("M48")
async def test_a_limit_that_only_shows_in_the_long_run_slows_down_what_stands(
    tmp_path: Path,
) -> None:
    """A burst that no probe finds: by then there are more boards than the rate carries."""
    hidden = Options(synapse={"rc_delayed_event_mgmt": {"per_second": 1, "burst_count": 26}})
    async with boards(tmp_path, 7, hidden, {**CONFIG, "rtc": {}}) as (people, bot):
        await people.bot_on(7, 40, bot)
        await until(lambda: logged(bot, SLOWER), 40, "admission stays open", bot)
        await people.make_boards(bot, 1)
        await people.enter()
        await until(lambda: logged(bot, WAITS), 15, "the eighth is not refused", bot)
        await asyncio.sleep(WATCHED)
        assert len(on(people)) == 7
        assert lost(people) == 0
