"""Who is on a board and where they meet, read as NeoBoard reads it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.stack.client.events import BOARD, stringify

LIVEKIT_TYPES = ("livekit", "m.livekit")
"""How a transport's type is spelled: newer texts have the prefix."""

_FOCI_KEY = "org.matrix.msc4143.rtc_foci"


@dataclass(frozen=True, slots=True)
class Member:
    """A membership that NeoBoard takes seriously.

    Attributes:
        focus_urls: the preferred foci, as addresses of their JWT services; in the sticky profile
            those on which the member publishes.
        expires: absolute, ms.
        member_id: of a sticky membership, which has no state key.
    """

    user_id: str
    device_id: str
    state_key: str
    call_id: str
    expires: int
    focus_urls: tuple[str, ...]
    member_id: str = ""

    @property
    def identity(self) -> str:
        """The name on LiveKit."""
        if self.member_id:
            return pseudonym(self.user_id, self.device_id, self.member_id)
        return f"{self.user_id}:{self.device_id}"


def read_member(event: Mapping[str, Any]) -> Member | None:
    """Reads a membership; None when a field is missing or of another type, or it is a leave."""
    content = event["content"]
    focus = content.get("focus_active")
    foci = content.get("foci_preferred")
    expires = content.get("expires")
    good = (
        content.get("application") == BOARD
        and all(isinstance(content.get(key), str) for key in ("call_id", "device_id", "scope"))
        and isinstance(expires, int)
        and isinstance(focus, dict)
        and focus.get("type") == "livekit"
        and focus.get("focus_selection") == "oldest_membership"
        and isinstance(foci, list)
    )
    if not good:
        return None
    return Member(
        user_id=event["sender"],
        device_id=content["device_id"],
        state_key=event["state_key"],
        call_id=content["call_id"],
        expires=content["expires"],
        focus_urls=tuple(_focus_urls(foci)),
    )


def present(events: Iterable[Mapping[str, Any]], now_ts: int) -> list[Member]:
    """The members of these events that have not expired."""
    members = [read_member(event) for event in events]
    return [member for member in members if member is not None and member.expires > now_ts]


def choose_focus(members: Sequence[Member], own_key: str, own_urls: Sequence[str]) -> str | None:
    """Where to meet: at the oldest membership's focus, else at that of the own homeserver.

    The oldest is the one that expires first, whichever board of the room it is on.
    """
    oldest = min(members, key=lambda member: member.expires, default=None)
    if oldest is not None and oldest.state_key != own_key and oldest.focus_urls:
        return oldest.focus_urls[0]
    return own_urls[0] if own_urls else None


def read_well_known(document: object) -> list[str]:
    """The own homeserver's foci."""
    return _focus_urls(document.get(_FOCI_KEY)) if isinstance(document, dict) else []


def read_identity(identity: str) -> tuple[str, str] | None:
    """User and device of a LiveKit identity; None when NeoBoard finds no user in it."""
    user_id, _, device_id = identity.rpartition(":")
    if not user_id.startswith("@") or ":" not in user_id:
        return None
    return user_id, device_id


def pseudonym(user_id: str, device_id: str, member_id: str) -> str:
    """The LiveKit identity of a sticky member: unpadded base64 of a SHA-256 of its three names."""
    text = stringify([user_id, device_id, member_id])
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def service_urls(transports: object) -> list[str]:
    """The LiveKit transports of a list, by the addresses of their JWT services."""
    return _addresses(transports, LIVEKIT_TYPES)


def _focus_urls(foci: object) -> list[str]:
    return _addresses(foci, LIVEKIT_TYPES[:1])


def _addresses(foci: object, types: Sequence[str]) -> list[str]:
    if not isinstance(foci, list):
        return []
    return [
        focus["livekit_service_url"]
        for focus in foci
        if isinstance(focus, dict)
        and focus.get("type") in types
        and isinstance(focus.get("livekit_service_url"), str)
    ]
