"""Where the bot is: banned it is gone for good, told to be there always it is there always."""

from __future__ import annotations

import asyncio
from pathlib import Path

from livekit import api

from bot.livekit.auth import room_name
from tests.stack.bot import until
from tests.stack.stack import Stack
from tests.system.people import QUICK, Meeting, logged, meeting
from tests.system.test_bot_membership import rejoined


async def participants(here: Meeting) -> list[str]:
    """Return who is in the board's LiveKit room, as the server says."""
    stack = here.stack
    url = stack.livekit_url.replace("ws://", "http://")
    async with api.LiveKitAPI(url, stack.livekit_key, stack.livekit_secret) as sfu:
        asked = api.ListParticipantsRequest(room=room_name(here.board.room_id))
        found = await sfu.room.list_participants(asked)
        return [one.identity for one in found.participants]


async def test_banned_it_is_gone_and_comes_back_when_wanted_again(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path) as here:
        us = f"{here.bot.user_id}:{here.bot.device_id}"
        assert (await participants(here)).count(us) == 1
        await here.alice.user.membership(here.board.room_id, "ban", here.bot.user_id)
        await until(lambda: logged(here.bot, "board gone"), 10, "the ban is not noticed", here.bot)

        async def disconnected() -> bool:
            return us not in await participants(here)

        await until(disconnected, 10, "it is still in the LiveKit room", here.bot)

        async def withdrawn() -> bool:
            return (await here.bot.metrics())["boardkeeper_memberships"] == 0

        await until(withdrawn, 10, "it keeps a membership", here.bot)
        said = len(here.bot.events())
        await asyncio.sleep(6)  # longer than the delay: it asks for nothing more
        after = {one["msg"] for one in here.bot.events()[said:]}
        assert not after & {"own membership", "livekit", "board found"}
        before = len(await here.history())
        await here.alice.user.membership(here.board.room_id, "unban", here.bot.user_id)
        await here.alice.user.membership(here.board.room_id, "invite", here.bot.user_id)
        await rejoined(here, before)


async def test_always_means_also_where_nobody_is(stack: Stack, tmp_path: Path) -> None:
    config = {**QUICK, "presence": {"when": "always", "linger": "0s"}}
    async with meeting(stack, tmp_path, config, opened=False) as here:
        await here.announced()
        us = f"{here.bot.user_id}:{here.bot.device_id}"
        assert await participants(here) == [us]
        await here.alice.open(here.board)
        await here.heard()
        await here.alice.leave()
        await asyncio.sleep(5)
        assert await here.membership()
        assert await participants(here) == [us]
        assert len(await here.history()) == 1
