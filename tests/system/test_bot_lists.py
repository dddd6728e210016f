"""`boards` and `export` in single cases: what they say, and what they write all the same."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.stack.bot import Bot, running_bot, until
from tests.stack.client import elements
from tests.stack.stack import Stack
from tests.system.drawing import BY_HAND
from tests.system.people import QUICK, Meeting, logged, meeting, name

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(64))


def listed(bot: Bot) -> list[dict[str, Any]]:
    """Return what `boards --json` lists."""
    rows: list[dict[str, Any]] = json.loads(bot.command("boards", "--json"))
    return rows


async def test_boards_when_there_are_none_yet(stack: Stack, tmp_path: Path) -> None:
    async with running_bot(stack, tmp_path / "bot", name("bot"), QUICK) as bot:
        said = "No boards yet: invite the bot into a room that has one.\n"
        assert bot.command("boards") == said
        assert listed(bot) == []
        error = bot.command("export", "1", "-o", str(tmp_path / "x.nwb"), code=1)
        assert "There is no board “1”" in error
        await bot.stop()
        assert bot.command("boards") == said


async def test_boards_lists_what_is_recorded_and_what_is_gone(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, habits=BY_HAND) as here:
        await here.alice.draw(elements.shape(text="one"))
        await here.recorded(1)
        second = await here.alice.create_board("Second", invite=[here.bot.user_id])
        await until(lambda: len(logged(here.bot, "board found")) == 2, 10, "no second", here.bot)

        [first_row, second_row] = listed(here.bot)
        assert first_row["room_id"] == here.board.room_id
        assert (first_row["state"], first_row["entries"]) == ("recording", 1)
        assert first_row["first_ts"] == first_row["last_ts"] > 0
        assert (second_row["state"], second_row["entries"]) == ("recording", 0)
        lines = here.bot.command("boards").strip().splitlines()
        assert lines[0].split() == [
            *("No.", "Room", "Board", "People", "Entries", "First", "Last", "State")
        ]
        [line] = [line for line in lines if here.board.whiteboard_id in line]
        assert line.split()[0] == str(first_row["id"])
        assert line.split()[-1] == "recording"

        await here.alice.user.membership(second.room_id, "kick", here.bot.user_id)
        await until(lambda: listed(here.bot)[1]["state"] == "gone", 10, "not gone", here.bot)
        await here.bot.stop()
        assert [row["state"] for row in listed(here.bot)] == ["recording", "gone"]
        assert "gone" in here.bot.command("boards")

        # A board that is gone can be exported as long as anything of it is kept.
        await here.alice.leave()
        await here.bot.start()
        await here.alice.user.membership(here.board.room_id, "kick", here.bot.user_id)
        await until(lambda: listed(here.bot)[0]["state"] == "gone", 10, "not gone", here.bot)
        export = await here.bot.export(here.board.whiteboard_id)
        assert [one["text"] for one in export["whiteboard"]["slides"][0]["elements"]] == ["one"]


async def exported(here: Meeting, board: str, *, code: int = 0) -> str:
    """Export a board to `board.nwb` beside the bot; return what was said."""
    output = here.bot.folder / "board.nwb"
    return await asyncio.to_thread(here.bot.command, "export", board, "-o", str(output), code=code)


async def test_an_export_says_which_images_are_missing_and_is_written(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, habits=BY_HAND) as here:
        server = here.alice.user_id.partition(":")[2]
        lost = f"mxc://{server}/{name('lost')}"
        await here.alice.draw_image(PICTURE)
        await here.alice.draw(elements.image(lost))
        await here.recorded(2)
        output = here.bot.folder / "board.nwb"

        async def right() -> None:
            said = await exported(here, here.board.whiteboard_id)
            [warning] = [line for line in said.splitlines() if "image left out" in line]
            assert warning.endswith(lost)
            assert "1 slide, 2 elements, 1 image\n" in said
            content = json.loads(output.read_bytes())["whiteboard"]
            assert len(content["slides"][0]["elements"]) == 2
            assert len(content["files"]) == 1
            output.unlink()

        await right()
        await here.bot.stop()
        await right()

        # Without a homeserver all of them are missing; the strokes are there.
        await stack.proxies.synapse.cut()
        said = await exported(here, here.board.whiteboard_id)
        assert said.count("image left out, ") == 2
        assert "1 slide, 2 elements, 0 images\n" in said
        assert output.exists()


async def test_a_board_that_is_not_there_or_not_the_only_one(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, habits=BY_HAND) as here:
        await here.alice.draw(elements.shape(text="one"))
        await here.recorded(1)
        said = await exported(here, "nonsense", code=1)
        assert "There is no board “nonsense”. “boardkeeper boards” lists them.\n" in said
        assert "There is no board" in await exported(here, "99", code=1)
        assert not (here.bot.folder / "board.nwb").exists()

        document = await here.alice.user.send_event(
            here.board.room_id, "net.nordeck.whiteboard.document.create", {}
        )
        await here.alice.user.put_state(
            here.board.room_id, "net.nordeck.whiteboard", {"documentId": document}, "other"
        )
        await until(lambda: len(listed(here.bot)) == 2, 10, "no second board", here.bot)
        assert "fits 2 boards: say which, by number (1, 2)" in await exported(
            here, here.board.room_id, code=1
        )
        assert "Nothing is recorded of this board" in await exported(here, "other", code=1)
        assert "1 slide, 1 element, 0 images" in await exported(here, "1")
