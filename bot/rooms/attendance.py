"""Attendance: who is on which board of a room; handlers and metrics hear of every change.

What is in the room but not the bot's business (other applications, boards it does not know, media
servers of an unknown kind) is reported as numbers, and left alone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable

from bot import metrics
from bot.handlers.base import Event, Participant, SessionChanged
from bot.rooms.overview import SessionView
from bot.rtc.membership import WHITEBOARD
from bot.whiteboard.board import BoardKey

_log = logging.getLogger(__name__)


class Attendance:
    """Who is on the boards of one room.

    Args:
        room_id: which room.
        offer: hands an event to the handlers.
    """

    def __init__(self, room_id: str, offer: Callable[[Event], None]) -> None:
        self.here: dict[BoardKey, tuple[Participant, ...]] = {}
        self._offer = offer
        self._sessions: Counter[str] = Counter()
        self._foreign_foci = 0
        self._keys = {"room": room_id}

    def look(self, views: Collection[SessionView], boards: Iterable[BoardKey], now_ts: int) -> None:
        """Compare with the last look, and tell what is different."""
        found: dict[BoardKey, set[Participant]] = {key: set() for key in boards}
        for view in views:
            if view.board in found:
                found[view.board] |= {
                    Participant(one.user_id, one.device_id) for one in view.people
                }
        for gone in self.here.keys() - found.keys():
            metrics.PARTICIPANTS.dec(len(self.here.pop(gone)))
        for key, people in found.items():
            self._tell(key, people, now_ts)
        self._report(views)

    def _tell(self, board: BoardKey, people: set[Participant], now_ts: int) -> None:
        before = self.here.get(board, ())
        now = tuple(sorted(people, key=lambda one: (one.user_id, one.device_id)))
        if now != before:
            self.here[board] = now
            metrics.PARTICIPANTS.inc(len(now) - len(before))
            self._offer(SessionChanged(board, now_ts, now))

    def _report(self, views: Collection[SessionView]) -> None:
        """Count sessions by kind; of those that are not ours, no more than numbers is said."""
        sessions = Counter(map(_kind, views))
        foreign_foci = sum(one.foreign_focus for view in views for one in view.people)
        before = self._sessions["unknown_board"], self._sessions["other"], self._foreign_foci
        now = sessions["unknown_board"], sessions["other"], foreign_foci
        for kind in sessions.keys() | self._sessions.keys():
            metrics.SESSIONS.labels(kind).inc(sessions[kind] - self._sessions[kind])
        self._sessions, self._foreign_foci = sessions, foreign_foci
        if now != before:
            names = ("unknown_boards", "other_applications", "unknown_foci")
            _log.info(
                "sessions and media servers that are not for the bot",
                extra={**self._keys, **dict(zip(names, now, strict=True))},
            )

    def forget(self) -> None:
        """Count nobody any more: the Room ends."""
        metrics.PARTICIPANTS.dec(sum(map(len, self.here.values())))
        for kind, number in self._sessions.items():
            metrics.SESSIONS.labels(kind).dec(number)
        self.here.clear()
        self._sessions.clear()


def _kind(view: SessionView) -> str:
    if view.application != WHITEBOARD:
        return "other"
    return "unknown_board" if view.board is None else "board"
