"""The archive across processes: killed writers, full disks, readers beside a writer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from bot.store.archive import Archive
from tests.unit.store import full_disk
from tests.unit.store.make import entry

ROOT = Path(__file__).parents[3]


def run(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_committed_is_lost_by_kill_9(tmp_path: Path) -> None:
    said = run(sys.executable, "-m", "tests.unit.store.killed", tmp_path / "data", "15")
    assert said.startswith("15 kills")


@pytest.mark.parametrize("command", [full_disk.in_name_spaces, full_disk.with_limit])
def test_a_full_disk_costs_nothing_once_it_has_room_again(
    tmp_path: Path, command: Callable[[], list[str]]
) -> None:
    reason, end = run(*command(), tmp_path).splitlines()
    assert "cannot be written: the disk" in reason
    assert end == "everything is there"


async def test_a_reader_beside_a_writer_sees_whole_groups(
    archive: Archive, board_id: int, folder: Path
) -> None:
    async def write() -> None:
        for _ in range(40):
            await archive.append([entry(board_id, bytes(1000))] * 25)

    async with Archive(folder, read_only=True) as reader:
        writing = asyncio.create_task(write())
        counts = []
        while not writing.done():
            seqs = [one.seq async for one in reader.all_entries(board_id)]
            assert seqs == list(range(1, len(seqs) + 1))
            counts.append((await reader.boards())[0].entries)
        await writing
        assert all(count % 25 == 0 for count in counts)
        assert all(before <= after for before, after in pairwise(counts))
        assert len(set(counts)) > 2
        assert (await reader.statistics()).entries == 1000


async def test_a_reader_survives_the_writers_end(folder: Path) -> None:
    async with Archive(folder) as writer:
        await writer.set("name", "1")
        reader = await Archive(folder, read_only=True).__aenter__()
    assert await reader.get("name") == "1"
    async with Archive(folder) as writer:
        await writer.set("name", "2")
        assert await reader.get("name") == "2"
    await reader.__aexit__()
    async with Archive(folder) as writer:
        assert await writer.get("name") == "2"
