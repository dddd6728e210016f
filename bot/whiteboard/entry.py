"""What the archive keeps of a board: entries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What an entry's bytes are."""

    UPDATE = "update"
    """An accepted (or still waiting) Yjs update from the data channel."""
    REFUSED = "refused"
    """A Yjs update that NeoBoard's schema or a bound refuses: kept apart, never merged."""
    SNAPSHOT = "snapshot"
    """A complete snapshot of the room that held something new: the whole state."""
    BASELINE = "baseline"
    """The whole document when recording began or resumed; has no author."""
    CURSOR = "cursor"
    FOCUS = "focus"
    PRESENT = "present"
    """The packet as it came (JSON)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened on a board.

    Attributes:
        board_id: the archive's number of the board.
        ts: when, ms since 1970, by the homeserver's clock.
        kind: what `data` is.
        sender: Matrix user id; None when nobody can be named for certain.
        device: the sender's device; None likewise.
        data: the raw bytes.
        seq: given by the archive when it commits: unique, growing, the order of a board.
    """

    board_id: int
    ts: int
    kind: Kind
    sender: str | None
    device: str | None
    data: bytes
    seq: int = 0
