"""How durable handlers are doing, for the operator (`boardkeeper handlers status`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from bot.handlers.breaker import Breaker
from bot.handlers.calling import breakers_now


class Waiting(Protocol):
    """A board of which a handler has not been given everything."""

    @property
    def board_id(self) -> int:
        """The archive's number of it."""

    @property
    def entries(self) -> int:
        """How many wait."""

    @property
    def oldest_ts(self) -> int | None:
        """When the first of them happened, ms."""


class Lane(Protocol):
    """A durable lane."""

    failures: int
    last_error: str
    last_error_ts: int | None

    @property
    def breaker(self) -> Breaker:
        """Opens when the handler fails."""

    @property
    def waiting(self) -> bool:
        """Whether something failed and is tried again later, or just now."""


def behind(backlog: Collection[Waiting], dead: int) -> dict[str, Any]:
    """Return what the archive knows of a durable handler.

    Args:
        backlog: the boards of which it has not been given everything.
        dead: how many dead letters it has.
    """
    oldest = [one.oldest_ts for one in backlog if one.oldest_ts is not None]
    return {
        "durable": True,
        "behind": sum(one.entries for one in backlog),
        "boards_behind": len(backlog),
        "oldest_ts": min(oldest, default=None),
        "dead": dead,
    }


def durable_now(
    live: Mapping[str, Any], lanes: Sequence[Lane], backlog: Collection[Waiting], dead: int
) -> dict[str, Any]:
    """Return how a running durable handler is doing.

    Args:
        live: its live lanes (`Lanes.status`).
        lanes: its durable ones.
        backlog: the boards of which it has not been given everything.
        dead: how many dead letters it has.
    """
    waiting = [lane for lane in lanes if lane.waiting]
    failed = [lane for lane in lanes if lane.last_error_ts is not None]
    last = max(waiting or failed, default=None, key=lambda lane: lane.last_error_ts or 0)
    own: dict[str, Any] = {
        **behind(backlog, dead),
        "failures": sum(lane.failures for lane in lanes) + live.get("failures", 0),
        "waiting": len(waiting),
    }
    if last is not None and (last.last_error_ts or 0) >= (live.get("last_error_ts") or 0):
        own |= {"last_error": last.last_error, "last_error_ts": last.last_error_ts}
    if live.get("state", "closed") == "closed":  # else what pauses there is what there is to see
        own |= breakers_now(lane.breaker for lane in lanes)
    return {"last_error": "", "last_error_ts": None, **live, **own}
