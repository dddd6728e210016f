"""Stale memberships: those of ours that nothing of ours is about.

An earlier life left them behind, as its dead man was lost; or the room did not let us take them
out, and lets us again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Protocol

from bot.errors import ServerError
from bot.roomstate import RoomState
from bot.rtc import legacy, sticky
from bot.rtc.membership import MEMBER_TYPE, Membership

_log = logging.getLogger(__name__)


class Homeserver(Protocol):
    """The calls needed here."""

    async def send_state(
        self, room_id: str, event_type: str, state_key: str, content: Mapping[str, Any]
    ) -> str:
        """Set a state event."""

    async def send_sticky(
        self, room_id: str, event_type: str, content: Mapping[str, Any], duration_ms: int
    ) -> str:
        """Send an event that sticks to the room for a while."""


async def clear(
    homeserver: Homeserver, state: RoomState, device: str, ghosts: Iterable[Membership]
) -> None:
    """Take out the whiteboard memberships of our own device, of both profiles.

    Called before there is a new one. What cannot be cleared is logged: it expires.
    """
    room_id = state.room_id
    for key in state.own_keys(device):
        await _try(room_id, homeserver.send_state(room_id, MEMBER_TYPE, key, legacy.LEAVE))
    await take_out(homeserver, room_id, ghosts)


async def take_out(homeserver: Homeserver, room_id: str, ghosts: Iterable[Membership]) -> None:
    """Take out these sticky memberships of ours; what cannot be taken out is logged."""
    for one in ghosts:
        content = sticky.leave_content(
            call_id=one.call_id, device_id=one.device_id, member_id=one.member_id, code="leave"
        )
        sent = homeserver.send_sticky(room_id, sticky.STICKY_TYPE, content, sticky.STICKY_MS)
        await _try(room_id, sent)


async def _try(room_id: str, work: Awaitable[str]) -> None:
    try:
        await work
    except ServerError:
        _log.warning("a stale membership could not be cleared", extra={"room": room_id})
