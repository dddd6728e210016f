"""Is it saved? For each board: up to when all of it is where, what is missing, and why.

room      what whoever opens the board gets: the newest complete snapshot
archive   what the bot has recorded
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Protocol

from bot.actions.actions import show_time
from bot.boards.board import Board
from bot.boards.outlook import Outlook
from bot.metrics import LACKING, UNSAVED_AGE
from bot.permission import own_refusal
from bot.rooms.room import Room
from bot.whiteboard.gaps import Since

REASONS = (
    "archive_failing",
    "asked_to_wait",
    "beyond",
    "failed",
    "forbidden",
    "gap",
    "incomplete",
    "lost",
    "other_version",
    "paused",
    "searching",
    "unreadable",
    "unsupported",
    "waiting",
    "writing",
)
"""All there are, for the labels of `boardkeeper_boards_lacking`."""
_WHY = {
    "waiting": "waits for its author’s snapshot; without one the bot saves it {then}",
    "writing": "somebody is saving it; if that fails the bot does {then}",
    "incomplete": "the newest snapshot is incomplete; the bot writes a whole one {then}",
    "searching": "what the room has is not read yet; the bot tries again {then}",
    "forbidden": "{why}; the bot tries again {then}",
    "asked_to_wait": "the homeserver asks to wait; the bot tries again {then}",
    "other_version": (
        "somebody has saved the board in another of NeoBoard’s versions: the bot leaves it so"
        " until people go on to draw in this one; if that version is right here, set"
        " boards.default_version"
    ),
    "beyond": (
        "the bot cannot take in the newest snapshot ({why}) and leaves it so: a board of a later"
        " NeoBoard needs a newer boardkeeper, a large one a higher boards.max_document"
    ),
    "failed": "saving failed ({why}); the bot tries again {then}",
}
_HELD = frozenset({"beyond", "other_version"})
FRESH = 1.0
"""Seconds for which a count of them holds."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that is not safe.

    Attributes:
        where: `room` or `archive`; `board` for what came but cannot be shown by anybody yet.
        reason: one of `REASONS`.
        text: for operators: what it is and what to do.
    """

    where: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """How much of a board a place holds.

    Attributes:
        used: whether anything is written there at all.
        complete: whether all is there.
        until_ts: ms; all that came before is there. None: all, or not known up to when.
    """

    used: bool
    complete: bool
    until_ts: int | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """How safe a board is.

    Attributes:
        board: the archive's number.
        name: what the board's room is called.
        room: what the Matrix room holds.
        archive: what the archive holds.
        lacks: what is missing where; empty when the board is safe.
    """

    board: int
    room_id: str
    name: str
    whiteboard_id: str
    room: Place
    archive: Place
    lacks: tuple[Lack, ...]


class Recorder(Protocol):
    """What is asked of the Recorder."""

    failing: str | None
    needs_baseline: set[int]

    def oldest(self) -> Mapping[int, int]:
        """Return the time (ms) of each board's oldest entry that is not on disk."""


class Safety:
    """Says how safe the boards are.

    Args:
        rooms: those there are now.
        recorder: writes the archive.
        now_ts: ms by the homeserver's clock.
    """

    def __init__(
        self, rooms: Callable[[], Sequence[Room]], recorder: Recorder, now_ts: Callable[[], int]
    ) -> None:
        self._rooms = rooms
        self._recorder = recorder
        self._now_ts = now_ts
        self._counts: Counter[str] = Counter()
        self._counted = float("-inf")
        self._gaps: dict[int, Since] = {}

    def boards(self) -> list[Saved]:
        """Return how safe each board is, by number."""
        oldest = self._recorder.oldest()
        found = [
            self._saved(room, board, oldest.get(board.board_id))
            for room in self._rooms()
            for board in room.boards.found.values()
        ]
        return sorted(found, key=lambda one: one.board)

    def measure(self) -> None:
        """Have the metrics say how many boards lack something, and for how long."""
        UNSAVED_AGE.set_function(self._age)
        for reason in REASONS:
            LACKING.labels(reason).set_function(partial(self._count, reason))

    def _age(self) -> float:
        return max((room.boards.unsaved_for() or 0.0 for room in self._rooms()), default=0.0)

    def _count(self, reason: str) -> int:
        if monotonic() - self._counted > FRESH:
            self._counts = Counter(
                one for board in self.boards() for one in {lack.reason for lack in board.lacks}
            )
            self._counted = monotonic()
        return self._counts[reason]

    # -- one board ---------------------------------------------------------------------------

    def _saved(self, room: Room, board: Board, oldest_ts: int | None) -> Saved:
        outlook = room.boards.saving.outlook(board.key)
        since = None if outlook is None else outlook.since
        until = since if outlook is not None and not outlook.earlier else None
        lacks = (
            *self._not_in_room(room, board, outlook),
            *self._not_shown(board),
            *self._not_in_archive(room, board),
        )
        in_room = not any(lack.reason in {"searching", "unreadable"} for lack in lacks)
        whole = oldest_ts is None and board.board_id not in self._recorder.needs_baseline
        return Saved(
            board.board_id,
            room.room_id,
            room.state.name or room.state.alias,
            board.key.whiteboard_id,
            Place(outlook is not None, since is None and in_room, self._ts(until)),
            Place(board.recording, whole and board.recording, oldest_ts),
            lacks,
        )

    def _not_shown(self, board: Board) -> Iterator[Lack]:
        """Tell what of a document in memory nobody can see yet."""
        if not board.loaded:
            self._gaps.pop(board.board_id, None)
            return
        document = board.document
        if not document.supported:
            yield Lack("board", "unsupported", "of a version the bot does not know: kept as it is")
        elif document.waiting:
            count = document.waiting
            updates = "1 update waits" if count == 1 else f"{count} updates wait"
            yield Lack("board", "gap", f"a gap: {updates} for {self._pieces(board)}")
        elif document.has_gap:
            yield Lack("board", "gap", "a gap: more came at once than the bot could hold")
        else:
            self._gaps.pop(board.board_id, None)

    def _pieces(self, board: Board) -> str:
        """Tell whose pieces are missing, and since when: they are looked for when somebody asks."""
        gaps = self._gaps.setdefault(board.board_id, Since())
        now = monotonic()
        found = gaps.look(board.document.gaps(), now)
        clients = len({client for client, _, _, _ in found})
        whose = "one client’s" if clients == 1 else f"{clients} clients’"
        since = show_time(self._ts(min((one[3] for one in found), default=now)) or 0)
        return f"{whose} pieces that have not come, missed since {since} at the latest"

    def _ts(self, instant: float | None) -> int | None:
        """Return a monotonic instant as ms by the homeserver's clock."""
        if instant is None:
            return None
        return self._now_ts() - round((monotonic() - instant) * 1000)

    def _not_in_room(self, room: Room, board: Board, outlook: Outlook | None) -> Iterator[Lack]:
        unread = room.boards.unread(board)
        if unread is not None:
            yield Lack("room", *unread)  # whatever is to be saved waits for that
        elif outlook is not None and (outlook.due is not None or outlook.reason in _HELD):
            yield Lack("room", outlook.reason, self._why(room, outlook))

    def _why(self, room: Room, outlook: Outlook) -> str:
        due_ts = self._ts(outlook.due) or 0
        then = f"at {show_time(due_ts)}" if due_ts > self._now_ts() else "now"
        why = _forbidden(room) if outlook.reason == "forbidden" else outlook.detail
        return _WHY[outlook.reason].format(why=why, then=then)

    def _not_in_archive(self, room: Room, board: Board) -> Iterator[Lack]:
        if room.boards.paused:
            yield Lack(
                "archive", "paused", "recording is paused; “boardkeeper resume” goes on with it"
            )
        elif board.recording and self._recorder.failing is not None:
            yield Lack("archive", "archive_failing", self._recorder.failing)
        if board.board_id in self._recorder.needs_baseline:
            yield Lack(
                "archive",
                "lost",
                "the recording has a hole; the whole board is recorded again soon",
            )


def _forbidden(room: Room) -> str:
    why = own_refusal(room.state)
    if why is None:
        return "the room refused the bot’s snapshot"
    needed = max(why.needed.values())
    return (
        f"the bot may not write snapshots here: power level {needed} is needed, it has {why.own};"
        f" ask somebody with power {why.mends} or more"
    )
