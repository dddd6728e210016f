"""How a document is rebuilt from what the archive kept of it."""

from __future__ import annotations

from bot.whiteboard.document import Document
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.verdict import Outcome, Verdict

DOCUMENT_KINDS = frozenset({Kind.UPDATE, Kind.SNAPSHOT, Kind.BASELINE})
"""The entries that documents are made of."""


def apply_entry(document: Document, entry: Entry) -> Outcome:
    """Replay one entry on a document; what is not part of it changes nothing."""
    if entry.kind is Kind.UPDATE:
        return document.apply([entry.data])[0]
    if entry.kind in DOCUMENT_KINDS:
        return document.merge_snapshot(entry.data)
    return Outcome(Verdict.KNOWN)
