"""What an operator sees of the two profiles on a running bot, and of what runs there."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot import __version__
from bot.whiteboard.form import FORM
from tests.stack.bot import Bot, until
from tests.stack.client.habits import Habits
from tests.stack.stack import Stack
from tests.system.people import logged, meeting, person
from tests.system.test_bot_control import asked, cli
from tests.system.test_doctor import examined

pytestmark = pytest.mark.timeout(900)  # a score of commands, each a process
NEWER = Habits(profile="sticky", announces=True)


async def bridged(bot: Bot) -> int:
    return int((await asked(bot, "status"))["bridged"])


async def test_old_neoboards_alone_then_both(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here, person(stack, "bob", NEWER) as bob:
        bot = here.bot
        assert "Profile" not in await cli(bot, "sessions", "1")
        said = await cli(bot, "status")
        assert "bridged" not in said
        assert "\nmerger       " in said
        form, version = FORM, __version__
        numbers = await bot.metrics()
        assert numbers[f'boardkeeper_build_info{{merger="{form}",version="{version}"}}'] == 1
        [session] = (await asked(bot, "sessions", "1"))["sessions"]
        assert {one["profile"] for one in session["members"]} == {"legacy"}
        assert session["bridged"] is False

        await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
        await bob.join(here.board)
        await bob.open(here.board)

        async def both() -> bool:
            return await bridged(bot) == 1

        await until(both, 60, "the bot is not in both profiles", bot)
        [session] = (await asked(bot, "sessions", "1"))["sessions"]
        assert session["bridged"] is True
        profiles = {one["user_id"]: one["profile"] for one in session["members"]}
        assert profiles == {
            here.alice.user_id: "legacy",
            bob.user_id: "sticky",
            bot.user_id: "both",
        }
        shown = await cli(bot, "sessions", "1")
        lines = {line.split()[1]: line for line in shown.splitlines() if " @" in line}
        assert "Profile" in shown
        assert " both " in lines[bot.user_id]
        assert " legacy " in lines[here.alice.user_id]
        assert " sticky " in lines[bob.user_id]
        said = await cli(bot, "status")
        assert "1 bridged (old and new NeoBoards); 2 memberships of ours" in said
        for line in ("livekit", "own membership"):
            assert {one["profile"] for one in logged(bot, line)} == {"legacy", "sticky"}

        report = await examined(bot)  # beside the running bot, which it does not disturb
        assert report.code == 0, report.said
        assert report.has("✓ ok", "sticky leave", "the homeserver sends it when the bot dies")
        assert await bridged(bot) == 1
        assert "Done: 2 memberships withdrawn" in await cli(bot, "drain")


async def test_new_neoboards_alone(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, habits=NEWER, opened=False) as here:
        await here.alice.open(here.board)

        async def there() -> bool:
            sessions = (await asked(here.bot, "sessions", "1"))["sessions"]
            return any(one["ours"] for session in sessions for one in session["members"])

        await until(there, 60, "the bot is not there", here.bot)
        [session] = (await asked(here.bot, "sessions", "1"))["sessions"]
        assert {one["profile"] for one in session["members"]} == {"sticky"}
        assert session["bridged"] is False
        assert "Profile" in await cli(here.bot, "sessions", "1")
        assert "bridged" not in await cli(here.bot, "status")
