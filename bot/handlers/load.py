"""Finds the configured handlers and reads their settings.

By name (built in, or an installed entry point of the group `boardkeeper.handlers`), or by dotted
path `package.module:Class`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

from bot.config import HandlerEntry
from bot.errors import UsageError
from bot.handlers.base import Handler

GROUP = "boardkeeper.handlers"
BUILT_IN: Mapping[str, str] = {
    "log": "bot.handlers.log:Log",
    "record": "bot.handlers.record:Record",
    "relay": "bot.handlers.relay:Relay",
    "webhook": "bot.handlers.webhook:Webhook",
}


def find(use: str) -> type[Handler]:
    """Return the handler class that `use:` names.

    Raises:
        UsageError: there is none, it cannot be imported, or it is no handler; the text says which.
    """
    if use in BUILT_IN:
        return _load(BUILT_IN[use])
    if ":" in use:
        return _load(use)
    found = entry_points(group=GROUP)
    if use in found.names:
        return _load(found[use].value)
    known = ", ".join(sorted({*BUILT_IN, *found.names}))
    raise UsageError(f"there is no handler “{use}”; known: {known}; or write package.module:Class")


def settings_of(use: str) -> type[Any]:
    """Return the settings dataclass of the handler that `use:` names (`config.KindOf`).

    Raises:
        UsageError: as `find`.
    """
    return find(use).settings_type


def build(entries: Sequence[HandlerEntry]) -> dict[str, Handler]:
    """Make the configured handlers, by name, in order; their settings have been read already."""
    return {entry.name: find(entry.use)(entry.values) for entry in entries}


def _load(path: str) -> type[Handler]:
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise UsageError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Handler)):
        raise UsageError(f"{path} is not a bot.handlers.base.Handler")
    return found
