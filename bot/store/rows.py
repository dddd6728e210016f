"""What the archive answers with, besides entries."""

from __future__ import annotations

from dataclasses import dataclass

from bot.whiteboard.board import BoardKey


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A board, and its entries summed up.

    Attributes:
        id: the archive's number of the board.
        key: what names it in the room.
        room_name: what the room was last called; empty when that is not known.
        found_ts: when the bot first saw it, ms since 1970.
        gone_ts: when it was removed or the bot left; None while it is there, 0 if it never was:
            it was imported.
        entries: how many are kept.
        bytes: of their data.
        first_ts: of the earliest entry, ms; None when there is none.
        last_ts: of the latest entry; None likewise.
        participants: how many people are in its entries.
        paused: whether recording is paused in its room.
        room_alias: the room's address for people, `#name:server`; empty when that is not known.
    """

    id: int
    key: BoardKey
    room_name: str
    found_ts: int
    gone_ts: int | None
    entries: int
    bytes: int
    first_ts: int | None
    last_ts: int | None
    participants: int = 0
    paused: bool = False
    room_alias: str = ""


@dataclass(frozen=True, slots=True)
class RoomRow:
    """What is kept of a room.

    Attributes:
        name: what it was last called; empty when that is not known.
        paused: whether recording is paused.
        noticed: whether people there were told what the bot does.
        resumed_ts: when recording was last resumed, ms since 1970; 0 never.
        alias: its address for people, `#name:server`; empty when that is not known.
    """

    room_id: str
    name: str
    paused: bool
    noticed: bool
    resumed_ts: int
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A board's whole document at some point: a shortcut, the entries alone say the same.

    Attributes:
        seq: the document holds everything up to this entry, perhaps more.
        ts: nothing in it happened after this instant, ms since 1970.
        data: the document as one Yjs update.
    """

    seq: int
    ts: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A complete snapshot that was seen in the room.

    Attributes:
        event_id: of its snapshot event.
        sender: Matrix user id; empty when it must not be remembered.
        ts: when it was written, ms since 1970; 0 likewise.
        size: bytes of the whole state.
    """

    event_id: str
    sender: str
    ts: int
    size: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """The archive in numbers.

    Attributes:
        boards: known, those gone included.
        entries: of all boards.
        entry_bytes: of their data.
        file_bytes: what the database takes on disk, its write-ahead log included.
    """

    boards: int
    entries: int
    entry_bytes: int
    file_bytes: int
