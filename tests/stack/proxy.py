"""A TCP proxy in front of each server, so that a test can cut what runs through it.

All proxies of a stack live in one thread with a loop of its own: a test that blocks its loop, or
starts the bot with `subprocess.run`, does not stop the traffic of others.

LiveKit's data channels have a connection of their own that is *not* behind the proxy: cutting
LiveKit's proxy cuts its signalling only; pause or kill the server to stop the data.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from typing import Self, TypeVar

from tests.stack.ports import HOST, free_port

T = TypeVar("T")
_CHUNK = 65_536
_LINGER_ZERO = struct.pack("ii", 1, 0)


class ProxyThread:
    """The thread and loop in which proxies run; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def run(self, work: Coroutine[None, None, T]) -> T:
        """Runs a coroutine in the thread and waits for it, from any loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


class Proxy:
    """Passes on TCP connections to a port of loopback, until told otherwise."""

    def __init__(self, thread: ProxyThread, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._thread = thread
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begins to listen."""
        await self.restore()

    async def cut(self) -> None:
        """Drops every connection (reset) and refuses new ones, until `restore`."""
        await self._thread.run(self._refuse())

    async def drop(self) -> None:
        """Drops every connection (reset) and accepts new ones."""
        await self._thread.run(self._drop())

    async def pause(self) -> None:
        """Passes nothing on, closes nothing, accepts new connections: a network that hangs."""
        await self._thread.run(self._hang())

    async def restore(self) -> None:
        """Ends `cut` and `pause`; what a pause held back goes on its way."""
        await self._thread.run(self._pass())

    async def _pass(self) -> None:
        self._open.set()
        await self._listen()

    async def _hang(self) -> None:
        self._open.clear()
        await self._listen()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port)

    async def _refuse(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self._drop()

    async def _drop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), _closing(writer):
            await self._open.wait()
            far_reader, far_writer = await self._reach(reader, writer)
            with _closing(far_writer):
                await _first_error(
                    self._pump(reader, far_writer),
                    self._pump(far_reader, writer),
                )

    async def _reach(
        self, _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self._target)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(_CHUNK):
            await self._open.wait()
            target.write(data)
            await target.drain()
        await self._open.wait()
        target.write_eof()


class ConnectProxy(Proxy):
    """An HTTP proxy (CONNECT) to any port of loopback: the way out of a server to all others."""

    def __init__(self, thread: ProxyThread) -> None:
        super().__init__(thread, target=0)

    async def _reach(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        head = await reader.readuntil(b"\r\n\r\n")
        asked = head.split()[1].decode()
        far = await asyncio.open_connection(HOST, int(asked.rpartition(":")[2]))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return far


@contextlib.contextmanager
def _closing(writer: asyncio.StreamWriter) -> Iterator[None]:
    """Closes a connection at the end: in peace what is buffered still goes out, else a reset."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        writer.transport.abort()
        raise
    writer.close()


async def _first_error(*jobs: Coroutine[None, None, None]) -> None:
    """Runs jobs together; the first error ends the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
