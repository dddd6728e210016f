"""Two boardkeepers of different accounts in a room."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.stack.bot import Bot, running_bot, until
from tests.stack.client import elements
from tests.stack.client.events import SNAPSHOT
from tests.stack.stack import Stack
from tests.system.drawing import BY_HAND
from tests.system.people import QUICK, meeting, name
from tests.system.test_bot_bridge import Mixed, mixed
from tests.system.test_bot_control import asked

BRIEF = {**QUICK, "presence": {"linger": "2s"}}
SOON = {**QUICK, "boards": {"save_after": "1s"}}


async def members(bot: Bot, mix: Mixed) -> set[str]:
    """Return whom a bot has on the room's boards, bots too."""
    found: dict[str, Any] = await asked(bot, "sessions", mix.here.board.room_id)
    return {one["user_id"] for session in found["sessions"] for one in session["members"]}


async def test_two_bots_serve_the_same_people_and_do_not_hold_each_other(
    stack: Stack, tmp_path: Path
) -> None:
    async with (
        mixed(stack, tmp_path, config=BRIEF) as mix,
        running_bot(stack, tmp_path / "second", name("bot"), BRIEF) as second,
    ):
        bots, alice = (mix.here.bot, second), mix.here.alice
        await alice.user.membership(mix.here.board.room_id, "invite", second.user_id)
        everybody = {one.user_id for one in mix.everybody} | {one.user_id for one in bots}

        async def all_there() -> bool:
            return all([await members(bot, mix) == everybody for bot in bots])

        await until(all_there, 60, "not everybody is on the board", mix.here.bot)
        for someone in mix.everybody:
            await someone.leave()

        async def all_gone() -> bool:
            return not any([await members(bot, mix) for bot in bots])

        await until(all_gone, 90, "the bots hold each other", mix.here.bot)


async def test_one_of_two_bots_saves_what_nobody_else_does(stack: Stack, tmp_path: Path) -> None:
    async with (
        meeting(stack, tmp_path, SOON, habits=BY_HAND) as here,
        running_bot(stack, tmp_path / "second", name("bot"), SOON) as second,
    ):
        both = {here.bot.user_id, second.user_id}
        await here.alice.user.membership(here.board.room_id, "invite", second.user_id)
        await here.alice.until(
            lambda: both <= {one.user_id for one in here.alice.members}, 40, "both bots"
        )

        async def writers() -> list[str]:
            path = f"/_matrix/client/v3/rooms/{quote(here.board.room_id)}/messages"
            query = {"dir": "b", "limit": "100", "filter": json.dumps({"types": [SNAPSHOT]})}
            found = await here.alice.user.request("GET", path, query=query)
            return [one["sender"] for one in found["chunk"] if one["sender"] in both]

        async def saved() -> bool:
            return bool(await writers())

        await here.alice.draw(elements.shape())
        await until(saved, 40, "nobody saves", here.bot)
        await asyncio.sleep(6)  # by now the other one would have
        assert await writers() == [min(both)]
