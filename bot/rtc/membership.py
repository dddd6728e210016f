"""One Membership out of every format that a room may hold (docs/matrixrtc.md, R1 to R11)."""

from __future__ import annotations

from dataclasses import dataclass

WHITEBOARD = "net.nordeck.whiteboard"
MEMBER_TYPE = "org.matrix.msc3401.call.member"


@dataclass(frozen=True, slots=True)
class Focus:
    """A LiveKit backend, given by the URL of its JWT service (without a trailing slash)."""

    service_url: str


@dataclass(frozen=True, slots=True)
class Membership:
    """One device's claim to take part in a slot, as the room says it.

    Attributes:
        state_key: what a later event of the same key replaces; nothing else is read from it.
        user_id: the event's sender.
        device_id: from the content.
        application: such as `net.nordeck.whiteboard`.
        call_id: the slot's id; for NeoBoard the whiteboard id.
        foci: preferred foci in order, LiveKit only.
        focus_selection: `oldest_membership` or another strategy.
        created_ts: ms; `created_ts` of the content, else the event's origin_server_ts.
        expires_ts: ms, absolute, whatever form the content had.
        expires: the number the content held (NeoBoard's "oldest" rule compares it raw).
        event_id: of the state event.
        profile: `legacy` or `sticky`.
    """

    state_key: str
    user_id: str
    device_id: str
    application: str
    call_id: str
    foci: tuple[Focus, ...]
    focus_selection: str
    created_ts: int
    expires_ts: int
    expires: int
    event_id: str
    profile: str = "legacy"
