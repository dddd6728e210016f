"""`attendance`: who was on which board from when to when, as a CSV file.

A line is written when somebody has left. Who is there is kept in the archive, so that a crash loses
nobody: who is gone when the bot is back left at the latest then, and that is what is written.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from bot.handlers.base import BoardGone, Handler, SessionChanged
from bot.whiteboard.board import BoardKey

COLUMNS = ("room", "board", "user", "device", "came", "left", "minutes")
MAX_THERE = 400
"""People on a board who are kept track of at a time."""


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

    async def on_session_changed(self, event: SessionChanged) -> None:
        """Note who has come; write who has left."""
        there = {
            json.dumps([one.user_id, one.device_id]): event.ts
            for one in event.participants[:MAX_THERE]
        }
        await self._now(event.board, there, event.ts)

    async def on_board_gone(self, event: BoardGone) -> None:
        """All have left."""
        await self._now(event.board, {}, event.ts)

    async def _now(self, board: BoardKey, there: Mapping[str, int], now_ts: int) -> None:
        name = f"there.{board.room_id}.{board.whiteboard_id}"
        before: dict[str, int] = json.loads(await self.context.store.get(name) or "{}")
        left = [
            _row(board, who, came_ts, now_ts) for who, came_ts in before.items() if who not in there
        ]
        if left:
            # First the lines: killed in between they are there twice, and not missing.
            await asyncio.to_thread(_append, self.settings.file, left)
        now = {who: before.get(who, came_ts) for who, came_ts in there.items()}
        await self.context.store.set(name, json.dumps(now) if now else "")


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
