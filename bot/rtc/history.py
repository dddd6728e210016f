"""What is kept of membership events in the archive: only what it can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_TS = 2**53 - 1
"""The largest time that all parsers of JSON read alike; SQLite fails beyond 2^63."""

Row = tuple[str, str, str, int, Any]


def read_row(event: Mapping[str, Any]) -> Row | None:
    """Return state key, event id, sender, time (ms) and content of a membership event.

    None when it is no such event, or one that no archive takes: in old room versions events may
    hold numbers of any size, and texts that are not Unicode.
    """
    match event:
        case {
            "type": "org.matrix.msc3401.call.member",
            "state_key": str(key),
            "event_id": str(event_id),
            "sender": str(sender),
            "origin_server_ts": int(ts),
            "content": content,
        } if 0 <= ts <= MAX_TS and _is_unicode(key + event_id + sender):
            return key, event_id, sender, ts, content
    return None


def _is_unicode(text: str) -> bool:
    """Return whether a text can be encoded; JSON can spell half a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
