"""An event loop whose waiting costs no time: when nothing is to do, its clock jumps."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class _Selector(selectors.DefaultSelector):
    now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        assert timeout is not None, "everything waits for ever"
        self.now += max(timeout, 1e-6)
        return []


class JumpingLoop(asyncio.SelectorEventLoop):
    """Runs timers at once, in order."""

    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def monotonic() -> float:
    """The clock of the running loop; for `time.monotonic` in what is tested."""
    return asyncio.get_running_loop().time()


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test in such a loop."""

    @functools.wraps(test)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=JumpingLoop) as runner:
            runner.run(test(*args, **kwargs))

    return wrapped
