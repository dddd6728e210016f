"""Work on a document of one's own that takes long: beside the event loop."""

from __future__ import annotations

import asyncio

from bot.whiteboard.document import Document
from bot.whiteboard.entry import Entry
from bot.whiteboard.replay import apply_entry
from bot.whiteboard.unsaved import Ids, read_ids
from bot.whiteboard.verdict import Outcome, Verdict

IN_PLACE = 64_000
"""Bytes of a snapshot that are merged at once; larger ones take up to seconds, in a thread."""


async def merge(document: Document, data: bytes) -> Outcome:
    """Merge a whole state into a document that nobody else has."""
    if len(data) <= IN_PLACE:
        return document.merge_snapshot(data)
    return await asyncio.to_thread(document.merge_snapshot, data)


async def merged(document: Document, data: bytes) -> tuple[Document, Outcome, Ids | None]:
    """Merge a whole state into a copy of a document (`Document.merged`); read its ids as well."""

    def work() -> tuple[Document, Outcome, Ids | None]:
        after, outcome = document.merged(data)
        return after, outcome, None if outcome.verdict is Verdict.REFUSED else read_ids(data)

    return await asyncio.to_thread(work)


async def replay(document: Document, entry: Entry) -> Outcome:
    """Apply an entry to a document that nobody else has."""
    if len(entry.data) <= IN_PLACE:
        return apply_entry(document, entry)
    return await asyncio.to_thread(apply_entry, document, entry)
