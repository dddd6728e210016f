"""The bot as a process, seen from outside: its log, its health, its archive, its command line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.stack.client.jobs import PATIENCE
from tests.stack.http import answers
from tests.stack.ports import HOST, free_port
from tests.stack.processes import ROOT, Process, Program, StackError, tail
from tests.stack.stack import Login, Stack

DEVICE = "BOARDKEEPER"


class Bot:
    """One installation of the bot: a folder with configuration, data and log.

    Args:
        stack: the servers it uses.
        folder: private; made when missing.
        login: the account.
        config: merged over the usual configuration, one level deep.
        environment: added to ours, for the bot and its commands.
    """

    def __init__(
        self,
        stack: Stack,
        folder: Path,
        login: Login,
        config: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.data = folder / "data"
        self.config = folder / "config.yaml"
        self.log = folder / "bot.log"
        self.user_id, self.device_id = login.user_id, DEVICE
        self.url = f"http://{HOST}:{free_port()}"
        self.environment = environment or {}
        settings: dict[str, Any] = {
            "homeserver": {
                "url": stack.homeserver_url,
                "user_id": login.user_id,
                "password": login.password,
                "well_known": f"{stack.homeserver_url}/.well-known/matrix/client",
            },
            "data": {"folder": str(self.data)},
            "web": {"listen": self.url.removeprefix("http://")},
            "log": {"format": "json"},
            "presence": {"linger": "2s"},
        }
        for key, value in (config or {}).items():
            old = settings.get(key)
            settings[key] = old | value if isinstance(old, dict) else value
        # JSON is YAML.
        self.config.write_text(json.dumps(settings, indent=1))
        self.config.chmod(0o600)
        self.process = Process(
            Program(
                name="bot",
                command=[sys.executable, "-m", "bot", "run", "-c", str(self.config)],
                folder=folder,
                ready=lambda: answers(f"{self.url}/ready"),
                environment=self.environment,
                grace=15.0,
            )
        )

    @property
    def state_key(self) -> str:
        """The key of its membership."""
        return f"_{self.user_id}_{self.device_id}"

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.process.running

    async def start(self) -> None:
        """Start the process; wait until it is ready."""
        await self.process.start(within=120)

    async def stop(self) -> float:
        """Ask it to end (SIGTERM); returns the seconds that took.

        Raises:
            StackError: it had to be killed.
        """
        begun = time.monotonic()
        os.kill(self.process.pid, signal.SIGTERM)
        await until(lambda: not self.process.running, 15, "the bot does not end", self)
        took = time.monotonic() - begun
        await self.process.stop()
        return took

    async def kill(self) -> None:
        """Kill it (SIGKILL)."""
        if self.process.running:
            await self.process.kill()

    def events(self) -> list[dict[str, Any]]:
        """Return its log lines."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]

    def tail(self) -> str:
        """Return the last lines of its log."""
        return tail(self.log, lines=30)

    async def metrics(self) -> dict[str, float]:
        """Return `/metrics` as name{labels} → value."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/metrics") as response,
        ):
            text = await response.text()
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def command(self, *arguments: str, code: int = 0) -> str:
        """Run a command of its command line and return what it printed.

        Raises:
            StackError: it did not exit with this code.
        """
        done = subprocess.run(
            [sys.executable, "-m", "bot", *arguments, "-c", str(self.config)],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        if done.returncode != code:
            raise StackError(f"boardkeeper {arguments[0]}: exit {done.returncode}: {done.stderr}")
        return done.stdout + done.stderr

    async def export(self, board: str, at: str | None = None) -> dict[str, Any]:
        """Export a board and return the parsed file."""
        output = self.folder / "export.nwb"
        arguments = ["export", board, "-o", str(output), *(["--at", at] if at else [])]
        await asyncio.to_thread(self.command, *arguments)
        result: dict[str, Any] = json.loads(output.read_bytes())
        return result


async def until(check: Callable[[], Any], seconds: float, what: str, bot: Bot | None = None) -> Any:
    """Wait until a check (plain or async) answers something true, and return that.

    Raises:
        StackError: it did not in time; the text holds the bot's last log lines.
    """
    end = asyncio.get_running_loop().time() + seconds * PATIENCE
    while True:
        result = check()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        if asyncio.get_running_loop().time() > end:
            raise StackError(f"{what} after {seconds * PATIENCE:g} s\n{bot.tail() if bot else ''}")
        await asyncio.sleep(0.1)


@asynccontextmanager
async def running_bot(
    stack: Stack,
    folder: Path,
    name: str,
    config: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Bot]:
    """Run a bot with an account of its own for the block; it is ended at its end."""
    bot = Bot(stack, folder, await stack.user(name), config, environment)
    await bot.start()
    try:
        yield bot
    finally:
        await bot.kill()
