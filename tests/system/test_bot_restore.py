"""Boards are restored, imported and cloned forward: live for who is there, saved for who comes."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from tests.stack.bot import Bot, until
from tests.stack.client import elements
from tests.stack.client.habits import Habits
from tests.stack.neoboard import NeoBoard
from tests.stack.processes import StackError
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.people import QUICK, Meeting, meeting, person

BY_HAND = Habits(announces=True, saves=False)


def rows(here: Meeting, sql: str) -> list[tuple[Any, ...]]:
    """Ask the archive."""
    return query(here.bot.data, sql)


async def cli(bot: Bot, *arguments: str, code: int = 0) -> str:
    """Run a command as an operator does; return what it says."""
    return await asyncio.to_thread(bot.command, *arguments, code=code)


def texts(who: NeoBoard) -> list[list[str]]:
    """Return what somebody sees, per slide."""
    slides = who.document.content()["slides"]
    return [[one.get("text", "") for one in slide["elements"]] for slide in slides]


async def draws(here: Meeting, *what: str) -> None:
    """Have Alice draw, and wait until it is recorded."""
    for text in what:
        await here.drawn(here.alice, elements.shape(text=text))


async def sees(who: NeoBoard, wanted: list[list[str]], within: float = 10) -> None:
    """Wait until somebody sees a board like that."""
    await who.until(lambda: texts(who) == wanted, within, f"a board like {wanted}")


async def newcomer_sees(here: Meeting, stack: Stack, wanted: list[list[str]]) -> None:
    """Have somebody open the board who was never there."""
    async with person(stack, "carol") as carol:
        await here.alice.user.membership(here.board.room_id, "invite", carol.user_id)
        await carol.join(here.board)
        await carol.open(here.board)
        await sees(carol, wanted, within=15)


async def test_a_board_is_restored_forward_and_that_is_undone(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, QUICK, habits=BY_HAND) as here:
        await draws(here, "a", "b")
        [(at,)] = rows(here, "SELECT MAX(ts) FROM entries WHERE kind = 'update'")
        await draws(here, "c")

        said = await cli(here.bot, "restore", "1", "--at", str(at), "--dry-run")
        assert "Board 1 would change: 1 slide changed, 1 element removed." in said
        assert texts(here.alice) == [["a", "b", "c"]]

        said = await cli(here.bot, "restore", "1", "--at", str(at))
        assert "Board 1: 1 slide changed, 1 element removed." in said
        await sees(here.alice, [["a", "b"]])
        slide = here.alice.document.content()["slides"][0]["id"]
        await here.alice.draw(elements.shape(text="later"), slide)  # it goes on as any other board
        await sees(here.alice, [["a", "b", "later"]])
        await newcomer_sees(here, stack, [["a", "b", "later"]])

        undo = re.search(r"--at (\d+)", said)
        assert undo is not None
        await cli(here.bot, "restore", "1", "--at", undo[1])
        await sees(here.alice, [["a", "b", "c"]])
        assert "looks so already" in await cli(here.bot, "restore", "1", "--at", undo[1])


async def test_a_file_is_imported_and_comes_out_as_it_went_in(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, QUICK, habits=BY_HAND) as here:
        await draws(here, "before")
        pack = Path(__file__).parents[1] / "data" / "quickstart-pack.nwb"
        said = await cli(here.bot, "import", "1", str(pack), "--append", "--dry-run")
        assert "would change" in said
        await cli(here.bot, "import", "1", str(pack))
        out = tmp_path / "out.nwb"
        await cli(here.bot, "export", "1", "-o", str(out))
        assert shape(out) == shape(pack)
        slides = len(shape(pack))
        await here.alice.until(
            lambda: len(here.alice.document.content()["slides"]) == slides, 15, "alice to see it"
        )
        assert list(here.bot.data.glob("import.*")) == []

        broken = tmp_path / "broken.nwb"
        broken.write_bytes(b"no board")
        said = await cli(here.bot, "import", "1", str(broken), code=1)
        assert "boardkeeper:" in said
        assert len(here.alice.document.content()["slides"]) == slides


def shape(file: Path) -> list[list[tuple[str, Any]]]:
    """Return of each slide its elements' kinds and places."""
    slides = json.loads(file.read_bytes())["whiteboard"]["slides"]
    return [[(one["type"], one.get("position")) for one in slide["elements"]] for slide in slides]


async def test_a_board_is_cloned_onto_another(stack: Stack, tmp_path: Path) -> None:
    async with (
        meeting(stack, tmp_path, QUICK, habits=BY_HAND) as here,
        person(stack, "bob", BY_HAND) as bob,
    ):
        await draws(here, "a")
        other = await bob.create_board(invite=[here.bot.user_id])
        await until(
            lambda: len(rows(here, "SELECT id FROM boards")) == 2, 10, "not found", here.bot
        )
        await bob.open(other)
        await cli(here.bot, "clone", "1", "2")
        await sees(bob, [["a"]], within=20)
        assert "a snapshot of" in await cli(here.bot, "snapshot", "2")
        said = await cli(here.bot, "clone", "1", "7", code=1)
        assert "7" in said


async def test_killed_in_the_middle_the_board_is_as_before_or_as_wanted(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, QUICK, habits=BY_HAND) as here:
        await draws(here, "a", "b")
        [(at,)] = rows(here, "SELECT MIN(ts) FROM entries WHERE kind = 'update'")
        ordered = asyncio.create_task(cli_unchecked(here.bot, "restore", "1", "--at", str(at)))
        await asyncio.sleep(0.7)  # it takes about that long until the bot has the order
        await here.bot.kill()
        await ordered
        await here.bot.start()
        await here.announced()
        # Whatever it had done: it saves that by itself, and all see the same.
        await cli(here.bot, "snapshot", "1")
        async with person(stack, "carol") as carol:
            await here.alice.user.membership(here.board.room_id, "invite", carol.user_id)
            await carol.join(here.board)
            await carol.open(here.board)
            either = ([["a"]], [["a", "b"]])
            await carol.until(lambda: texts(carol) in either, 15, "a whole board")
            await carol.until(lambda: texts(carol) == texts(here.alice), 15, "the same board")


async def cli_unchecked(bot: Bot, *arguments: str) -> None:
    """Run a command that may fail."""
    try:
        await asyncio.to_thread(bot.command, *arguments)
    except StackError:
        return


async def test_without_a_running_bot_it_says_so(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, QUICK, habits=BY_HAND) as here:
        await draws(here, "a")
        await here.bot.stop()
        for command in (["restore", "1", "--at", "1m ago"], ["snapshot", "1"]):
            said = await cli(here.bot, *command, code=1)
            assert "The bot does not run" in said
