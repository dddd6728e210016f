"""Reads `config.yaml`, and writes the first one.

The file is checked as a whole before anything runs. Relative paths in it are relative to its
folder, wherever the program is started from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from bot.config import DEFAULT_HANDLERS, OWN_SERVER, Config, HandlerEntry
from bot.config.settings import Problem, Reader
from bot.config.yamltree import EMPTY, Listing, Node, Scalar, Table, read_tree
from bot.errors import ConfigError, Mistake, UsageError

KindOf = Callable[[str], type[Any]]
"""Finds the settings dataclass of a handler by its `use`; raises UsageError when there is none."""


ProblemsOf = Callable[[HandlerEntry], Iterable[Problem]]
"""Says which keys of an entry do not fit its handler, whatever its settings are."""


def load(
    path: Path,
    environ: Mapping[str, str],
    kind_of: KindOf | None = None,
    problems_of: ProblemsOf | None = None,
) -> Config:
    """Read and check a configuration.

    Args:
        path: the YAML file.
        environ: where secrets may come from besides.
        kind_of: finds the settings of handlers; without it they are not looked into.
        problems_of: looks at the entries of handlers that were found.

    Raises:
        ConfigError: with every mistake, in the order of the lines.
    """
    reader = Reader(environ, path.absolute().parent)
    root = read_tree(path, reader.mistakes)
    config = None
    if root is not None:
        config = reader.read(Config, root, "")
        handlers = _handlers(root, reader, kind_of, problems_of or (lambda _: ()))
        if config is not None:
            config = _complete(config, handlers, reader.folder)
        _warn_of_permissions(path, reader)
    if config is None or reader.mistakes:
        raise ConfigError(str(path), sorted(reader.mistakes, key=lambda each: each.line))
    return replace(config, warnings=tuple(sorted(reader.warnings, key=lambda each: each.line)))


def _handlers(
    root: Node, reader: Reader, kind_of: KindOf | None, problems_of: ProblemsOf
) -> tuple[HandlerEntry, ...]:
    """Read the settings of the handlers too, whatever is wrong with the rest of the file."""
    done: dict[str, HandlerEntry] = {}
    for path, node, entry in _entries(root, reader.folder):
        if entry.name in done:
            text = f"a second handler is called {entry.name}; give it a `name` of its own"
            reader.mistakes.append(Mistake(path, node.line, text))
        elif kind_of is None:
            done[entry.name] = entry
        else:
            try:
                kind = kind_of(entry.use)
            except UsageError as error:
                note = reader.warnings if entry.optional else reader.mistakes
                note.append(Mistake(f"{path}.use", node.line, str(error)))
                continue
            reader.healthy(problems_of(entry), node, path)
            done[entry.name] = _with_values(entry, kind, node.line, reader)
    return tuple(done.values())


def _with_values(entry: HandlerEntry, kind: type[Any], line: int, reader: Reader) -> HandlerEntry:
    """Read the settings of a handler, and those of rooms of its own."""
    settings = Table(line, {}) if entry.settings is EMPTY else entry.settings
    path = f"handlers.{entry.name}"
    values = reader.read(kind, settings, f"{path}.settings")
    rooms: dict[str, Any] = {}
    for room_id, node in entry.rooms.items():
        here = f"{path}.rooms.{room_id}"
        if not re.fullmatch(r"!\S+", room_id):
            text = "must be the id of a room, such as !abc:example.org, in quotes"
            reader.mistakes.append(Mistake(here, node.line, text))
        elif isinstance(node, Scalar) and node.text == "off":
            rooms[room_id] = None
        elif isinstance(node, Table):
            rooms[room_id] = reader.read_over(values, kind, node, here)
        else:
            text = "must be a table of settings that are other there, or off"
            reader.mistakes.append(Mistake(here, node.line, text))
    return replace(entry, values=values, room_values=rooms)


def _entries(root: Node, folder: Path) -> Iterator[tuple[str, Table, HandlerEntry]]:
    """Yield path, table and entry of every handler whose entry has no mistake."""
    listed = root.entries.get("handlers") if isinstance(root, Table) else None
    if listed is None:
        yield from (("handlers", EMPTY, entry.named()) for entry in DEFAULT_HANDLERS)
    elif isinstance(listed[1], Listing):
        silent = Reader({}, folder)  # the main reader notes the mistakes of the list itself
        for number, node in enumerate(listed[1].items):
            entry = silent.read(HandlerEntry, node, "")
            if entry is not None and isinstance(node, Table):
                yield f"handlers[{number}]", node, _placed(entry.named(), folder)


def _placed(entry: HandlerEntry, folder: Path) -> HandlerEntry:
    """Find a handler's file from the folder of the configuration."""
    file, _, name = entry.use.rpartition(":")
    return replace(entry, use=f"{folder / file}:{name}") if file.endswith(".py") else entry


def _complete(config: Config, handlers: tuple[HandlerEntry, ...], folder: Path) -> Config:
    """Fill in what depends on other keys or on where the file is."""
    server = config.homeserver.server_name
    invites = replace(
        config.invites,
        allow=tuple(glob.replace(OWN_SERVER, server) for glob in config.invites.allow),
        deny=tuple(glob.replace(OWN_SERVER, server) for glob in config.invites.deny),
    )
    data = replace(config.data, folder=folder / config.data.folder)
    return replace(config, data=data, invites=invites, handlers=handlers)


def _warn_of_permissions(path: Path, reader: Reader) -> None:
    if reader.open_secrets and path.stat().st_mode & 0o077:
        text = f"holds a secret and is open to other users of this machine: chmod 600 {path}"
        reader.warnings.append(Mistake("", 0, text))


def example() -> str:
    """Return the commented example configuration."""
    return files("bot").joinpath("config.example.yaml").read_text("utf-8")


def init(path: Path) -> None:
    """Write the example configuration to a new file that only its owner can read.

    Raises:
        UsageError: something is there already, or it cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists already; it is left as it is") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(example())
