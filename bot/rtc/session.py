"""Who is in which session: computed from memberships, never stored (docs/matrixrtc.md, QS1, QS2).

Equal rooms give equal values, so "did anything change" is a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bot.rtc.membership import ARRAY, STICKY, Membership


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """Where memberships meet: both parts count, as two applications may use the same id."""

    application: str
    call_id: str

    def __str__(self) -> str:
        """Return the slot id of MSC4143."""
        return f"{self.application}#{self.call_id}"


@dataclass(frozen=True, slots=True)
class Session:
    """The live memberships of a slot, oldest first, each device once."""

    slot: Slot
    members: tuple[Membership, ...]


def slot_of(membership: Membership) -> Slot:
    """Return the slot a membership is for."""
    call_id = membership.call_id
    if membership.application == "m.call" and not call_id:
        call_id = "ROOM"  # Element Call's state events spell this slot's id ""
    return Slot(membership.application, call_id)


def live(
    memberships: Iterable[Membership], now_ts: int, joined: Callable[[str], bool]
) -> list[Membership]:
    """Return the memberships that count at an instant, in the order given.

    Args:
        memberships: whatever the room holds.
        now_ts: ms, by the homeserver's clock.
        joined: whether a user is in the Matrix room; the others do not count (MSC4143).
    """
    return [
        membership
        for membership in memberships
        if membership.expires_ts > now_ts
        and membership.profile != ARRAY
        and joined(membership.user_id)
    ]


def sessions(
    memberships: Iterable[Membership], now_ts: int, joined: Callable[[str], bool]
) -> Mapping[Slot, Session]:
    """Return every session of a room, known application or not, by its slot."""
    slots: dict[Slot, dict[tuple[str, str], Membership]] = {}
    for membership in sorted(live(memberships, now_ts, joined), key=_standing):
        devices = slots.setdefault(slot_of(membership), {})
        devices.setdefault((membership.user_id, membership.device_id), membership)
    return {
        slot: Session(slot, tuple(sorted(devices.values(), key=_age)))
        for slot, devices in slots.items()
    }


def next_change(memberships: Iterable[Membership], now_ts: int) -> int | None:
    """Return the instant (ms) at which the next of these memberships expires, if any will."""
    return min(
        (
            membership.expires_ts
            for membership in memberships
            if membership.expires_ts > now_ts and membership.profile != ARRAY
        ),
        default=None,
    )


def _age(membership: Membership) -> tuple[int, str]:
    return membership.created_ts, membership.state_key


def _standing(membership: Membership) -> tuple[bool, int, str]:
    """Sort first which of the claims of one device to one slot stands.

    A sticky one stands before those of the legacy profile, for which a device in both is there as
    well. Of several state keys the older claim stands; of several member ids the newer, as a
    device has a fresh one each time and only failed to end the other.
    """
    is_sticky = membership.profile == STICKY
    created_ts = -membership.created_ts if is_sticky else membership.created_ts
    return not is_sticky, created_ts, membership.state_key
