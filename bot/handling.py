"""The lives of handlers: started in order before anything happens, stopped together at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from bot.context import Context
from bot.errors import UsageError
from bot.handlers.base import Handler
from bot.handlers.calling import Timed, contained, kind_of, where
from bot.handlers.rooms import instances

WITHIN = 5.0
"""Seconds a handler gets to start, and to stop."""

_log = logging.getLogger(__name__)


class Handling:
    """Starts and stops handlers.

    Args:
        handlers: by name, in the order of the configuration.
        context: makes the one that a handler is handed.
        optional: names of those that the program also goes on without.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        context: Callable[[str], Context],
        optional: Collection[str] = (),
    ) -> None:
        self._handlers = handlers
        self._context = context
        self._optional = optional
        self._contexts: list[Context] = []
        self._started: list[tuple[str, Handler]] = []

    async def start(self) -> Mapping[str, Handler]:
        """Start them.

        Returns:
            Those that have started: all but optional ones that could not.

        Raises:
            UsageError: one of them cannot; the text says which and why.
        """
        started = {}
        for name, handler in self._handlers.items():
            context = self._context(name)
            self._contexts.append(context)
            try:
                await self._start(name, handler, context)
            except UsageError as error:
                context.end()
                if name not in self._optional:
                    raise
                what = {"handler": name, "why": str(error)}
                _log.error("an optional handler is left out: it could not start", extra=what)
            else:
                started[name] = handler
        return started

    async def _start(self, name: str, handler: Handler, context: Context) -> None:
        try:
            for one in instances(handler):
                async with asyncio.timeout(None if isinstance(one, Timed) else WITHIN):
                    with contained():
                        await one.start(context)
                self._started.append((name, one))
        except TimeoutError as error:
            text = f"the handler “{name}” did not start within {WITHIN:g} s"
            raise UsageError(text) from error
        except Exception as error:
            kind = f"{kind_of(error)} at {place}" if (place := where(error)) else kind_of(error)
            raise UsageError(f"the handler “{name}” could not start: {kind}: {error}") from error

    async def stop(self) -> None:
        """Stop them; what one does wrong keeps no other from ending."""
        for context in self._contexts:
            context.end()
        await asyncio.gather(*(self._stop(name, one) for name, one in self._started))

    async def _stop(self, name: str, handler: Handler) -> None:
        try:
            async with asyncio.timeout(WITHIN):
                with contained():
                    await handler.stop()
        except Exception as error:  # noqa: BLE001 - the border of a handler
            what = {"handler": name, "error": kind_of(error)}
            _log.warning("a handler did not stop in order", extra=what)
