"""One Membership out of every format that a room may hold (docs/matrixrtc.md, R5 to R8 and R11).

    R5   `session{application, id}`, `member{device_id, user_id}`      MSC4143 of mid 2025
    R6   flat fields, `expires` counts from `created_ts`               Element Call
    R7   flat fields, `expires` is an instant                          NeoBoard legacy
    R8   `memberships[]` under the plain user id                       MSC3401 of 2023
    R11  `m.`-prefixed names, read as aliases in all of these          MSC4143's first text

State events of full-mesh calls (R9) hold none of these: they are recognised by that, and give no
membership. The sticky profile's (R1 to R4) are no state events: `sticky.py` reads them.

Pure and total: whatever JSON an event holds gives memberships, none, or InvalidMembership. Every
text is bounded and can be encoded, so nothing behind this module has to check again.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from bot.errors import InvalidMembership
from bot.rtc.fields import milliseconds, object_of, text

WHITEBOARD = "net.nordeck.whiteboard"
MEMBER_TYPE = "org.matrix.msc3401.call.member"
"""The type that is written; state keys of the other types are other places."""
MEMBER_TYPES = frozenset({MEMBER_TYPE, "m.rtc.member", "m.call.member"})
OLDEST_MEMBERSHIP = "oldest_membership"

LEGACY = "legacy"
STICKY = "sticky"
"""Profile of R1 to R4: sticky events (docs/matrixrtc.md, 1.4)."""
ARRAY = "array"
"""Profile of R8: read for history, never part of a live session (JS ignores this form)."""

MAX_FOCI = 16
"""Foci looked at in one list; the rest is ignored."""
MAX_ENTRIES = 32
"""Likewise of one R8 array."""
ABSOLUTE = 10**12
"""`expires` from here on is an instant in ms, below it a span: covers R6 and R7 alike."""

_SPELLINGS = ("livekit", "m.livekit")  # a tuple: the type may be an object
_MAX_URL = 2048
_MAX_EXTRA = 2048  # characters of JSON of what else a membership says
_DEFAULT_EXPIRES = 14_400_000
_READ = frozenset(
    {
        "application",
        "call_id",
        "created_ts",
        "device_id",
        "expires",
        "foci_preferred",
        "focus_active",
        "member",
        "session",
    }
)


@dataclass(frozen=True, slots=True)
class Focus:
    """A LiveKit backend, given by the URL of its JWT service (without a trailing slash)."""

    service_url: str


@dataclass(frozen=True, slots=True)
class Membership:
    """One device's claim to take part in a slot, as the room says it.

    Attributes:
        state_key: what a later event of the same key replaces, or the sticky key, which does the
            same; nothing else is read from it.
        user_id: the event's sender.
        device_id: from the content.
        application: such as `net.nordeck.whiteboard`.
        call_id: the slot's id; for NeoBoard the whiteboard id.
        foci: preferred foci in order, or published transports; LiveKit only.
        focus_selection: `oldest_membership` or another strategy.
        created_ts: ms; `created_ts` of the content, else the event's origin_server_ts. Of a sticky
            one: that of its first join, as far as we saw.
        expires_ts: ms, absolute, whatever form the content had.
        expires: the number the content held (NeoBoard's "oldest" rule compares it raw); of a
            sticky one how long it is sticky, which that rule leaves out as it does all spans.
        event_id: of the event.
        profile: `legacy`, `array` or `sticky`.
        foreign_focus: its first preferred focus is none we can use: not LiveKit, or a bad URL.
        extra: fields of the application's own (QS5), if they are not too long.
        member_id: of a sticky one; fresh with each join.
        spelling: of a sticky one, the type of the transport that is its first focus.
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
    profile: str = LEGACY
    foreign_focus: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    member_id: str = ""
    spelling: str = ""


def identity(membership: Membership) -> str:
    """Return this member's LiveKit identity: `user:device`, of a sticky one its pseudonym."""
    user_id, device_id = membership.user_id, membership.device_id
    if membership.profile == STICKY:
        return pseudonym(user_id, device_id, membership.member_id)
    return f"{user_id}:{device_id}"


def pseudonym(user_id: str, device_id: str, member_id: str) -> str:
    """Return the LiveKit identity that `/get_token` gives (docs/matrixrtc.md, 4.3)."""
    parts = [user_id, device_id, member_id]
    canonical = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return b64encode(sha256(canonical.encode()).digest()).decode().rstrip("=")


def read_memberships(event: Mapping[str, Any]) -> list[Membership]:
    """Read a membership state event.

    Args:
        event: with `content`, `sender`, `state_key`, `event_id`, `origin_server_ts`.

    Returns:
        Nothing when the device has left (`{}`, or whatever names no application), else one
        membership; an R8 array gives one per well-formed entry.

    Raises:
        InvalidMembership: A join lacks a field, holds a wrong type, exceeds a bound, or stands
            under another user's key. What it replaced in the room is gone all the same.
    """
    content = event.get("content")
    if not isinstance(content, Mapping):
        raise InvalidMembership("the content is no object")
    if not content:
        return []  # as most of a room's memberships are, which stay there for ever
    application = _field(content, "application")
    if application is not None:
        return [_read(event, content, application, _field(content, "call_id"))]
    session = _field(content, "session")
    if isinstance(session, Mapping):
        return [_read(event, content, _field(session, "application"), _field(session, "id"))]
    entries = _field(content, "memberships")
    return _read_array(event, entries) if isinstance(entries, list) else []


def read_foci(value: Any) -> tuple[Focus, ...]:
    """Read a list of foci: LiveKit ones only, in order, each once, the first 16 entries."""
    entries = value[:MAX_FOCI] if isinstance(value, list) else []
    read = (_read_focus(entry) for entry in entries)
    return tuple(dict.fromkeys(focus for focus in read if focus is not None))


def read_spelling(value: Any) -> str:
    """Return the type of the first LiveKit focus in a list as read_foci reads it; "" of none."""
    entries = value[:MAX_FOCI] if isinstance(value, list) else []
    return next((entry["type"] for entry in entries if _read_focus(entry) is not None), "")


def is_foreign(value: list[Any] | None) -> bool:
    """Whether the first focus of a list is none we can use."""
    return _read_focus(value[0]) is None if value else False


def _read(
    event: Mapping[str, Any], content: Mapping[str, Any], application: Any, call_id: Any
) -> Membership:
    """Read a join of R5, R6, R7 or R11."""
    sender, state_key = text(event.get("sender")), text(event.get("state_key"))
    if not _is_key_of(sender, state_key):
        raise InvalidMembership("the state key belongs to another user")
    member = _field(content, "member")
    if not isinstance(member, Mapping):
        member = {}
    if _field(member, "user_id", sender) != sender:
        raise InvalidMembership("the member is not the sender")
    focus_active = object_of(_field(content, "focus_active"))
    preferred = _field(content, "foci_preferred")
    if not isinstance(preferred, list | None):
        raise InvalidMembership("foci_preferred is no list")
    created_ts = _created_ts(event, content)
    expires = milliseconds(_field(content, "expires", _DEFAULT_EXPIRES))
    return Membership(
        state_key=state_key,
        user_id=sender,
        device_id=text(_field(content, "device_id", _field(member, "device_id"))),
        application=text(application),
        call_id=text(call_id, empty=True),  # Element Call writes ""
        foci=read_foci(preferred),
        focus_selection=text(focus_active.get("focus_selection", ""), empty=True),
        created_ts=created_ts,
        expires_ts=expires if expires >= ABSOLUTE else created_ts + expires,
        expires=expires,
        event_id=text(event.get("event_id")),
        foreign_focus=is_foreign(preferred),
        extra=bounded(
            {name: one for name, one in content.items() if name.removeprefix("m.") not in _READ}
        ),
    )


def _is_key_of(sender: str, state_key: str) -> bool:
    """Whether a state key is the sender's; nothing else is ever read out of a key."""
    own = (sender, f"_{sender}")
    return state_key in own or state_key.startswith((*(f"{one}_" for one in own), f'["{sender}"'))


def bounded(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what else a membership says, or nothing if that is too long."""
    try:
        return extra if len(json.dumps(extra)) <= _MAX_EXTRA else {}
    except RecursionError:  # nobody means to nest like that
        return {}


def _read_array(event: Mapping[str, Any], entries: list[Any]) -> list[Membership]:
    """Read R8; malformed entries are left out one by one, as they are only history."""
    memberships = []
    for entry in entries[:MAX_ENTRIES]:
        try:
            memberships.append(_read_entry(event, object_of(entry)))
        except InvalidMembership:
            continue
    return memberships


def _read_entry(event: Mapping[str, Any], entry: Mapping[str, Any]) -> Membership:
    sender, state_key = text(event.get("sender")), text(event.get("state_key"))
    if state_key != sender:
        raise InvalidMembership("the state key belongs to another user")
    created_ts = _created_ts(event, entry)
    if "expires_ts" in entry:
        expires = expires_ts = milliseconds(entry["expires_ts"])
    else:
        expires = milliseconds(entry.get("expires"))
        expires_ts = created_ts + expires
    return Membership(
        state_key=state_key,
        user_id=sender,
        device_id=text(entry.get("device_id")),
        application=text(entry.get("application")),
        call_id=text(entry.get("call_id"), empty=True),
        foci=read_foci(entry.get("foci_active")),
        focus_selection="",
        created_ts=created_ts,
        expires_ts=expires_ts,
        expires=expires,
        event_id=text(event.get("event_id")),
        profile=ARRAY,
    )


def _field(content: Mapping[str, Any], name: str, default: Any = None) -> Any:
    return content.get(name, content.get(f"m.{name}", default))


def _created_ts(event: Mapping[str, Any], content: Mapping[str, Any]) -> int:
    """`created_ts ?? origin_server_ts`: the first event of a membership has none of its own."""
    return milliseconds(_field(content, "created_ts", event.get("origin_server_ts")))


def _read_focus(entry: Any) -> Focus | None:
    if not isinstance(entry, Mapping) or entry.get("type") not in _SPELLINGS:
        return None
    url = entry.get("livekit_service_url")
    return Focus(url.rstrip("/")) if isinstance(url, str) and _is_service_url(url) else None


def _is_service_url(url: str) -> bool:
    """Whether a path can be appended to the URL and the result be asked over HTTP."""
    if len(url) > _MAX_URL or not (url.isascii() and url.isprintable()) or " " in url:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and port != 0
        and "@" not in parts.netloc  # credentials of others are not ours to send
        and not (parts.query or parts.fragment or url.endswith(("?", "#")))
    )
