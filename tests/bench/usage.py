"""What a process costs, read from /proc."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """Costs of a process.

    Attributes:
        memory: resident, in MB (10^6 bytes).
        fds: open files.
        cpu: per cent of one core.
    """

    memory: float
    fds: int
    cpu: float


async def usage(pid: int, seconds: float) -> Usage:
    """Watch a process: processor time over so many seconds, the rest at their end."""
    before, began = cpu_seconds(pid), time.monotonic()
    await asyncio.sleep(seconds)
    spent = (cpu_seconds(pid) - before) / (time.monotonic() - began)
    proc = Path(f"/proc/{pid}")
    pages = int((proc / "statm").read_text().split()[1])
    return Usage(pages * _PAGE / 1e6, len(list((proc / "fd").iterdir())), 100 * spent)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far, all threads together."""
    # The second field is the program's name in parentheses and may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
