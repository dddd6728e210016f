"""How a document is rebuilt from what the archive kept of it."""

from __future__ import annotations

from bot.whiteboard.document import Document
from bot.whiteboard.entry import Entry, Kind

DOCUMENT_KINDS = frozenset({Kind.UPDATE, Kind.SNAPSHOT, Kind.BASELINE})
"""The entries that documents are made of."""


def apply_entry(document: Document, entry: Entry) -> None:
    """Replay one entry on a document; what is not part of it changes nothing."""
    if entry.kind is Kind.UPDATE:
        document.apply([entry.data])
    elif entry.kind in DOCUMENT_KINDS:
        document.merge_snapshot(entry.data)
