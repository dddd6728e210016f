"""Entries as rows: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from bot.whiteboard.entry import Entry, Kind

_NAMES: Mapping[Kind, str] = {kind: kind.value for kind in Kind}
_KINDS: Mapping[str, Kind] = {kind.value: kind for kind in Kind}
_INT64 = 2**63
_MAX_DATA = 900_000_000  # SQLite takes a billion bytes per row

Row = tuple[int, int, int, str, str | None, str | None, bytes]
"""seq, board_id, ts, kind, sender, device, data: the columns' order."""


@dataclass(slots=True)
class Sum:
    """What some entries add to their board."""

    first_ts: int
    last_ts: int
    entries: int = 0
    bytes: int = 0

    def add(self, entry: Entry) -> None:
        """Count one more."""
        self.entries += 1
        self.bytes += len(entry.data)
        self.first_ts = min(self.first_ts, entry.ts)
        self.last_ts = max(self.last_ts, entry.ts)


def to_rows(entries: Sequence[Entry], first_seq: int) -> list[Row]:
    """Return the rows to insert, numbered from `first_seq`."""
    # Spelled out and without StrEnum: SQLite's adapter is slow with anything but plain types.
    return [
        (seq, one.board_id, one.ts, _NAMES[one.kind], one.sender, one.device, one.data)
        for seq, one in enumerate(entries, first_seq)
    ]


def sums(entries: Sequence[Entry]) -> dict[int, Sum]:
    """Return what the entries add to each board."""
    found: dict[int, Sum] = {}
    for entry in entries:
        board = found.get(entry.board_id)
        if board is None:
            board = found[entry.board_id] = Sum(entry.ts, entry.ts)
        board.add(entry)
    return found


def authors(entries: Sequence[Entry]) -> set[tuple[int, str]]:
    """Return who is in the entries, with the board each is of."""
    return {(one.board_id, one.sender) for one in entries if one.sender}


def from_row(row: Sequence[Any]) -> Entry:
    """Return the entry of a row.

    Raises:
        KeyError: its kind is none we know.
    """
    seq, board_id, ts, kind, sender, device, data = row
    return Entry(board_id, ts, _KINDS[kind], sender, device, data, seq)


def mend(entry: Entry, boards: AbstractSet[int]) -> Entry | None:
    """Make an entry storable, if that is possible.

    JSON can hold text that UTF-8 cannot (lone surrogates): names are mended. The rest must not
    happen, but one bad entry must not keep all others out of the archive.

    Args:
        entry: one that perhaps cannot be stored.
        boards: the numbers of the boards the archive has.

    Returns:
        None when it cannot be kept.
    """
    fits = (
        entry.board_id in boards
        and type(entry.ts) is int
        and -_INT64 <= entry.ts < _INT64
        and entry.kind in _NAMES
        and isinstance(entry.data, bytes)
        and len(entry.data) <= _MAX_DATA
    )
    if not fits:
        return None
    return replace(entry, sender=_text(entry.sender), device=_text(entry.device))


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    return value.encode("utf-8", "replace").decode()
