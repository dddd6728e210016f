"""How far a room's past was read, and in what order what was read happened.

The times of events are their senders' word, so the order is the room's: every row has a place.
What sync brings takes the next places. What is read apart takes a block of places of its own,
forwards from its beginning or backwards from its end, and what was known by sync already moves
there: with that, gaps that sync had left are filled where they belong.

    block of the first reading       blocks of later readings, each of what came since
    ◄──── older ──── began here      ────►      ────►        sync: next, next, next
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from bot.rtc.history import REDACTION_TYPE, Pause, Row, is_kept, read_rows

BLOCK = 2**32
"""Places of one reading: more than a room has events."""

Placed = tuple[int, Row]


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a room's past was read.

    Attributes:
        forth: from where (a token of the homeserver's) to read what has come since.
        back: from where to go on backwards; None when the beginning was reached.
        older: the place of the next older event.
        newer: of the next newer one.
        reached_ts: when the oldest event seen was sent, ms since 1970; None before any.
    """

    forth: str
    back: str | None
    older: int
    newer: int
    reached_ts: int | None = None

    @classmethod
    def begin(cls, token: str, block: int) -> Self:
        """Begin with the newest event.

        Args:
            token: where the timeline ends.
            block: the first place of a free block.
        """
        return cls(token, token, block + BLOCK - 1, block)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what `as_json` gave."""
        return cls(**value)

    def onwards(self, block: int) -> Self:
        """Return the walk about to read what has come since, into a free block."""
        return replace(self, newer=block)

    def read_back(
        self, events: Sequence[Mapping[str, Any]], end: str | None, pauses: Sequence[Pause]
    ) -> tuple[Self, list[Placed]]:
        """Take a page that was read backwards, newest first."""
        placed, at = [], self.older
        for event in events:
            at, rows = at - 1, _rows(event, pauses)
            placed += [(at + 1, row) for row in rows]
        times = [ts for event in events if (ts := _ts(event)) is not None]
        reached = min(
            [*times, *([] if self.reached_ts is None else [self.reached_ts])], default=None
        )
        return replace(self, back=end, older=at, reached_ts=reached), _in_order(placed)

    def read_forth(
        self, events: Sequence[Mapping[str, Any]], end: str | None, pauses: Sequence[Pause]
    ) -> tuple[Self, list[Placed]]:
        """Take a page that was read forwards; without an end there is nothing newer yet."""
        placed, at = [], self.newer
        for event in events:
            placed += [(at, row) for row in _rows(event, pauses)]
            at += 1
        return replace(self, forth=end or self.forth, newer=at), _in_order(placed)


def _rows(event: Mapping[str, Any], pauses: Sequence[Pause]) -> list[Row]:
    return [row for row in read_rows(event) if is_kept(row, pauses)]


def _in_order(placed: Sequence[Placed]) -> list[Placed]:
    """Return redactions last: what they are of has to be known first."""
    return sorted(placed, key=lambda one: one[1].type == REDACTION_TYPE)


def _ts(event: Mapping[str, Any]) -> int | None:
    ts = event.get("origin_server_ts")
    return ts if isinstance(ts, int) and not isinstance(ts, bool) else None
