"""Processes that take part in a measurement: each line they print is a JSON value."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.stack.processes import ROOT, tail

_LAUNCH = ROOT / "tests" / "stack" / "launch.py"
_LONGEST = 2**20


class ChildError(Exception):
    """Raised when a process of a measurement ends early or says nothing in time."""


class Child:
    """One process of a measurement."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self._name = name
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def heard(self, within: float) -> Any:
        """Wait for the next line it prints.

        Raises:
            ChildError: it ended, or printed nothing in time.
        """
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(within):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise ChildError(f"{self._name} said nothing for {within:g} s") from None
        if not line:
            raise ChildError(f"{self._name} ended:\n{tail(self._log)}")
        return json.loads(line)

    def tell(self, value: object) -> None:
        """Write a line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")

    async def end(self) -> None:
        """Kill it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def child(folder: Path, name: str, *arguments: str) -> AsyncIterator[Child]:
    """Run the module `tests.bench.<name>` for the block; it dies with us.

    Args:
        folder: for what it writes to standard error.
        name: of the module.
        arguments: of it.
    """
    log = folder / f"{name}.log"
    module = [sys.executable, "-m", f"tests.bench.{name}"]
    launch = [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid())]
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *launch,
            *module,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            limit=_LONGEST,
        )
    running = Child(name, process, log)
    try:
        yield running
    finally:
        await running.end()
