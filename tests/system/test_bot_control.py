"""The running bot, asked and told by the command line; and what that says without one."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

from tests.stack.bot import Bot, until
from tests.stack.client import elements
from tests.stack.ports import HOST, free_port
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.people import Meeting, logged, meeting, name


async def cli(bot: Bot, *arguments: str, code: int = 0) -> str:
    return await asyncio.to_thread(bot.command, *arguments, code=code)


async def asked(bot: Bot, *arguments: str, code: int = 0) -> Any:
    return json.loads(await cli(bot, *arguments, "--json", code=code))


async def called(here: Meeting, text: str) -> None:
    """Give the room a name, and wait until the archive has it."""
    await here.alice.user.put_state(here.board.room_id, "m.room.name", {"name": text})
    sql = "SELECT name FROM rooms WHERE room_id = ?"
    await until(
        lambda: query(here.bot.data, sql, here.board.room_id) == [(text,)],
        10,
        "the name is not kept",
        here.bot,
    )


async def drawn(here: Meeting) -> None:
    """Have alice draw something that is recorded."""
    await here.drawn(here.alice, elements.shape(text="a"))


async def test_status_sessions_and_boards_of_a_running_bot(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here:
        bot = here.bot
        await called(here, "Planning [bold]")
        await drawn(here)
        found = await asked(bot, "status")
        assert (found["running"], found["draining"]) == (True, False)
        assert (found["user_id"], found["device_id"]) == (bot.user_id, bot.device_id)
        assert (found["rooms"], found["boards"], found["attended"]) == (1, 1, 1)
        assert found["memberships"] == found["admission"]["on"] == 1
        assert all(part["ok"] for part in found["components"].values())
        assert found["entries"] >= 1
        text = await cli(bot, "status")
        assert f"{bot.user_id}, device {bot.device_id}" in text
        assert "1 board in 1 room; people on 1; 1 membership of ours" in text

        for room in (here.board.room_id, "planning [BOLD]", "1", here.board.whiteboard_id):
            shown = await asked(bot, "sessions", room)
            assert shown["name"] == "Planning [bold]"
            [session] = shown["sessions"]
            members = {one["user_id"]: one for one in session["members"]}
            assert members.keys() == {bot.user_id, here.alice.user.user_id}
            assert members[bot.user_id]["ours"]
            assert session["board"] == 1
            next_ts = min(one["expires_ts"] for one in members.values())
            assert session["next_change_ts"] == next_ts
        text = await cli(bot, "sessions", "1")
        assert here.alice.user.user_id in text
        assert "this changes in" in text

        [row] = await asked(bot, "boards")
        assert row["room_name"] == "Planning [bold]"
        assert (row["participants"], row["state"]) == (1, "recording")
        text = await cli(bot, "boards")
        assert "Planning [bold]" in text
        assert here.board.whiteboard_id in text

        error = await cli(bot, "sessions", "Planing", code=1)
        assert "There is no room “Planing” here. Did you mean “Planning [bold]”?" in error


async def test_pause_and_resume_hold_and_the_room_hears_of_it(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here:
        await drawn(here)
        assert "nothing is recorded; the room was told" in await cli(here.bot, "pause", "1")
        assert "as before" in await cli(here.bot, "pause", "1")
        assert "Recording is paused" in (await here.said())[-1]
        before = here.entries()
        await here.alice.draw(elements.shape(text="a"))
        await asyncio.sleep(1)
        assert here.entries() == before
        assert (await asked(here.bot, "boards"))[0]["state"] == "paused"
        assert (await asked(here.bot, "status"))["paused"] == 1
        assert "recording goes on; the room was told" in await cli(here.bot, "resume", "1")
        assert "Recording goes on" in (await here.said())[-1]
        await drawn(here)


async def test_leave(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here:
        await called(here, "Planning")
        assert "Planning: left." in await cli(here.bot, "leave", here.board.room_id)
        await here.gone()
        event = await here.state_event("m.room.member", here.bot.user_id)
        assert event is not None
        assert event["content"]["membership"] == "leave"

        async def none_left() -> bool:
            return bool((await asked(here.bot, "status"))["rooms"] == 0)

        await until(none_left, 10, "the room is still there", here.bot)
        [row] = await asked(here.bot, "boards")
        assert row["state"] == "gone"
        assert "There is no room" in await cli(here.bot, "leave", "Planning", code=1)


async def test_drain_leaves_all_boards_and_invites_wait(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here:
        bot = here.bot
        await drawn(here)
        said = await cli(bot, "drain")
        assert "Done: 1 membership withdrawn, everything is written." in said
        assert await here.membership() == {}
        found = await asked(bot, "status")
        assert (found["draining"], found["memberships"], found["unsaved"]) == (True, 0, 0)
        assert "DRAINED" in await cli(bot, "status")
        assert "Done: 0 memberships" in await cli(bot, "drain")  # again: no harm

        # Somebody else invites it, and people go on: it stays away from both.
        other = await here.alice.create_board(invite=[bot.user_id])
        await here.alice.draw(elements.shape(text="a"))
        await asyncio.sleep(3)
        assert await here.membership() == {}
        assert (await asked(bot, "status"))["rooms"] == 1

        # Ended and started again, it answers the invite and takes part.
        assert await bot.stop() < 20
        await bot.start()
        await here.announced()
        await until(
            lambda: len(logged(bot, "invited: joining")) == 2, 15, "the invite is lost", bot
        )
        assert other.room_id


async def test_drain_off_takes_part_again(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here:
        await cli(here.bot, "drain")
        await here.alice.create_board(invite=[here.bot.user_id])
        assert "takes part again" in await cli(here.bot, "drain", "--off")
        await here.announced()
        await here.heard()
        await drawn(here)

        async def both() -> bool:
            return bool((await asked(here.bot, "status"))["rooms"] == 2)

        await until(both, 15, "the invite is not answered", here.bot)


async def test_without_a_running_bot(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here:
        bot = here.bot
        await called(here, "Planning")
        await drawn(here)
        await bot.stop()
        assert not (bot.data / "control.sock").exists()
        found = await asked(bot, "status", code=1)
        assert found["running"] is False
        assert found["archive"]["entries"] == here.entries()
        text = await cli(bot, "status", code=1)
        assert "The bot does not run." in text
        assert "of 1 board, the last of" in text
        for command in (("sessions", "1"), ("leave", "1"), ("drain",)):
            text = await cli(bot, *command, code=1)
            assert f"“boardkeeper {command[0]}” needs the running bot" in text
            assert "boardkeeper run" in text

        text = await cli(bot, "pause", "planning")
        assert "Planning: paused. The bot does not run; this holds when it starts." in text
        assert "as before" in await cli(bot, "pause", "1")
        assert "There is no room" in await cli(bot, "pause", "nowhere", code=1)
        await bot.start()
        await here.announced()
        assert (await asked(bot, "status"))["paused"] == 1
        before = here.entries()
        await here.alice.draw(elements.shape(text="a"))
        await asyncio.sleep(1)
        assert here.entries() == before

        await bot.stop()
        assert "not paused any more" in await cli(bot, "resume", "1")
        greetings = len([text for text in await here.said() if "Hello" in text])
        await bot.start()
        await here.announced()

        async def greeted() -> bool:
            return len([one for one in await here.said() if "Hello" in one]) == greetings + 1

        await until(greeted, 10, "people are not told that it records again", bot)
        await here.heard()
        await drawn(here)


async def test_a_killed_bot_s_socket_is_nobody_s(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, opened=False) as here:
        bot = here.bot
        socket = bot.data / "control.sock"
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        assert stat.S_ISSOCK(socket.stat().st_mode)

        # Another one on the same folder is refused, and hurts neither socket nor bot.
        login = await stack.user(name("second"))
        second = Bot(stack, tmp_path / "second", login, {"data": {"folder": str(bot.data)}})
        refusal = await cli(second, "run", code=1)
        assert "another boardkeeper is using this folder" in refusal
        assert (await asked(bot, "status"))["user_id"] == bot.user_id

        await bot.kill()
        assert socket.exists()
        assert (await asked(bot, "status", code=1))["running"] is False
        assert "needs the running bot" in await cli(bot, "drain", code=1)
        await bot.start()
        assert (await asked(bot, "status"))["running"] is True
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600


async def test_a_bot_that_waits_for_its_homeserver_says_so(stack: Stack, tmp_path: Path) -> None:
    """The operator is not left alone just when something is wrong; deep folders are no obstacle."""
    login = await stack.user(name("waiting"))
    nowhere = {"homeserver": {"url": f"http://{HOST}:{free_port()}"}, "log": {"level": "info"}}
    bot = Bot(stack, tmp_path / ("deep" * 30), login, nowhere)
    process = await asyncio.create_subprocess_exec(*bot.process.program.command)
    try:
        await until((bot.data / "control.sock").exists, 15, "there is no socket")
        found = await asked(bot, "status")
        assert found["running"] is True
        assert found["components"]["homeserver"]["ok"] is False
        assert "not logged in yet" in await cli(bot, "status")
        assert "not logged in yet" in await cli(bot, "sessions", "1", code=1)
    finally:
        process.terminate()
        assert await process.wait() == 0
