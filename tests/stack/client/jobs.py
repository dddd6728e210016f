"""Background tasks with one owner, and waiting for something to become true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_POLL = 0.02

Found = TypeVar("Found")


class Jobs:
    """Tasks that end with their owner; an error in one shows at the next `check` or `end`.

    No TaskGroup, because fixtures may be set up and torn down in different tasks.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []

    def start(self, job: Coroutine[Any, Any, None]) -> None:
        """Runs a job until it ends or the owner does."""
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def check(self) -> None:
        """Raises what a job raised."""
        if self._errors:
            errors, self._errors = self._errors, []
            raise BaseExceptionGroup("Jobs of a simulated user failed.", errors)

    async def end(self) -> None:
        """Cancels all jobs but the calling one, and raises what one of them had raised."""
        others = self._tasks - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self.check()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)


PATIENCE = 4.0
"""How much longer than on an idle machine is waited for anything before a test gives up."""


async def until(check: Callable[[], Found], within: float = 10.0, what: str = "it") -> Found:
    """Waits until a check gives something true, and returns that.

    Raises:
        TimeoutError: it did not in time.
    """
    deadline = time.monotonic() + within * PATIENCE
    while not (found := check()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {within * PATIENCE:g} s")
        await asyncio.sleep(_POLL)
    return found
