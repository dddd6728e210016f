"""The sticky profile in rooms and on homeservers of every kind (groups M, S and X)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.stack.bot import DEVICE, Bot, until
from tests.stack.client import elements
from tests.stack.client.events import MEMBER, member_content, member_key
from tests.stack.client.matrix import MatrixUser
from tests.stack.client.sticky import SLOT, STICKY, join_content, slot_content, slot_id
from tests.stack.stack import Options, Stack
from tests.system.people import QUICK, Meeting, logged, meeting, name, person
from tests.system.sticky_people import (
    BY_HAND,
    NEW,
    PATIENT,
    armed,
    ends_with,
    login,
    member_ids,
    met,
    said,
    sees,
    states,
    together,
    unseen,
    written,
)
from tests.system.test_bot_control import asked

HOUR_MS = 3_600_000


async def may_send(here: Meeting, needed: int) -> None:
    """Have sticky memberships need so much power in the room."""
    levels = await here.state_event("m.room.power_levels", "")
    assert levels is not None
    content = levels["content"]
    content["events"][STICKY] = needed
    await here.alice.user.put_state(here.board.room_id, "m.room.power_levels", content)


# -- the room ------------------------------------------------------------------------------------


@pytest.mark.scenario("M45")
async def test_m45_sticky_without_power_it_says_once_what_it_needs(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, PATIENT, habits=NEW, opened=False) as here:
        await may_send(here, 50)
        await here.alice.open(here.board)

        async def told() -> list[str]:
            return [line for line in await here.said() if STICKY in line]

        await until(told, 40, "nobody was told", here.bot)
        await asyncio.sleep(2)
        [text] = await told()
        assert here.bot.user_id in text
        assert "50" in text
        assert await written(here) == []
        assert states(here) == [], "who may not be announced does not listen"
        await may_send(here, 0)
        await met(here.alice, here)
        assert await said(here) == ["join"]
        await may_send(here, 50)  # while it is there: now it cannot even say that it leaves
        await until(lambda: states(here)[-1] == "closed", 20, "still connected", here.bot)
        await asyncio.sleep(6)  # longer than the delay: the armed leave was refused as well
        await may_send(here, 0)
        await met(here.alice, here)  # and only once
        assert len(await member_ids(here)) == 2


@pytest.mark.scenario("M45")
async def test_m45_sticky_what_it_could_not_take_out_goes_though_nobody_is_there(
    stack: Stack, tmp_path: Path
) -> None:
    async with together(stack, tmp_path, QUICK) as here:
        await may_send(here, 50)
        await until(lambda: states(here)[-1] == "closed", 20, "still connected", here.bot)
        await here.alice.leave()

        async def absent() -> bool:
            return (await here.bot.metrics())["boardkeeper_presences"] == 0

        await until(absent, 30, "it still takes part", here.bot)
        await asyncio.sleep(6)  # longer than the delay: the armed leave was refused as well
        assert await said(here) == ["join"]
        await may_send(here, 0)
        await ends_with(here, "join", "leave")


@pytest.mark.scenario("M46")
async def test_m46_sticky_kicked_it_is_gone_until_invited(stack: Stack, tmp_path: Path) -> None:
    async with together(stack, tmp_path) as here:
        own = await login(here)
        assert len(await armed(stack, own)) == 1
        await here.alice.user.membership(here.board.room_id, "kick", here.bot.user_id)
        await unseen(here)
        await here.alice.until(lambda: not here.alice.meeting.others, 20, "off LiveKit")

        async def nothing_armed() -> bool:
            return not await armed(stack, own)

        await until(nothing_armed, 20, "a leave is still armed", here.bot)
        await until(lambda: states(here)[-1] == "closed", 20, "still connected", here.bot)
        known = len(here.bot.events())
        await asyncio.sleep(3)
        assert not [one for one in here.bot.events()[known:] if one["msg"] == "livekit"]
        await here.alice.user.membership(here.board.room_id, "invite", here.bot.user_id)
        await met(here.alice, here)
        assert len(await member_ids(here)) == 2


@pytest.mark.scenario("S31")
async def test_s31_a_closed_slot_sends_it_away_and_an_open_one_calls_it_back(
    stack: Stack, tmp_path: Path
) -> None:
    async with together(stack, tmp_path) as here:
        user, where = here.alice.user, (here.board.room_id, SLOT)
        await user.put_state(*where, slot_content(is_open=False), slot_id(here.board))
        await ends_with(here, "join", "slot_closed")  # although it waits for people to come back
        await here.alice.until(lambda: not here.alice.meeting.met, 20, "she has left, too")
        assert await here.membership() == {}  # nor in the other profile
        await user.put_state(*where, slot_content(), slot_id(here.board))
        await met(here.alice, here)
        assert await said(here) == ["join", "slot_closed", "join"]
        await here.alice.draw(elements.shape())
        await here.recorded(1)


@pytest.mark.scenario("S31")
async def test_s31_without_a_slot_it_comes_unless_one_is_asked_for(
    stack: Stack, tmp_path: Path
) -> None:
    """A board of an older NeoBoard has no slot."""
    strict = {**PATIENT, "rtc": {**QUICK["rtc"], "require_open_slot": True}}
    async with (
        meeting(stack, tmp_path, strict, opened=False) as here,
        person(stack, "bob", NEW) as bob,
    ):
        await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
        await bob.join(here.board)
        await bob.open(here.board)
        status = {"msgtype": "m.text", "body": "!board status"}
        await here.alice.user.send_event(here.board.room_id, "m.room.message", status)

        async def answered() -> bool:
            return any("I am recording" in text for text in await here.said())

        await until(answered, 20, "no answer: has it seen him?", here.bot)
        await asyncio.sleep(3)
        assert await written(here) == []
        assert states(here) == []
        where = here.board.room_id, SLOT
        await here.alice.user.put_state(*where, slot_content(), slot_id(here.board))
        await met(bob, here)
        await bob.draw(elements.shape())
        await here.recorded(1)


@pytest.mark.scenario("M54", "S26", "X09")
async def test_m54_s26_x09_both_profiles_where_state_is_owned(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room version that needs no underscore; somebody who is in both profiles is one."""
    create = MatrixUser.create_room

    async def owned(user: MatrixUser, body: Mapping[str, Any]) -> str:
        return await create(user, {**body, "room_version": "org.matrix.msc3757.11"})

    monkeypatch.setattr(MatrixUser, "create_room", owned)
    async with together(stack, tmp_path) as here:
        assert await says(here) == {(here.alice.user_id, "sticky"), (here.bot.user_id, "sticky")}
        [session] = (await asked(here.bot, "sessions", "1"))["sessions"]
        for one in session["members"]:
            ahead = one["expires_ts"] - time.time() * 1000
            assert HOUR_MS * 0.8 < ahead < HOUR_MS + 60_000

        # What Alice's NeoBoard said in the older words has not been cleared: she is still one, and
        # no reason to be in the other profile, as she came in this one last.
        user, board = here.alice.user, here.board
        key = member_key(user.user_id, user.device_id)
        content = member_content(board, user.device_id, [stack.jwt_url], 2**45)
        content["created_ts"] = round(time.time() * 1000) - HOUR_MS
        await user.put_state(board.room_id, MEMBER, content, key)
        async with person(stack, "bob") as bob:
            await user.membership(board.room_id, "invite", bob.user_id)
            await bob.join(board)
            assert await here.membership() == {}
            await bob.open(board)
            await here.announced(within=40)  # under the key with the underscore
            await met(here.alice, here)
            assert await says(here) == {
                (here.alice.user_id, "sticky"),
                (bob.user_id, "legacy"),
                (here.bot.user_id, "both"),
            }
            participants = (await here.bot.metrics())["boardkeeper_participants"]
            assert participants == 2
            await here.alice.leave()  # in the one, but not in the other
            await until(lambda: here_by_both(here), 30, "she is not seen", here.bot)


async def says(here: Meeting) -> set[tuple[str, str]]:
    """Who is on the board, and by which profile, as the bot says."""
    sessions = (await asked(here.bot, "sessions", "1"))["sessions"]
    found = [(one["user_id"], one["profile"]) for it in sessions for one in it["members"]]
    assert len(found) == len(set(found))
    return set(found)


async def here_by_both(here: Meeting) -> bool:
    return (here.alice.user_id, "legacy") in await says(here)


# -- the account and its homeserver --------------------------------------------------------------


@asynccontextmanager
async def phone(here: Meeting) -> AsyncIterator[None]:
    """A client of Alice's that needs no delayed events is on the board for the block."""
    content = join_content(here.board, "PHONE", "phone", here.stack.jwt_url)
    await here.alice.user.send_sticky(here.board.room_id, STICKY, content, HOUR_MS)
    yield


@pytest.mark.scenario("M15")
async def test_m15_sticky_without_delayed_events_it_sticks_for_minutes(tmp_path: Path) -> None:
    options = Options(synapse={"max_event_delay_duration": None})
    async with (
        Stack.start(tmp_path / "stack", options) as stack,
        meeting(stack, tmp_path, PATIENT, habits=NEW, opened=False) as here,
        phone(here),
    ):
        await ends_with(here, "join")
        [join] = await written(here)
        assert join["msc4354_sticky"]["duration_ms"] == 300_000

        def degraded() -> bool:
            status = [one["status"] for one in logged(here.bot, "own membership")]
            return status[-1:] == ["degraded"]

        await until(degraded, 10, "not degraded", here.bot)
        await here.bot.stop()
        assert await said(here) == ["join", "leave"]


@pytest.mark.scenario("M47")
async def test_m47_sticky_a_lost_token_ends_it_and_the_homeserver_takes_it_out(
    stack: Stack, tmp_path: Path
) -> None:
    account = await stack.user(name("bot"), DEVICE)
    bot = Bot(stack, tmp_path, account, PATIENT)
    settings = bot.config.read_text().replace(
        f'"password": "{account.password}"', f'"access_token": "{account.access_token}"'
    )
    bot.config.write_text(settings)
    await bot.start()
    try:
        async with person(stack, "alice", NEW) as alice:
            here = Meeting(stack, bot, alice, await alice.create_board(invite=[bot.user_id]))
            await alice.open(here.board)
            await met(alice, here)
            await stack.call(account, "POST", "/_matrix/client/v3/logout", {})
            await until(lambda: not bot.running, 40, "the bot goes on", bot)
            await unseen(here)
            assert await said(here) == ["join", "delayed_leave"]
    finally:
        await bot.kill()


@pytest.mark.scenario("M52")
@pytest.mark.parametrize("hours", [2, -2])
async def test_m52_sticky_a_wrong_clock_has_nobody_expire(
    stack: Stack, tmp_path: Path, hours: int
) -> None:
    clock = tmp_path / "clock"
    clock.mkdir()
    (clock / "sitecustomize.py").write_text(
        "import time\n"
        f"_time, _ns, _off = time.time, time.time_ns, {hours * 3600}\n"
        "time.time = lambda: _time() + _off\n"
        "time.time_ns = lambda: _ns() + _off * 10**9\n"
    )
    wrong = {"PYTHONPATH": str(clock)}
    async with together(stack, tmp_path, PATIENT, BY_HAND, environment=wrong) as here:
        ahead = [one for one in here.bot.events() if "clock" in one["msg"]]
        assert ahead, "it has not seen that the clock is wrong"
        await here.alice.draw(elements.shape())
        await here.recorded(1)
        assert here.entries(sender=here.alice.user_id) == 1
        await asyncio.sleep(5)  # longer than the delay
        assert await said(here) == ["join"]
        assert sees(here.alice, here) == 1
        assert (await here.bot.metrics())["boardkeeper_participants"] == 1
        await here.alice.leave()
        async with person(stack, "bob", NEW) as bob:  # whoever comes later is seen likewise
            await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
            await bob.join(here.board)
            await bob.open(here.board)
            await met(bob, here)
