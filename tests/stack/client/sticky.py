"""What a NeoBoard client of the sticky profile writes and reads: slots and sticky memberships.

Its validation is stricter than the Matrix proposals: a join that lacks one field is no join. The
same rules judge the bot's events (`sticky_problems`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.stack.client.events import BOARD, Board
from tests.stack.client.members import LIVEKIT_TYPES, Member, service_urls

STICKY = "org.matrix.msc4143.rtc.member"
SLOT = "org.matrix.msc4143.rtc.slot"
TRANSPORTS = "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"
STICKY_MS = 3_600_000
LEAVE_CODES = ("leave", "delayed_leave", "slot_closed")

_KEY = "msc4354_sticky_key"
_TTL = "msc4354_sticky_duration_ttl_ms"
_CAN_SUBSCRIBE = ["livekit"]

Event = Mapping[str, Any]


def slot_id(board: Board) -> str:
    """The name of a board's slot: the slot event's state key."""
    return f"{BOARD}#{board.whiteboard_id}"


def slot_content(*, is_open: bool = True) -> dict[str, Any]:
    """A slot, open or closed."""
    return {"status": "open" if is_open else "closed", "application": {"type": BOARD}}


def join_content(
    board: Board, device_id: str, member_id: str, service_url: str, spelling: str = "livekit"
) -> dict[str, Any]:
    """A membership, joined; `spelling` is how the published transport calls its type."""
    return {
        "slot_id": slot_id(board),
        "member": {"id": member_id, "membership": "join", "device_id": device_id},
        "application": {"type": BOARD, "whiteboard_id": board.whiteboard_id},
        "transports": {
            "published": [{"type": spelling, "livekit_service_url": service_url}],
            "can_subscribe": _CAN_SUBSCRIBE,
        },
        _KEY: member_id,
    }


def leave_content(board: Board, device_id: str, member_id: str, code: str) -> dict[str, Any]:
    """A membership, left; the code is one of LEAVE_CODES."""
    return {
        "slot_id": slot_id(board),
        "member": {"id": member_id, "membership": "leave", "device_id": device_id},
        "leave_reason": {"code": code},
        _KEY: member_id,
    }


class Stickies:
    """The sticky memberships of one room, by member."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], tuple[tuple[int, str], Member]] = {}
        self._left: set[tuple[str, str]] = set()

    def take(self, event: Event, now_ts: int) -> None:
        """Takes a member event of the sync, from whichever part and in whatever order."""
        if "state_key" in event or not isinstance(event.get("content"), dict):
            return
        content = event["content"]
        key = (event["sender"], str(content.get(_KEY)))
        if not join_problems(content):
            duration = _duration(event)
            rank = (event["origin_server_ts"] + duration, event["event_id"])
            if key not in self._newest or self._newest[key][0] < rank:
                self._newest[key] = rank, _member(event, _ends(event, duration, now_ts))
        elif not leave_problems(content):
            # Whatever the order: a member id that has left is spent.
            self._left.add(key)

    def redact(self, event_id: str) -> None:
        """Says that an event's content is gone: it is no membership any more."""
        for key, ((_, known), _) in list(self._newest.items()):
            if known == event_id:
                del self._newest[key]

    def members(self, now_ts: int) -> list[Member]:
        """Everybody who has joined, has not left and is still sticky."""
        return [
            member
            for key, (_, member) in self._newest.items()
            if key not in self._left and member.expires > now_ts
        ]


def sticky_problems(event: Event) -> list[str]:
    """Why a NeoBoard client ignores a member event that is meant as a join or a leave; or nothing.

    Args:
        event: as the homeserver gives it, in a sync, by /messages or /event.
    """
    problems = []
    if event.get("type") != STICKY:
        problems.append(f"type is {event.get('type')}")
    if "state_key" in event:
        problems.append("is a state event")
    sticky = event.get("msc4354_sticky")
    duration = sticky.get("duration_ms") if isinstance(sticky, dict) else None
    if not isinstance(duration, int) or not 0 < duration <= STICKY_MS:
        problems.append(f"is sticky for {duration}")
    content = event.get("content")
    if not isinstance(content, dict):
        return [*problems, "has no content"]
    is_leave = _dict(content, "member").get("membership") == "leave"
    return problems + (leave_problems(content) if is_leave else join_problems(content))


def join_problems(content: Mapping[str, Any]) -> list[str]:
    """Why this is no join."""
    problems = _common_problems(content, "join")
    application = _dict(content, "application")
    board = application.get("whiteboard_id")
    if application.get("type") != BOARD:
        problems.append("application.type")
    if not isinstance(board, str):
        problems.append("application.whiteboard_id")
    if content.get("slot_id") != f"{BOARD}#{board}":
        problems.append("slot_id is not that of the whiteboard")
    transports = _dict(content, "transports")
    published = transports.get("published")
    if not isinstance(published, list) or not all(
        isinstance(one, dict) and isinstance(one.get("type"), str) for one in published
    ):
        problems.append("transports.published")
    elif any(
        one["type"] in LIVEKIT_TYPES and not isinstance(one.get("livekit_service_url"), str)
        for one in published
    ):
        problems.append("a published transport without an address")
    if transports.get("can_subscribe") != _CAN_SUBSCRIBE:
        problems.append("transports.can_subscribe")
    return problems


def leave_problems(content: Mapping[str, Any]) -> list[str]:
    """Why this is no leave."""
    problems = _common_problems(content, "leave")
    if _dict(content, "leave_reason").get("code") not in LEAVE_CODES:
        problems.append("leave_reason.code")
    return problems


def _common_problems(content: Mapping[str, Any], membership: str) -> list[str]:
    problems = []
    member = _dict(content, "member")
    if not isinstance(content.get("slot_id"), str):
        problems.append("slot_id")
    if member.get("membership") != membership:
        problems.append("member.membership")
    problems += [f"member.{key}" for key in ("id", "device_id") if not _is_name(member.get(key))]
    if not _is_name(content.get(_KEY)) or content[_KEY] != member.get("id"):
        problems.append(_KEY)
    return problems


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _dict(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _duration(event: Event) -> int:
    duration = _dict(event, "msc4354_sticky").get("duration_ms")
    return max(0, min(duration, STICKY_MS)) if isinstance(duration, int) else 0


def _ends(event: Event, duration: int, now_ts: int) -> int:
    """When the event stops to be sticky; the homeserver's own count is right on any clock."""
    left = _dict(event, "unsigned").get(_TTL)
    if isinstance(left, int):
        return now_ts + left
    return min(now_ts, int(event["origin_server_ts"])) + duration


def _member(event: Event, expires: int) -> Member:
    content = event["content"]
    return Member(
        user_id=event["sender"],
        device_id=content["member"]["device_id"],
        state_key="",
        call_id=content["application"]["whiteboard_id"],
        expires=expires,
        focus_urls=tuple(service_urls(content["transports"]["published"])),
        member_id=content["member"]["id"],
    )
