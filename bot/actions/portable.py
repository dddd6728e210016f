"""Boards out of the archive into files and back (`recording`), whether the bot runs or not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bot.actions import actions
from bot.actions.actions import BoardRow, document_at
from bot.errors import InvalidUpdate, StoreError, UsageError
from bot.recording import Header, Recording, Writer
from bot.whiteboard.anonymous import Anonymiser, anonymous_header
from bot.whiteboard.board import BoardKey
from bot.whiteboard.document import Document
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.replay import DOCUMENT_KINDS
from bot.whiteboard.update import read_update

BATCH = 4_000
"""Entries that are imported in one transaction: a bot's own wait for it."""
BATCH_BYTES = 4 * 2**20
PAUSE = 0.02
"""Seconds between two of them, in which a bot gets its turn."""

Tell = Callable[[int], None]
"""Hears how much is done: entries when exporting, bytes of the file when importing."""


class Archive(actions.Archive, Protocol):
    """What an import writes to."""

    async def append(self, entries: Sequence[Entry]) -> list[int]:
        """Keep entries, all in one transaction."""

    async def begin_import(self, ts: int) -> int:
        """Return the number of a new board that nobody sees."""

    async def end_import(self, board_id: int, key: BoardKey) -> bool:
        """Have it be there; False when there is such a board by now."""

    async def discard_imports(self) -> None:
        """Remove boards that are not whole."""


@dataclass(slots=True)
class Summary:
    """What is in a recording.

    Attributes:
        board_id: the archive's number of the board.
        entries: how many.
        first_ts: when the earliest of them happened, ms since 1970.
        last_ts: when the latest did.
        left_out: entries that could not be anonymised.
        size: bytes of the file.
        people: who are in them.
    """

    board_id: int
    entries: int = 0
    first_ts: int = 0
    last_ts: int = 0
    left_out: int = 0
    size: int = 0
    people: set[str] = field(default_factory=set)

    def add(self, entry: Entry) -> None:
        """Count one more."""
        self.first_ts = min(self.first_ts, entry.ts) if self.entries else entry.ts
        self.last_ts = max(self.last_ts, entry.ts)
        self.entries += 1
        if entry.sender is not None:
            self.people.add(entry.sender)


# -- exporting -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """What of a board is exported.

    Attributes:
        begin_ts: from when on, ms since 1970; None from the beginning.
        end_ts: until when; None to the end.
    """

    archive: actions.Archive
    board: BoardRow
    begin_ts: int | None = None
    end_ts: int | None = None

    async def entries(self, empty: Document) -> AsyncIterator[Entry]:
        """Iterate over it; what begins later begins with the document as it was."""
        begin_ts = self.begin_ts or 0
        if begin_ts:
            document = await document_at(self.archive, self.board.id, begin_ts - 1, empty)
            if document is not None:
                data = document.encode()
                yield Entry(self.board.id, begin_ts, Kind.BASELINE, None, None, data)
        async for entry in self.archive.all_entries(self.board.id, until_ts=self.end_ts):
            if entry.ts >= begin_ts:
                yield entry

    async def version(self) -> str | None:
        """Return the version of the document; None when nothing says it."""
        checkpoint = await self.archive.checkpoint(self.board.id, self.end_ts)
        if checkpoint is not None and (version := _version(checkpoint.data)) is not None:
            return version
        async for entry in self.archive.all_entries(
            self.board.id, until_ts=self.end_ts, kinds=DOCUMENT_KINDS
        ):
            if (version := _version(entry.data)) is not None:
                return version
        return None


def _version(data: bytes) -> str | None:
    try:
        return min(read_update(data).roots, default=None)
    except InvalidUpdate:
        return None


async def export(
    part: Part,
    path: Path,
    make_empty: Callable[[], Document],
    *,
    token: str | None,
    overwrite: bool,
    tell: Tell,
) -> Summary:
    """Write a part of a board to a file.

    Args:
        part: of which board, from when to when.
        path: the file.
        make_empty: makes a fresh document of the configured version and size.
        token: names the board where it is anonymised; None where it is not.
        overwrite: whether a file that is there may be replaced.
        tell: hears how many entries were read (anonymised, all are read twice).

    Raises:
        UsageError: the file cannot be written, or there is nothing to write.
        InvalidRecording: it would be more than a file can hold.
    """
    summary = Summary(part.board.id)
    version, now = await part.version(), int(time.time() * 1000)
    header = Header(part.board.key, version, now)
    anonymiser = None if token is None else Anonymiser()
    last, read = None, 0
    if anonymiser is not None and token is not None:
        header = anonymous_header(version, token)
        async for entry in part.entries(make_empty()):
            anonymiser.learn(entry)
            last, read = entry.seq, read + 1
            tell(read)
    with Writer(path, header, overwrite=overwrite) as writer:
        async for entry in part.entries(make_empty()):
            if last is not None and entry.seq > last:
                break  # recorded since: nothing was learned of it
            made = entry if anonymiser is None else anonymiser.rewrite(entry)
            if made is not None:
                writer.add(made)
                summary.add(made)
            read += 1
            tell(read)
        summary.left_out = 0 if anonymiser is None else anonymiser.left_out
        if not summary.entries:
            raise UsageError(_nothing(summary.left_out))
    summary.size = writer.size
    return summary


def _nothing(left_out: int) -> str:
    why = (
        "What is recorded of this board in that time cannot be anonymised"
        if left_out
        else "Nothing is recorded of this board in that time"
    )
    return f"{why}: no file was written."


# -- importing -----------------------------------------------------------------------------------


async def load(archive: Archive, found: Recording, tell: Tell) -> Summary:
    """Import a recording as a new board, whole or not at all.

    Args:
        archive: opened `beside`.
        found: the recording.
        tell: hears how many bytes of the file were read.

    Raises:
        UsageError: the file cannot be read, or the archive has this board already.
        InvalidRecording: it is not a whole recording.
        StoreError: the archive cannot be written.
    """
    key = found.header.board
    for row in await archive.boards():
        if row.key == key:
            raise _there(f" as number {row.id}")
    await archive.discard_imports()
    try:
        return await _load(archive, found, tell)
    except BaseException as error:
        with suppress(StoreError):  # the next import does it
            await archive.discard_imports()
        if isinstance(error, StoreError):
            raise StoreError(f"{error} Nothing was imported.") from error
        raise


async def _load(archive: Archive, found: Recording, tell: Tell) -> Summary:
    summary = Summary(await archive.begin_import(int(time.time() * 1000)), size=found.size)
    for batch in _batches(found.entries, summary):
        await archive.append(batch)
        tell(found.file.tell())
        await asyncio.sleep(PAUSE)
    if not await archive.end_import(summary.board_id, found.header.board):
        raise _there("")
    return summary


def _there(number: str) -> UsageError:
    return UsageError(
        f"The archive has this board already{number} (“boardkeeper boards” lists it); nothing was"
        " imported. Another data folder can take the recording: set `data.folder` in a second"
        " configuration."
    )


def _batches(entries: Iterator[Entry], summary: Summary) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for one in entries:
        summary.add(one)
        batch.append(Entry(summary.board_id, one.ts, one.kind, one.sender, one.device, one.data))
        size += len(one.data)
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
