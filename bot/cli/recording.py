"""`boardkeeper recording`: boards as files, with everything that happened on them."""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bot.actions import portable
from bot.actions.actions import find_board, read_time, show_time
from bot.actions.portable import Part, Summary, Tell
from bot.cli import output
from bot.cli.output import count, say
from bot.config import Config
from bot.errors import UsageError
from bot.recording import read
from bot.store.archive import Archive
from bot.whiteboard.document import Document

_EXPORT = """\
Writes all that happened on a board to a file, that “recording import” and handlers' tests read.

With --anonymise people become person-1 …, devices device-1 …; ids of the room, the board, slides
and elements are replaced; it begins on 2026-01-01, and the distances in time stay. Of every text
only its length stays, its spaces and line breaks; images lose address and file name.
What stays: shapes, drawings, colours, fonts, positions, cursors, who drew what and how fast. So
what was written BY HAND can still be read, and Yjs' random client numbers stay.
"""
_IMPORT = """\
Puts a recording into the archive as a board of its own; nothing of it is told to handlers.

Only import recordings of people you trust: if the bot comes to the same board later, it goes on
from what the file says.
"""


def add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    config: argparse.ArgumentParser,
) -> None:
    """Add the commands to the parser."""
    recording = commands.add_parser("recording", help="recordings as files: export, import")
    actions = recording.add_subparsers(dest="action", required=True, metavar="ACTION")
    plain = argparse.RawDescriptionHelpFormatter
    export = actions.add_parser(
        "export",
        parents=[config],
        help="write all that happened on a board to a file",
        description=_EXPORT,
        formatter_class=plain,
    )
    export.add_argument("board", metavar="BOARD", help="number, whiteboard id or room id")
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    export.add_argument(
        "--from", dest="begin", metavar="TIME", help="2026-11-20 14:05, 10m ago (default: all)"
    )
    export.add_argument("--to", dest="end", metavar="TIME", help="likewise (default: now)")
    export.add_argument(
        "--anonymise", action="store_true", help="without names, ids, texts, dates (see above)"
    )
    export.add_argument("--overwrite", action="store_true", help="also if FILE is there already")
    load = actions.add_parser(
        "import",
        parents=[config],
        help="put such a file into the archive as a board",
        description=_IMPORT,
        formatter_class=plain,
    )
    load.add_argument("file", type=Path, metavar="FILE")


def run(config: Config, options: argparse.Namespace) -> None:
    """Do what is asked for.

    Raises:
        BoardkeeperError: it cannot be done; the text says why.
    """
    exporting = options.action == "export"
    try:
        asyncio.run(_export(config, options) if exporting else _import(config, options.file))
    except KeyboardInterrupt:
        what = "no file was written" if exporting else "nothing was imported"
        raise UsageError(f"Ended before it was done: {what}.") from None


async def _export(config: Config, options: argparse.Namespace) -> None:
    now = datetime.now().astimezone()
    begin = read_time(options.begin, now) if options.begin else None
    end = read_time(options.end, now) if options.end else None
    if begin is not None and end is not None and end < begin:
        raise UsageError("--to is before --from: nothing can have happened in between.")

    def empty() -> Document:
        boards = config.boards
        return Document(default_version=boards.default_root, max_bytes=boards.max_document)

    async with Archive(config.data.folder, read_only=True) as archive:
        part = Part(archive, await find_board(archive, options.board), begin, end)
        rows = {row.id: row.entries for row in await archive.boards()}
        total = rows[part.board.id] * (2 if options.anonymise else 1)
        with _progress("Exporting", total) as tell:
            done = await portable.export(
                part,
                options.output,
                empty,
                token=secrets.token_hex(4) if options.anonymise else None,
                overwrite=options.overwrite,
                tell=tell,
            )
    if done.left_out:
        left = count(done.left_out, "entry", "entries")
        output.warn(
            f"{left} could not be anonymised and {'is' if done.left_out == 1 else 'are'} left out"
        )
    say(f"{options.output}: {_described(done)}, {output.size(done.size)}")


async def _import(config: Config, path: Path) -> None:
    with read(path) as found:  # first: opened, the archive would be made
        async with Archive(config.data.folder, beside=True) as archive:
            with _progress("Importing", found.size) as tell:
                done = await portable.load(archive, found, tell)
    what = "anonymised recording" if found.header.anonymised else "recording"
    say(f"{path}: {_described(done)}, {what} imported as board {done.board_id}.")
    say(
        "“boardkeeper boards” lists it,"
        f" “boardkeeper export {done.board_id} -o board.nwb” exports what was drawn."
    )


def _described(done: Summary) -> str:
    people = count(len(done.people), "person", "people")
    return (
        f"{count(done.entries, 'entry', 'entries')} of {people},"
        f" {show_time(done.first_ts)} – {show_time(done.last_ts)}"
    )


@contextmanager
def _progress(what: str, total: int) -> Iterator[Tell]:
    """Show how much of something is done, on a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    shown = Progress(
        *columns, console=output.err, transient=True, disable=not output.err.is_terminal
    )
    with shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=min(done, total))
