"""`boardkeeper dev`: a handler's file at work on a recording, again each time it is saved.

It is the author's own machine: unlike the bot, this shows what handlers raise in full.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bot import recording
from bot.cli.output import count, fail, say, unread
from bot.cli.screen import Screen, logged
from bot.config.yamltree import Table, parse
from bot.errors import BoardkeeperError, ConfigError, Mistake, UsageError
from bot.handlers.base import Handler
from bot.handlers.load import file_of, fresh
from bot.recording import Header
from bot.stall import StallDetector
from bot.testing import SAMPLE, SimulatedRoom

POLL = 0.2
"""Seconds between two looks at whether the file was saved."""

PATIENCE = 5.0
"""Seconds that a handler's own tasks get to end after a replay."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    dev = commands.add_parser(
        "dev", help="try a handler on a recording, without servers; again when it is saved"
    )
    dev.add_argument("file", metavar="FILE.py[:Class]", help="the handler")
    dev.add_argument(
        "--replay",
        default="sample",
        metavar="RECORDING",
        help="a file of “recording export” (default: “sample”, which comes with boardkeeper)",
    )
    dev.add_argument(
        "--speed", type=float, metavar="N", help="N times as fast as it was (default: at once)"
    )
    dev.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting, as under “settings:” in the configuration",
    )
    dev.add_argument("--once", action="store_true", help="end after one replay, for scripts")


def run(options: argparse.Namespace) -> bool:
    """Replay until Ctrl-C, or once.

    Returns:
        Whether all went well.

    Raises:
        UsageError: the call is wrong; the text says what of it.
    """
    if options.speed is not None and not 0 < options.speed <= 1e6:
        raise UsageError("--speed has to be a number above 0.")
    settings = _settings(options.settings)
    file_of(options.file)  # one that is not there yet is not waited for: it may be a wrong name
    path = SAMPLE if options.replay == "sample" else Path(options.replay)
    with recording.read(path) as found:
        what = _Replay(path, found.header, options.speed, settings)
    # What was compiled a moment ago would be taken for what is in the file.
    sys.dont_write_bytecode = True
    with logged():
        try:
            return asyncio.run(_work(options.file, what, once=options.once))
        except KeyboardInterrupt:
            say("")
            return True


@dataclass(frozen=True, slots=True)
class _Replay:
    """What is replayed.

    Attributes:
        path: the recording.
        header: of it.
        speed: times as fast as it was; None without any pause.
        settings: of the handler.
    """

    path: Path
    header: Header
    speed: float | None
    settings: Table


def _settings(given: Sequence[str]) -> Table:
    """Read what is set, each value as YAML."""
    for one in given:
        if "=" not in one:
            raise UsageError(f"--set {one}: write KEY=VALUE.")
    mistakes: list[Mistake] = []
    node = parse("\n".join(one.replace("=", ": ", 1) for one in given), mistakes)
    if mistakes or not isinstance(node, Table):
        raise ConfigError("--set", mistakes)
    return node


async def _work(use: str, what: _Replay, *, once: bool) -> bool:
    file = Path(use if use.endswith(".py") else use.rpartition(":")[0])
    while True:
        stamp = _stamp(file)
        replay = asyncio.create_task(_replay(use, what))
        saved = asyncio.create_task(_saved(file, stamp))
        try:
            await asyncio.wait({replay, saved}, return_when=asyncio.FIRST_COMPLETED)
            if unread():
                return True
            if once:
                return await replay
            if replay.done():
                replay.result()
                say(f"Waiting for {file} to be saved; Ctrl-C ends.")
                await saved
                if unread():
                    return True
        finally:
            replay.cancel()
            saved.cancel()
            await asyncio.wait({replay, saved})


async def _saved(file: Path, stamp: tuple[int, int]) -> None:
    while _stamp(file) == stamp and not unread():  # noqa: ASYNC110 - no file tells anybody
        await asyncio.sleep(POLL)


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:  # an editor puts another one in its place
        return 0, 0
    return status.st_mtime_ns, status.st_size


async def _replay(use: str, what: _Replay) -> bool:
    """Load the handler and replay once; what goes wrong is shown."""
    screen = Screen()
    header = what.header
    try:
        kind = fresh(use)
        say(f"── {datetime.now().astimezone():%H:%M:%S} {kind.__name__}, told {what.path.name}")
        async with (
            SimulatedRoom(
                kind,
                settings=what.settings,
                raises=False,
                key=header.board,
                version=header.version or "0",
                seen=screen.show,
            ) as room,
            StallDetector({kind.__name__: room.handler}),
        ):
            await room.replay(what.path, speed=what.speed)
            await _finish(room, screen)
    except BoardkeeperError as error:
        _show_mistake(error)
        return False
    except Exception as error:  # noqa: BLE001 - the border of a handler: of its start
        screen.failed(error)
        return False
    say(f"── {screen.sums()}")
    return not screen.failures


async def _finish(room: SimulatedRoom[Handler], screen: Screen) -> None:
    """Have told and done what is left; says what cannot be."""
    if room.handler.durable and not await room.catch_up():
        screen.remark("The handler puts the same off again and again: the rest was not told")
    if running := await room.rest(PATIENCE):
        were = "was still running and was" if running == 1 else "were still running and were"
        screen.remark(f"{count(running, 'task')} of the handler {were} ended (context.spawn)")
    if room.untold:
        screen.remark(
            f"The handler's lane waits after its failures: {count(room.untold, 'event')} of the"
            " recording were not told (docs/handlers.md, What to count on)"
        )


def _show_mistake(error: BoardkeeperError) -> None:
    if error.__cause__ is not None:
        fail("".join(traceback.format_exception(error.__cause__)).rstrip())
    fail(str(error))
