"""The bot's own membership against a real Synapse: outages, rivals, lost leaves, odd settings."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.stack.bot import Bot, until
from tests.stack.client.events import DELAY, MEMBER, member_content, member_key
from tests.stack.stack import Login, Options, Stack
from tests.system.archive import query
from tests.system.people import QUICK, Meeting, logged, meeting, name, person, there

ORDINARY = {"presence": {"linger": "2s"}}
"""The durations that the bot has by itself: restarts every 5 s, leave after 18."""
DELAYED = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"
V3 = "/_matrix/client/v3"


async def account(here: Meeting) -> Login:
    """Return another login of the bot's account."""
    return await here.stack.user(here.bot.user_id[1:].partition(":")[0])


async def delayed(here: Meeting, login: Login) -> list[dict[str, Any]]:
    """Return what the homeserver holds back for the bot's key."""
    answer = await here.stack.call(login, "GET", DELAYED)
    assert answer.status == 200
    return [one for one in answer.body["delayed_events"] if one["state_key"] == here.bot.state_key]


async def rejoined(here: Meeting, before: int) -> dict[str, Any]:
    """Wait until another membership stands than the first so many events; return its event."""

    async def check() -> dict[str, Any] | None:
        events = await here.history()
        return events[-1] if len(events) > before and events[-1]["content"] else None

    found: dict[str, Any] = await until(check, 30, "it has not joined again", here.bot)
    return found


@pytest.mark.scenario("M50")
async def test_synapse_down_for_ten_seconds_nobody_notices(stack: Stack, tmp_path: Path) -> None:
    config = {**ORDINARY, "rtc": {"delay": "40s"}}  # 18 by itself: a busy Synapse starts slowly
    async with meeting(stack, tmp_path, config) as here:
        [joined] = await here.history()
        await stack.synapse.kill()
        await asyncio.sleep(10)
        await stack.synapse.start()
        for _ in range(45):  # longer than the delay
            assert await here.membership()
            await asyncio.sleep(1)
        assert [one["event_id"] for one in await here.history()] == [joined["event_id"]]
        assert not [one for one in here.bot.events() if "probably cleared" in one["msg"]]


@pytest.mark.scenario("M21", "M51")
async def test_synapse_down_for_longer_than_the_delay(stack: Stack, tmp_path: Path) -> None:
    """Cleared at the instant it was due, joined again; the session of the others went on."""
    async with meeting(stack, tmp_path) as here:
        user, room_id = here.alice.user, here.board.room_id
        content = member_content(here.board, "PHONE", [stack.jwt_url], 2**45)
        await user.put_state(room_id, MEMBER, content, member_key(user.user_id, "PHONE"))
        killed = time.time() * 1000
        await stack.synapse.kill()
        await asyncio.sleep(8)
        back = time.time() * 1000
        await stack.synapse.start()
        await rejoined(here, 2)
        first, cleared, second, *_ = await here.history()
        assert (first["content"]["call_id"], cleared["content"]) == (here.board.whiteboard_id, {})
        assert killed < cleared["origin_server_ts"] < back
        assert "created_ts" not in second["content"]
        await asyncio.sleep(5)
        stays = [True, False, True]
        assert there(event["content"] for event in await here.history()) == stays

        # In what is recorded: two stays of ours in one session, which PHONE has kept alive.
        def recorded() -> list[tuple[object, ...]]:
            return query(here.bot.data, "SELECT state_key, content FROM memberships ORDER BY ts")

        def ours() -> list[dict[str, Any]]:
            return [json.loads(str(text)) for key, text in recorded() if key == here.bot.state_key]

        await until(lambda: there(ours()) == stays, 20, "sync has not brought all of it", here.bot)
        kept, ours_now = recorded(), ours()
        assert {one["call_id"] for one in ours_now if one} == {here.board.whiteboard_id}
        phone = [text for key, text in kept if key == member_key(user.user_id, "PHONE")]
        assert len(phone) == 1
        assert [one for one in here.bot.events() if "probably cleared" in one["msg"]]


@pytest.mark.scenario("M35")
async def test_told_to_end_without_a_network_it_ends_and_the_homeserver_clears_it(
    stack: Stack, tmp_path: Path
) -> None:
    config = {**QUICK, "rtc": {"refresh": "1s", "delay": "20s"}}  # longer than it takes to end
    async with meeting(stack, tmp_path, config) as here:
        await stack.proxies.synapse.cut()
        cut = time.time() * 1000
        assert await here.bot.stop() < 20
        await stack.proxies.synapse.restore()
        assert await here.membership()
        await here.gone(within=20)
        event = await here.state_event(MEMBER, here.bot.state_key)
        assert event is not None
        # One delay after the last restart; nobody else was there to clear it.
        assert event["origin_server_ts"] > cut + 15_000


@pytest.mark.scenario("M37")
async def test_cleared_by_somebody_it_comes_back_three_times_a_minute(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path) as here:
        for number in range(4):
            await here.alice.user.put_state(here.board.room_id, MEMBER, {}, here.bot.state_key)
            if number < 3:
                event = await rejoined(here, 2 + 2 * number)
                assert "created_ts" not in event["content"]
        text = "somebody clears our membership again and again"
        await until(lambda: logged(here.bot, text), 10, "not reported", here.bot)
        await asyncio.sleep(6)
        assert not await here.membership()
        assert len(await here.history()) == 8
        assert await delayed(here, await account(here)) == []


@pytest.mark.scenario("M38", "M39")
async def test_its_own_leave_and_that_of_a_twin_are_told_apart(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path) as here:
        twin = await account(here)
        [one] = await delayed(here, twin)
        answer = await stack.call(twin, "POST", f"{DELAYED}/{one['delay_id']}/send", {})
        assert answer.status == 200
        await rejoined(here, 2)
        await until(lambda: delayed(here, twin), 5, "not armed again", here.bot)

        text = "another process uses our account and device"
        assert not logged(here.bot, text)
        path = f"{V3}/rooms/{quote(here.board.room_id)}/state/{MEMBER}/{quote(here.bot.state_key)}"
        assert (await stack.call(twin, "PUT", path, {})).status == 200
        [told] = await until(lambda: logged(here.bot, text), 10, "not told", here.bot)
        assert told["level"].lower() == "error"
        await asyncio.sleep(6)
        assert len(await here.history()) == 4
        assert await delayed(here, twin) == []


@pytest.mark.scenario("M40")
async def test_others_come_and_go_and_it_says_nothing(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here, person(stack, "bob") as bob:
        await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
        await bob.join(here.board)
        for _ in range(2):
            await bob.open(here.board)
            await bob.leave()
        await bob.user.membership(here.board.room_id, "leave")
        await asyncio.sleep(2)
        assert len(await here.history()) == 1
        assert (await here.bot.metrics())["boardkeeper_memberships"] == 1


@pytest.mark.scenario("M46")
async def test_kicked_it_leaves_nothing_behind(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here:
        login = await account(here)
        assert len(await delayed(here, login)) == 1
        await here.alice.user.membership(here.board.room_id, "kick", here.bot.user_id)

        async def cancelled() -> bool:
            return not await delayed(here, login)

        await until(cancelled, 3, "the leave is still armed", here.bot)
        identity = f"{here.bot.user_id}:{here.bot.device_id}"
        channel = here.alice.meeting.channel
        assert channel is not None
        await until(lambda: identity not in channel.others, 10, "still connected", here.bot)
        known = len(here.bot.events())
        await asyncio.sleep(3)
        assert not [one for one in here.bot.events()[known:] if one["msg"] == "own membership"]


@asynccontextmanager
async def beside_a_phone(stack: Stack, folder: Path, login: Login) -> AsyncIterator[Meeting]:
    """The bot on a board where somebody is whose client needs no delayed events."""
    bot = Bot(stack, folder / "bot", login, QUICK)
    await bot.start()
    try:
        async with person(stack, "alice") as alice:
            board = await alice.create_board(invite=[bot.user_id])
            content = member_content(board, "PHONE", [stack.jwt_url], 2**45)
            key = member_key(alice.user_id, "PHONE")
            await alice.user.put_state(board.room_id, MEMBER, content, key)
            here = Meeting(stack, bot, alice, board)
            await here.announced()
            yield here
    finally:
        await bot.kill()


async def degraded(here: Meeting) -> None:
    """Wait until it says that nothing would clear its membership; then that is short-lived."""
    await until(
        lambda: [one["status"] for one in logged(here.bot, "own membership")][-1:] == ["degraded"],
        10,
        "not degraded",
        here.bot,
    )
    assert 200 < (await here.membership())["expires"] / 1000 - time.time() < 330


@pytest.mark.scenario("M15")
async def test_a_homeserver_without_delayed_events(tmp_path: Path) -> None:
    options = Options(synapse={"max_event_delay_duration": None})
    async with Stack.start(tmp_path / "stack", options) as stack:
        login = await stack.user(name("bot"))
        async with beside_a_phone(stack, tmp_path, login) as here:
            await degraded(here)


@pytest.mark.scenario("M13")
async def test_a_homeserver_that_takes_short_delays_only(tmp_path: Path) -> None:
    """Synapse refuses a longer one without saying how long one may be."""
    options = Options(synapse={"max_event_delay_duration": 3500})
    async with Stack.start(tmp_path / "stack", options) as stack:
        login = await stack.user(name("bot"))
        async with beside_a_phone(stack, tmp_path, login) as here:
            [one] = await delayed(here, login)
            assert one["delay_ms"] == 3500
            await asyncio.sleep(6)
            assert len(await here.history()) == 1


@pytest.mark.scenario("M44")
async def test_a_hundred_delayed_events_pending(stack: Stack, tmp_path: Path) -> None:
    login = await stack.user(name("bot"))
    created = await stack.call(login, "POST", f"{V3}/createRoom", {})
    path = f"{V3}/rooms/{quote(created.body['room_id'])}/state/x.test/"
    for number in range(100):
        hour = {DELAY: "3600000"}
        answer = await stack.call(login, "PUT", f"{path}{number}", {}, **hour)
        assert answer.status == 200
    async with beside_a_phone(stack, tmp_path, login) as here:
        await degraded(here)


@pytest.mark.scenario("M57")
async def test_a_leave_that_the_homeserver_lost_is_made_up_for_at_the_next_start(
    tmp_path: Path,
) -> None:
    """Synapse drops a delayed event that falls due while its sender is over the rate limit."""
    async with (
        Stack.start(tmp_path / "stack", Options(default_limits=True)) as stack,
        meeting(stack, tmp_path) as here,
    ):
        login = await account(here)
        path = f"{V3}/rooms/{quote(here.board.room_id)}/send/m.room.message"
        await here.bot.kill()
        killed = time.monotonic()
        refusals = number = 0
        while time.monotonic() < killed + 6:
            number += 1
            body = {"msgtype": "m.text", "body": "x"}
            answer = await stack.call(login, "PUT", f"{path}/{number}", body)
            refusals += answer.status == 429
        assert refusals
        assert await delayed(here, login) == []
        assert await here.membership(), "the leave was not lost"
        await here.alice.leave()
        await here.bot.start()
        await here.gone(within=40)
        event = await here.state_event(MEMBER, here.bot.state_key)
        assert event is not None
        assert event["content"] == {}
        assert event["sender"] == here.bot.user_id
