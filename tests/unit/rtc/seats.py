"""Sticky events as rooms hold them, for the tests of this package."""

from __future__ import annotations

from typing import Any

from bot.rtc.membership import WHITEBOARD, Membership
from bot.rtc.sticky import STICKY_MS, STICKY_TYPE, read_sticky
from bot.rtc.stickyevent import StickyEvent
from tests.unit.rtc.make import ANN, NOW

LIVEKIT = {"type": "livekit", "livekit_service_url": "https://sfu.hs"}
SLOT = f"{WHITEBOARD}#board"


def without(content: dict[str, Any]) -> dict[str, Any]:
    """Take away what is None."""
    return {name: value for name, value in content.items() if value is not None}


def join(member_id: str = "one", **changes: Any) -> dict[str, Any]:
    """R1, as NeoBoard writes it; a change to None takes the field away."""
    content = {
        "slot_id": SLOT,
        "member": {"id": member_id, "membership": "join", "device_id": "DEV"},
        "application": {"type": WHITEBOARD, "whiteboard_id": "board"},
        "transports": {"published": [LIVEKIT], "can_subscribe": ["livekit"]},
        "msc4354_sticky_key": member_id,
    }
    return without(content | changes)


def leave(member_id: str = "one", **changes: Any) -> dict[str, Any]:
    content = {
        "slot_id": SLOT,
        "member": {"id": member_id, "membership": "leave", "device_id": "DEV"},
        "leave_reason": {"code": "leave"},
        "msc4354_sticky_key": member_id,
    }
    return without(content | changes)


def sdk(member_id: str = "one", user: str = ANN, **changes: Any) -> dict[str, Any]:
    """R2, as matrix-js-sdk 43 writes it."""
    member = {"id": member_id, "user_id": user, "device_id": "DEV"}
    return join(member_id, **{"member": member, "versions": []} | changes)


def event(content: Any, sender: str = ANN, *, ago: int = 0, **changes: Any) -> dict[str, Any]:
    """An event of so many ms ago; None takes a field away."""
    return without(
        {
            "type": STICKY_TYPE,
            "sender": sender,
            "event_id": f"$of-{sender}-{ago}",
            "origin_server_ts": NOW - ago,
            "content": content,
            "msc4354_sticky": {"duration_ms": STICKY_MS},
        }
        | changes
    )


def read(content: Any, sender: str = ANN, **changes: Any) -> StickyEvent:
    return read_sticky(event(content, sender, **changes))


def claim(content: Any, sender: str = ANN, **changes: Any) -> Membership | None:
    return read(content, sender, **changes).member
