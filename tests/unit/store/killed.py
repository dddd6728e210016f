"""Kills a writing process again and again; run as `python -m tests.unit.store.killed FOLDER N`.

Each round forks a child that records as fast as it can and reports every commit through a pipe;
after a random while it is killed (SIGKILL). Everything reported must be in the file, whole and in
order. A process of its own, for forking needs one without threads.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bot.handlers.record import Recorder
from bot.store.archive import Archive
from bot.whiteboard.entry import Entry
from tests.unit.store.make import entry, new_boards

REPORT = struct.Struct("<QQ")  # sequence number, content


async def write_for_ever(folder: Path, pipe: int, first: int) -> None:
    def report(entries: Sequence[Entry]) -> None:
        lines = [REPORT.pack(one.seq, int.from_bytes(one.data[:8], "little")) for one in entries]
        os.write(pipe, b"".join(lines))

    async with Archive(folder) as archive:
        boards = await new_boards(archive, 3)
        recorder = Recorder(archive, group=0.001, on_commit=report)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(recorder.run())
            number = first
            while True:
                for _ in range(random.randrange(40)):
                    data = number.to_bytes(8, "little") + bytes(random.randrange(300))
                    recorder.append(entry(boards[number % 3], data))
                    number += 1
                await asyncio.sleep(0.0005)


def round_of(folder: Path, first: int) -> dict[int, int]:
    """Let a child write and kill it; return what it said was committed: content by number."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        asyncio.run(write_for_ever(folder, into, first))
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        head = pipe.read(REPORT.size)
        time.sleep(random.random() * 0.02)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        said = head + pipe.read()
    # A pipe takes up to 4096 bytes in one piece: the last report may be cut off.
    return dict(REPORT.iter_unpack(said[: len(said) // REPORT.size * REPORT.size]))


def check(folder: Path, said: dict[int, int]) -> int:
    """Return how many entries there are, after looking at every one."""
    with closing(sqlite3.connect(folder / "boardkeeper.db")) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = raw.execute("SELECT seq, data FROM entries ORDER BY seq").fetchall()
        totals = raw.execute("SELECT SUM(entries), SUM(bytes) FROM boards").fetchone()
    kept = {seq: int.from_bytes(data[:8], "little") for seq, data in rows}
    assert said.items() <= kept.items(), "something reported is missing"
    assert list(kept) == list(range(1, len(kept) + 1)), "a number is missing"
    assert totals == (len(rows), sum(len(data) for _, data in rows))
    return len(rows)


async def read(folder: Path) -> int:
    async with Archive(folder, read_only=True) as archive:
        return (await archive.statistics()).entries


def main() -> None:
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    reported: dict[int, int] = {}
    content = total = 0
    for number in range(rounds):
        said = round_of(folder, content)
        assert list(said.values()) == list(range(content, content + len(said))), "not in order"
        reported |= said
        if number % 10 == 0:  # a reader has to manage with what the killed one left behind
            asyncio.run(read(folder))
        total = check(folder, reported)
        content += 1_000_000
    print(f"{rounds} kills, {len(reported)} entries reported, {total} kept")


if __name__ == "__main__":
    main()
