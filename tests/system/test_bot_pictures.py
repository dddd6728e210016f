"""Restore and import where there are pictures or locks: from the command line."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from tests.stack.client import edits, elements
from tests.stack.client.elements import FIRST_SLIDE
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Options, Stack
from tests.system.people import QUICK, Meeting, meeting
from tests.system.test_bot_restore import BY_HAND, cli, draws, rows, sees, texts

RED = b"\x89PNG\r\n\x1a\n" + b"red" * 100
LARGE = b"\x89PNG\r\n\x1a\n" + b"large" * 10_000


def pictures(who: NeoBoard) -> list[str]:
    """Return the addresses of the pictures somebody sees."""
    slides = who.document.content()["slides"]
    return [one["mxc"] for slide in slides for one in slide["elements"] if one["type"] == "image"]


def file(folder: Path, *files: bytes, times: int = 1) -> str:
    """Write a `.nwb` file with these pictures, each so often on its slide."""
    names = [f"mxc://elsewhere/{number}" for number in range(len(files))]
    board: dict[str, Any] = {
        "slides": [{"elements": [elements.image(one) for one in names * times]}],
        "files": [
            {"mxc": one, "data": base64.b64encode(data).decode()}
            for one, data in zip(names, files, strict=True)
        ],
    }
    path = folder / "pictures.nwb"
    path.write_text(json.dumps({"version": "net.nordeck.whiteboard@v1", "whiteboard": board}))
    return str(path)


async def undone(here: Meeting, said: str) -> None:
    """Type what was said to undo it."""
    undo = re.search(r"restore (\d+) --at (\d+)", said)
    assert undo is not None
    await cli(here.bot, "restore", undo[1], "--at", undo[2])


async def test_a_picture_of_a_file_is_uploaded_once_and_shown(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, QUICK, habits=BY_HAND) as here:
        await draws(here, "before")
        path = file(tmp_path, RED, times=3)
        assert "3 elements added" in await cli(here.bot, "import", "1", path, "--dry-run")
        assert texts(here.alice) == [["before"]]
        said = await cli(here.bot, "import", "1", path)
        await here.alice.until(lambda: len(pictures(here.alice)) == 3, 10, "the pictures")
        [mxc] = set(pictures(here.alice))
        assert mxc.startswith(f"mxc://{stack.server_name}/")
        assert await here.alice.user.download(mxc) == RED

        exported = await here.bot.export("1")
        [entry] = exported["whiteboard"]["files"]
        assert (entry["mxc"], base64.b64decode(entry["data"])) == (mxc, RED)

        await undone(here, said)
        await sees(here.alice, [["before"]])


async def test_what_cannot_be_uploaded_leaves_the_board_as_it_was(tmp_path: Path) -> None:
    options = Options(synapse={"max_upload_size": "10K"})
    async with (
        Stack.start(tmp_path / "stack", options) as stack,
        meeting(stack, tmp_path, QUICK, habits=BY_HAND) as here,
    ):
        await draws(here, "before")
        said = await cli(here.bot, "import", "1", file(tmp_path, RED, LARGE), code=1)
        assert "413" in said
        said = await cli(here.bot, "import", "1", file(tmp_path, RED, b"MZ"), code=1)
        assert "no GIF, JPEG, PNG or SVG" in said
        assert texts(here.alice) == [["before"]]
        assert list(here.bot.data.glob("import.*")) == []
        await cli(here.bot, "import", "1", file(tmp_path, RED))
        await here.alice.until(lambda: len(pictures(here.alice)) == 1, 10, "the picture")


async def test_locked_slides_stay_unless_told(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, QUICK, habits=BY_HAND) as here:
        await draws(here, "a")
        [(at,)] = rows(here, "SELECT MAX(ts) FROM entries WHERE kind = 'update'")
        await draws(here, "b")
        await here.alice.change(edits.lock_slide(FIRST_SLIDE, here.alice.user_id))
        await here.recorded(3, kind="update")
        path = file(tmp_path, RED)
        for command in (["restore", "1", "--at", str(at)], ["import", "1", path]):
            for dry in ([], ["--dry-run"]):
                said = await cli(here.bot, *command, *dry, code=1)
                assert "Locked slides would change (1). Unlock them, or add --force." in said
        assert texts(here.alice) == [["a", "b"]]
        await cli(here.bot, "import", "1", path, "--append")  # touches no locked slide
        await here.alice.until(lambda: len(pictures(here.alice)) == 1, 10, "the picture")
        await cli(here.bot, "restore", "1", "--at", str(at), "--force")
        await sees(here.alice, [["a"]])
