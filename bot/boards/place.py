"""What is known of one board that is to be saved."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from bot.boards.board import Board
from bot.boards.outlook import Outlook
from bot.whiteboard.keep import Keep
from bot.whiteboard.unsaved import Unsaved

MAX_OTHERS = 64
"""Snapshots that were looked at and are not ours to take in, remembered of a board."""


@dataclass(slots=True)
class Place:
    """What is known of one board.

    Attributes:
        wake: set when its task has something to look at.
        task: follows it while something is unsaved.
        writing: held while it is written.
        marked: whether the archive has it that something is unsaved.
        earlier: whether that was so when it was found.
        alone: whether nobody is on it.
        rank: how many bots come before us in saving it.
        trouble: why the last try failed, and more about that.
        others: snapshots of another version, or beyond us, that were looked at.
        other: the place in the room's order of the last of them.
        beyond: why the newest one cannot be taken in; empty where it can, or is of another version.
    """

    board: Board
    keep: Keep
    unsaved: Unsaved = field(default_factory=Unsaved)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    marked: bool = False
    earlier: bool = False
    alone: bool = False
    rank: int = 0
    trouble: tuple[str, str] | None = None
    others: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_OTHERS))
    other: int = 0
    beyond: str = ""

    @property
    def writable(self) -> bool:
        """Whether the bot may write it at all (rule 3): it knows what it would write."""
        return not self.keep.held and is_supported(self.board)

    def wants_care(self, now: float) -> bool:
        """Whether something is to be written; or noted for the next start, if that must wait."""
        return self.keep.due(now) is not None or (self.keep.held and self.unsaved.since is not None)

    def outlook(self, now: float) -> Outlook:
        """Return what is to become of it."""
        since, due = self.unsaved.since, self.keep.due(now)
        if self.keep.held:
            reason, detail = "beyond" if self.beyond else "other_version", self.beyond
        elif self.trouble is not None:
            reason, detail = self.trouble
        elif since is None:
            reason, detail = "incomplete", ""
        else:
            reason, detail = "writing" if self.keep.others_write else "waiting", ""
        return Outlook(since, self.earlier, due, reason, detail)


def is_supported(board: Board) -> bool:
    """Return whether a board is of a version we know, as far as that can be told now."""
    return not board.loaded or board.document.supported
