"""What a room's power levels say of saving boards: what is refused us, who may mend it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE


class State(Protocol):
    """What the room says."""

    own_user: str
    power_levels: Mapping[str, Any]

    def power(self, user: str) -> int:
        """Return a user's power."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a room does not take our snapshots.

    Attributes:
        user: we.
        needed: the power level of each event type that is refused.
        own: ours.
        mends: the power level from which on one may change that.
    """

    user: str
    needed: Mapping[str, int]
    own: int
    mends: int


def own_refusal(state: State) -> Refusal | None:
    """Return why a room does not take our snapshots, as far as power goes; None: it does."""
    levels, own = state.power_levels, state.power(state.own_user)
    kinds = {
        kind: level_needed(levels, kind, "events_default", 0)
        for kind in (SNAPSHOT_TYPE, CHUNK_TYPE)
    }
    needed = {kind: level for kind, level in kinds.items() if own < level}
    if not needed:
        return None
    return Refusal(
        state.own_user,
        needed,
        own,
        level_needed(levels, "m.room.power_levels", "state_default", 50),
    )


def level_needed(levels: Mapping[str, Any], kind: str, otherwise: str, default: int) -> int:
    """Return the power that sending events of a type needs.

    Args:
        levels: content of `m.room.power_levels`.
        kind: the event type.
        otherwise: what holds for types that are not named: `events_default` or `state_default`.
        default: where that is not said either.
    """
    events = levels.get("events")
    level = events.get(kind) if isinstance(events, Mapping) else None
    if not isinstance(level, int):
        level = levels.get(otherwise, default)
    return level if isinstance(level, int) else default
