"""What a handler is told and what it raises, seen from outside."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bot.context import Context
from bot.errors import Transient
from bot.handlers.base import METHODS, Event, Handler, TryLater
from bot.testing.homeserver import Post


@dataclass(frozen=True, slots=True)
class Failure:
    """Something the handler raised.

    Attributes:
        event: what it was told; None at its end, or in a task of its own (`context.spawn`).
        error: what it raised, with its traceback.
    """

    event: Event | None
    error: Exception

    @property
    def postponed(self) -> bool:
        """Whether it only asks for the event once more, later: that is no mistake."""
        return isinstance(self.error, TryLater | Transient)


@dataclass(frozen=True, slots=True)
class Sent:
    """A change of the board that the bot sent to the people on it, mostly the handler's.

    Attributes:
        ts: when, ms since 1970.
        update: the Yjs update.
    """

    ts: int
    update: bytes


Happened = Event | Failure | Post | Sent
"""What is seen of a handler: events (right before they are told) and what comes of them."""

Seen = Callable[[Happened], None]


def watch(handler: Handler, seen: Seen) -> None:
    """Have told what a handler is told and what it raises; nothing else is changed."""
    for method in METHODS.values():
        # On the instance: which events it wants is read from its class.
        setattr(handler, method, partial(_one, getattr(handler, method), seen))
    handler.stop = partial(_stop, handler.stop, seen)  # type: ignore[method-assign]
    handler.on_batch = partial(_batch, handler.on_batch, seen)  # type: ignore[method-assign]


async def _one(
    method: Callable[[Event], Coroutine[Any, Any, None]], seen: Seen, event: Event
) -> None:
    seen(event)
    try:
        await method(event)
    except Exception as error:
        seen(Failure(event, error))
        raise


async def _stop(method: Callable[[], Coroutine[Any, Any, None]], seen: Seen) -> None:
    try:
        await method()
    except Exception as error:
        seen(Failure(None, error))
        raise


async def _batch(
    method: Callable[[Sequence[Event]], Coroutine[Any, Any, None]],
    seen: Seen,
    events: Sequence[Event],
) -> None:
    for event in events:
        seen(event)
    try:
        await method(events)
    except Exception as error:
        seen(Failure(events[0], error))
        raise


class WatchedContext(Context):
    """The product's context; also tells what tasks of the handler raise.

    Attributes:
        seen: told it.
        spawned: how many tasks have not ended yet.
    """

    seen: Seen
    spawned = 0

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the events."""
        self.spawned += 1
        super().spawn(self._watched(work))

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self.seen(Failure(None, error))
            raise
        finally:
            self.spawned -= 1
            work.close()
