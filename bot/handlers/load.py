"""Finds the configured handlers and reads their settings.

By name (built in, or an installed entry point of the group `boardkeeper.handlers`), or by dotted
path `package.module:Class`.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points

from bot.config import HandlerConfig, read_settings
from bot.errors import ConfigError, Mistake
from bot.handlers.base import Handler

GROUP = "boardkeeper.handlers"
BUILT_IN: Mapping[str, str] = {
    "log": "bot.handlers.log:Log",
    "record": "bot.handlers.record:Record",
    "relay": "bot.handlers.relay:Relay",
}

_log = logging.getLogger(__name__)


def find(use: str) -> type[Handler]:
    """Return the handler class that `use:` names.

    Raises:
        LookupError: there is none, it cannot be imported, or it is no handler; the text says which.
    """
    if use in BUILT_IN:
        return _load(BUILT_IN[use])
    if ":" in use:
        return _load(use)
    found = entry_points(group=GROUP)
    if use in found.names:
        return _load(found[use].value)
    known = ", ".join(sorted({*BUILT_IN, *found.names}))
    raise LookupError(f"there is no handler “{use}”; known: {known}; or write package.module:Class")


def _load(path: str) -> type[Handler]:
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise LookupError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Handler)):
        raise LookupError(f"{path} is not a bot.handlers.base.Handler")
    return found


def build(source: str, configs: Sequence[HandlerConfig]) -> dict[str, Handler]:
    """Make the configured handlers, by name, in order.

    Args:
        source: the configuration's file name, for the error.
        configs: the entries under `handlers:`.

    Raises:
        ConfigError: with every handler that cannot be had and every wrong setting. One marked
            `optional` is left out instead, with a warning.
    """
    handlers: dict[str, Handler] = {}
    mistakes: list[Mistake] = []
    for config in configs:
        try:
            handlers[config.name] = _make(config)
        except LookupError as error:
            found = [Mistake(config.path, config.line, str(error))]
        except ConfigError as error:
            found = error.mistakes
        else:
            continue
        if config.optional:
            _log.warning("an optional handler is left out", extra={"handler": config.use})
        else:
            mistakes += found
    if mistakes:
        raise ConfigError(source, mistakes)
    return handlers


def _make(config: HandlerConfig) -> Handler:
    kind = find(config.use)
    return kind(read_settings(kind.settings_type, config.settings, f"{config.path}.settings"))
