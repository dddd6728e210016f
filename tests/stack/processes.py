"""Server processes that never outlive the run that started them.

Each runs in a session of its own (Ctrl-C reaches only us), is ended by its process id, and is
killed by the kernel when we end without ending it (launch.py). Its pid file holds the start time
as well, so that a later run never ends a stranger who got the same number.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_LAUNCH = Path(__file__).with_name("launch.py")
_POLL = 0.02


class StackError(Exception):
    """Raised when a server of the stack does not start or does not end."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how to know that it is there.

    Attributes:
        name: names its log and pid file.
        command: the program and its arguments.
        folder: where its log and pid file go.
        ready: tells whether it answers; asked again and again after the start.
        environment: added to ours.
        grace: seconds between SIGTERM and SIGKILL.
    """

    name: str
    command: Sequence[str]
    folder: Path
    ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=dict)
    grace: float = 5.0

    @property
    def log_file(self) -> Path:
        """Everything the program prints."""
        return self.folder / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """`PID START_TIME` while it runs."""
        return self.folder / f"{self.name}.pid"


class Process:
    """One supervised server: start, stop, kill, restart, pause, resume."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; raises StackError when it does not run."""
        if self._child is None:
            raise StackError(f"{self.program.name} does not run.")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process is there (paused counts)."""
        return self._child is not None and self._child.poll() is None

    async def start(self, within: float = 180.0) -> None:
        """Starts the server and returns when it answers.

        Raises:
            StackError: it ended by itself, or did not answer in time; the text holds the last
                lines of its log.
        """
        if self.running:
            raise StackError(f"{self.program.name} runs already.")
        self._spawn()
        try:
            failure = await self._wait_until_ready(time.monotonic() + within)
        except BaseException:
            await self.kill()
            raise
        if failure:
            await self.kill()
            log = tail(self.program.log_file)
            raise StackError(f"{self.program.name} {failure}. Its log says:\n{log}")

    async def stop(self) -> None:
        """Asks the server to end, and kills it when it has not within its grace period."""
        if self._child is None:
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        if not await self._gone(self.program.grace):
            self._signal(signal.SIGKILL)
        await self._reap()

    async def kill(self) -> None:
        """Ends the server at once, as a crash would (SIGKILL)."""
        self._signal(signal.SIGKILL)
        await self._reap()

    async def restart(self) -> None:
        """Starts the server again on the same ports; one that still runs is killed first."""
        await self.kill()
        await self.start()

    async def pause(self) -> None:
        """Freezes the server: connections stay open, nothing is answered (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    async def resume(self) -> None:
        """Lets a paused server go on."""
        self._signal(signal.SIGCONT)

    async def _wait_until_ready(self, deadline: float) -> str:
        """What went wrong, or nothing."""
        while not await self.program.ready():
            if not self.running:
                return "ended while starting"
            if time.monotonic() > deadline:
                return "did not answer in time"
            await asyncio.sleep(_POLL)
        return ""

    def _spawn(self) -> None:
        program = self.program
        command = [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *program.command]
        with program.log_file.open("ab") as log:
            # Not from a worker thread: the kernel takes the end of the starting *thread* for the
            # parent's end.
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **program.environment},
                start_new_session=True,
            )
        program.pid_file.write_text(f"{self._child.pid} {start_time(self._child.pid)}\n")

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            os.kill(self.pid, number)

    async def _gone(self, within: float) -> bool:
        deadline = time.monotonic() + within
        while self.running:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL)
        return True

    async def _reap(self) -> None:
        if not await self._gone(60.0):
            raise StackError(f"{self.program.name} does not end.")
        self._child = None
        self.program.pid_file.unlink(missing_ok=True)


def start_time(pid: int) -> str:
    """When the process started, in clock ticks since boot; empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The second field is the program's name in parentheses and may hold anything.
    state, *fields = stat.rpartition(")")[2].split()
    # In a container without an init, what has ended may stay as a zombie.
    return "" if state in "ZX" else fields[18]


def end_left_over(folder: Path) -> list[str]:
    """Kills what an earlier run in this folder may have left; returns the names."""
    ended = []
    for file in folder.glob("*.pid"):
        pid, _, started = file.read_text().strip().partition(" ")
        if started and start_time(int(pid)) == started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
            ended.append(file.stem)
        file.unlink(missing_ok=True)
    return ended


def tail(file: Path, lines: int = 20, width: int = 240) -> str:
    """The last lines of a log, each cut at a readable width."""
    if not file.exists():
        return "(nothing)"
    return "\n".join(
        line[:width] for line in file.read_text(errors="replace").splitlines()[-lines:]
    )
