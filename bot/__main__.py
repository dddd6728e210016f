"""The command line; the only place that ends the program with an exit code."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from bot import logs, setup
from bot.app import App
from bot.cli import boards, dev, handlers, new, operate, orders, output, parser, past, recording
from bot.config import Config
from bot.config.file import init, load
from bot.doctor import command as doctor
from bot.errors import AuthLost, BoardkeeperError, ConfigError, LoginRefused
from bot.handlers.load import problems_of, settings_of, untold

EXIT_WRONG = 2
"""The call or the configuration is wrong."""
EXIT_FAILED = 1
"""It was right, and did not work."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(_run(parser.make().parse_args(arguments)))


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
            output.fail(f"{error.source}: {mistake}")
        return EXIT_WRONG
    output.fail(f"boardkeeper: {error}")
    if isinstance(error, AuthLost) and not isinstance(error, LoginRefused):
        output.err.print(
            "The homeserver does not accept the bot's access token (any more). Configured with a"
            " password, the bot logs in anew when it is started again; else put a new access_token"
            " into the configuration."
        )
    return EXIT_FAILED


def _command(options: argparse.Namespace) -> int:
    match options.command:
        case "init":
            init(options.file)
            output.say(f"Wrote {options.file}. Edit it, then: boardkeeper check -c {options.file}")
            return 0
        case "setup":
            return setup.run(options, os.environ)
        case "dev":
            return 0 if dev.run(options) else EXIT_FAILED
        case "handlers" if options.action == "new":
            new.run(options)
            return 0
    return _configured(options)


def _configured(options: argparse.Namespace) -> int:
    """Do what needs the configuration."""
    config = load(options.config, os.environ, settings_of, problems_of)
    warnings = [str(one) for one in config.warnings] + [
        f"handlers: {name} is told what is recorded, and nothing is: add “- use: record”"
        for name in untold(config.handlers)
    ]
    for warning in warnings:
        output.warn(f"{options.config}: {warning}")
    match options.command:
        case "check":
            todo = output.count(len(warnings), "thing")
            right = f"can be read; see {todo} to mend, above" if warnings else "is right"
            output.say(f"{options.config} {right}.")
        case "run":
            logs.setup(config.log.level, config.log.format)
            asyncio.run(App(config).run())
        case "doctor":
            return doctor.run(config, machine_readable=options.json)
        case "boards":
            asyncio.run(boards.boards(config, as_json=options.json))
        case "export":
            result = asyncio.run(boards.export(config, options.board, options.at))
            boards.write(options.output, result)
        case "recording":
            recording.run(config, options)
        case _:
            return 0 if asyncio.run(_operate(config, options)) else EXIT_FAILED
    return 0


async def _operate(config: Config, options: argparse.Namespace) -> bool:
    """Ask or tell the running bot; returns whether it is as one wishes."""
    match options.command:
        case "status":
            return await operate.status(config, as_json=options.json)
        case "drain":
            return await operate.drain(config, off=options.off)
        case "sessions":
            if past.wanted(options):
                await past.history(config, options)
            else:
                await operate.sessions(config, options.room, as_json=options.json)
        case "handlers":
            await handlers.run(config, options)
        case "restore" | "import" | "clone" | "snapshot":
            await orders.order(config, options)
        case "leave":
            await operate.leave(config, options.room)
        case _:
            await operate.record(config, options.room, paused=options.command == "pause")
    return True


if __name__ == "__main__":
    main()
