"""`make demo` as a newcomer runs it: to its end, and ended by Ctrl-C on its way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.stack.client.nwb import comparable
from tests.stack.processes import ROOT, start_time

SESSION = ROOT / "tests" / "data" / "neoboard-session" / "slides"
SERVERS = ("synapse", "livekit", "jwt", "bot")

Known = frozenset[tuple[int, str]]
"""Processes: a number, and the time it was given, as numbers are given again."""


@contextmanager
def demo(folder: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Run it, with its own process group, as a shell does."""
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.demo", "--folder", str(folder), *more],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
        assert running.stdout is not None
        running.stdout.close()


def read_until(running: subprocess.Popen[str], text: str) -> None:
    """Read what it prints up to a line that has this in it."""
    assert running.stdout is not None
    said = []
    for line in running.stdout:
        said.append(line)
        if text in line:
            return
    raise AssertionError(f"it never said “{text}”: {''.join(said)}")


def descendants(pid: int) -> Known:
    """Return a process and all that it started, and those, that are there now."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has just ended
        children.setdefault(parent, []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return frozenset((one, start_time(one)) for one in found)


def left(known: Known) -> list[int]:
    """Return which of these are still there."""
    return [pid for pid, begun in known if begun and start_time(pid) == begun]


def pid_files(folder: Path) -> set[str]:
    """Return of which servers it says that they run."""
    return {path.stem for path in folder.rglob("*.pid")}


def test_it_runs_to_its_end_and_exports_what_people_drew(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("not the demo's")
    with demo(tmp_path, "--speed", "30") as running:
        said, _ = running.communicate(timeout=300)
        assert running.returncode == 0, said
    assert "exported as .nwb: 2 slides, 12 elements, 1 image" in said
    assert "Traceback" not in said
    assert str(tmp_path / "board.nwb") in said
    export = json.loads((tmp_path / "board.nwb").read_text())
    assert comparable(export) == comparable(json.loads((SESSION / "export.nwb").read_text()))
    assert (tmp_path / "bot" / "data" / "boardkeeper.db").exists()
    assert (tmp_path / "mine.txt").exists()
    assert not pid_files(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("when", "there"),
    [("the main job", set()), ("are on the board", {*SERVERS})],
    ids=["starting", "drawing"],
)
def test_ended_on_its_way_it_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals, when: str, there: set[str]
) -> None:
    with demo(tmp_path) as running:
        read_until(running, when)
        time.sleep(0.7)  # in the middle of what comes next
        known = descendants(running.pid)
        assert there <= pid_files(tmp_path)
        assert len(left(known)) >= 1 + len(there)
        os.killpg(running.pid, number)  # Ctrl-C reaches the whole group
        said, _ = running.communicate(timeout=200)
        assert running.returncode == 0, said
    assert "Ended: servers, bot and people are gone." in said
    assert "Traceback" not in said
    assert not left(known)
    assert not pid_files(tmp_path)
    assert not (tmp_path / "board.nwb").exists()
