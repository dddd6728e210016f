"""The lives of handlers: started in order before anything happens, stopped in order at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping

from bot.context import Context
from bot.errors import UsageError
from bot.handlers.base import Handler
from bot.handlers.calling import where
from bot.handlers.rooms import instances

WITHIN = 5.0
"""Seconds a handler gets to start, and to stop."""

_log = logging.getLogger(__name__)


class Handling:
    """Starts and stops handlers.

    Args:
        handlers: by name, in the order of the configuration.
        context: makes the one that a handler is handed.
    """

    def __init__(self, handlers: Mapping[str, Handler], context: Callable[[str], Context]) -> None:
        self._handlers = handlers
        self._context = context
        self._contexts: list[Context] = []

    async def start(self) -> None:
        """Start them.

        Raises:
            UsageError: one of them cannot; the text says which and why.
        """
        for name, handler in self._handlers.items():
            context = self._context(name)
            self._contexts.append(context)
            try:
                for one in instances(handler):
                    async with asyncio.timeout(WITHIN):
                        await one.start(context)
            except TimeoutError as error:
                text = f"the handler “{name}” did not start within {WITHIN:g} s"
                raise UsageError(text) from error
            except Exception as error:
                kind = f"{type(error).__name__} at {where(error)}"
                raise UsageError(
                    f"the handler “{name}” could not start: {kind}: {error}"
                ) from error

    async def stop(self) -> None:
        """Stop them; what one does wrong keeps no other from ending."""
        for context in self._contexts:
            context.end()
        for name, one in self._instances():
            try:
                async with asyncio.timeout(WITHIN):
                    await one.stop()
            except Exception as error:  # noqa: BLE001 - the border of a handler
                what = {"handler": name, "error": type(error).__name__}
                _log.warning("a handler did not stop in order", extra=what)

    def _instances(self) -> Iterator[tuple[str, Handler]]:
        for name, handler in self._handlers.items():
            for one in instances(handler):
                yield name, one
