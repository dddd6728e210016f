"""The control socket: the command line asks the running bot through it.

A Unix socket in the data folder, for its owner alone. One request and one answer, each a line of
JSON, then the connection ends:

    {"command": "pause", "room": "!a:b"}
    {"ok": true, "result": …}    or    {"ok": false, "error": "There is no room …"}

Only the process that holds the data folder's lock (`store.folder`) serves: a socket found there
when it starts is of a dead one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from bot.errors import BoardkeeperError, UsageError

SOCKET_NAME = "control.sock"
MAX_REQUEST = 4096
"""Bytes of a request's line."""
MAX_ANSWER = 16 * 2**20
"""Bytes of an answer's line."""
MAX_CLIENTS = 8
"""Connections at a time; more are turned away."""
REQUEST_WITHIN = 5.0
"""Seconds a client gets to send its request, and to take the answer."""
ACT_WITHIN = 60.0
"""Seconds what was asked for may take."""
ORDER_WITHIN = 900.0
"""The same for what changes a board: a homeserver's limits may let one chunk in every 5 s."""
ORDERS = ("restore", "import", "clone", "snapshot")
CLOSE_WITHIN = 1.0
"""Seconds that requests on their way get when the bot ends."""

_log = logging.getLogger(__name__)

Answer = Callable[[Mapping[str, Any]], Awaitable[Any]]
"""Does what a request asks for and returns what to answer, as JSON values.

Raises:
    BoardkeeperError: it cannot be done; the text is for the operator.
"""


class NotRunning(UsageError):
    """Raised when no bot listens on the socket."""


@contextmanager
def _address(folder: Path) -> Iterator[str]:
    """Name the socket so that the name fits: the system takes no more than 107 bytes.

    The way through a descriptor of the folder is always short, and no other thread notices.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)


def _listen(folder: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with _address(folder) as address:
            with suppress(FileNotFoundError):
                os.unlink(address)  # noqa: PTH108 - of a bot that is dead: we hold the lock
            before = os.umask(0o177)  # made with these permissions: others never get a moment
            try:
                listener.bind(address)
            finally:
                os.umask(before)
        listener.listen(MAX_CLIENTS)
    except OSError:
        listener.close()
        raise
    return listener


class Control:
    """Serves the socket. Use as `async with`; a folder that takes no sockets is only a warning.

    Args:
        folder: the data folder, whose lock we hold.
        answer: does what is asked for.
    """

    def __init__(self, folder: Path, answer: Answer) -> None:
        self._folder = folder
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        try:
            listener = _listen(self._folder)
        except OSError as error:
            _log.warning(
                "no control socket: the command line cannot ask this bot",
                extra={"why": error.strerror},
            )
            return self
        self._server = await asyncio.start_unix_server(
            self._accept, sock=listener, limit=MAX_REQUEST
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._server is None:
            return
        self._server.close()
        with suppress(OSError):
            (self._folder / SOCKET_NAME).unlink()
        if self._clients:
            _, late = await asyncio.wait(self._clients, timeout=CLOSE_WITHIN)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MAX_CLIENTS:
            writer.write(_refusal("The bot answers as many requests as it can: try again."))
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request; whatever a client does ends here."""
        try:
            async with asyncio.timeout(REQUEST_WITHIN):
                line = await reader.readuntil(b"\n")
            writer.write(await self._reply(line))
            async with asyncio.timeout(REQUEST_WITHIN):
                await writer.drain()
        except asyncio.LimitOverrunError:
            writer.write(_refusal("The request is too long."))
        except (OSError, EOFError, TimeoutError):
            _log.info("a control request was not finished")
            writer.transport.abort()
        finally:
            writer.close()

    async def _reply(self, line: bytes) -> bytes:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, Mapping):
            return _refusal("The request is not a JSON object.")
        within = _within(request)
        try:
            async with asyncio.timeout(within):
                result = await self._answer(request)
        except BoardkeeperError as error:
            return _refusal(str(error))
        except TimeoutError:
            return _refusal(f"This was not done within {within:g} s; the log may say why.")
        except Exception:  # noqa: BLE001 - the border: what a request does wrong ends with it
            _log.exception("a control request failed")
            return _refusal("This failed; the bot's log says why.")
        return _line({"ok": True, "result": result})


def _within(request: Mapping[str, Any]) -> float:
    return ORDER_WITHIN if request.get("command") in ORDERS else ACT_WITHIN


def _line(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"


def _refusal(text: str) -> bytes:
    return _line({"ok": False, "error": text})


async def ask(folder: Path, request: Mapping[str, Any], within: float | None = None) -> Any:
    """Ask the bot that runs on a data folder.

    Args:
        folder: the data folder.
        request: with the `command`.
        within: seconds to wait for the answer; a little longer than it may take if None.

    Raises:
        NotRunning: no bot listens.
        UsageError: the bot refuses, or may not be asked by us; the text says why.
    """
    try:
        with _address(folder) as address:
            reader, writer = await asyncio.open_unix_connection(address, limit=MAX_ANSWER)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        raise NotRunning("The bot does not run.") from None
    except OSError as error:
        path = folder / SOCKET_NAME
        raise UsageError(
            f"{path} cannot be used: {error.strerror}. Call this as the user the bot runs as."
        ) from error
    within = _within(request) + 10 if within is None else within
    try:
        async with asyncio.timeout(within):
            writer.write(_line(request))
            answer = json.loads(await reader.readuntil(b"\n"))
    except TimeoutError as error:
        raise UsageError(f"The bot does not answer within {within:g} s.") from error
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        raise UsageError("The bot ended before it answered, or answered wrongly.") from error
    finally:
        writer.close()
    if not answer.get("ok"):
        raise UsageError(str(answer.get("error")))
    return answer.get("result")
