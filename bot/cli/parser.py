"""What can be said on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from bot import __version__, setup
from bot.cli import dev, handlers, recording
from bot.doctor import command as doctor

_BOARD = "number, whiteboard id or room id"
_ROOM = "room id, alias or name, or the number or id of one of its boards"
_MAX_SECONDS = 1e9  # longer ago than there were boards


def seconds(text: str) -> float:
    """Read a duration; argparse says what a ValueError is about.

    Raises:
        ValueError: it is none.
    """
    value = float(text)
    if not 0 <= value <= _MAX_SECONDS:  # nor is NaN
        raise ValueError(text)
    return value


def make() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="boardkeeper", description="Keeps, records and exports NeoBoard whiteboards."
    )
    parser.add_argument("--version", action="version", version=f"boardkeeper {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    config = argparse.ArgumentParser(add_help=False)
    config.add_argument(
        "-c",
        "--config",
        type=Path,
        default=Path("config.yaml"),
        metavar="FILE",
        help="configuration (default: config.yaml)",
    )
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="for programs: one JSON document")
    room = argparse.ArgumentParser(add_help=False)
    room.add_argument("room", metavar="ROOM", help=_ROOM)

    init = commands.add_parser("init", help="write a commented config.yaml to begin with")
    init.add_argument("file", type=Path, nargs="?", default=Path("config.yaml"))
    commands.add_parser("check", parents=[config], help="say every mistake in the configuration")
    commands.add_parser("run", parents=[config], help="run the bot until it is told to end")
    commands.add_parser("boards", parents=[config, as_json], help="list the boards in the archive")
    export = commands.add_parser("export", parents=[config], help="export a board as .nwb")
    export.add_argument("board", metavar="BOARD", help=_BOARD)
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.nwb")
    export.add_argument(
        "--at", metavar="TIME", help="as it was then: 2026-11-20 14:05, 10m ago (default: now)"
    )

    doctor.add(commands, config)
    handlers.add(commands, config, as_json)
    dev.add(commands)
    recording.add(commands, config)
    setup.add(commands)
    _add_changes(commands, config)

    commands.add_parser(
        "status", parents=[config, as_json], help="say how the running bot is (exit code 1: none)"
    )
    _add_sessions(commands, [config, room])
    commands.add_parser(
        "pause", parents=[config, room], help="stop recording a room; the room is told"
    )
    commands.add_parser(
        "resume", parents=[config, room], help="go on recording a room; the room is told"
    )
    commands.add_parser("leave", parents=[config, room], help="leave a room, as “!board leave”")
    drain = commands.add_parser(
        "drain",
        parents=[config],
        help="before maintenance: leave all boards, save, begin no more; the bot can be ended then",
    )
    drain.add_argument("--off", action="store_true", help="take part again")
    return parser


def _add_sessions(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    parents: list[argparse.ArgumentParser],
) -> None:
    sessions = commands.add_parser(
        "sessions", parents=parents, help="say who is on the boards of a room, or who was"
    )
    how = sessions.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="for programs: one JSON document")
    how.add_argument(
        "--csv", action="store_true", help="with --history: who was there from when to when"
    )
    past = sessions.add_argument_group("past sessions")
    past.add_argument(
        "--history", action="store_true", help="all sessions, from before the bot came too"
    )
    past.add_argument("--board", metavar="BOARD", help=f"only of this one: {_BOARD}")
    past.add_argument("--since", metavar="TIME", help="2026-11-20 14:05, 10m ago")
    past.add_argument(
        "--gap",
        type=seconds,
        default=0,
        metavar="SECONDS",
        help="for which nobody may be there within one session (default: 0)",
    )
    past.add_argument(
        "--recompute", action="store_true", help="read everything from the homeserver again"
    )


def _add_changes(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], config: argparse.ArgumentParser
) -> None:
    """Add what changes boards."""
    board = argparse.ArgumentParser(add_help=False)
    board.add_argument("board", metavar="BOARD", help=_BOARD)
    how = argparse.ArgumentParser(add_help=False)
    how.add_argument("--dry-run", action="store_true", help="only say what would change")
    how.add_argument(
        "--force", action="store_true", help="also locked slides, and where strokes are missing"
    )
    restore = commands.add_parser(
        "restore", parents=[config, board, how], help="make a board look as it did"
    )
    then = restore.add_mutually_exclusive_group(required=True)
    then.add_argument("--at", metavar="TIME", help="2026-11-20 14:05, 10m ago")
    then.add_argument("--snapshot", metavar="ID", help="event id of a snapshot in the room")
    restore.add_argument(
        "--slide", type=int, metavar="N", help="only this one, counted as it was then"
    )
    load = commands.add_parser(
        "import", parents=[config, board, how], help="put the slides of a .nwb file on a board"
    )
    load.add_argument("file", type=Path, metavar="FILE.nwb")
    load.add_argument("--append", action="store_true", help="behind the slides that are there")
    clone = commands.add_parser(
        "clone", parents=[config, board, how], help="make another board look as this one"
    )
    clone.add_argument("target", metavar="TARGET", help="the board to change")
    commands.add_parser(
        "snapshot", parents=[config, board], help="write a board to its room as a snapshot now"
    )
