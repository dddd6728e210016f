"""The sticky profile: who we are in it, and what we write (docs/matrixrtc.md, 1.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.errors import InvalidMembership
from bot.rtc.actions import Shown
from bot.rtc.membership import WHITEBOARD, Focus, Membership, pseudonym
from bot.rtc.slots import SLOT_TYPE, SLOT_TYPES
from bot.rtc.stickyevent import STICKY_MS, STICKY_TYPE, STICKY_TYPES, is_sticky, read_sticky

__all__ = [
    "SLOT_TYPE",
    "SLOT_TYPES",
    "STICKY_MS",
    "STICKY_TYPE",
    "STICKY_TYPES",
    "Seat",
    "is_sticky",
    "join_content",
    "leave_content",
    "pseudonym",
    "read_shown",
    "read_sticky",
    "slot_id",
    "spelling",
]


@dataclass(frozen=True, slots=True)
class Seat:
    """What names a membership of ours in a slot; `/get_token` is asked for it.

    Attributes:
        slot_id: the slot, `application#id`.
        member_id: fresh for every join; once we have left it is spent.
    """

    slot_id: str
    member_id: str


def read_shown(event: Mapping[str, Any], user_id: str, member_id: str) -> Shown | None:
    """Read what sync shows of our own member id; None of whatever is not about it."""
    if not is_sticky(event):
        return None
    try:
        read = read_sticky(event)
    except InvalidMembership:
        return None
    if (read.user_id, read.key) != (user_id, member_id):
        return None
    unsigned = event.get("unsigned")
    delay_id = (
        unsigned.get("org.matrix.msc4140.delay_id") if isinstance(unsigned, Mapping) else None
    )
    return Shown(
        event_id=read.event_id,
        by_us=True,  # whoever else sends one of this key has a place of their own
        created_ts=None if read.member is None else read.sent_ts,
        delay_id=delay_id if isinstance(delay_id, str) else None,
    )


# -- written ---------------------------------------------------------------------------------


def slot_id(call_id: str) -> str:
    """Return the id of a whiteboard's slot."""
    return f"{WHITEBOARD}#{call_id}"


def join_content(
    *,
    call_id: str,
    whose: tuple[str, str],
    member_id: str,
    foci: Sequence[Focus],
    spelling: str,
) -> dict[str, Any]:
    """Return the content of a join, or of its renewal, as NeoBoard checks it.

    The user id and `versions` are what matrix-js-sdk demands beside that.

    Args:
        call_id: the whiteboard id.
        whose: our user id and device id.
        member_id: fresh with each join.
        foci: where we publish.
        spelling: how the type of a LiveKit transport is written.
    """
    user_id, device_id = whose
    member = {"id": member_id, "membership": "join", "user_id": user_id, "device_id": device_id}
    return {
        "slot_id": slot_id(call_id),
        "member": member,
        "application": {"type": WHITEBOARD, "whiteboard_id": call_id},
        "transports": {
            "published": [
                {"type": spelling, "livekit_service_url": focus.service_url} for focus in foci
            ],
            "can_subscribe": ["livekit"],  # NeoBoard takes exactly this, whatever is published
        },
        "versions": [],
        "msc4354_sticky_key": member_id,
    }


def leave_content(*, call_id: str, device_id: str, member_id: str, code: str) -> dict[str, Any]:
    """Return the content of a leave, sent now or delayed.

    Args:
        call_id: as in the join, and the others too.
        device_id: ours.
        member_id: which no join can bring back then.
        code: `leave`, `delayed_leave` or `slot_closed`.
    """
    return {
        "slot_id": slot_id(call_id),
        "member": {"id": member_id, "membership": "leave", "device_id": device_id},
        "leave_reason": {"code": code},
        "msc4354_sticky_key": member_id,
    }


def spelling(others: Iterable[Membership], own: str) -> str:
    """Return how we write the type of our transport, so that the others know it.

    Args:
        others: the room's other members.
        own: how our homeserver's list spells it; "" without one.
    """
    # One voice each: nobody outvotes the others by more memberships.
    used = Counter({one.user_id: one.spelling for one in others if one.spelling}.values())
    if used:
        return min(used, key=lambda one: (-used[one], one))
    return own or "livekit"
