"""The commands that change boards: the running bot does it, and says what it did or would do."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.actions.actions import read_time
from bot.cli import output
from bot.cli.output import count, say
from bot.config import Config
from bot.control import control, orders
from bot.control.control import NotRunning
from bot.errors import UsageError
from bot.whiteboard.nwb import MAX_BYTES


async def order(config: Config, options: argparse.Namespace) -> None:
    """Have the bot do it.

    Raises:
        UsageError: it cannot be done; the text says why.
    """
    folder = config.data.folder
    request: dict[str, Any] = {"command": options.command, "board": options.board}
    match options.command:
        case "restore":
            request |= {"slide": options.slide, **_then(options)}
        case "import":
            request |= {"append": options.append}
        case "clone":
            request |= {"target": options.target}
    if options.command != "snapshot":
        request |= {"force": options.force, "dry_run": options.dry_run}
    if options.command == "import":
        found = await _import(folder, options.file, request)
    else:
        found = await _ask(folder, request)
    _show(found, options)


def _then(options: argparse.Namespace) -> dict[str, Any]:
    if options.snapshot is not None:
        return {"snapshot": options.snapshot}
    return {"at_ts": read_time(options.at, datetime.now().astimezone())}


async def _import(folder: Path, file: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    name = _leave(folder, file)
    try:
        return await _ask(folder, {**request, "file": name})
    finally:
        orders.take_away(folder, name)


def _leave(folder: Path, file: Path) -> str:
    """Leave the file where the bot finds it."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UsageError(f"{file} is larger than {MAX_BYTES // 1024**2} MiB.")
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    try:
        return orders.leave(folder, data)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror}") from error


async def _ask(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = await control.ask(folder, request)
    except NotRunning:
        raise UsageError(
            "The bot does not run, and only a running bot can change a board. Start it with"
            " “boardkeeper run”."
        ) from None
    return found


def _show(found: Mapping[str, Any], options: argparse.Namespace) -> None:
    if options.command == "snapshot":
        say(f"Board {found['board']}: a snapshot of {found['bytes']:,} bytes is in the room.")
        return
    board = found.get("target", found["board"])
    if not found["anything"]:
        say(f"Board {board} looks so already: nothing to do.")
        return
    parts = [
        f"{count(number, what)} {how}"
        for what in ("slide", "element")
        for how, number in found["difference"][what + "s"].items()
        if number
    ]
    changed = ", ".join(parts) or "slides in another order"
    say(f"Board {board}{' would change' if found['dry_run'] else ''}: {changed}.")
    if found["missing_images"]:
        images = count(found["missing_images"], "image")
        output.warn(f"{images} not in the file: a placeholder stands there.")
    if found["undo_ts"] is not None:
        say(f"To undo this: boardkeeper restore {board} --at {found['undo_ts']}{_config(options)}")
    elif not found["dry_run"]:
        output.warn("What was there before is not recorded: this cannot be undone with “restore”.")


def _config(options: argparse.Namespace) -> str:
    return "" if options.config == Path("config.yaml") else f" -c {options.config}"
