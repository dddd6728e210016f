"""Two boardkeepers of different accounts in a room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.stack.bot import Bot, running_bot, until
from tests.stack.stack import Stack
from tests.system.people import QUICK, name
from tests.system.test_bot_bridge import Mixed, mixed
from tests.system.test_bot_control import asked

BRIEF = {**QUICK, "presence": {"linger": "2s"}}


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
