"""Finds the configured handlers and reads their settings.

By name (built in, or an installed entry point of the group `boardkeeper.handlers`), by dotted path
`package.module:Class`, or by file `folder/file.py:Class`. What is found is looked at as a whole:
who made a mistake hears of it before the bot runs, not with the first event.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from hashlib import sha256
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from bot.config import HandlerEntry
from bot.config.settings import Problem
from bot.errors import UsageError
from bot.handlers.base import API_VERSION, METHODS, Handler
from bot.handlers.calling import Elsewhere, contained, kind_of, where
from bot.handlers.isolated.desk import Desk
from bot.handlers.isolated.outside import Worker
from bot.handlers.isolated.process import ProcessWorker
from bot.handlers.isolated.proxy import Isolated
from bot.handlers.isolated.thread import ThreadWorker
from bot.handlers.record import Record
from bot.handlers.rooms import ByRoom, Off, like

GROUP = "boardkeeper.handlers"
BUILT_IN: Mapping[str, str] = {
    "attendance": "bot.handlers.attendance:Attendance",
    "log": "bot.handlers.log:Log",
    "record": "bot.handlers.record:Record",
    "relay": "bot.handlers.relay:Relay",
    "webhook": "bot.handlers.webhook:Webhook",
}

_ONE_FOR_ALL: Mapping[str, str] = {
    BUILT_IN["record"]: "record has none: “!board pause” in a room ends recording there",
    BUILT_IN["relay"]: "relay has none: its settings name its rooms",
}
"""Why handlers cannot have other settings in some rooms."""


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
    if use.endswith(".py"):
        raise UsageError(f"{use} names a file, not a handler: write {use}:{_guess(Path(use))}")
    known = ", ".join(sorted({*BUILT_IN, *found.names}))
    raise UsageError(
        f"there is no handler “{use}”; known: {known};"
        " or write package.module:Class, or file.py:Class"
    )


def fresh(use: str) -> type[Handler]:
    """Return a handler of a file as the file is now, also when it was loaded before.

    Args:
        use: `file.py:Class`, or `file.py` when there is one handler in it.

    Raises:
        UsageError: as `find`.
    """
    file, name = file_of(use)
    sys.modules.pop(_name_of(file), None)
    return _load(f"{file}:{name or _only_handler(file)}")


def file_of(use: str) -> tuple[Path, str]:
    """Return the file that `file.py` or `file.py:Class` names, and the class, may be empty.

    Raises:
        UsageError: it names none, or it is not there.
    """
    home, _, name = (use, "", "") if use.endswith(".py") else use.rpartition(":")
    if not home.endswith(".py"):
        raise UsageError(f"{use} names no file: write file.py, or file.py:Class")
    try:
        return Path(home).resolve(strict=True), name
    except OSError as error:
        raise UsageError(f"{home} cannot be read: {error.strerror}") from None


def _only_handler(file: Path) -> str:
    """Return the name of the one handler in a file."""
    names = _handlers_in(_module(str(file), str(file)))
    if not names:
        text = "write a class that derives from bot.handlers.base.Handler"
        raise UsageError(f"{file} has no handler: {text}")
    if len(names) > 1:
        said = f"several handlers: {', '.join(names)}"
        raise UsageError(f"{file} has {said}; write {file.name}:Class")
    return names[0]


def _guess(file: Path) -> str:
    """Return what is probably meant where only a file is named."""
    try:
        return _only_handler(file)
    except UsageError:
        return "Class"


def _handlers_in(module: ModuleType) -> list[str]:
    """Return the names of the handlers that are written in a module."""
    return [
        name
        for name, one in vars(module).items()
        if isinstance(one, type) and issubclass(one, Handler) and one.__module__ == module.__name__
    ]


def settings_of(use: str) -> type[Any]:
    """Return the settings dataclass of the handler that `use:` names (`config.KindOf`).

    Raises:
        UsageError: as `find`.
    """
    return find(use).settings_type


def problems_of(entry: HandlerEntry) -> Iterator[Problem]:
    """Say which keys of an entry its handler cannot have (`config.ProblemsOf`)."""
    found = find(entry.use)
    why = _ONE_FOR_ALL.get(f"{found.__module__}:{found.__qualname__}")
    if entry.rooms and why:
        yield Problem("rooms", why)
    if entry.isolation != "none" and issubclass(found, Record):
        yield Problem("isolation", "record is never called, it has to be none")


def untold(entries: Sequence[HandlerEntry]) -> list[str]:
    """Return the names of durable handlers that are told nothing, because nothing is recorded."""
    kinds = {entry.name: find(entry.use) for entry in entries}
    if any(issubclass(kind, Record) for kind in kinds.values()):
        return []
    return [name for name, kind in kinds.items() if kind.durable]


def build(entries: Sequence[HandlerEntry]) -> dict[str, Handler]:
    """Make the configured handlers, by name, in order; their settings have been read already.

    Raises:
        UsageError: one cannot be made; the text says which and why.
    """
    return {entry.name: _built(entry) for entry in entries}


def _built(entry: HandlerEntry) -> Handler:
    kind = find(entry.use)
    made = [(entry.values, _made(entry, kind, entry.values))]
    rooms: dict[str, Handler] = {}
    for room_id, values in entry.room_values.items():
        if values is None:
            rooms[room_id] = like(Off, kind)(made[0][1])
            continue
        same = next((one for other, one in made if other == values), None)
        rooms[room_id] = same or _made(entry, kind, values)
        made.append((values, rooms[room_id]))
    return like(ByRoom, kind)(made[0][1], rooms) if rooms else made[0][1]


def _made(entry: HandlerEntry, kind: type[Handler], values: Any) -> Handler:
    try:
        with contained():
            made = kind(values)
    except Exception as error:
        text = f"{kind_of(error)} at {where(error)}: {error}"
        raise UsageError(f"the handler “{entry.name}” cannot be made: {text}") from error
    if entry.isolation == "none":
        return made

    def begin(desk: Desk) -> Worker:
        if entry.isolation == "thread":
            return ThreadWorker(entry.name, desk, kind, values)
        return ProcessWorker(entry.name, desk, entry.use, values)

    return like(Isolated, kind)(made, entry.name, begin, entry.isolation)


def _load(path: str) -> type[Handler]:
    home, _, name = path.rpartition(":")
    module = _module(home, path)
    if not hasattr(module, name):
        file = Path(home).name if home.endswith(".py") else home
        names = ", ".join(_handlers_in(module))
        it_has = f"; it has: {names}" if names else ""
        raise UsageError(f"there is no class {name} in {file}{it_has}")
    found = getattr(module, name)
    if not (isinstance(found, type) and issubclass(found, Handler)):
        raise UsageError(f"{path} is not a bot.handlers.base.Handler")
    check(found, path)
    return found


def _module(home: str, path: str) -> ModuleType:
    """Import where a handler is, a file or a module; what goes wrong calls it `path`."""
    try:
        with contained():
            return _from_file(Path(home)) if home.endswith(".py") else importlib.import_module(home)
    except Elsewhere as error:
        text = f"{error} ({error.kind} at {error.place})"
        raise UsageError(f"{path} cannot be loaded: {text}") from None
    except Exception as error:
        hint = ""
        if isinstance(error, ModuleNotFoundError) and error.name == home:
            hint = f"; if it is a file beside the configuration, write {path.replace(':', '.py:')}"
        text = f"{path} cannot be loaded: {type(error).__name__}: {error}{hint}"
        raise UsageError(text) from error


def check(found: type[Handler], path: str) -> None:
    """See that a handler's class can work.

    Raises:
        UsageError: it cannot; the text says why, and calls it `path`.
    """
    wrong = "; ".join(_wrong(found))
    if wrong:
        raise UsageError(f"{path} is no right handler: {wrong}")


def _from_file(file: Path) -> ModuleType:
    """Import a file that lies in no package."""
    file = file.resolve(strict=True)
    name = _name_of(file)
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _name_of(file: Path) -> str:
    """Return the name a file's module gets: two files may be called the same."""
    return f"handler_{file.stem}_{sha256(bytes(file)).hexdigest()[:8]}"


def _wrong(found: type[Handler]) -> Iterator[str]:
    """Say what of a handler's class cannot work."""
    if found.api != API_VERSION:
        yield f"it is written for version {found.api} of the API, this bot has {API_VERSION}"
    if not is_dataclass(found.settings_type):
        yield "settings_type has to be a dataclass"
    yield from _wrong_delivery(found)
    for name in ("start", "stop", "on_batch", *METHODS.values()):
        method = getattr(found, name)
        if not inspect.iscoroutinefunction(method):
            yield f"{name} has to be “async def”"
        elif len(inspect.signature(method).parameters) != (1 if name == "stop" else 2):
            what = "self" if name == "stop" else "self and one more parameter"
            yield f"{name} has to take {what}"
    known = {name for name in dir(Handler) if name.startswith("on_")}
    for name in sorted(vars(found)):
        if name.startswith("on_") and name not in known:
            close = get_close_matches(name, known, 1)
            meant = f"did you mean {close[0]}? There are" if close else "there are"
            yield f"there is no event for {name}; {meant}: {', '.join(METHODS.values())}"


def _wrong_delivery(found: type[Handler]) -> Iterator[str]:
    """Say what of how it is to be told cannot work."""
    if found.batch < 1 or (found.batch > 1 and not found.durable):
        yield "batch has to be 1 or, for a durable handler, more"
    told = ("on_document_update", "on_cursor_moved", "on_focused", "on_presented")
    if (
        found.durable
        and found.batch == 1
        and found.wants is Handler.wants
        and all(getattr(found, name) is getattr(Handler, name) for name in told)
    ):
        yield f"it is durable but asks for nothing that is recorded ({', '.join(told)})"
    if found.batch > 1 and found.on_batch is Handler.on_batch:
        yield "with a batch, on_batch has to be there"
