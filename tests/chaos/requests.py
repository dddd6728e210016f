"""What an account asks of the homeserver, counted in the homeserver's own log."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from pathlib import Path

_LINE = re.compile(
    r"^(\S+ \S+),\d+ INFO synapse\.access.*\{(@[^}]+)\} Processed request: .*? (\d{3})!?"
    r' "([A-Z]+) ([^ ?"]+)'
)
_KINDS = (
    ("restart", re.compile(r"/delayed_events/[^/]+(/restart)?$")),
    ("send or cancel", re.compile(r"/delayed_events/[^/]+/(send|cancel)$")),
    ("list delayed events", re.compile(r"/delayed_events$")),
    ("sync", re.compile(r"/sync$")),
    ("state", re.compile(r"/rooms/[^/]+/state")),
    ("message", re.compile(r"/rooms/[^/]+/send/")),
    ("openid token", re.compile(r"/openid/request_token$")),
)


def requests(log: Path, user_id: str, begun: float, ended: float) -> Counter[str]:
    """Count a user's requests in a time by kind, those refused as one too many apart.

    Args:
        log: Synapse's.
        user_id: whose.
        begun, ended: seconds since 1970.
    """
    found: Counter[str] = Counter()
    with log.open(errors="replace") as lines:
        for line in lines:
            match = _LINE.match(line)
            if match is None or match[2] != user_id:
                continue
            if begun <= datetime.fromisoformat(match[1]).timestamp() <= ended:
                found["refused" if match[3] == "429" else _kind(match[5])] += 1
    return found


def _kind(path: str) -> str:
    return next((name for name, pattern in _KINDS if pattern.search(path)), "other")
