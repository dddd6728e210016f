"""What the legacy profile writes: NeoBoard up to 2.4 (docs/matrixrtc.md, 1.2 and 1.3).

NeoBoard ignores a membership when one of its seven fields is missing or mistyped, and a leave that
is not exactly `{}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from bot.errors import InvalidMembership
from bot.rtc.actions import Shown
from bot.rtc.membership import OLDEST_MEMBERSHIP, WHITEBOARD, Focus, read_memberships

LEAVE: Final[Mapping[str, Any]] = {}
"""The content of a leave, sent now or delayed."""

_MAX_KEY = 255  # bytes: Matrix's bound of a state key


def member_key(user_id: str, device_id: str, whiteboard_id: str = "") -> str:
    """Return the state key of our membership.

    The underscore in front is there in every room version: without it the key begins with `@` and
    belongs to a user, which auth rule 8 lets nobody but that very user write.

    Args:
        user_id: ours.
        device_id: ours; without `:` and `_`, as NeoBoard splits identities there.
        whiteboard_id: given from the second whiteboard of a room on, since the plain key holds
            one membership only; the key then ends as matrix-js-sdk would end it.
    """
    key = f"_{user_id}_{device_id}"
    if not whiteboard_id:
        return key
    suffixed = f"{key}_{WHITEBOARD}{whiteboard_id}"
    if len(suffixed.encode()) > _MAX_KEY:
        # Nobody reads anything out of a key: it only has to be ours and always the same.
        return f"{key}_{sha256(whiteboard_id.encode()).hexdigest()}"
    return suffixed


def join_content(
    call_id: str,
    device_id: str,
    room_id: str,
    foci: Sequence[Focus],
    expires_ts: int,
    created_ts: int | None = None,
) -> dict[str, Any]:
    """Return the content of a membership.

    Args:
        call_id: the whiteboard id.
        device_id: ours.
        room_id: the Matrix room, which Element Call up to 0.16 reads as `livekit_alias`.
        foci: the focus in use first.
        expires_ts: the instant it ends, ms by the homeserver's clock; an integer, since
            canonical JSON knows no fractions.
        created_ts: the join's origin_server_ts when this renews it; None in a join.
    """
    content: dict[str, Any] = {
        "application": WHITEBOARD,
        "call_id": call_id,
        "device_id": device_id,
        "focus_active": {"type": "livekit", "focus_selection": OLDEST_MEMBERSHIP},
        "foci_preferred": [
            {
                "type": "livekit",
                "livekit_service_url": focus.service_url,
                "livekit_alias": room_id,
            }
            for focus in foci
        ],
        "scope": "m.room",
        "expires": expires_ts,
    }
    if created_ts is not None:
        content["created_ts"] = created_ts
    return content


def read_shown(event: Mapping[str, Any], user_id: str, device_id: str, call_id: str) -> Shown:
    """Read what a sync shows under our own key.

    Whatever is not our membership of this whiteboard, `{}` or not, counts as cleared.
    """
    try:
        memberships = read_memberships(event)
    except InvalidMembership:
        memberships = []
    ours = [
        membership
        for membership in memberships
        if (membership.user_id, membership.device_id) == (user_id, device_id)
        and (membership.application, membership.call_id) == (WHITEBOARD, call_id)
    ]
    return Shown(
        event_id=_text(event, "event_id") or "",
        by_us=event.get("sender") == user_id,
        created_ts=ours[0].created_ts if ours else None,
        # Only its sender is told which delayed event this was (measured, 2.4).
        delay_id=_text(event.get("unsigned"), "org.matrix.msc4140.delay_id"),
        replaces=_text(event.get("unsigned"), "replaces_state") or _text(event, "replaces_state"),
    )


def _text(value: Any, name: str) -> str | None:
    text = value.get(name) if isinstance(value, Mapping) else None
    return text if isinstance(text, str) else None
