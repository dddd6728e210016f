"""What one can do with boards: the one place behind the command line, rooms and (later) the web.

What concerns recordings works on the archive alone, whether the bot runs or not; what concerns
rooms is done by the running bot, whoever asks for it (`steering` for the command line).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bot.actions import naming
from bot.beside import merge, replay
from bot.errors import Refused, ServerError, Transient, UsageError
from bot.services import Checkpoint
from bot.whiteboard.board import BoardKey
from bot.whiteboard.document import Document
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.nwb import export_nwb, images
from bot.whiteboard.replay import DOCUMENT_KINDS
from bot.whiteboard.verdict import Verdict

MAX_IMAGE = 26_214_400
"""Bytes; NeoBoard accepts no larger image (board.md, "Media limits")."""


class BoardRow(Protocol):
    """A board as the archive lists it."""

    @property
    def id(self) -> int:
        """The archive's number."""

    @property
    def key(self) -> BoardKey:
        """Names it."""

    @property
    def first_ts(self) -> int | None:
        """When its earliest entry happened, ms since 1970; None when there is none."""


class Archive(Protocol):
    """What actions read."""

    async def boards(self) -> Sequence[BoardRow]:
        """List the boards."""

    async def checkpoint(self, board_id: int, until_ts: int | None = None) -> Checkpoint | None:
        """Return the latest checkpoint."""

    def all_entries(
        self,
        board_id: int,
        *,
        after_seq: int = 0,
        until_ts: int | None = None,
        kinds: Collection[Kind] | None = None,
    ) -> AsyncIterator[Entry]:
        """Iterate over entries in order."""

    async def pauses(self, room_id: str) -> Sequence[tuple[int, int | None]]:
        """Return from when until when (ms; None: still) recording was paused in a room."""


class Acts(Protocol):
    """What a Room does when told to."""

    async def pause(self) -> bool:
        """Stop recording; False when it was stopped already."""

    async def resume(self) -> bool:
        """Go on recording; False when it was on already."""

    async def leave(self, why: str) -> None:
        """Say why, and leave."""

    async def say(self, name: str) -> None:
        """Say a sentence in the room."""


async def pause(room: Acts) -> bool:
    """Stop recording a room, and tell the people there; False when there was nothing to do."""
    if not await room.pause():
        return False
    await room.say("paused")
    return True


async def resume(room: Acts) -> bool:
    """Go on recording a room, and tell the people there; False when there was nothing to do."""
    if not await room.resume():
        return False
    await room.say("resumed")
    return True


async def leave(room: Acts) -> None:
    """Leave a room; who needs the bot again invites it again."""
    await room.leave("bye")


Download = Callable[[str, int], Awaitable[bytes]]
"""Fetches an image by its mxc URI, of so many bytes at the most."""


LOGIN_WITHIN = 10.0
"""Seconds the homeserver gets before images are left out."""


def when_needed(login: Callable[[], Awaitable[None]], download: Download) -> Download:
    """Return a download that logs in before the first image; a failure holds for the rest."""
    failed: list[str] = []
    ready: list[bool] = []

    async def fetch(mxc: str, max_bytes: int) -> bytes:
        if failed:
            raise Transient(failed[0])
        if not ready:
            try:
                async with asyncio.timeout(LOGIN_WITHIN):
                    await login()
            except (ServerError, TimeoutError) as error:
                failed.append(str(error) or "the homeserver does not answer")
                raise Transient(failed[0]) from error
            ready.append(True)
        return await download(mxc, max_bytes)

    return fetch


@dataclass(frozen=True, slots=True)
class Export:
    """A finished export.

    Attributes:
        data: the `.nwb` file.
        slides: how many slides it has.
        elements: how many elements.
        images: how many images are embedded.
        missing_images: images that could not be downloaded, and why.
        incomplete: whether strokes are known to be missing (a gap nobody has filled).
        paused: says that recording was paused at that instant: it is the board as it was before.
    """

    data: bytes
    slides: int
    elements: int
    images: int
    missing_images: tuple[tuple[str, str], ...]
    incomplete: bool
    paused: str | None


async def find_board(archive: Archive, name: str) -> BoardRow:
    """Find the board somebody means: its number, whiteboard id, document id or room id.

    Raises:
        UsageError: none or several match; the text says what to type.
    """
    return naming.find_board(await archive.boards(), name)


async def document_at(
    archive: Archive, board_id: int, at_ts: int | None, empty: Document
) -> Document | None:
    """Rebuild a board's document from the archive.

    Args:
        archive: to read from.
        board_id: which board.
        at_ts: the instant, ms since 1970; None for the latest.
        empty: a fresh document, which is filled.

    Returns:
        None when nothing was known of the board at that instant.

    Raises:
        UsageError: it cannot be read back any more.
    """
    document = empty
    after = 0
    found = False
    checkpoint = await archive.checkpoint(board_id, at_ts)
    if checkpoint is not None:
        outcome = await merge(document, checkpoint.data)
        if outcome.verdict is Verdict.REFUSED:
            raise UsageError(
                f"What is recorded of the board cannot be read back: {outcome.reason}."
            )
        after, found = checkpoint.seq, True
    async for entry in archive.all_entries(
        board_id, after_seq=after, until_ts=at_ts, kinds=DOCUMENT_KINDS
    ):
        await replay(document, entry)
        found = True
    return document if found else None


def nothing_recorded(row: BoardRow | None) -> str:
    """Say that nothing is recorded: at an instant, and since when there is something of a board."""
    if row is None or row.first_ts is None:
        return "Nothing is recorded of this board."
    since = show_time(row.first_ts)
    return f"Nothing is recorded of this board at that time; its recording begins at {since}."


async def paused_at(archive: Archive, room_id: str, at_ts: int | None) -> str | None:
    """Say that recording was paused in a room at an instant (ms), or is now (None), and when."""
    for begin_ts, end_ts in await archive.pauses(room_id):
        if end_ts is None and (at_ts is None or begin_ts <= at_ts):
            return f"Recording has been paused since {show_time(begin_ts)}"
        if end_ts is not None and at_ts is not None and begin_ts <= at_ts < end_ts:
            # Of pauses in older archives only the end is known.
            begin = f", from {show_time(begin_ts)}" if begin_ts else ","
            return f"Recording was paused then{begin} until {show_time(end_ts)}"
    return None


async def export(
    archive: Archive,
    row: BoardRow,
    *,
    at_ts: int | None = None,
    empty: Document,
    download: Download,
) -> Export:
    """Export a board as `.nwb`, as NeoBoard itself would write it.

    Args:
        archive: to read from.
        row: which board.
        at_ts: the instant; None for the latest.
        empty: a fresh document of the configured version and size.
        download: fetches an image.

    Raises:
        UsageError: nothing was known of the board at that instant.
    """
    document = await document_at(archive, row.id, at_ts, empty)
    if document is None or document.version is None:
        raise UsageError(nothing_recorded(row if at_ts is not None else None))
    content = document.content()
    files: dict[str, bytes] = {}
    missing: list[tuple[str, str]] = []
    for mxc in images(content):
        try:
            files[mxc] = await download(mxc, MAX_IMAGE)
        except (ServerError, Refused) as error:
            missing.append((mxc, str(error)))
    slides = content["slides"]
    return Export(
        data=export_nwb(content, document.version, files),
        slides=len(slides),
        elements=sum(len(slide["elements"]) for slide in slides),
        images=len(files),
        missing_images=tuple(missing),
        incomplete=document.has_gap,
        paused=await paused_at(archive, row.key.room_id, at_ts),
    )


_AGO = re.compile(r"(\d+)\s*(s|m|h|d)(?:\s+ago)?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_time(text: str, now: datetime) -> int:
    """Read an instant as people write it: `2026-11-20 14:05`, ISO 8601, `10m ago`, ms since 1970.

    A time without a zone is local time.

    Returns:
        Milliseconds since 1970.

    Raises:
        UsageError: it is none of these.
    """
    try:
        ts = _timestamp(text.strip(), now)
    except (ValueError, OverflowError, OSError):
        ts = -1
    if not 0 <= ts < 2**53:
        raise UsageError(
            f"“{text}” is not a time. Write 2026-11-20 14:05 (local time), 2026-11-20 14:05:30 UTC,"
            " or 10m ago."
        )
    return ts


def _timestamp(text: str, now: datetime) -> int:
    if match := _AGO.fullmatch(text):
        moment = now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    elif text.isascii() and text.isdigit() and len(text) >= 12:
        return int(text)
    else:
        moment = datetime.fromisoformat(re.sub(r"\s*UTC$", "+00:00", text))
    return int(moment.timestamp() * 1000)


def show_time(ts: int) -> str:
    """Return an instant as `2026-11-20 14:05:30 UTC`; one beyond the calendar as it is.

    Snapshots bear the time their sender's server says, whatever that is.
    """
    try:
        return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return str(ts)
