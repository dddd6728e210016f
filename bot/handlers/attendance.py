"""`attendance`: who was on which board from when to when, as a CSV file.

A line is written when somebody has left. The times are those of the room's own membership events
(`context.sessions`): so they are right also of who came or left while the bot was down or behind.
Who is there is kept in the archive, so that a crash loses nobody.

    history                 there now   written
    stays that ended        whoever     each, once: of who was there, or since the last look
    a stay that goes on     yes         nothing yet; its start is when they came
    a stay that goes on     no          until now: the board is gone, or they do not count
    nothing                 no          from when they were first seen until now

While recording is paused nothing is written or kept: to the file everybody leaves as it is paused,
and whoever is there comes as it goes on.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from bot.handlers.base import (
    BoardFound,
    BoardGone,
    Handler,
    PastSession,
    RecordingChanged,
    SessionChanged,
    Span,
)
from bot.whiteboard.board import BoardKey

COLUMNS = ("room", "board", "user", "device", "came", "left", "minutes")
MAX_THERE = 400
"""People on a board who are kept track of at a time."""

_LOOKED = ""
"""Among who is there: when it was looked last."""


@dataclass(frozen=True)
class AttendanceSettings:
    """Settings of the `attendance` handler.

    Attributes:
        file: where to write; new lines are added at its end.
    """

    file: Path


class Attendance(Handler):
    """Writes who was there."""

    settings_type: ClassVar[type[Any]] = AttendanceSettings
    settings: AttendanceSettings

    def __init__(self, settings: AttendanceSettings) -> None:
        super().__init__(settings)
        self._paused: set[BoardKey] = set()
        self._there: dict[BoardKey, set[str]] = {}  # in memory alone

    async def on_board_found(self, event: BoardFound) -> None:
        """Write who left while the bot was down: maybe nobody comes back."""
        await self._look(event.board, None, event.ts)

    async def on_session_changed(self, event: SessionChanged) -> None:
        """Note who has come; write who has left."""
        there = {json.dumps([one.user_id, one.device_id]) for one in event.participants}
        self._there[event.board] = there
        if event.board not in self._paused:
            await self._look(event.board, there, event.ts)

    async def on_recording_changed(self, event: RecordingChanged) -> None:
        """Write who was there until a pause; go on with who is there after it."""
        if event.recording:
            self._paused.discard(event.board)
            await self._look(event.board, self._there.get(event.board, set()), event.ts)
        else:
            self._paused.add(event.board)
            await self._look(event.board, set(), event.ts)

    async def on_board_gone(self, event: BoardGone) -> None:
        """All have left."""
        self._there.pop(event.board, None)
        if event.board not in self._paused:
            await self._look(event.board, set(), event.ts)
        self._paused.discard(event.board)
        await self.context.store.set(_name(event.board), "")

    async def _look(self, board: BoardKey, there: set[str] | None, now_ts: int) -> None:
        """Compare with the last look.

        Args:
            board: which.
            there: who is there; None leaves that to the history.
            now_ts: ms since 1970.
        """
        name = _name(board)
        before: dict[str, int] = json.loads(await self.context.store.get(name) or "{}")
        looked_ts = before.pop(_LOOKED, now_ts)
        if there is None and not before:
            return
        since_ts = min([looked_ts, *before.values()])
        sessions = await self.context.sessions(board, since_ts)
        known = _by_device(sessions, now_ts)
        rows, now = [], {}
        for who in dict.fromkeys([*before, *known, *(there or ())]):
            here = None if there is None else who in there
            last = _Last(looked_ts, before.get(who))
            written, came_ts = _compare(known.get(who, ()), last, now_ts, here=here)
            rows += [_row(board, who, *stay) for stay in written]
            if came_ts is not None:
                now[who] = came_ts
        if rows:
            # First the lines: killed in between they are there twice, and not missing.
            await asyncio.to_thread(_append, self.settings.file, rows)
        kept = dict(list(now.items())[:MAX_THERE])
        await self.context.store.set(name, json.dumps({**kept, _LOOKED: now_ts}))


def _name(board: BoardKey) -> str:
    return f"there.{board.room_id}.{board.whiteboard_id}"


def _by_device(sessions: Iterable[PastSession], now_ts: int) -> dict[str, list[Span]]:
    """Return the stays of each device as they were at an instant, by start."""
    known: dict[str, list[Span]] = {}
    for span in (span for session in sessions for span in session.spans):
        runs = span.end_ts is None or span.end_ts > now_ts
        who = json.dumps([span.user_id, span.device_id])
        known.setdefault(who, []).append(replace(span, end_ts=None) if runs else span)
    return known


@dataclass(frozen=True, slots=True)
class _Last:
    """The last look.

    Attributes:
        ts: when it was, ms since 1970.
        came_ts: since when a device was there then; None when it was not.
    """

    ts: int
    came_ts: int | None


def _compare(
    stays: Iterable[Span], last: _Last, now_ts: int, *, here: bool | None
) -> tuple[list[tuple[int, int]], int | None]:
    """Compare what was seen of a device with what the history says.

    Args:
        stays: the history, by start.
        last: what was seen last.
        now_ts: ms since 1970.
        here: whether it is there now; None leaves that to the history.

    Returns:
        Stays to be written, and since when it is there now; None when it is not.
    """
    came_ts = last.came_ts
    ended, start_ts = [], None
    for stay in stays:
        if stay.end_ts is None:
            start_ts = stay.start_ts
        elif stay.start_ts >= last.ts if came_ts is None else stay.end_ts > came_ts:
            ended.append((stay.start_ts, stay.end_ts))
    since_ts = start_ts if ended or came_ts is None else min(came_ts, start_ts or came_ts)
    if here or (here is None and since_ts is not None):
        return ended, now_ts if since_ts is None else since_ts
    if came_ts is not None and since_ts is not None:
        ended.append((since_ts, now_ts))
    return ended, None


def _row(board: BoardKey, who: str, came_ts: int, left_ts: int) -> tuple[str, ...]:
    user_id, device_id = json.loads(who)
    minutes = f"{max(0, left_ts - came_ts) / 60_000:.1f}"
    fields = (board.room_id, board.whiteboard_id, user_id, device_id)
    return (*map(cell, fields), _time(came_ts), _time(left_ts), minutes)


def cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: what others chose stands there."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"} else text


def _time(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, UTC).isoformat(timespec="seconds")


def _append(file: Path, rows: list[tuple[str, ...]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    if not file.exists():
        writer.writerow(COLUMNS)
    writer.writerows(rows)
    with os.fdopen(os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "wb") as out:
        out.write(text.getvalue().encode("utf-8", "replace"))
        out.flush()
        os.fsync(out.fileno())
