"""Slots: where the sticky profile's members meet, open or closed (docs/matrixrtc.md, R10).

A slot is a state event whose key is the slot's id, `application#id`. Who may set state may close
it, and its members then count no more. Rooms of before the sticky profile have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from bot.rtc import session

SLOT_TYPES = frozenset({"m.rtc.slot", "org.matrix.msc4143.rtc.slot"})
SLOT_TYPE = "org.matrix.msc4143.rtc.slot"
"""The type that is written."""
MAX_SLOTS = 1_000
"""Slot events kept of one room; more are ignored."""


class Slot(Enum):
    """What a room says of a slot: whether its members can count."""

    OPEN = "open"
    CLOSED = "closed"
    ABSENT = "absent"
    """Nobody has ever said anything of it: some clients count its members, some do not."""


class Slots:
    """The slots of one room."""

    def __init__(self) -> None:
        # By slot and type: the event's id, and whether it opens the slot.
        self._slots: dict[session.Slot, dict[str, tuple[object, bool]]] = {}

    def take(self, kind: str, event: Mapping[str, Any]) -> bool:
        """Take a state event of this type; False when it is one too many."""
        slot = _read_key(event.get("state_key"))
        if slot is None:
            return True  # nobody can be in it
        if slot not in self._slots and len(self._slots) >= MAX_SLOTS:
            return False
        is_open = _is_open(event.get("content"), slot)
        self._slots.setdefault(slot, {})[kind] = event.get("event_id"), is_open
        return True

    def redact(self, event_id: object) -> None:
        """Close what a redacted event has opened."""
        for said in self._slots.values():
            for kind, (its, _) in said.items():
                if its == event_id:
                    said[kind] = its, False

    def state(self, slot: session.Slot) -> Slot:
        """Return whether a slot is open: whichever type says so."""
        said = self._slots.get(slot)
        if said is None:
            return Slot.ABSENT
        return Slot.OPEN if any(is_open for _, is_open in said.values()) else Slot.CLOSED


def _read_key(key: object) -> session.Slot | None:
    if not isinstance(key, str) or key.count("#") != 1:
        return None
    application, _, call_id = key.partition("#")
    return session.Slot(application, call_id)


def _is_open(content: object, slot: session.Slot) -> bool:
    """Whether it is open; the texts before July 2026 had no `status`."""
    if not isinstance(content, Mapping) or content.get("status", "open") != "open":
        return False
    application = content.get("application")
    return isinstance(application, Mapping) and application.get("type") == slot.application
