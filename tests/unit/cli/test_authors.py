from __future__ import annotations

import asyncio
import os
import signal
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from bot.__main__ import main
from bot.handlers.load import fresh

GOOD = """
from bot.handlers.base import (
    BoardFound, CursorMoved, DocumentUpdate, Focused, Handler, Presented, SessionChanged,
    SnapshotSeen,
)

class Mine(Handler):
    async def on_board_found(self, event: BoardFound) -> None:
        self.context.log.info("found", extra={"who": "anna"})
        self.context.log.debug("not shown")
    async def on_session_changed(self, event: SessionChanged) -> None: ...
    async def on_cursor_moved(self, event: CursorMoved) -> None: ...
    async def on_focused(self, event: Focused) -> None: ...
    async def on_presented(self, event: Presented) -> None: ...
    async def on_snapshot_seen(self, event: SnapshotSeen) -> None: ...
    async def on_document_update(self, event: DocumentUpdate) -> None:
        if event.sender and event.changes.slides_added:
            await self.context.post(event.board.room_id, "new \\x1b[31mslide")
            board = await self.context.board(event.board)
            await board.rewrite(board.slides()[:1])
"""
BAD = """
import logging
from bot.handlers.base import DocumentUpdate, Handler, NoSettings

class Mine(Handler):
    async def on_document_update(self, event: DocumentUpdate) -> None:
        try:
            wrong_word
        except NameError:
            logging.getLogger(__name__).exception("it happened")
            raise
"""
DURABLE = """
from bot.handlers.base import DocumentUpdate, Handler

class Mine(Handler):
    durable = True
    async def on_document_update(self, event: DocumentUpdate) -> None: ...
"""


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    return tmp_path / "mine.py"


def replay(file: Path | str, *more: str) -> int:
    return run("dev", str(file), "--replay", "sample", "--once", *more)


def test_dev_shows_what_happens(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD)
    assert replay(file) == 0
    lines = capsys.readouterr().out.splitlines()
    for said in (
        "> logs INFO: found who=anna",
        "SessionChanged: @alice:example.org, @bob:example.org",
        "CursorMoved by @alice:example.org: 100, 200",
        "DocumentUpdate by @alice:example.org: 1 slide added",
        "DocumentUpdate by nobody: 1 slide removed",
        "Focused by @alice:example.org: slide ",
        "Presented by @alice:example.org: the end",
        "> changes the board (",
        r"> writes into the room: new \x1b[31mslide",
        "1 message, 1 change of the board, 0 failures",
    ):
        assert any(said in line for line in lines), (said, lines)
    assert not any("not shown" in line for line in lines)


def test_dev_has_a_recording_of_its_own(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD)
    assert run("dev", str(file), "--once") == 0
    assert "told sample.rec" in capsys.readouterr().out


def test_dev_does_not_wait_for_what_was_never_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong, said in ((tmp_path / "other.py", "cannot be read"), ("notthere", "names no file")):
        assert run("dev", str(wrong)) == 1
        assert said in capsys.readouterr().err


def test_dev_shows_failures_in_full(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(BAD)
    assert replay(f"{file}:Mine") == 1
    said = capsys.readouterr()
    assert f'File "{file}", line 8, in on_document_update' in said.err
    assert "NameError: name 'wrong_word' is not defined" in said.err
    assert "logs ERROR: it happened" in said.out
    assert "failures" in said.out


def test_dev_tells_durable_handlers_too(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(DURABLE)
    assert replay(file, "--speed", "1000000") == 0
    assert "bytes" in capsys.readouterr().out


FAILING = """
from bot.handlers.base import BoardFound, DocumentUpdate, Handler, TryLater

class Mine(Handler):
    seen: list[int] = []
    async def on_document_update(self, event: DocumentUpdate) -> None:
        type(self).seen.append(event.ts)
        BODY
"""


def test_dev_tells_all_to_durable_handlers_that_fail(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = FAILING.replace("seen:", "durable = True; seen:")
    file.write_text(text.replace("BODY", "1 / 0"))
    assert replay(file) == 1
    said = capsys.readouterr()
    told = [line for line in said.out.splitlines() if "DocumentUpdate by" in line]
    assert len(told) > 5
    assert said.out.count("! fails on it again: division by zero") == 4 * len(told)
    assert f"told {len(told)} events" in said.out
    assert f"{5 * len(told)} failures" in said.out
    assert said.err.count("Traceback") == len(told)


def test_dev_does_not_count_what_is_put_off(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = FAILING.replace("seen:", "durable = True; seen:")
    once = 'if self.seen.count(event.ts) == 1: raise TryLater("busy", after=3600)'
    file.write_text(text.replace("BODY", once))
    assert replay(file) == 0
    said = capsys.readouterr()
    assert "! puts it off: busy" in said.out
    assert ", 0 failures" in said.out
    assert said.err == ""

    file.write_text(text.replace("BODY", 'raise TryLater("never", after=3600)'))
    assert replay(file) == 0
    assert "puts the same off again and again: the rest was not told" in capsys.readouterr().out


SPAWNS = """
import asyncio
from bot.handlers.base import BoardFound, Handler

class Mine(Handler):
    async def on_board_found(self, event: BoardFound) -> None:
        self.context.spawn(self.later(event))
    async def later(self, event: BoardFound) -> None:
        await asyncio.sleep(BODY)
        await self.context.post(event.board.room_id, "done")
"""


def test_dev_waits_for_what_is_spawned(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(SPAWNS.replace("BODY", "0.3"))
    assert replay(file) == 0
    said = capsys.readouterr().out
    assert "writes into the room: done" in said
    assert "! " not in said

    monkeypatch.setattr("bot.cli.dev.PATIENCE", 0.01)
    file.write_text(SPAWNS.replace("BODY", "3600"))
    assert replay(file) == 0
    said = capsys.readouterr().out
    assert "! 1 task of the handler was still running and was ended (context.spawn)" in said


BLOCKS = """
import logging
import time
from bot.handlers.base import DocumentUpdate, Handler

class Mine(Handler):
    blocked = False
    async def on_document_update(self, event: DocumentUpdate) -> None:
        logging.getLogger("mau.client").warning("of the library")
        if not self.blocked:
            self.blocked = True
            time.sleep(5)
"""


def test_dev_says_who_blocks_the_bot(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(BLOCKS)
    assert replay(file) == 0
    said = capsys.readouterr().out
    assert "! blocks the bot for more than 1 s at mine.py:12" in said
    assert "of the library" not in said


def test_handlers_are_checked_against_our_types() -> None:
    assert files("bot").joinpath("py.typed").is_file()


def test_dev_says_that_a_lane_waits(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(FAILING.replace("BODY", "1 / 0"))
    assert replay(file) == 1
    said = capsys.readouterr().out
    assert "! The handler's lane waits after its failures: " in said
    assert " events of the recording were not told (docs/handlers.md" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def", "SyntaxError"),
        ("", "has no handler: write a class that derives from bot.handlers.base.Handler"),
        ("raise SystemExit", "it ends the program (SystemExit at "),
        (BAD + "    def __init__(self, settings): raise SystemExit", "it ends the program"),
        (BAD + "class Other(Mine): ...", "several handlers: Mine, Other"),
        (BAD + "    async def start(self, context): raise LookupError", "LookupError"),
        (BAD + "    async def on_it(self, event): ...", "no event for on_it"),
    ],
)
def test_dev_says_what_is_wrong_with_a_file(
    file: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file.write_text(text)
    assert replay(file) == 1
    assert said in capsys.readouterr().err


def test_dev_says_what_is_wrong_with_a_call(
    file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file.write_text(GOOD)
    for arguments, said in (
        (["--set", "loud"], "write KEY=VALUE"),
        (["--set", "loud=[", "--set", "a=b"], "--set: line"),
        (["--set", "loud=yes"], "settings.loud"),
        (["--speed", "0"], "above 0"),
    ):
        assert replay(file, *arguments) != 0
        assert said in capsys.readouterr().err
    assert run("dev", str(file), "--once", "--replay", str(tmp_path / "none.rec")) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert replay(tmp_path / "other.py") == 1
    assert "other.py cannot be read" in capsys.readouterr().err
    assert replay("mine") == 1
    assert "names no file" in capsys.readouterr().err


def test_what_is_loaded_afresh_is_what_is_in_the_file(file: Path) -> None:
    file.write_text(GOOD)
    first = fresh(str(file))
    file.write_text(GOOD.replace("Mine", "Theirs"))
    assert first.__name__ == "Mine"
    assert fresh(str(file)).__name__ == "Theirs"


async def said(process: asyncio.subprocess.Process, what: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(120):
        while what not in (line := (await process.stdout.readline()).decode()):
            assert line, f"it ended without saying {what}"


async def test_dev_replays_again_when_the_file_is_saved(file: Path) -> None:
    file.write_text(BAD)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "dev", str(file), "--replay", "sample"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        await said(process, "Waiting for")
        file.unlink()
        await said(process, "Waiting for")
        file.write_text(GOOD.replace("Mine", "Mended"))
        await said(process, "Mended")
        await said(process, "Waiting for")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(120):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("more", [[], ["--once"], ["--speed", "0.01"]])
async def test_dev_ends_quietly_when_nobody_reads_any_more(file: Path, more: list[str]) -> None:
    file.write_text(GOOD)
    reads, writes = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "dev", str(file), "--replay", "sample", *more),
        stdout=writes,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    os.close(reads)
    os.close(writes)
    async with asyncio.timeout(120):
        _, complaints = await process.communicate()
    assert complaints == b""
    assert process.returncode == 0


async def test_who_saves_while_it_replays_sees_the_new_one(file: Path) -> None:
    file.write_text(GOOD)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "dev", str(file), "--replay", "sample", "--speed", "0.01"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        await said(process, "SessionChanged")
        file.write_text(GOOD.replace("Mine", "Mended"))
        await said(process, "Mended")
    finally:
        process.kill()
        await process.wait()
