"""`boardkeeper handlers`: how handlers are doing, and what durable ones could not take."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.actions.actions import find_board, read_time, show_time
from bot.cli import new, output
from bot.cli.output import count, say, span
from bot.config import Config
from bot.control import control
from bot.control.control import NotRunning
from bot.errors import UsageError
from bot.handlers.load import find
from bot.handlers.recorded import kinds
from bot.handlers.status import behind
from bot.store.archive import Archive
from bot.store.deliveries import DeadLetter

_NONE = "“{}” has no such dead letter: “boardkeeper handlers dead list”."
_TITLES = {"ts": "happened", "given_up_ts": "given up"}
_HELP = "“boardkeeper handlers dead retry {0}” gives it once more, “… drop {0}” forgets it."


def add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    config: argparse.ArgumentParser,
    as_json: argparse.ArgumentParser,
) -> None:
    """Add the commands to the parser."""
    handlers = commands.add_parser(
        "handlers", help="status, dead letters and replay of handlers; new ones"
    )
    actions = handlers.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser(
        "status", parents=[config, as_json], help="what waits for each, and what it fails on"
    )
    new.add(actions)
    dead = actions.add_parser("dead", help="what a handler could not take: list, show, retry, drop")
    letters = dead.add_subparsers(dest="letters", required=True, metavar="WHAT")
    shown = letters.add_parser("list", parents=[config, as_json], help="list them")
    shown.add_argument("handler", nargs="?", metavar="HANDLER", help="only of this one")
    one = letters.add_parser("show", parents=[config, as_json], help="what one of them is, and why")
    one.add_argument("handler", metavar="HANDLER", help="its name in the configuration")
    one.add_argument("entry", type=int, metavar="ENTRY", help="its number, as listed")
    for name, text in (
        ("retry", "give them once more; also tries at once what the handler waits for"),
        ("drop", "forget them"),
    ):
        one = letters.add_parser(name, parents=[config], help=text)
        one.add_argument("handler", metavar="HANDLER", help="its name in the configuration")
        one.add_argument("entry", nargs="?", type=int, metavar="ENTRY", help="only this one")
    replay = actions.add_parser(
        "replay", parents=[config], help="tell a handler once more what happened on a board"
    )
    replay.add_argument("board", metavar="BOARD", help="number, whiteboard id or room id")
    replay.add_argument("--handler", required=True, metavar="NAME")
    replay.add_argument("--from", dest="begin", metavar="TIME", help="2026-11-20 14:05, 10m ago")
    replay.add_argument("--to", dest="end", metavar="TIME")
    replay.add_argument(
        "--speed", type=float, metavar="N", help="N times as fast as it was (default: at once)"
    )


async def run(config: Config, options: argparse.Namespace) -> None:
    """Do what is asked for.

    Raises:
        UsageError: it cannot be done; the text says why.
    """
    match options.action:
        case "status":
            await _status(config, as_json=options.json)
        case "replay":
            await _replay(config, options)
        case _ if options.letters == "show":
            await _one(config, options.handler, options.entry, as_json=options.json)
        case _ if options.letters == "list":
            await _dead(config, options.handler, as_json=options.json)
        case _ if options.letters == "drop":
            await _drop(config, options.handler, options.entry)
        case _:
            request = {"action": "retry", "handler": options.handler, "seq": options.entry}
            found = await _ask(config, request)
            say(
                f"{options.handler}: {found['taken']} taken, failed again on {found['failed']}."
                " What its lanes waited for is tried now."
            )


# -- status --------------------------------------------------------------------------------------


async def _status(config: Config, *, as_json: bool) -> None:
    request = {"command": "handlers", "action": "status"}
    try:
        found = {"running": True, "handlers": await control.ask(config.data.folder, request)}
    except NotRunning:
        found = {"running": False, "handlers": await _kept(config)}
    if as_json:
        output.say_json(found)
        return
    if not found["running"]:
        say("The bot does not run; this is what its archive says.")
    handlers: Mapping[str, Any] = found["handlers"]
    if not handlers:
        say("No handler is configured.")
        return
    columns = ("Handler", "State", "Waiting", "Oldest", "Dead", "Failures", "Last error")
    output.table(columns, [_row(name, one) for name, one in handlers.items()])


def _row(name: str, one: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        name,
        _state(one),
        _waiting(one),
        show_time(one["oldest_ts"]) if one.get("oldest_ts") else "-",
        one.get("dead") or "-",
        one.get("failures") or "-",
        _last_error(one),
    )


def _state(one: Mapping[str, Any]) -> str:
    """Return a handler's state; "state" is only there while the bot runs."""
    if one.get("stopped"):
        return f"stopped: {one['stopped']}"
    state = one.get("state", "closed")
    if state == "closed":
        if not one["durable"]:
            return "running" if "state" in one else "not running"
        return "behind" if one["behind"] else "up to date"
    boards = f"waiting on {count(one['open'], 'board')}"
    if state == "half-open" or one["next_try"] is None:
        return f"half-open: {boards}, trying again"
    left = span(max(0.0, one["next_try"] - time.time()))
    return f"open: {boards}, next try in {left}, since {show_time(one['since_ts'])}"


def _waiting(one: Mapping[str, Any]) -> str:
    parts = [count(one["behind"], "entry", "entries")] if one.get("behind") else []
    parts += [count(one["queued"], "event")] if one.get("queued") else []
    parts += [f"{one[key]:,} {key}" for key in ("condensed", "dropped") if one.get(key)]
    parts += [f"{one['isolation']} restarted {one['restarts']:,}×"] if one.get("restarts") else []
    return ", ".join(parts) or "-"


def _last_error(one: Mapping[str, Any]) -> str:
    if not one.get("last_error"):
        return "-"
    return f"{one['last_error']} ({show_time(one['last_error_ts'])})"


async def _kept(config: Config) -> dict[str, dict[str, Any]]:
    """Return what the archive knows."""
    found: dict[str, dict[str, Any]] = {}
    async with Archive(config.data.folder, read_only=True) as archive:
        for entry in config.handlers:
            if find(entry.use).durable:
                dead = await archive.dead_letters(entry.name)
                wanted = kinds(find(entry.use)(entry.values).wants())
                backlog = await archive.backlog(entry.name, wanted)
                found[entry.name] = behind(backlog, len(dead))
            else:
                found[entry.name] = {"durable": False}
    return found


# -- dead letters --------------------------------------------------------------------------------


async def _dead(config: Config, handler: str | None, *, as_json: bool) -> None:
    async with Archive(config.data.folder, read_only=True) as archive:
        letters = await archive.dead_letters(handler)
    if as_json:
        fields = ("handler", "seq", "board_id", "ts", "tries", "reason")
        output.say_json([{name: getattr(one, name) for name in fields} for one in letters])
    elif not letters:
        say("There are no dead letters.")
    else:
        _show(letters)


def _show(letters: Sequence[DeadLetter]) -> None:
    columns = ("Handler", "Entry", "Board", "Given up", "Tries", "Reason")
    output.table(
        columns,
        [
            (one.handler, one.seq, one.board_id, show_time(one.ts), one.tries, one.reason)
            for one in letters
        ],
    )
    say(_HELP.format(f"{letters[0].handler} {letters[0].seq}"))


async def _one(config: Config, handler: str, seq: int, *, as_json: bool) -> None:
    """Say all there is to say of a dead letter without what is on the board."""
    async with Archive(config.data.folder, read_only=True) as archive:
        letter = next((one for one in await archive.dead_letters(handler) if one.seq == seq), None)
        if letter is None:
            raise UsageError(_NONE.format(handler))
        key = await archive.board_key(letter.board_id)
        page = await archive.entries(letter.board_id, after_seq=seq - 1, limit=1)
    entry = page[0] if page and page[0].seq == seq else None
    found = {
        "handler": handler,
        "entry": seq,
        "board": letter.board_id,
        "room": key.room_id if key else None,
        "whiteboard": key.whiteboard_id if key else None,
        "kind": entry.kind.value if entry else None,
        "ts": entry.ts if entry else None,
        "sender": entry.sender if entry else None,
        "bytes": len(entry.data) if entry else None,
        "given_up_ts": letter.ts,
        "tries": letter.tries,
        "reason": letter.reason,
    }
    if as_json:
        output.say_json(found)
        return
    for name, value in found.items():
        shown = show_time(value) if name.endswith("ts") and isinstance(value, int) else value
        said = "not known any more" if shown is None and entry is None else shown
        say(f"{_TITLES.get(name, name):<12} {'nobody for certain' if said is None else said}")
    say(_HELP.format(f"{handler} {seq}"))


async def _drop(config: Config, handler: str, seq: int | None) -> None:
    request = {"command": "handlers", "action": "drop", "handler": handler, "seq": seq}
    try:
        dropped = await control.ask(config.data.folder, request)
    except NotRunning:
        async with Archive(config.data.folder) as archive:
            dropped = await archive.drop_dead(handler, seq)
    if not dropped:
        raise UsageError(_NONE.format(handler))
    say(f"{handler}: {count(dropped, 'dead letter')} dropped.")


# -- replay --------------------------------------------------------------------------------------


async def _replay(config: Config, options: argparse.Namespace) -> None:
    if options.speed is not None and not 0 < options.speed <= 1e6:
        raise UsageError("--speed has to be a number above 0.")
    async with Archive(config.data.folder, read_only=True) as archive:
        board = await find_board(archive, options.board)
    now = datetime.now().astimezone()
    request = {
        "action": "replay",
        "handler": options.handler,
        "board_id": board.id,
        "from_ts": read_time(options.begin, now) if options.begin else 0,
        "until_ts": read_time(options.end, now) if options.end else None,
        "speed": options.speed,
    }
    await _ask(config, request)
    say(
        f"{options.handler} is told once more what happened on board {board.id}; the events say"
        " that they are replayed. The log says when it has ended."
    )


async def _ask(config: Config, request: Mapping[str, Any]) -> Any:
    try:
        return await control.ask(config.data.folder, {"command": "handlers", **request})
    except NotRunning as error:
        raise UsageError(
            "This needs the running bot, and none runs: start it with “boardkeeper run”."
        ) from error
