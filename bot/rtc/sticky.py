"""The sticky profile's names (docs/matrixrtc.md, 1.4 and 4.3)."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seat:
    """What names a membership of ours in a slot.

    Attributes:
        slot_id: the slot, `application#id`.
        member_id: fresh for every join; once we have left it is spent.
    """

    slot_id: str
    member_id: str


def pseudonym(user_id: str, device_id: str, member_id: str) -> str:
    """Return the LiveKit identity of a member, as `/get_token` gives it."""
    text = json.dumps([user_id, device_id, member_id], separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
