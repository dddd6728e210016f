"""What all lanes have in common when they call a handler."""

from __future__ import annotations

import asyncio
import os
import random
import sysconfig
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any

import bot
from bot import metrics
from bot.handlers.base import Handler, TryLater
from bot.handlers.breaker import Breaker, State

_OURS = (f"{Path(bot.__file__).parent}{os.sep}", sysconfig.get_path("stdlib") + os.sep)
"""Where the code of this program, and Python's, is."""
CALL_DEADLINE = 60.0
"""Seconds a handler may take for one call; then it is cancelled and counted as failed."""


class Elsewhere(Exception):
    """Raised for what a handler raised or did in a thread or process of its own, or to the program.

    Attributes:
        kind: the class of what was raised, or what happened.
        place: file and line; empty when there is none.
    """

    def __init__(self, kind: str, place: str = "", text: str = "") -> None:
        self.kind = kind
        self.place = place
        super().__init__(text)


def kind_of(error: BaseException) -> str:
    """Return the name of an exception's class."""
    return error.kind if isinstance(error, Elsewhere) else type(error).__name__


def where(error: BaseException) -> str:
    """Return `file:line` of an exception: the innermost that is not ours, else the innermost."""
    if isinstance(error, Elsewhere):
        return error.place
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    theirs = [one for one in frames if not one[0].startswith(_OURS)]
    file, line = (theirs or frames or [("", 0)])[-1]
    return f"{file}:{line}" if file else ""


@contextmanager
def contained() -> Iterator[None]:
    """Turn what would end more than a call into a failure as any other.

    That is `sys.exit`, and a cancellation that nobody asked for: of a task of the handler's own.
    """
    try:
        yield
    except SystemExit as error:
        raise Elsewhere(kind_of(error), where(error), "it ends the program") from None
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Elsewhere(kind_of(error), where(error), "it cancelled itself") from None


def said(error: BaseException) -> str:
    """Return what is shown of a handler's failure.

    Not the text, which may quote what is on the board; but that of TryLater is written for people.
    """
    if isinstance(error, TryLater):
        return str(error)
    place = where(error)
    return f"{kind_of(error)} at {place}" if place else kind_of(error)


class Timed:
    """Marks a handler that keeps the deadline of its calls itself."""


def deadline(handler: Handler) -> asyncio.Timeout:
    """Return what ends a call that takes too long."""
    return asyncio.timeout(None if isinstance(handler, Timed) else CALL_DEADLINE)


class LaneBreaker(Breaker):
    """The breaker of a lane of a handler; counted in the metrics while it is not closed.

    Args:
        name: the handler's.
        limit: failures in a row that open it.
        first: seconds of the first pause, at the most.
        cap: seconds of any pause, at the most.
    """

    def __init__(self, name: str, *, limit: int, first: float, cap: float) -> None:
        super().__init__(random.random, limit=limit, first=first, cap=cap)
        self._gauge = metrics.LANES_OPEN.labels(name)

    def _turn(self, state: State, now: float) -> None:
        self._gauge.inc((state is not State.CLOSED) - (self.state is not State.CLOSED))
        super()._turn(state, now)


def breakers_now(breakers: Iterable[Breaker]) -> dict[str, Any]:
    """Return how the breakers of a handler's lanes are, as one: the worst counts.

    Returns:
        `state`; `since_ts`, ms since 1970, None when it was always so; `open`, how many are not
        closed; `next_try`, `time.time()` of the next trial, None without any.
    """
    every = list(breakers)
    amiss = [one for one in every if one.state is not State.CLOSED]
    state = max((one.state for one in every), default=State.CLOSED, key=_BAD.index)
    since = [one.since for one in every if one.state is state and one.since is not None]
    until = [one.until for one in amiss if one.until is not None]
    lag = time.time() - time.monotonic()
    changed = (min if amiss else max)(since, default=None)
    return {
        "state": state.value,
        "since_ts": None if changed is None else int((changed + lag) * 1000),
        "open": len(amiss),
        "next_try": min(until) + lag if until else None,
    }


_BAD = (State.CLOSED, State.HALF_OPEN, State.OPEN)
