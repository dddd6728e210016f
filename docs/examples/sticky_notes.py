"""Example: the sticky notes of each board as a Markdown or CSV file, always as they are now.

    handlers:
      - use: record
      - use: sticky_notes.py:StickyNotes
        settings: {folder: notes, format: csv}

The file is made from the board as it is, not from single changes: whatever was lost, merged or
happened while the bot was down, the next one written is right. It is written a moment after a
change, so that somebody who types does not make a hundred of them.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from bot.handlers.base import BoardFound, BoardKey, Context, DocumentUpdate, Handler


@dataclass(frozen=True)
class StickyNotesSettings:
    """What the configuration can say.

    Attributes:
        folder: where the files are written; it is made when missing.
        format: of the files.
        after: seconds from a change until the file is written.
    """

    folder: Path
    format: Literal["markdown", "csv"] = "markdown"
    after: float = 2.0


class StickyNotes(Handler):
    """Writes a file per board."""

    api = 1
    settings_type = StickyNotesSettings
    settings: StickyNotesSettings

    async def start(self, context: Context) -> None:
        """Begin."""
        await super().start(context)
        self.due: set[BoardKey] = set()
        self.writing = asyncio.Lock()  # one file at a time: never two writers of the same
        self.settings.folder.mkdir(parents=True, exist_ok=True)

    async def on_board_found(self, event: BoardFound) -> None:
        """Write what is there, also after a start."""
        self.soon(event.board)

    async def on_document_update(self, event: DocumentUpdate) -> None:
        """Write it once more."""
        if event.changes:
            self.soon(event.board)

    def soon(self, board: BoardKey) -> None:
        """Have the file written in a moment, once for all that changes until then."""
        if board not in self.due:
            self.due.add(board)
            self.context.spawn(self.write_later(board))

    async def write_later(self, board: BoardKey) -> None:
        """Wait, and write the file."""
        await asyncio.sleep(self.settings.after)
        self.due.discard(board)  # what changes from here on asks for another one
        async with self.writing:
            view = await self.context.board(board)
            if view is None:  # it is gone
                return
            notes = list(sticky_notes(view.content()))
            text = as_markdown(notes) if self.settings.format == "markdown" else as_csv(notes)
            # Files block: not in the bot's event loop.
            await asyncio.to_thread(replace_file, self.file_of(board), text)

    def file_of(self, board: BoardKey) -> Path:
        """Return where a board's notes are written."""
        suffix = "md" if self.settings.format == "markdown" else "csv"
        # Ids are other people's choice: nothing in them may name another folder.
        name = quote(f"{board.room_id} {board.whiteboard_id}", safe="!: ")
        return self.settings.folder / f"{name}.{suffix}"


@dataclass(frozen=True)
class Note:
    """A sticky note.

    Attributes:
        slide: number of its slide, from 1.
        text: what is written on it.
        color: its colour, as CSS has it.
    """

    slide: int
    text: str
    color: str


def sticky_notes(content: Mapping[str, Any]) -> Iterator[Note]:
    """Yield the notes of a board: slide by slide, as one reads them."""
    for number, slide in enumerate(content["slides"], 1):
        notes = [one for one in slide["elements"] if one.get("stickyNote") in {True, "true"}]
        notes.sort(key=lambda one: (one["position"]["y"], one["position"]["x"]))
        for one in notes:
            if one["text"].strip():
                yield Note(number, one["text"].strip(), one["fillColor"])


def as_markdown(notes: list[Note]) -> str:
    """Return notes as a list per slide."""
    lines: list[str] = []
    for number in sorted({note.slide for note in notes}):
        lines += [f"# Slide {number}", ""]
        for note in notes:
            if note.slide == number:
                # What people write is text: it does not become a link or a heading.
                text = re.sub(r"([\\`*_{}\[\]<>#+!|&-])", r"\\\1", note.text)
                lines.append("- " + "  \n  ".join(text.splitlines()))
        lines.append("")
    return "\n".join(lines)


def as_csv(notes: list[Note]) -> str:
    """Return notes as a table."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(("slide", "color", "text"))
    for note in notes:
        # A spreadsheet would take such a text for a formula.
        formula = note.text.startswith(("=", "+", "-", "@"))
        table.writerow((note.slide, note.color, f"'{note.text}" if formula else note.text))
    return text.getvalue()


def replace_file(file: Path, text: str) -> None:
    """Write a file in one piece: who reads it never finds half of it."""
    part = file.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as out:
        out.write(text.encode("utf-8", "replace"))
    part.replace(file)
