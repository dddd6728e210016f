"""One Membership out of every format that a room may hold (docs/matrixrtc.md, R5 to R8 and R11).

    R5   `session{application, id}`, `member{device_id, user_id}`      MSC4143 of mid 2025
    R6   flat fields, `expires` counts from `created_ts`               Element Call
    R7   flat fields, `expires` is an instant                          NeoBoard legacy
    R8   `memberships[]` under the plain user id                       MSC3401 of 2023
    R11  `m.`-prefixed names, read as aliases in all of these          MSC4143's first text

State events of the sticky profile (R1 to R4), of full-mesh calls (R9) and slots (R10) hold none of
these: they are recognised by that, and give no membership.

Pure and total: whatever JSON an event holds gives memberships, none, or InvalidMembership. Every
text is bounded and can be encoded, so nothing behind this module has to check again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

from bot.errors import InvalidMembership

WHITEBOARD = "net.nordeck.whiteboard"
MEMBER_TYPE = "org.matrix.msc3401.call.member"
"""The type that is written; state keys of the other types are other places."""
MEMBER_TYPES = frozenset({MEMBER_TYPE, "m.rtc.member", "m.call.member"})
OLDEST_MEMBERSHIP = "oldest_membership"

LEGACY = "legacy"
ARRAY = "array"
"""Profile of R8: read for history, never part of a live session (JS ignores this form)."""

MAX_FOCI = 16
"""Foci looked at in one list; the rest is ignored."""
ABSOLUTE = 10**12
"""`expires` from here on is an instant in ms, below it a span: covers R6 and R7 alike."""

_MAX_ID = 255  # bytes; Matrix bounds user ids, event ids and state keys so
_MAX_URL = 2048
_MAX_ENTRIES = 32  # of one R8 array
_MAX_EXTRA = 2048  # characters of JSON of what else a membership says
_MAX_MS = 2**53  # canonical JSON has no larger integers
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
        profile: `legacy`, `array` or `sticky`.
        foreign_focus: its first preferred focus is none we can use: not LiveKit, or a bad URL.
        extra: fields of the application's own (QS5), if they are not too long.
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


def identity(membership: Membership) -> str:
    """Return the LiveKit identity that `/sfu/get` gives this member: `user:device`."""
    return f"{membership.user_id}:{membership.device_id}"


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


def _read(
    event: Mapping[str, Any], content: Mapping[str, Any], application: Any, call_id: Any
) -> Membership:
    """Read a join of R5, R6, R7 or R11."""
    sender, state_key = _text(event.get("sender")), _text(event.get("state_key"))
    if not _is_key_of(sender, state_key):
        raise InvalidMembership("the state key belongs to another user")
    member = _field(content, "member")
    if not isinstance(member, Mapping):
        member = {}
    if _field(member, "user_id", sender) != sender:
        raise InvalidMembership("the member is not the sender")
    focus_active = _object(_field(content, "focus_active"))
    preferred = _field(content, "foci_preferred")
    if not isinstance(preferred, list | None):
        raise InvalidMembership("foci_preferred is no list")
    created_ts = _created_ts(event, content)
    expires = _milliseconds(_field(content, "expires", _DEFAULT_EXPIRES))
    return Membership(
        state_key=state_key,
        user_id=sender,
        device_id=_text(_field(content, "device_id", _field(member, "device_id"))),
        application=_text(application),
        call_id=_text(call_id, empty=True),  # Element Call writes ""
        foci=read_foci(preferred),
        focus_selection=_text(focus_active.get("focus_selection", ""), empty=True),
        created_ts=created_ts,
        expires_ts=expires if expires >= ABSOLUTE else created_ts + expires,
        expires=expires,
        event_id=_text(event.get("event_id")),
        foreign_focus=_read_focus(preferred[0]) is None if preferred else False,
        extra=_extra(content),
    )


def _is_key_of(sender: str, state_key: str) -> bool:
    """Whether a state key is the sender's; nothing else is ever read out of a key."""
    own = (sender, f"_{sender}")
    return state_key in own or state_key.startswith((*(f"{one}_" for one in own), f'["{sender}"'))


def _extra(content: Mapping[str, Any]) -> Mapping[str, Any]:
    extra = {name: value for name, value in content.items() if name.removeprefix("m.") not in _READ}
    try:
        return extra if len(json.dumps(extra)) <= _MAX_EXTRA else {}
    except RecursionError:  # nobody means to nest like that
        return {}


def _read_array(event: Mapping[str, Any], entries: list[Any]) -> list[Membership]:
    """Read R8; malformed entries are left out one by one, as they are only history."""
    memberships = []
    for entry in entries[:_MAX_ENTRIES]:
        try:
            memberships.append(_read_entry(event, _object(entry)))
        except InvalidMembership:
            continue
    return memberships


def _read_entry(event: Mapping[str, Any], entry: Mapping[str, Any]) -> Membership:
    sender, state_key = _text(event.get("sender")), _text(event.get("state_key"))
    if state_key != sender:
        raise InvalidMembership("the state key belongs to another user")
    created_ts = _created_ts(event, entry)
    if "expires_ts" in entry:
        expires = expires_ts = _milliseconds(entry["expires_ts"])
    else:
        expires = _milliseconds(entry.get("expires"))
        expires_ts = created_ts + expires
    return Membership(
        state_key=state_key,
        user_id=sender,
        device_id=_text(entry.get("device_id")),
        application=_text(entry.get("application")),
        call_id=_text(entry.get("call_id"), empty=True),
        foci=read_foci(entry.get("foci_active")),
        focus_selection="",
        created_ts=created_ts,
        expires_ts=expires_ts,
        expires=expires,
        event_id=_text(event.get("event_id")),
        profile=ARRAY,
    )


def _field(content: Mapping[str, Any], name: str, default: Any = None) -> Any:
    return content.get(name, content.get(f"m.{name}", default))


def _object(value: Any) -> Mapping[str, Any]:
    """Return an object; a missing one is empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidMembership("an object was expected")
    return value


def _text(value: Any, *, empty: bool = False) -> str:
    if not isinstance(value, str) or len(value) > _MAX_ID or not (value or empty):
        raise InvalidMembership("a text is missing or too long")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair
        raise InvalidMembership("a text is not Unicode") from error
    if size > _MAX_ID:
        raise InvalidMembership("a text is missing or too long")
    return value


def _created_ts(event: Mapping[str, Any], content: Mapping[str, Any]) -> int:
    """`created_ts ?? origin_server_ts`: the first event of a membership has none of its own."""
    return _milliseconds(_field(content, "created_ts", event.get("origin_server_ts")))


def _milliseconds(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidMembership("a number was expected")
    if not isfinite(value) or not 0 <= value <= _MAX_MS:
        raise InvalidMembership("a number is out of range")
    return int(value)


def _read_focus(entry: Any) -> Focus | None:
    if not isinstance(entry, Mapping) or entry.get("type") != "livekit":
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
