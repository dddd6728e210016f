"""Records onto a disk until it is full, then frees it. Run as a module with two arguments:

`mount FOLDER`: a file system of 4 MB is mounted there, in name spaces of our own that end with us.
`limit FOLDER`: the operating system lets no file grow beyond 1 MB. Not as real, but everywhere.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from bot.errors import StoreError
from bot.handlers.record import Recorder
from bot.store.archive import Archive
from bot.whiteboard.entry import Entry
from tests.unit.store.make import KEY, entry


def in_name_spaces() -> list[str]:
    """Return the command that runs this with a file system of its own; with a limit if need be."""
    unshare = ["unshare", "--mount", "--map-root-user"]
    probe = subprocess.run(
        [*unshare, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    if probe.returncode:
        return with_limit()
    return [*unshare, sys.executable, "-m", "tests.unit.store.full_disk", "mount"]


def with_limit() -> list[str]:
    """Return the command that runs this with a limit on every file's size."""
    return [sys.executable, "-m", "tests.unit.store.full_disk", "limit"]


def mounted(folder: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    ballast = folder / "ballast"

    def fill() -> None:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    return fill, ballast.unlink


def limited(_: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    def limit(size: int) -> None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    return lambda: limit(2**20), lambda: limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])


async def record(folder: Path, fill: Callable[[], None], free: Callable[[], None]) -> None:
    said: list[Entry] = []
    sent: list[bytes] = []

    def note(entries: Sequence[Entry]) -> None:
        said.extend(entries)

    async with Archive(folder / "data") as archive:
        board_id = await archive.board_id(KEY, 1)
        recorder = Recorder(archive, group=0.001, on_commit=note)
        running = asyncio.ensure_future(recorder.run())

        async def draw(count: int) -> None:
            for _ in range(count):
                sent.append(os.urandom(4000))
                assert recorder.append(entry(board_id, sent[-1]))
            await asyncio.sleep(0.002)

        await draw(10)
        await recorder.flush()
        fill()
        while recorder.failing is None:
            await draw(20)
        print(recorder.failing)
        waiting = recorder.pending
        assert waiting
        await draw(20)  # goes on
        assert recorder.pending == waiting + 20
        assert not await recorder.committed()
        with suppress(StoreError):  # there may be room for little things
            await archive.set("sync_token", "s" * 100_000)
        kept = [one async for one in archive.all_entries(board_id)]
        assert kept == said
        free()
        await recorder.flush()
        assert recorder.failing is None
        await draw(20)
        await recorder.flush()
        running.cancel()
        kept = [one async for one in archive.all_entries(board_id)]
        assert kept == said
        assert [one.data for one in kept] == sent
        assert recorder.dropped == 0


if __name__ == "__main__":
    how, where = sys.argv[1], Path(sys.argv[2])
    asyncio.run(record(where, *(mounted if how == "mount" else limited)(where)))
    print("everything is there")
