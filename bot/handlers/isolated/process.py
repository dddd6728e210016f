"""A handler in a process of its own: whatever it does, the bot goes on.

The process is a new interpreter (`__main__`), not a copy of the bot, and hears of the bot through
one socket: when that closes, however the bot ended, it ends too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from bot.errors import UsageError
from bot.handlers.calling import kind_of
from bot.handlers.isolated.desk import Desk
from bot.handlers.isolated.messages import HEAD, MAX_MESSAGE, Begin, packed
from bot.handlers.isolated.outside import Worker

_log = logging.getLogger(__name__)


class ProcessWorker(Worker):
    """A process with a handler in it.

    Args:
        name: the handler's.
        desk: answers what the handler asks for.
        use: how the handler's class is found.
        settings: the handler's.
    """

    def __init__(self, name: str, desk: Desk, use: str, settings: Any) -> None:
        super().__init__(name, desk)
        self._use = use
        self._settings = settings
        self._process: asyncio.subprocess.Process
        self._writer: asyncio.StreamWriter
        self._reading: asyncio.Task[None]

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    async def _begin(self) -> None:
        try:
            settings = pickle.dumps(self._settings, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            text = f"its settings cannot be sent to a process: {kind_of(error)}"
            raise UsageError(text) from error
        levels = _levels()
        begin = packed(Begin(self._use, settings, self._name, logging.root.level, levels))
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # a file of the current folder is no module of Python's
                "-m",
                "bot.handlers.isolated",
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                # Whoever ends the bot from its terminal lets the bot end this one.
                start_new_session=True,
                env={**_environment(), "PYTHONPATH": _path()},
            )
        except OSError as error:
            ours.close()
            raise UsageError(f"its process cannot be made: {error.strerror}") from error
        finally:
            theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._writer.write(begin)
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        why = "its process ended"
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(HEAD), "big")
                if size > MAX_MESSAGE:
                    why = "it sent a message that is too large"
                    return
                self.take(pickle.loads(await reader.readexactly(size)))  # noqa: S301 - our own process
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001 - of what the handler put into a message
            why = f"it sent a message that cannot be read: {kind_of(error)}"
        finally:
            self.end(why)
            await self._process.wait()

    def send(self, message: object) -> None:
        """Tell it something.

        Raises:
            UsageError: the message is too large, or holds what cannot be sent.
        """
        data = packed(message)
        if not self._writer.is_closing():
            self._writer.write(data)

    def _give_up(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # what it has begun as well
        self._writer.close()

    async def _gone(self) -> None:
        await asyncio.wait([self._reading])


def _environment() -> dict[str, str]:
    """Return the environment without the bot's secrets: settings come with the first message."""
    return {key: one for key, one in os.environ.items() if not key.startswith("BOARDKEEPER_")}


def _path() -> str:
    """Return where the new interpreter finds what this one finds."""
    return os.pathsep.join(str(Path(one).absolute()) for one in sys.path)


def _levels() -> dict[str, int]:
    """Return from which level on single loggers log."""
    known = logging.root.manager.loggerDict.items()
    return {name: one.level for name, one in known if isinstance(one, logging.Logger) and one.level}
