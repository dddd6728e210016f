"""Stale memberships: an earlier life of ours left them behind, as its dead man was lost."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from bot.errors import ServerError
from bot.roomstate import RoomState
from bot.rtc import legacy, sticky
from bot.rtc.membership import MEMBER_TYPE

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


async def clear(homeserver: Homeserver, state: RoomState, device: str, now_ts: int) -> None:
    """Take out the whiteboard memberships of our own device, of both profiles.

    Called before there is a new one. What cannot be cleared is logged: it expires.
    """
    room_id = state.room_id
    works = [
        homeserver.send_state(room_id, MEMBER_TYPE, key, legacy.LEAVE)
        for key in state.own_keys(device)
    ]
    works += [
        homeserver.send_sticky(
            room_id,
            sticky.STICKY_TYPE,
            sticky.leave_content(
                call_id=one.call_id, device_id=device, member_id=one.member_id, code="leave"
            ),
            sticky.STICKY_MS,
        )
        for one in state.own_stickies(device, now_ts)
    ]
    for work in works:
        try:
            await work
        except ServerError:
            _log.warning("a stale membership could not be cleared", extra={"room": room_id})
