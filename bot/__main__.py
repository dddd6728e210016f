"""The command line; the only place that ends the program with an exit code."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bot import __version__, actions, logs
from bot.app import App, make_homeserver
from bot.config import Config
from bot.config.file import init, load
from bot.errors import AuthLost, BoardkeeperError, ConfigError, UsageError
from bot.handlers.load import settings_of
from bot.store.archive import Archive
from bot.whiteboard.document import Document

EXIT_WRONG = 2
"""The call or the configuration is wrong."""
EXIT_FAILED = 1
"""It was right, and did not work."""

_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
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
    init = commands.add_parser("init", help="write a commented config.yaml to begin with")
    init.add_argument("file", type=Path, nargs="?", default=Path("config.yaml"))
    commands.add_parser("check", parents=[config], help="say every mistake in the configuration")
    commands.add_parser("run", parents=[config], help="run the bot until it is told to end")
    commands.add_parser("boards", parents=[config], help="list the boards in the archive")
    export = commands.add_parser("export", parents=[config], help="export a board as .nwb")
    export.add_argument("board", metavar="BOARD", help="number, whiteboard id or room id")
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.nwb")
    export.add_argument(
        "--at", metavar="TIME", help="as it was then: 2026-11-20 14:05, 10m ago (default: now)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(_run(_parser().parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    try:
        return _command(options)
    except BaseExceptionGroup as group:
        # A task tree ends with a group; what ended it is the first error of ours in it.
        ours = group.subgroup(BoardkeeperError)
        if ours is None:
            raise
        return _failed(_first(ours))
    except BoardkeeperError as error:
        return _failed(error)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _failed(error: BaseException) -> int:
    if isinstance(error, ConfigError):
        for mistake in error.mistakes:
            _err.print(f"{error.source}: {mistake}", style="red", markup=False)
        return EXIT_WRONG
    _err.print(f"boardkeeper: {error}", style="red", markup=False)
    if isinstance(error, AuthLost):
        _err.print(
            "The homeserver does not accept the bot's access token (any more). Configured with a"
            " password, the bot logs in anew when it is started again; else put a new access_token"
            " into the configuration."
        )
    return EXIT_FAILED


def _command(options: argparse.Namespace) -> int:
    if options.command == "init":
        init(options.file)
        _out.print(f"Wrote {options.file}. Edit it, then: boardkeeper check -c {options.file}")
        return 0
    config = load(options.config, os.environ, settings_of)
    for warning in config.warnings:
        _err.print(f"{options.config}: {warning}", style="yellow", markup=False)
    match options.command:
        case "check":
            _out.print(f"{options.config} is right.")
        case "run":
            logs.setup(config.log.level, config.log.format)
            asyncio.run(App(config).run())
        case "boards":
            asyncio.run(_boards(config))
        case _:
            _write(options.output, asyncio.run(_export(config, options.board, options.at)))
    return 0


async def _boards(config: Config) -> None:
    async with Archive(config.data.folder, read_only=True) as archive:
        rows = await archive.boards()
    if not rows:
        _out.print("No boards yet: invite the bot into a room that has one.")
        return
    table = Table("No.", "Room", "Board", "Entries", "First", "Last")
    for row in rows:
        table.add_row(
            str(row.id),
            row.key.room_id,
            row.key.whiteboard_id + (" (gone)" if row.gone_ts else ""),
            str(row.entries),
            actions.show_time(row.first_ts) if row.first_ts else "-",
            actions.show_time(row.last_ts) if row.last_ts else "-",
        )
    _out.print(table)


async def _export(config: Config, board: str, at: str | None) -> actions.Export:
    at_ts = None if at is None else actions.read_time(at, datetime.now().astimezone())
    async with AsyncExitStack() as stack:
        archive = await stack.enter_async_context(Archive(config.data.folder, read_only=True))
        homeserver = await stack.enter_async_context(
            # Never with the password: a new login would end the running bot's.
            make_homeserver(config, archive, token=await archive.get("access_token"))
        )
        return await actions.export(
            archive,
            await actions.find_board(archive, board),
            at_ts=at_ts,
            empty=Document(
                default_version=config.boards.default_root, max_bytes=config.boards.max_document
            ),
            download=actions.when_needed(homeserver.login, homeserver.download),
        )


def _write(output: Path, result: actions.Export) -> None:
    try:
        # Beside it first: what stood there before is lost only when the new file is whole.
        part = output.with_name(output.name + ".part")
        part.write_bytes(result.data)
        part.replace(output)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}") from error
    for mxc, why in result.missing_images:
        _err.print(f"image left out, {why}: {mxc}", style="yellow", markup=False)
    if result.incomplete:
        _err.print(
            "strokes are missing that nobody has sent again yet; export later for all of them",
            style="yellow",
        )
    _out.print(
        f"{output}: {_count(result.slides, 'slide')}, {_count(result.elements, 'element')},"
        f" {_count(result.images, 'image')}"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    main()
