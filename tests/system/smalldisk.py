"""A bot whose data folder is a small file system of its own, to be filled and freed."""

from __future__ import annotations

import resource
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tests.stack.bot import Bot
from tests.stack.processes import Process
from tests.system.archive import query

_UNSHARE = ("unshare", "--mount", "--map-root-user")


class SmallDisk:
    """Moves a bot that does not run yet onto a small disk.

    It is mounted in name spaces that end with the bot. Where those are forbidden, the operating
    system lets no file of the bot grow instead: not as real, but everywhere.

    Args:
        bot: with its configuration written.
        size: of the disk, bytes.
    """

    def __init__(self, bot: Bot, size: int = 6 * 2**20) -> None:
        self._bot = bot
        probe = [*_UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        self._mounted = not subprocess.run(probe, capture_output=True, check=False).returncode
        if self._mounted:
            bot.data.mkdir(exist_ok=True)
            folder, command = shlex.quote(str(bot.data)), shlex.join(bot.process.program.command)
            script = f"mount -t tmpfs -o size={size} tmpfs {folder} && exec {command}"
            program = replace(bot.process.program, command=[*_UNSHARE, "sh", "-c", script])
            bot.process = Process(program)

    def copy_out(self) -> None:
        """Let commands and queries see what is on the disk now."""
        if self._mounted:
            # Through this path files can be read, but SQLite would resolve it to the folder below.
            for file in self._inside().glob("boardkeeper.db*"):
                shutil.copy(file, self._bot.data)

    def copied_whole(self) -> bool:
        """Copy out; return whether that was no copy of something half written."""
        self.copy_out()
        try:
            return query(self._bot.data, "PRAGMA integrity_check") == [("ok",)]
        except sqlite3.DatabaseError:
            return False

    def fill(self) -> Callable[[], None]:
        """Leave no room; returns what frees it again."""
        if not self._mounted:
            return self._limit()
        ballast = self._inside() / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        return ballast.unlink

    def _inside(self) -> Path:
        return Path(f"/proc/{self._bot.process.pid}/root{self._bot.data}")

    def _limit(self) -> Callable[[], None]:
        pid = self._bot.process.pid
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        grown = max(file.stat().st_size for file in self._bot.data.iterdir())
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (grown, hard))

        def free() -> None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))

        return free
