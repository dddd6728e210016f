"""Rows of a room's past, for the tests of histories: times are minutes after `DAY`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.rtc.history import PERSON_TYPE, REDACTION_TYPE, Pause, Row
from bot.rtc.membership import MEMBER_TYPE, WHITEBOARD
from bot.rtc.past import PastSession, past_sessions
from bot.rtc.spans import spans
from tests.unit.rtc.make import ANN

DAY = 1_795_219_200_000
MINUTE = 60_000
LATE = 100_000
"""Minutes after which all has expired."""


def at(minutes: float) -> int:
    return DAY + round(minutes * MINUTE)


class Room:
    """What happens in a room, in its order."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def put(self, kind: str, key: str, sender: str, minutes: float, content: Any) -> Row:
        row = Row(kind, key, f"${len(self.rows)}", sender, at(minutes), content)
        self.rows.append(row)
        return row

    def on(self, minutes: float, user: str = ANN, device: str = "D", **changes: Any) -> Row:
        """Join or refresh; NeoBoard's content without what no history reads."""
        content = {
            "application": WHITEBOARD,
            "call_id": "board",
            "device_id": device,
            "expires": at(minutes + 240),
        }
        return self.put(MEMBER_TYPE, f"_{user}_{device}", user, minutes, content | changes)

    def off(self, minutes: float, user: str = ANN, device: str = "D", by: str = "") -> Row:
        return self.put(MEMBER_TYPE, f"_{user}_{device}", by or user, minutes, {})

    def out(self, minutes: float, user: str = ANN, by: str = "", how: str = "leave") -> Row:
        return self.put(PERSON_TYPE, user, by or user, minutes, {"membership": how})

    def redact(self, minutes: float, target: Row, by: str = ANN) -> Row:
        return self.put(REDACTION_TYPE, target.event_id, by, minutes, {})

    def past(
        self, now: float = LATE, gap_ms: int = 0, pauses: Sequence[Pause] = ()
    ) -> list[PastSession]:
        return past_sessions(spans(self.rows, pauses, at(now)), gap_ms)

    def times(
        self, now: float = LATE, gap_ms: int = 0, pauses: Sequence[Pause] = ()
    ) -> list[tuple[float, float | None]]:
        """From when to when its sessions are, in minutes."""
        return [
            (minutes(one.start_ts), None if one.end_ts is None else minutes(one.end_ts))
            for one in self.past(now, gap_ms, pauses)
        ]

    def stays(
        self, now: float = LATE, pauses: Sequence[Pause] = ()
    ) -> list[tuple[str, str, float, float | None]]:
        """Who was there from when to when."""
        return [
            (
                one.user_id,
                one.device_id,
                minutes(one.start_ts),
                None if one.end_ts is None else minutes(one.end_ts),
            )
            for one in spans(self.rows, pauses, at(now))
        ]


def minutes(ts: int) -> float:
    return (ts - DAY) / MINUTE
