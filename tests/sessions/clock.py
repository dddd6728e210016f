"""Virtual time: an event loop whose clock jumps to the next timer when there is nothing to do."""

from __future__ import annotations

import asyncio
import random
import selectors
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

Found = TypeVar("Found")

BEGIN = 1_000.0
"""What the clock says at the beginning."""


class _Jumping(selectors.SelectSelector):
    """Instead of waiting, lets time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGIN

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "nothing will ever happen again"
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without sockets and threads, in virtual time."""

    def __init__(self) -> None:
        self._clock = _Jumping()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """At once: what a thread does takes no virtual time."""
        done = self.create_future()
        done.set_result(func(*args))
        return done


def run(main: Callable[[], Coroutine[Any, Any, Found]], seed: int) -> Found:
    """Run something in virtual time, the same way for the same seed."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        with _clocks(loop.time), _dice(seed):
            return runner.run(main())


@contextmanager
def _clocks(now: Callable[[], float]) -> Iterator[None]:
    """Have the modules of the bot look at another clock."""
    with patch.object(time, "monotonic", now):
        modules = [
            module
            for name, module in sys.modules.items()
            if name.startswith("bot.") and hasattr(module, "monotonic")
        ]
        before = [module.monotonic for module in modules]
        for module in modules:
            module.monotonic = now  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for module, old in zip(modules, before, strict=True):
                module.monotonic = old  # type: ignore[attr-defined]


@contextmanager
def _dice(seed: int) -> Iterator[None]:
    """The bot's waits are random too."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
