"""A thread or process with one handler in it, as the bot sees it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from abc import ABC, abstractmethod
from typing import Any

from bot import metrics
from bot.errors import BoardkeeperError, RateLimited, UsageError
from bot.handlers import calling
from bot.handlers.base import TryLater
from bot.handlers.calling import Elsewhere
from bot.handlers.isolated.desk import Desk
from bot.handlers.isolated.inside import WITHIN
from bot.handlers.isolated.messages import (
    Answer,
    Ask,
    Begun,
    Broke,
    Call,
    Cancel,
    Done,
    Failure,
    Logged,
    Started,
    Stop,
    Stopped,
)

START_WITHIN = 45.0
"""Seconds until the handler has started; a new process on a busy machine takes some of them."""
CANCEL_WITHIN = 2.0
"""Seconds a call gets to end once it is cancelled; then its thread or process is given up."""
MAX_ASKS = 100
"""Questions of one handler that are being answered."""
_KEYS = frozenset(logging.makeLogRecord({}).__dict__)

_log = logging.getLogger(__name__)


class Interrupted(TryLater):
    """Raised for a call that was not done, through no fault of its event."""


class NotBegun(Interrupted):
    """Raised for one that the handler has not even seen."""


class _Call:
    """A call on its way.

    Attributes:
        begun: whether the handler has been called.
        done: gets what it raised.
    """

    def __init__(self) -> None:
        self.begun = False
        self.done: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()

    def goes_on(self, message: Begun | Done) -> None:
        """Note what the handler's side says of it."""
        if isinstance(message, Begun):
            self.begun = True
        elif not self.done.done():
            self.done.set_result(message.failure)


class Worker(ABC):
    """Holds one handler; when it has ended, a new one is needed.

    Args:
        name: the handler's.
        desk: answers what the handler asks for.

    Attributes:
        ended: set when it does nothing any more.
        why: it has ended, for the log.
    """

    def __init__(self, name: str, desk: Desk) -> None:
        self.ended = asyncio.Event()
        self.why = ""
        self._name = name
        self._desk = desk
        self._numbers = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._running: set[int] = set()
        self._asks: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        self._started: asyncio.Future[Started] = loop.create_future()
        self._stopped: asyncio.Future[Stopped] = loop.create_future()

    @abstractmethod
    async def _begin(self) -> None:
        """Make the thread or process.

        Raises:
            UsageError: it cannot be.
        """

    @abstractmethod
    def send(self, message: object) -> None:
        """Tell it something.

        Raises:
            UsageError: the message cannot be sent.
        """

    @abstractmethod
    def _give_up(self) -> None:
        """End it by force, as far as that is possible."""

    @abstractmethod
    async def _gone(self) -> None:
        """Wait until nothing is left of it; a thread that hangs is not waited for."""

    async def start(self) -> float:
        """Make it and start the handler.

        Returns:
            What the handler has set as `collect`.

        Raises:
            Elsewhere: the handler could not start; with the text of why.
        """
        await self._begin()
        started = None
        try:
            async with asyncio.timeout(START_WITHIN):
                started = await self._started
        except TimeoutError:
            text = f"it did not start within {START_WITHIN:g} s"
            raise Elsewhere("TimeoutError", text=text) from None
        finally:
            if started is None or started.failure is not None:
                self.end("it could not start")
                await self._gone()
        if started.failure is not None:
            raise started.failure.error()
        return started.collect

    async def stop(self) -> None:
        """Stop the handler and end.

        Raises:
            Elsewhere: the handler raised something, or did not end.
        """
        if self.ended.is_set():
            return
        try:
            self.send(Stop())
            # What still runs was cancelled when its lane ended: it may never come to hear of this.
            within = CANCEL_WITHIN if self._running else 2 * WITHIN
            async with asyncio.timeout(within):
                stopped = await self._stopped
                await self._gone()
        finally:
            self.end("it was stopped")
            await self._gone()
        if stopped.failure is not None:
            raise stopped.failure.error()

    def end(self, why: str) -> None:
        """End it now; what it was called for is not done.

        The one call it had begun is at fault. Of several, and of those it had not begun, nobody
        knows: those are given again, one after the other (`Isolated`).
        """
        if self.ended.is_set():
            return
        self.why = why
        self.ended.set()
        self._give_up()
        begun = [one for one in self._calls.values() if one.begun]
        for one in self._calls.values():
            if one.done.done():
                continue
            error: Exception = Interrupted(f"interrupted: {why}")
            if not one.begun:
                error = NotBegun(f"interrupted: {why}")
            elif begun == [one]:
                error = Elsewhere("Ended", text=why)
            one.done.set_exception(error)
        if not self._started.done():
            self._started.set_result(Started(failure=Failure("Ended", "", why)))
        if not self._stopped.done():
            self._stopped.set_result(Stopped())
        for task in self._asks:
            task.cancel()

    async def call(self, method: str, argument: Any) -> None:
        """Call the handler.

        Raises:
            TryLater: it wants the same later; or it was not called, or nobody knows whether it
                ended because of this.
            Elsewhere: it raised something else, or ended because of this.
            TimeoutError: it took too long.
            UsageError: the event cannot be sent to another process.
        """
        if self.ended.is_set():
            raise NotBegun(f"interrupted: {self.why}")
        number = next(self._numbers)
        call = self._calls[number] = _Call()
        try:
            self.send(Call(number, method, argument))
            self._running.add(number)
            await asyncio.wait([call.done], timeout=calling.CALL_DEADLINE)
            late = not call.done.done()
            if late:
                self.send(Cancel(number))
                await asyncio.wait([call.done], timeout=CANCEL_WITHIN)
                if not call.done.done():  # its loop is held up, or it will not end
                    self.end("a call did not end in time")
            failure = call.done.result()
            if failure is not None and late:
                raise TimeoutError
            if failure is not None:
                raise failure.error()
        except asyncio.CancelledError:
            self._cancel(number)
            raise
        finally:
            del self._calls[number]
            if not call.done.cancel():
                call.done.exception()  # seen, also when nobody waits for it any more

    def _cancel(self, number: int) -> None:
        if not self.ended.is_set():
            self.send(Cancel(number))

    # -- what it says ------------------------------------------------------------------------------

    def take(self, message: object) -> None:
        """Do what the handler's side says."""
        if self.ended.is_set():
            if isinstance(message, Ask):
                self.send(Answer(message.number, error=UsageError("the bot has given it up")))
            return
        match message:
            case Begun() | Done():
                self._goes_on(message)
            case Ask():
                self._asked(message)
            case Logged():
                self._logged(message)
            case Broke(failure):
                metrics.HANDLER_FAILURES.labels(self._name).inc()
                what = {"error": failure.kind, "where": failure.where}
                _log.warning("a handler's task failed", extra={"handler": self._name, **what})
            case Started():  # once, as Stopped
                self._started.set_result(message)
            case Stopped():
                self._stopped.set_result(message)

    def _goes_on(self, message: Begun | Done) -> None:
        if isinstance(message, Done):
            self._running.discard(message.number)
        call = self._calls.get(message.number)
        if call is not None:  # else nobody waits for it any more
            call.goes_on(message)

    def _asked(self, ask: Ask) -> None:
        if len(self._asks) >= MAX_ASKS:
            self.send(Answer(ask.number, error=RateLimited("it asks too much at a time")))
            return
        task = asyncio.get_running_loop().create_task(self._answer(ask))
        self._asks.add(task)
        task.add_done_callback(self._asks.discard)

    async def _answer(self, ask: Ask) -> None:
        try:
            answer = Answer(ask.number, await self._desk.answer(ask.what, ask.args, ask.options))
        except BoardkeeperError as error:
            answer = Answer(ask.number, error=error)
        except Exception as error:  # noqa: BLE001 - of what the handler gave us
            answer = Answer(ask.number, error=UsageError(f"{type(error).__name__} on {ask.what}"))
        try:
            self.send(answer)
        except UsageError as error:
            self.send(Answer(ask.number, error=error))

    def _logged(self, line: Logged) -> None:
        logger = logging.getLogger(line.logger)
        extra = {key: value for key, value in line.extra.items() if key not in _KEYS}
        if logger.isEnabledFor(line.level):
            logger.log(line.level, "%s", line.text, extra=extra)
