"""Runs commands that take long, and shows that something is going on.

On a terminal one line lives while a command runs: a spinner, the seconds, and the last thing the
command said. Elsewhere there is a plain line at the start, every quarter of a minute, and at the
end. Everything the commands say goes into a log file.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_INTERVAL = 15.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class CommandFailed(Exception):
    """Raised when a command fails; the text holds the command and the last lines it said."""


class Progress:
    """Says what is being done, for how long, and how it ended."""

    def __init__(self, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self._out = log.open("w", encoding="utf-8")
        self._live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._title = ""
        self._begun = 0.0
        self._next_line = 0.0

    def begin(self, title: str, note: str = "") -> None:
        """Names the step that follows."""
        self._title, self._begun = title, time.monotonic()
        self._next_line = _PLAIN_INTERVAL
        self._out.write(f"\n=== {title}\n")
        if not self._live:
            print(f"… {title}{f' ({note})' if note else ''}", flush=True)

    def end(self, *, good: bool) -> None:
        """Closes the step."""
        mark = "✓" if good else "✗"
        self._clear()
        print(f"{mark} {self._title} ({self._seconds():.0f} s)", flush=True)

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Runs a command to its end.

        Raises:
            CommandFailed: it ended with another status than 0, or is not there.
        """
        shown = shlex.join(command)
        self._out.write(f"$ {shown}\n")
        self._out.flush()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=folder,
                env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            raise CommandFailed(f"{shown}\n{error}") from error
        said: deque[str] = deque(maxlen=15)
        reader = threading.Thread(target=self._read, args=(process, said), daemon=True)
        reader.start()
        try:
            self._watch(process, said)
        except BaseException:
            process.kill()
            raise
        reader.join()
        if process.returncode != 0:
            raise CommandFailed("\n".join([f"$ {shown}", *said]))

    def _read(self, process: subprocess.Popen[str], said: deque[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._out.write(line)
            text = _ESCAPES.sub("", line).strip()
            if text:
                said.append(text)
        self._out.flush()

    def _watch(self, process: subprocess.Popen[str], said: deque[str]) -> None:
        frame = 0
        while process.poll() is None:
            if self._live:
                frame += 1
                self._show(_FRAMES[frame % len(_FRAMES)], said[-1] if said else "")
            elif self._seconds() >= self._next_line:
                self._next_line += _PLAIN_INTERVAL
                print(f"  … {self._title}: {self._seconds():.0f} s", flush=True)
            time.sleep(0.1)

    def _show(self, frame: str, last: str) -> None:
        width = shutil.get_terminal_size().columns
        line = f"{frame} {self._title} {self._seconds():3.0f} s  {last}"[: width - 1]
        sys.stdout.write(f"\r\x1b[K{line}")
        sys.stdout.flush()

    def _clear(self) -> None:
        if self._live:
            sys.stdout.write("\r\x1b[K")

    def _seconds(self) -> float:
        return time.monotonic() - self._begun
