"""Imports: nobody sees half of a board, whatever ends them; no handler takes them for news."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bot.actions import portable
from bot.errors import InvalidRecording, StoreError, UsageError
from bot.recording import Header, read, write
from bot.store.archive import Archive
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry
from tests.unit.store.make import KEY, entry

OTHER = BoardKey("!elsewhere:example.org", "other", "$other")
COUNT = 3_000

CHILD = """
import asyncio, sys
from pathlib import Path
from bot.actions import portable
from bot.recording import read
from bot.store.archive import Archive

async def main():
    portable.BATCH = 50
    with read(Path(sys.argv[1])) as found:
        async with Archive(Path(sys.argv[2]), beside=True) as archive:
            await portable.load(archive, found, lambda done: print(done, flush=True))

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "board.rec"
    write(path, Header(OTHER, "0", 5), (entry(data=b"%d" % at) for at in range(COUNT)))
    return path


def ignore(_: int) -> None:
    """Hears of progress."""


async def load(archive: Archive, path: Path, tell: Callable[[int], None] = ignore) -> int:
    with read(path) as found:
        return (await portable.load(archive, found, tell)).board_id


def counted(folder: Path) -> tuple[int, int, int]:
    """Boards, entries, authors, whether somebody sees them or not."""
    with closing(sqlite3.connect(folder / "boardkeeper.db")) as raw:
        tables = ("boards", "entries", "authors")
        boards, entries, authors = (
            raw.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables
        )
    return boards, entries, authors


async def test_beside_a_bot_that_records(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "BATCH", 200)
    monkeypatch.setattr(portable, "PAUSE", 0.005)
    async with Archive(folder) as bot, Archive(folder, beside=True) as archive:
        board_id = await bot.board_id(KEY, 1)
        seen: set[int] = set()
        importing = asyncio.ensure_future(load(archive, path))
        own = 0
        while not importing.done():
            seen |= {row.id for row in await bot.boards()}
            assert all(row.board_id == board_id for row in await bot.backlog("webhook"))
            await bot.append([entry(board_id, b"live")])
            own += 1
        imported = await importing
        assert seen <= {board_id, imported}
        found = {row.id: row for row in await bot.boards()}
        assert (found[imported].key, found[imported].entries) == (OTHER, COUNT)
        assert found[board_id].entries == own
        data = [one.data async for one in bot.all_entries(imported)]
        assert data == [b"%d" % at for at in range(COUNT)]
        assert (await bot.statistics()).boards == 2


async def test_durable_handlers_take_nothing_of_it_for_news(archive: Archive, path: Path) -> None:
    board_id = await archive.board_id(KEY, 1)
    await archive.append([entry(board_id)])
    await archive.enrol("early")
    during: list[str] = []

    def enrol(_: int) -> None:
        during.append("midway")

    async with Archive(archive.path.parent, beside=True) as beside:
        imported = await load(beside, path, enrol)
        await archive.enrol("late")
    assert during
    for handler in ("early", "late"):
        assert await archive.backlog(handler) == []
        assert (
            await archive.entries(imported, after_seq=await archive.cursor(handler, imported)) == []
        )
    # Were the bot to come to this board, what happens then is news.
    assert await archive.board_id(OTHER, 2) == imported
    await archive.append([entry(imported, b"new")])
    assert [one.entries for one in await archive.backlog("early")] == [1]
    assert [row.gone_ts for row in await archive.boards()] == [None, None]


async def test_one_that_is_enrolled_midway_takes_nothing_of_it_for_news(archive: Archive) -> None:
    board_id = await archive.begin_import(1)
    await archive.append([entry(board_id, b"one")])
    await archive.enrol("midway")
    await archive.append([entry(board_id, b"two")])
    assert await archive.backlog("midway") == []
    assert await archive.end_import(board_id, OTHER)
    assert await archive.backlog("midway") == []


async def test_a_board_that_is_found_meanwhile_is_not_there_twice(
    archive: Archive, path: Path
) -> None:
    found: list[asyncio.Task[int]] = []

    def find(_: int) -> None:
        found.append(asyncio.ensure_future(archive.board_id(OTHER, 1)))

    async with Archive(archive.path.parent, beside=True) as beside:
        with pytest.raises(UsageError, match="has this board already"):
            await load(beside, path, find)
        (row,) = await archive.boards()
        assert (row.id, row.entries) == (await found[0], 0)
    assert counted(archive.path.parent) == (1, 0, 0)


async def test_a_failure_leaves_nothing_behind(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "BATCH", 1_000)
    async with Archive(folder, beside=True) as archive:
        append, calls = archive.append, []

        async def full(entries: list[Entry]) -> list[int]:
            calls.append(len(entries))
            if len(calls) == 3:
                raise StoreError("The disk is full.")
            return await append(entries)

        monkeypatch.setattr(archive, "append", full)
        with pytest.raises(StoreError, match=r"full\. Nothing was imported\."):
            await load(archive, path)
        assert counted(folder) == (0, 0, 0)
        assert await load(archive, path)  # the next one is whole
    assert counted(folder) == (1, COUNT, 1)


async def test_a_cancelled_one_leaves_nothing_behind(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "BATCH", 100)
    async with Archive(folder, beside=True) as archive:
        importing = asyncio.current_task()
        assert importing is not None

        def cancel(_: int) -> None:
            importing.cancel()

        with pytest.raises(asyncio.CancelledError):
            await load(archive, path, cancel)
        importing.uncancel()
        assert counted(folder) == (0, 0, 0)


async def test_a_file_that_is_not_whole_leaves_nothing_behind(folder: Path, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])
    async with Archive(folder, beside=True) as archive:
        with pytest.raises(InvalidRecording):
            await load(archive, path)
    assert counted(folder) == (0, 0, 0)


@pytest.mark.timeout(120)
async def test_one_that_is_killed_is_never_seen_and_cleared_away(folder: Path, path: Path) -> None:
    for after in (1, 55):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, path, folder], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(after):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        async with Archive(folder) as bot:  # a bot that starts now
            assert await bot.boards() == []
            assert (await bot.statistics()).entries == 0
            assert await bot.backlog("webhook") == []
    assert counted(folder)[1] >= 55 * 50
    async with Archive(folder, beside=True) as archive:
        board_id = await load(archive, path)
        assert [row.id for row in await archive.boards()] == [board_id]
    assert counted(folder) == (1, COUNT, 1)


async def test_one_at_a_time(folder: Path) -> None:
    async with Archive(folder, beside=True):
        with pytest.raises(StoreError, match="another import is under way"):
            async with Archive(folder, beside=True):
                pass


async def test_a_large_import_is_soon_discarded(archive: Archive) -> None:
    begun = time.monotonic()
    board_id = await archive.begin_import(1)
    for _ in range(5):
        await archive.append([entry(board_id, bytes(100)) for _ in range(5_000)])
    await archive.discard_imports()
    assert counted(archive.path.parent) == (0, 0, 0)
    assert time.monotonic() - begun < 60
