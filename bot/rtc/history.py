"""What is kept of a room's past for the history of its sessions: only what an archive can hold.

Four kinds of rows, each in the room's order:

    a membership event     its state key, and of the content what `membership` reads but foci
    a sticky one           the "state key" is its sticky key; the content says also how long it is
    `m.room.member`        only that somebody has left or was banned; the state key is who
    `m.room.redaction`     the "state key" is the event that was redacted

Kept are single fields and never whole objects, which may hold anything: a flood of them would have
to be looked through whenever somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from bot.rtc.fields import MAX_ID
from bot.rtc.membership import MAX_ENTRIES, MEMBER_TYPES
from bot.rtc.stickyevent import STICKY_TYPE, is_sticky

MAX_TS = 2**53 - 1
"""The largest time that all parsers of JSON read alike; SQLite fails beyond 2^63."""

PERSON_TYPE = "m.room.member"
REDACTION_TYPE = "m.room.redaction"

_ENTRY = frozenset(
    {"application", "call_id", "created_ts", "device_id", "expires", "expires_ts"}
)  # of an R8 array


def _both(*names: str) -> frozenset[str]:
    return frozenset({*names, *(f"m.{name}" for name in names)})


_KEPT = _both("application", "call_id", "created_ts", "device_id", "expires")
_KEPT_IN = {
    **dict.fromkeys(_both("member"), _both("device_id", "user_id")),
    **dict.fromkeys(_both("session"), _both("application", "id")),
}
_ARRAY = _both("memberships")

_KEPT_STICKY = frozenset({"disconnect_reason", "msc4354_sticky_key", "slot_id", "sticky_key"})
_KEPT_IN_STICKY = {
    "application": frozenset({"type"}),
    "member": frozenset(
        {
            "claimed_device_id",
            "claimed_user_id",
            "device_id",
            "id",
            "membership",
            "user_id",
        }
    ),
}


class Row(NamedTuple):
    """Something that happened.

    Attributes:
        type: the event's type; of sticky events always the same, whatever name it was sent under.
        state_key: see above.
        event_id: the event's.
        sender: Matrix user id.
        ts: when it was sent, ms since 1970, by its sender's server.
        content: what is kept of it.
    """

    type: str
    state_key: str
    event_id: str
    sender: str
    ts: int
    content: Any


class Pause(NamedTuple):
    """A time in which nothing was recorded: what happened then is not kept later either.

    Attributes:
        from_ts: ms since 1970.
        until_ts: likewise; None while it lasts.
    """

    from_ts: int
    until_ts: int | None


def read_rows(event: Mapping[str, Any]) -> list[Row]:
    """Return what is to be kept of an event, and of its redaction if it says that it has one.

    Nothing when it is of no kind that matters, or one that no archive takes: in old room versions
    events may hold numbers of any size, and texts that are not Unicode.
    """
    row = _read(event)
    if row is None or row.type == REDACTION_TYPE:
        return [] if row is None else [row]
    unsigned = event.get("unsigned")
    because = unsigned.get("redacted_because") if isinstance(unsigned, Mapping) else None
    redaction = None
    if isinstance(because, Mapping):
        redaction = _read({**because, "type": REDACTION_TYPE, "redacts": row.event_id})
    return [row] if redaction is None else [row, redaction]


def _read(event: Mapping[str, Any]) -> Row | None:
    match event:
        case {
            "type": str(named),
            "event_id": str(event_id),
            "sender": str(sender),
            "origin_server_ts": int(ts),
            "content": content,
        } if 0 <= ts <= MAX_TS:
            kind = STICKY_TYPE if is_sticky(event) else named
            kept = _kept(kind, event, content)
        case _:
            return None
    if kept is None or not _is_unicode(kept[0] + event_id + sender):
        return None
    return Row(kind, kept[0], event_id, sender, ts, kept[1])


def _kept(kind: str, event: Mapping[str, Any], content: Any) -> tuple[str, Any] | None:
    """Return the state key and what is kept of the content."""
    held = content if isinstance(content, Mapping) else {}
    key = event.get("state_key")
    if kind == REDACTION_TYPE:
        target = event.get("redacts", held.get("redacts"))  # at the top before room version 11
        return (target, {}) if isinstance(target, str) else None
    if is_sticky(event):
        return _kept_sticky(event, held)
    if not isinstance(key, str):
        return None
    if kind == PERSON_TYPE:
        out = held.get("membership") in ("leave", "ban")
        return (key, {"membership": held["membership"]}) if out else None
    if kind in MEMBER_TYPES:
        kept = _fields(held, _KEPT, _KEPT_IN)
        return key, kept | {name: _entries(held[name]) for name in _ARRAY & held.keys()}
    return None


def _kept_sticky(event: Mapping[str, Any], held: Mapping[str, Any]) -> tuple[str, Any] | None:
    """Return a sticky event's key and what is kept of it; of a redacted one nothing is left."""
    if not held:
        return "", {}
    sticky = event.get("sticky", event.get("msc4354_sticky"))
    duration_ms = sticky.get("duration_ms") if isinstance(sticky, Mapping) else None
    key = held.get("sticky_key", held.get("msc4354_sticky_key"))
    match duration_ms, key:
        case int(), str() if len(key) <= MAX_ID:
            kept = _fields(held, _KEPT_STICKY, _KEPT_IN_STICKY)
            return key, {**kept, "msc4354_sticky": {"duration_ms": duration_ms}}
    return None


def _fields(
    held: Mapping[str, Any],
    names: frozenset[str],
    inside: Mapping[str, frozenset[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return of an object the fields that are read, and of those within it likewise."""
    kept = {name: _leaf(value) for name, value in held.items() if name in names or name in inside}
    for name, wanted in inside.items():
        value = held.get(name)
        if isinstance(value, Mapping):
            kept[name] = _fields(value, wanted)
    return kept


def _entries(value: Any) -> Any:
    """Return what is kept of an R8 array."""
    if not isinstance(value, list):
        return _leaf(value)
    return [_fields(one, _ENTRY) for one in value[:MAX_ENTRIES] if isinstance(one, Mapping)]


def _leaf(value: Any) -> Any:
    """Return a value so short that everybody may keep it, and as wrong as it was."""
    match value:
        case str():
            return value[: MAX_ID + 1]
        case Mapping():
            return {}
        case list():
            return []
    return value


def is_kept(row: Row, pauses: Iterable[Pause]) -> bool:
    """Return whether something happened while it was recorded."""
    return not any(
        one.from_ts <= row.ts and (one.until_ts is None or row.ts < one.until_ts) for one in pauses
    )


def _is_unicode(text: str) -> bool:
    """Return whether a text can be encoded; JSON can spell half a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
