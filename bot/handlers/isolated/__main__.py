"""The process of a handler: `python -m bot.handlers.isolated FD`, begun by `process`."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from bot.commands.bucket import Bucket
from bot.errors import UsageError
from bot.handlers.base import Handler
from bot.handlers.calling import kind_of, where
from bot.handlers.isolated.inside import Inside
from bot.handlers.isolated.messages import HEAD, Answer, Ask, Begin, Logged, packed
from bot.handlers.load import find

MAX_TEXT = 1000
"""Characters of a line for the log."""
LINES, LINES_EVERY = 200, 0.05
"""Lines for the log in a row, and seconds until one more: they are written by the bot's loop."""

_PR_SET_PDEATHSIG = 1
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class Connection:
    """The socket to the bot.

    Args:
        descriptor: its number in this process.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._file = self._socket.makefile("rb")
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Tell the bot something; from any thread.

        Raises:
            UsageError: the message is too large, or holds what cannot be sent.
        """
        data = packed(message)
        with self._lock:
            self._socket.sendall(data)

    def receive(self) -> Any:
        """Return what the bot says.

        Raises:
            EOFError: the bot has ended.
        """
        head = self._file.read(HEAD)
        data = self._file.read(int.from_bytes(head, "big"))
        if not data:
            raise EOFError
        return pickle.loads(data)  # noqa: S301 - it is the bot that began us


class Forward(logging.Handler):
    """Sends lines for the log to the bot, as fast as people read and no faster.

    Args:
        send: to the bot.
    """

    def __init__(self, send: Callable[[object], None]) -> None:
        super().__init__()
        self._send = send
        self._bucket = Bucket(LINES, LINES_EVERY)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line; of an exception its kind and where, never its text."""
        if not self._bucket.take(time.monotonic()):
            return
        extra = {
            key: value if isinstance(value, int | float) else str(value)[:MAX_TEXT]
            for key, value in record.__dict__.items()
            if key not in _STANDARD
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            extra |= {"error": kind_of(error), "where": where(error)}
        self._send(Logged(record.name, record.levelno, record.getMessage()[:MAX_TEXT], extra))


def main() -> None:
    """Run the handler until the bot says to end, or has ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the bot ends us, in order
    _end_with_the_bot()
    connection = Connection(int(sys.argv[1]))
    begin: Begin = connection.receive()
    logging.root.handlers[:] = [Forward(connection.send)]
    logging.root.setLevel(begin.level)
    for name, level in begin.levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False

    def send(message: object) -> None:
        try:
            connection.send(message)
        except UsageError as error:
            if not isinstance(message, Ask):
                raise
            inside.take(Answer(message.number, error=error))

    inside = Inside(begin.name, lambda: _made(begin), send)
    reading = threading.Thread(target=_read, args=(connection, inside), daemon=True)
    asyncio.run(inside.run(reading.start))
    sys.stdout.flush()
    os._exit(0)  # threads of the handler must not keep us


def _made(begin: Begin) -> Handler:
    kind = find(begin.use)  # its module is known from here on, and so is what its settings are
    return kind(pickle.loads(begin.settings))  # noqa: S301 - it is the bot that began us


def _read(connection: Connection, inside: Inside) -> None:
    """Do what the bot says. Its end is ours, whatever the handler is doing."""
    try:
        while True:
            inside.take(connection.receive())
    finally:
        os._exit(1)


def _end_with_the_bot() -> None:
    """Have the system end us with the bot: a thread cannot while one computes and lets no other."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
