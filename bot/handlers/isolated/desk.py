"""Answers what a handler in a thread or process of its own asks for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from bot.errors import UsageError
from bot.handlers.base import Context

_NAMES: Mapping[str, frozenset[str]] = {
    "context": frozenset({"find", "changes", "content_at", "power", "now_ts", "post", "sessions"}),
    "store": frozenset({"get", "set"}),
    "metrics": frozenset({"count", "set"}),
    "board": frozenset(
        {"known", "version", "content", "state_vector", "diff", "slides", "rewrite", "change"}
    ),
}
"""What can be asked for."""


class Desk:
    """Does on the bot's side what a handler wants of its context.

    Args:
        context: the handler's.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    async def answer(self, what: str, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """Return what a method or attribute of the context gives.

        Args:
            what: `context`, `store`, `metrics` or `board`, and after a dot the name.
            args: of the method; of a board the first one is its key.
            options: its arguments by name.

        Raises:
            UsageError: there is no such thing, or no such board.
        """
        whose, _, name = what.partition(".")
        if name not in _NAMES.get(whose, ()):
            raise UsageError(f"the context has no {what}")
        holder: Any = self._context
        if whose == "board":
            key, *args = args
            holder = await self._context.board(key)
            if name == "known":
                return holder is not None
            if holder is None:
                raise UsageError("the bot does not know this board any more")
        elif whose != "context":
            holder = getattr(holder, whose)
        found = getattr(holder, name)
        value = found(*args, **options) if callable(found) else found
        return await value if inspect.isawaitable(value) else value
