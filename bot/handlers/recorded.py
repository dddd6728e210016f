"""Recorded entries as the events that handlers are told. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from bot.errors import InvalidMessage
from bot.handlers.base import CursorMoved, DocumentUpdate, Event, Focused, Presented
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.message import CursorMove, FocusOn, Present, Signal, Update, decode

SOURCES: Mapping[type[Event], frozenset[Kind]] = {
    DocumentUpdate: frozenset({Kind.UPDATE, Kind.SNAPSHOT, Kind.BASELINE}),
    CursorMoved: frozenset({Kind.CURSOR}),
    Focused: frozenset({Kind.FOCUS}),
    Presented: frozenset({Kind.PRESENT}),
}
"""Which entries an event is made from; all other events are told live only."""
SIGNALS: Mapping[type[Signal], Kind] = {
    CursorMove: Kind.CURSOR,
    FocusOn: Kind.FOCUS,
    Present: Kind.PRESENT,
}
"""The entries that signals become."""


def kinds(events: Collection[type[Event]]) -> frozenset[Kind]:
    """Return the kinds of entries that these events are made from."""
    return frozenset[Kind]().union(*(SOURCES.get(event, frozenset()) for event in events))


def signalled(board: BoardKey, ts: int, sender: str | None, signal: Signal) -> Event:
    """Return the event of a signal.

    Args:
        board: where.
        ts: when, ms since 1970.
        sender: Matrix user id; None when nobody can be named for certain.
        signal: what a person's client said.
    """
    if isinstance(signal, CursorMove):
        return CursorMoved(board, ts, sender, signal.slide_id, signal.x, signal.y)
    if isinstance(signal, FocusOn):
        return Focused(board, ts, sender, signal.slide_id)
    return Presented(board, ts, sender, signal.kind, signal.target, signal.edit)


def event_of(entry: Entry, board: BoardKey, *, replayed: bool = False) -> Event | None:
    """Return the event of a recorded entry.

    Args:
        entry: with its sequence number.
        board: the entry's.
        replayed: whether it is told once more, because somebody asked for that.

    Returns:
        None when it is none that handlers are told (a refused update, a damaged packet).
    """
    if entry.kind in SOURCES[DocumentUpdate]:
        return DocumentUpdate(
            board, entry.ts, entry.sender, entry.data, seq=entry.seq, replayed=replayed
        )
    if entry.kind is Kind.REFUSED:
        return None
    try:
        message = decode(entry.data)
    except InvalidMessage:
        return None
    if isinstance(message, Update):
        return None
    event = signalled(board, entry.ts, entry.sender, message)
    return replace(event, seq=entry.seq, replayed=replayed)
