"""Membership events as rooms hold them, for the tests of this package."""

from __future__ import annotations

from typing import Any

from bot.rtc.membership import MEMBER_TYPE, WHITEBOARD, Focus, Membership, read_memberships

ROOM = "!room:hs"
NOW = 1_743_764_236_001
HOUR = 3_600_000
ANN, BEN = "@ann:hs", "@ben:hs"


def foci(*urls: str) -> list[dict[str, Any]]:
    return [{"type": "livekit", "livekit_service_url": url, "livekit_alias": ROOM} for url in urls]


def neoboard(**changes: Any) -> dict[str, Any]:
    """The content NeoBoard writes; a change to None takes the field away."""
    content = {
        "application": WHITEBOARD,
        "call_id": "board",
        "device_id": "DEV",
        "focus_active": {"type": "livekit", "focus_selection": "oldest_membership"},
        "foci_preferred": foci("https://sfu.hs"),
        "scope": "m.room",
        "expires": NOW + 4 * HOUR,
    } | changes
    return {name: value for name, value in content.items() if value is not None}


def element_call(**changes: Any) -> dict[str, Any]:
    return neoboard(**{"application": "m.call", "call_id": "", "expires": 4 * HOUR} | changes)


def event(content: Any, sender: str = ANN, **changes: Any) -> dict[str, Any]:
    return {
        "type": MEMBER_TYPE,
        "state_key": f"_{sender}_DEV",
        "sender": sender,
        "event_id": f"$of-{sender}",
        "origin_server_ts": NOW,
        "content": content,
    } | changes


def read(content: Any, sender: str = ANN, **changes: Any) -> Membership:
    (membership,) = read_memberships(event(content, sender, **changes))
    return membership


def member(user: str = ANN, **changes: Any) -> Membership:
    """A membership of NeoBoard's, with changes to the value itself."""
    values: dict[str, Any] = {
        "state_key": f"_{user}_DEV",
        "user_id": user,
        "device_id": "DEV",
        "application": WHITEBOARD,
        "call_id": "board",
        "foci": (Focus("https://sfu.hs"),),
        "focus_selection": "oldest_membership",
        "created_ts": NOW,
        "expires_ts": changes.get("expires", NOW + 4 * HOUR),
        "expires": NOW + 4 * HOUR,
        "event_id": f"$of-{user}",
    }
    return Membership(**values | changes)
