"""What a sticky event says of a member (docs/matrixrtc.md, 1.1, R1 to R4).

A member announces itself with an event of the timeline that stays in view for an hour at the most
(MSC4354). A later event of the same sender and sticky key takes its place; for the newest texts
the key is the member's id, fresh with each join, and a leave ends that id for good.

    R1   `member{id, membership, device_id}`, `transports.published`     MSC4143 of July 2026
    R2   `member{id, user_id, device_id}`, `transports.published`        matrix-js-sdk 43
    R3   the same with `rtc_transports`                                  matrix-js-sdk before it
    R4   `member{id, claimed_user_id, claimed_device_id}`                MSC4143 of October 2025

Whether one still counts is for `stickies.py` to say. A `m.rtc.member` with a state key is another
thing with the same name (R5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.errors import InvalidMembership
from bot.rtc.fields import milliseconds, object_of, text
from bot.rtc.membership import (
    STICKY,
    Membership,
    bounded,
    is_foreign,
    read_foci,
    read_spelling,
)

STICKY_TYPE = "org.matrix.msc4143.rtc.member"
"""The type that is written."""
STICKY_TYPES = frozenset({STICKY_TYPE, "m.rtc.member"})
STICKY_MS = 3_600_000
"""The longest that an event is sticky, and how long ours are."""

_KEYS = ("sticky_key", "msc4354_sticky_key")
_STICKY = ("sticky", "msc4354_sticky")
_TTLS = ("sticky_duration_ttl_ms", "msc4354_sticky_duration_ttl_ms")


@dataclass(frozen=True, slots=True)
class StickyEvent:
    """A sticky event of a member's.

    Attributes:
        key: its sticky key; together with its sender what a later one replaces.
        sent_ts: its origin_server_ts.
        duration_ms: how long it is sticky, capped.
        ttl_ms: how long it still was when the homeserver gave it to us, if it says so.
        member: the claim of a join; None of a leave, and of a join that is malformed.
        once: a join whose id is fresh (R1): no join of that id counts beside a leave.
        is_leave: a leave.
    """

    user_id: str
    key: str
    event_id: str
    sent_ts: int
    duration_ms: int
    ttl_ms: int | None
    member: Membership | None
    once: bool = False
    is_leave: bool = False

    @property
    def order(self) -> tuple[int, str]:
        """The last to expire stands, by what its sender's server says; then the event id."""
        return self.sent_ts + self.duration_ms, self.event_id

    def expires_ts(self, now_ts: int) -> int:
        """Return when it ends to be sticky, having come now; ms by the homeserver's clock."""
        if self.ttl_ms is not None:
            return now_ts + min(self.ttl_ms, self.duration_ms)
        return min(now_ts, self.sent_ts) + self.duration_ms

    def forgotten_ts(self, now_ts: int) -> int:
        """Return until when it matters, having come now.

        A leave does so while a join sent before it may be sticky, however shortly it is itself.
        """
        if self.is_leave:
            return min(now_ts, self.sent_ts) + STICKY_MS
        return self.expires_ts(now_ts)


def is_sticky(event: Mapping[str, Any]) -> bool:
    """Whether an event is to be read here: of a member's type, and no state event."""
    kind = event.get("type")
    return isinstance(kind, str) and kind in STICKY_TYPES and "state_key" not in event


def read_sticky(event: Mapping[str, Any]) -> StickyEvent:
    """Read a sticky event of a member.

    Args:
        event: for which is_sticky holds.

    Raises:
        InvalidMembership: It cannot be said whose or which it is, or it is not sticky: it has
            nobody's place. One that has a place and says nothing sensible of the member leaves
            it empty.
    """
    content = object_of(event.get("content"))
    key = _key(content)
    read = StickyEvent(
        user_id=text(event.get("sender")),
        key=key,
        event_id=text(event.get("event_id")),
        sent_ts=milliseconds(event.get("origin_server_ts")),
        duration_ms=min(_duration(event), STICKY_MS),
        ttl_ms=_ttl(event),
        member=None,
        is_leave=_is_leave(content, key),
    )
    if read.is_leave:
        return read
    try:
        return replace(
            read,
            member=_read_join(content, read),
            once=content["member"].get("membership") is not None,
        )
    except InvalidMembership:
        return read


def _key(content: Mapping[str, Any]) -> str:
    keys = {text(content[name]) for name in _KEYS if name in content}
    if len(keys) != 1:
        raise InvalidMembership("there is no sticky key, or there are two")
    return keys.pop()


def _duration(event: Mapping[str, Any]) -> int:
    said = [event[name] for name in _STICKY if name in event]
    return milliseconds(object_of(said[0] if said else None).get("duration_ms"))


def _ttl(event: Mapping[str, Any]) -> int | None:
    """What the homeserver adds; whatever else is there says nothing."""
    unsigned = event.get("unsigned")
    if not isinstance(unsigned, Mapping):
        return None
    said = (unsigned.get(name) for name in _TTLS)
    numbers = (one for one in said if isinstance(one, int) and not isinstance(one, bool))
    return next((max(number, 0) for number in numbers), None)


def _is_leave(content: Mapping[str, Any], key: str) -> bool:
    """Whether it is a leave: it says so, or says nothing of a member at all."""
    member = content.get("member")
    if isinstance(member, Mapping) and member.get("membership") == "leave":
        return bool(member.get("id", key) == key)
    if "disconnect_reason" in content:
        return True
    return "member" not in content and "application" not in content


def _read_join(content: Mapping[str, Any], read: StickyEvent) -> Membership:
    member, application = object_of(content.get("member")), object_of(content.get("application"))
    published = _published(content)
    kind = text(application.get("type"))
    return Membership(
        state_key=read.key,
        user_id=read.user_id,
        device_id=text(member.get("device_id", member.get("claimed_device_id"))),
        application=kind,
        call_id=_call_id(content, kind),
        foci=read_foci(published),
        focus_selection="",
        created_ts=read.sent_ts,
        expires_ts=read.sent_ts + read.duration_ms,
        expires=read.duration_ms,
        event_id=read.event_id,
        profile=STICKY,
        foreign_focus=is_foreign(published),
        extra=bounded({name: one for name, one in application.items() if name != "type"}),
        member_id=_member_id(member, read.user_id, read.key),
        spelling=read_spelling(published),
    )


def _member_id(member: Mapping[str, Any], user_id: str, key: str) -> str:
    """Return a joined member's id, once it is certain that it is the sender's own."""
    for name in ("user_id", "claimed_user_id"):
        if member.get(name, user_id) != user_id:
            raise InvalidMembership("the member is not the sender")
    member_id, membership = text(member.get("id")), member.get("membership")
    if membership is not None and (membership != "join" or member_id != key):
        raise InvalidMembership("the member is not joined, or under another's key")
    return member_id


def _call_id(content: Mapping[str, Any], kind: str) -> str:
    application, sign, call_id = text(content.get("slot_id")).partition("#")
    if application != kind or not sign or "#" in call_id:
        raise InvalidMembership("the slot is not one of the application's")
    return call_id


def _published(content: Mapping[str, Any]) -> list[Any] | None:
    """Return the transports where the member publishes; R3 and R4 had them at the top."""
    transports = object_of(content.get("transports"))
    published = transports.get("published", content.get("rtc_transports"))
    if not isinstance(published, list | None):
        raise InvalidMembership("the transports are no list")
    return published
