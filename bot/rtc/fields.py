"""The parts of a membership in hostile JSON: bounded, or InvalidMembership is raised."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from bot.errors import InvalidMembership

MAX_ID = 255
"""Bytes of a text: Matrix bounds user ids, event ids and state keys so."""
_MAX_MS = 2**53  # canonical JSON has no larger integers


def object_of(value: Any) -> Mapping[str, Any]:
    """Return an object; a missing one is empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidMembership("an object was expected")
    return value


def text(value: Any, *, empty: bool = False) -> str:
    """Return a text that can be encoded, of 255 bytes at the most."""
    if not isinstance(value, str) or len(value) > MAX_ID or not (value or empty):
        raise InvalidMembership("a text is missing or too long")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair
        raise InvalidMembership("a text is not Unicode") from error
    if size > MAX_ID:
        raise InvalidMembership("a text is missing or too long")
    return value


def milliseconds(value: Any) -> int:
    """Return an instant or a span, cut to whole ms."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidMembership("a number was expected")
    if not isfinite(value) or not 0 <= value <= _MAX_MS:
        raise InvalidMembership("a number is out of range")
    return int(value)
