"""The data channel: one LiveKit connection of one simulated user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from livekit import rtc
from livekit.rtc.participant import PublishDataError

from tests.stack.client.matrix import MatrixUser

_SEND_WITHIN = 5.0

Heard = tuple[str | None, bytes, bool]
"""Identity of the sender (None: not announced yet), payload, whether it was sent reliably."""


class Channel:
    """One LiveKit room joined on one focus.

    Args:
        on_lost: told when the connection is gone for good and we did not end it.
    """

    def __init__(self, on_lost: Callable[[], None]) -> None:
        # Not a callback: the SDK swallows what a callback raises.
        self.inbox: asyncio.Queue[Heard | None] = asyncio.Queue()
        self._on_lost = on_lost
        self._room = rtc.Room()
        self._room.on("data_received", self._received)
        self._room.on("disconnected", self._disconnected)
        self._closing = False

    @property
    def connected(self) -> bool:
        """Whether packets pass."""
        return self._room.isconnected()

    @property
    def others(self) -> set[str]:
        """Identities that have been announced to us: we hear only these."""
        return set(self._room.remote_participants)

    async def connect(
        self, user: MatrixUser, service_url: str, room_id: str, seat: tuple[str, str] | None = None
    ) -> None:
        """Proves to the JWT service who we are and joins the LiveKit room it names.

        Args:
            user: we.
            service_url: the JWT service.
            room_id: the Matrix room.
            seat: in the sticky profile, slot id and our member id.

        Raises:
            MatrixError, OSError: no token.
            ConnectionError: LiveKit does not let us in.
        """
        token = await user.openid_token()
        if seat is None:
            endpoint = "sfu/get"
            body = {"room": room_id, "openid_token": token, "device_id": user.device_id}
        else:
            endpoint = "get_token"
            member = {
                "id": seat[1],
                "claimed_user_id": user.user_id,
                "claimed_device_id": user.device_id,
            }
            body = {
                "room_id": room_id,
                "slot_id": seat[0],
                "openid_token": token,
                "member": member,
            }
        answer = await user.fetch("POST", f"{service_url.rstrip('/')}/{endpoint}", body)
        if not {"url", "jwt"} <= answer.keys():
            raise ConnectionError("The JWT service gave no token.")
        # A cancelled connect() leaves the SDK with a room that nobody owns.
        joining = asyncio.ensure_future(self._room.connect(answer["url"], answer["jwt"]))
        try:
            await asyncio.shield(joining)
        except rtc.ConnectError as error:
            raise ConnectionError(str(error)) from error
        except asyncio.CancelledError:
            await asyncio.gather(joining, return_exceptions=True)
            await self.close()
            raise

    async def announce(self) -> None:
        """Makes others hear us at once, which real clients do not do."""
        await self._room.local_participant.set_attributes({"announced": "1"})

    async def send(self, payload: bytes, *, reliable: bool = False, topic: str = "") -> bool:
        """Sends a packet; returns whether it went out."""
        if not self.connected:
            return False
        try:
            async with asyncio.timeout(_SEND_WITHIN):
                participant = self._room.local_participant
                await participant.publish_data(payload, reliable=reliable, topic=topic)
        except (PublishDataError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        """Leaves the LiveKit room; a None ends the inbox."""
        self._closing = True
        self.inbox.put_nowait(None)
        await self._room.disconnect()

    def _received(self, packet: rtc.DataPacket) -> None:
        sender = packet.participant.identity if packet.participant else None
        reliable = packet.kind == rtc.DataPacketKind.KIND_RELIABLE
        self.inbox.put_nowait((sender, packet.data, reliable))

    def _disconnected(self, _reason: Any) -> None:
        if not self._closing:
            self._on_lost()
