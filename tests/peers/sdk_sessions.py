"""Asks matrix-js-sdk (npm) in node who is in which session: sessions.mjs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.rtc.session import Slot
from tests.stack.programs import find_program

_SCRIPT = Path(__file__).with_name("sessions.mjs")

State = Sequence[Mapping[str, Any]]
"""State events of a room, in the order they came."""


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """A member of a session as either side reads it."""

    created_ts: int
    user_id: str
    device_id: str
    identity: str
    expires_ts: int
    event_id: str


def ask(now_ts: int, rooms: Sequence[tuple[State, Sequence[Slot]]]) -> list[dict[Slot, list[Any]]]:
    """Ask one node process about all rooms at once.

    Returns:
        For each room and slot the members as the SDK's JSON, oldest first.
    """
    question = {
        "now": now_ts,
        "rooms": [
            {
                "events": list(events),
                "slots": [{"application": one.application, "id": one.call_id} for one in slots],
            }
            for events, slots in rooms
        ],
    }
    answer = subprocess.run(
        [find_program("node"), str(_SCRIPT)],
        input=json.dumps(question),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    )
    return [
        dict(zip(slots, found, strict=True))
        for (_, slots), found in zip(rooms, json.loads(answer.stdout), strict=True)
    ]


def member(value: Mapping[str, Any]) -> Member:
    """Read a member of the SDK's answer."""
    return Member(
        created_ts=value["created"],
        user_id=value["user"],
        device_id=value["device"],
        identity=value["identity"],
        expires_ts=value["expires"],
        event_id=value["event"],
    )
