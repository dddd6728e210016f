"""What a homeserver's answer means: the one place where errors are sorted (STYLE, habit 7).

Pure. mautrix sorts by `errcode` only and throws headers and body away, so a 429 loses its
`Retry-After` and a delayed event its limit; hence our own sorting (docs/matrixrtc.md, 2.5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.errors import (
    AuthLost,
    DelayTooLarge,
    Forbidden,
    NotFound,
    RateLimited,
    ServerError,
    TooManyDelayed,
    Transient,
    Unsupported,
)
from bot.matrix.clock import http_date

LONGEST_HINT = 86_400.0
"""Seconds; a longer wait than a day is not believed."""

_TOKEN_GONE = frozenset(
    {"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED", "M_USER_LOCKED"}
)
_DELAY_TOO_LARGE = frozenset({"ORG.MATRIX.MSC4140_DELAY_TOO_LARGE", "M_MAX_DELAY_EXCEEDED"})
_TOO_MANY = "M_MAX_DELAYED_EVENTS_EXCEEDED"
_ERRCODE = re.compile(r"[A-Za-z0-9_.]{1,64}")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer.

    Attributes:
        status: of HTTP.
        headers: case-insensitive.
        body: the decoded JSON; None when it was none.
    """

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def errcode(self) -> str | None:
        """The Matrix error code; None when this is no Matrix error."""
        return _code(self.body, "errcode")


def decode(raw: bytes) -> Any:
    """Return the JSON value of a body; None when it is none."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def retry_after(reply: Reply, now: float) -> float | None:
    """Return the seconds that the server asks to wait; None when it does not say so readably.

    The header (seconds, or a date to compare with `now`) wins over `retry_after_ms`, which is
    older and which Synapse keeps for old clients.

    Args:
        reply: a 429.
        now: seconds since 1970, by the server's clock.
    """
    header = reply.headers.get("Retry-After")
    if header is not None:
        return _header_seconds(header.strip(), now)
    return exact_wait(reply)


def exact_wait(reply: Reply) -> float | None:
    """Return the seconds to wait as the body of a 429 says them; None when it does not."""
    ms = reply.body.get("retry_after_ms") if isinstance(reply.body, dict) else None
    if isinstance(ms, bool) or not isinstance(ms, int | float):
        return None
    # In this order: NaN becomes the longest hint, and integers beyond any float are capped first.
    return max(min(LONGEST_HINT * 1000, ms), 0) / 1000


def failure(what: str, reply: Reply, now: float) -> ServerError:
    """Return the error that an unsuccessful answer stands for.

    Args:
        what: what was asked for, in words for people; nothing secret.
        reply: not a 2xx, or one whose body is not JSON.
        now: seconds since 1970, by the server's clock.
    """
    code = reply.errcode
    text = f"{what}: the homeserver answered {reply.status}{f' {code}' if code else ''}"
    if _is_count_limit(reply):
        return TooManyDelayed(text)
    if reply.status == 429 or code == "M_LIMIT_EXCEEDED":
        return RateLimited(text, retry_after(reply, now), exact_wait(reply))
    if code is None:
        return _foreign(text, reply.status)
    if code in _TOKEN_GONE:
        return AuthLost(text)
    if code in _DELAY_TOO_LARGE or _msc4140_code(reply) in _DELAY_TOO_LARGE:
        return DelayTooLarge(text, _max_delay(reply))
    return _by_status(text, code, reply)


def _by_status(text: str, code: str, reply: Reply) -> ServerError:
    if code == "M_UNRECOGNIZED":
        return Unsupported(text)
    if 500 <= reply.status < 600 or reply.status == 408:
        return Transient(text)
    # 409: the delayed event was sent or cancelled already (MSC4140); nothing else answers so.
    if reply.status in (404, 409):
        return NotFound(text)
    if reply.status == 403:
        # Synapse with `max_event_delay_duration` unset; there is no error code of its own.
        off = "delayed events has been disallowed" in _said(reply)
        return Unsupported(text) if off else Forbidden(text)
    return ServerError(text)


def _foreign(text: str, status: int) -> ServerError:
    """Sort an answer that no homeserver gives: a proxy's, while what is behind it is away.

    A 2xx that is not JSON is one too. A bare 404 must not pass for "this delayed event has
    fired", nor a bare 403 for a power level.
    """
    if status == 413:
        return ServerError(f"{text} (a proxy's limit on request sizes)")
    return Transient(f"{text} and nothing of Matrix: something in between answered")


def _is_count_limit(reply: Reply) -> bool:
    """Whether there are too many delayed events: hours to wait, unlike too many requests.

    Synapse answers both with 429 M_LIMIT_EXCEEDED; only the text tells them apart.
    """
    return _msc4140_code(reply) == _TOO_MANY or "maximum number of delayed events" in _said(reply)


def _said(reply: Reply) -> str:
    text = reply.body.get("error") if isinstance(reply.body, dict) else None
    return text if isinstance(text, str) else ""


def _msc4140_code(reply: Reply) -> str | None:
    return _code(reply.body, "org.matrix.msc4140.errcode")


def _max_delay(reply: Reply) -> int | None:
    limit = reply.body.get("org.matrix.msc4140.max_delay")
    return limit if isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0 else None


def _code(body: Any, key: str) -> str | None:
    """Read an error code; only what looks like one may stand in a log."""
    code = body.get(key) if isinstance(body, dict) else None
    return code if isinstance(code, str) and _ERRCODE.fullmatch(code) else None


def _header_seconds(header: str, now: float) -> float | None:
    if header.isascii() and header.isdigit():
        return min(float(header[:12]), LONGEST_HINT)
    at = http_date(header)
    return None if at is None else min(max(at - now, 0.0), LONGEST_HINT)
