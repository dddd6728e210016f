"""A handler in an event loop of its own: does what the bot says, and asks it for the rest."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

import aiohttp

from bot.handlers.base import Handler
from bot.handlers.isolated.messages import (
    Answer,
    Ask,
    Begun,
    Broke,
    Call,
    Cancel,
    Done,
    Failure,
    Started,
    Stop,
    Stopped,
)
from bot.handlers.isolated.remote import RemoteContext

WITHIN = 5.0
"""Seconds the handler gets to start, and to stop."""
ASK_WITHIN = 30.0
"""Seconds that a question may hold up the handler's loop."""

_RAISED = (Exception, SystemExit, KeyboardInterrupt)
"""What ends at the border of a handler: `sys.exit()` in one is a mistake as any other."""


class Inside:
    """Runs one handler.

    Args:
        name: the handler's.
        make: makes it, in its own thread.
        send: tells the bot something; may be called from any thread.
    """

    def __init__(
        self, name: str, make: Callable[[], Handler], send: Callable[[object], None]
    ) -> None:
        self._name = name
        self._make = make
        self._send = send
        self._loop: asyncio.AbstractEventLoop
        self._handler: Handler
        self._end: asyncio.Event
        self._numbers = itertools.count(1)
        self._asked: dict[int, Future[Any]] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._spawned: set[asyncio.Task[None]] = set()

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Start the handler, do what is said until the end, and stop it.

        Args:
            ready: called when messages can be taken.
        """
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        ready()
        async with aiohttp.ClientSession() as http:
            try:
                async with asyncio.timeout(WITHIN):
                    self._handler = self._make()
                    await self._handler.start(RemoteContext(self._name, self, http, self.spawn))
            except _RAISED as error:
                self._send(Started(failure=Failure.of(error, text=True)))
                return
            self._send(Started(self._handler.collect))
            await self._end.wait()
            self._send(Stopped(await self._stop()))

    async def _stop(self) -> Failure | None:
        running = [*self._calls.values(), *self._spawned]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=WITHIN)
        try:
            async with asyncio.timeout(WITHIN):
                await self._handler.stop()
        except _RAISED as error:
            return Failure.of(error)
        return None

    # -- what the bot says -------------------------------------------------------------------------

    def take(self, message: object) -> None:
        """Do what the bot says; called from any thread but the handler's own."""
        match message:
            case Answer(number, value, error):
                self._answered(number, value, error)
            case Call():
                self._loop.call_soon_threadsafe(self._begin, message)
            case Cancel(number):
                self._loop.call_soon_threadsafe(self._cancel, number)
            case Stop():
                self._loop.call_soon_threadsafe(self._end.set)

    def _begin(self, call: Call) -> None:
        self._calls[call.number] = self._loop.create_task(self._serve(call))

    def _cancel(self, number: int) -> None:
        task = self._calls.get(number)
        if task is not None:
            task.cancel()

    async def _serve(self, call: Call) -> None:
        self._send(Begun(call.number))
        failure = None
        try:
            await getattr(self._handler, call.method)(call.argument)
        except (*_RAISED, asyncio.CancelledError) as error:
            failure = Failure.of(error)
        finally:
            del self._calls[call.number]
        self._send(Done(call.number, failure))

    # -- what the handler asks ---------------------------------------------------------------------

    async def ask(self, what: str, *args: Any, **options: Any) -> Any:
        """Ask the bot for something of the context."""
        return await asyncio.wrap_future(self._ask(what, args, options))

    def ask_now(self, what: str, *args: Any, **options: Any) -> Any:
        """Ask for it and hold up this thread until it is there.

        Raises:
            TimeoutError: the bot did not answer in time.
        """
        return self._ask(what, args, options).result(ASK_WITHIN)

    def _ask(self, what: str, args: tuple[Any, ...], options: dict[str, Any]) -> Future[Any]:
        number, future = next(self._numbers), Future[Any]()
        self._asked[number] = future
        future.add_done_callback(lambda _: self._asked.pop(number, None))
        self._send(Ask(number, what, args, options))
        return future

    def _answered(self, number: int, value: Any, error: Exception | None) -> None:
        future = self._asked.get(number)
        if future is None:
            return
        with suppress(InvalidStateError):  # nobody waits any more
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the events until the end; what it raises is logged."""
        task = self._loop.create_task(self._guarded(work))
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)
        task.add_done_callback(lambda _: work.close())  # one that is ended before it began

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except _RAISED as error:
            self._send(Broke(Failure.of(error)))
