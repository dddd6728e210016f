"""Whether others may well have a state that we refuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.errors import InvalidUpdate
from bot.whiteboard.breath import take_breath
from bot.whiteboard.content import latest
from bot.whiteboard.replica import Replica
from bot.whiteboard.schema import check_element, may_be_newer
from bot.whiteboard.update import read_update


def is_beyond(data: bytes, version: str) -> bool:
    """Return whether a state has elements that a newer NeoBoard may show, or is too much for us.

    Args:
        data: as read before.
        version: the document's.
    """
    replica = Replica(version)
    try:
        replica.integrate(read_update(data))
    except InvalidUpdate:
        return True  # too much for us alone
    return any(
        check_element(one) is not None and may_be_newer(one)
        for slide in _within(latest(replica.root, "slides"))
        for one in _within(_within_key(slide, "elements"))
    )


def _within(value: Any) -> Iterator[Any]:
    take_breath()
    yield from value.values() if isinstance(value, dict) else ()


def _within_key(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None
