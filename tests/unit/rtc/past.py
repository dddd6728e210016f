"""Rows of a room's past, for the tests of histories: times are minutes after `DAY`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.rtc.history import PERSON_TYPE, REDACTION_TYPE, Pause, Row, read_rows
from bot.rtc.membership import MEMBER_TYPE, WHITEBOARD
from bot.rtc.past import PastSession, past_sessions
from bot.rtc.spans import spans
from bot.rtc.stickyevent import STICKY_TYPE
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

    def sits(
        self,
        minutes: float,
        user: str = ANN,
        seat: str = "m",
        device: str = "D",
        sticky: float = 60,
        call_id: str = "board",
        **changes: Any,
    ) -> Row:
        """Join or renew in the sticky profile, as NeoBoard does since September 2026."""
        who = {"id": seat, "membership": "join", "device_id": device}
        content = {
            "slot_id": f"{WHITEBOARD}#{call_id}",
            "member": who,
            "application": {"type": WHITEBOARD, "whiteboard_id": call_id},
            "transports": {"published": [], "can_subscribe": ["livekit"]},
            "msc4354_sticky_key": seat,
        }
        return self.stick(minutes, user, content | changes, sticky)

    def rises(self, minutes: float, user: str = ANN, seat: str = "m", code: str = "leave") -> Row:
        """Leave in the sticky profile."""
        content = {
            "slot_id": f"{WHITEBOARD}#board",
            "member": {"id": seat, "membership": "leave", "device_id": "D"},
            "leave_reason": {"code": code},
            "msc4354_sticky_key": seat,
        }
        return self.stick(minutes, user, content)

    def stick(self, minutes: float, user: str, content: Any, sticky: float = 60) -> Row:
        event = {
            "type": STICKY_TYPE,
            "event_id": f"${len(self.rows)}",
            "sender": user,
            "origin_server_ts": at(minutes),
            "msc4354_sticky": {"duration_ms": round(sticky * MINUTE)},
            "content": content,
        }
        [row] = read_rows(event)
        self.rows.append(row)
        return row

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
