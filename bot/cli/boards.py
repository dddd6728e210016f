"""The commands on the archive: `boards` and `export`; they work beside a running bot."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.account import make_homeserver
from bot.actions import actions
from bot.cli import output
from bot.cli.output import count
from bot.config import Config
from bot.errors import UsageError
from bot.store.archive import Archive
from bot.store.rows import BoardRow
from bot.whiteboard.document import Document


async def boards(config: Config, *, as_json: bool) -> None:
    """List the boards in the archive."""
    async with Archive(config.data.folder, read_only=True) as archive:
        rows = await archive.boards()
    if as_json:
        output.say_json([_as_json(row) for row in rows])
    elif not rows:
        output.say("No boards yet: invite the bot into a room that has one.")
    else:
        columns = ("No.", "Room", "Board", "People", "Entries", "First", "Last", "State")
        output.table(columns, [_as_row(row) for row in rows])


def _as_row(row: BoardRow) -> tuple[object, ...]:
    return (
        row.id,
        row.room_name or row.room_alias or row.key.room_id,
        row.key.whiteboard_id,
        row.participants,
        row.entries,
        actions.show_time(row.first_ts) if row.first_ts else "-",
        actions.show_time(row.last_ts) if row.last_ts else "-",
        _state(row),
    )


def _as_json(row: BoardRow) -> dict[str, Any]:
    fields = asdict(row)
    return {"id": fields.pop("id"), **fields.pop("key"), "state": _state(row), **fields}


def _state(row: BoardRow) -> str:
    if row.gone_ts is not None:
        return "gone" if row.gone_ts else "imported"
    return "paused" if row.paused else "recording"


async def export(config: Config, board: str, at: str | None) -> actions.Export:
    """Export a board."""
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


def write(path: Path, result: actions.Export) -> None:
    """Write a finished export, and say what is in it and what is not."""
    try:
        # Beside it first: what stood there before is lost only when the new file is whole.
        part = path.with_name(path.name + ".part")
        part.write_bytes(result.data)
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    for mxc, why in result.missing_images:
        output.warn(f"image left out, {why}: {mxc}")
    if result.paused is not None:
        output.warn(f"{result.paused}: this is the board as it was when the pause began")
    if result.incomplete:
        output.warn(
            "strokes are missing that nobody has sent again yet; export later for all of them"
        )
    output.say(
        f"{path}: {count(result.slides, 'slide')}, {count(result.elements, 'element')},"
        f" {count(result.images, 'image')}"
    )
