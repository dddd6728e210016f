"""What only an examination asks of a homeserver; every call is one bounded try."""

from __future__ import annotations

from typing import Any

from mautrix.api import Method, Path

from bot.errors import Transient
from bot.matrix.client import Homeserver


async def versions(homeserver: Homeserver, seconds: float) -> dict[str, Any]:
    """Return what the homeserver says of itself to anybody."""
    return await homeserver.transport.ask("versions", Method.GET, Path.versions, seconds=seconds)


async def transports(homeserver: Homeserver, seconds: float) -> dict[str, Any]:
    """Return the LiveKit services by the homeserver's own word (MSC4143)."""
    path = Path.unstable["org.matrix.msc4143"].rtc.transports
    return await homeserver.transport.ask("transports", Method.GET, path, seconds=seconds)


async def joined_rooms(homeserver: Homeserver, seconds: float) -> list[str]:
    """Return the ids of the rooms we are in."""
    reply = await homeserver.transport.ask(
        "joined rooms", Method.GET, Path.v3.joined_rooms, seconds=seconds
    )
    rooms = reply.get("joined_rooms")
    if not isinstance(rooms, list):
        raise Transient("joined rooms: the answer holds no list")
    return [room for room in rooms if isinstance(room, str)]


async def log_out(homeserver: Homeserver, seconds: float) -> None:
    """End our device."""
    await homeserver.transport.ask("logout", Method.POST, Path.v3.logout, body={}, seconds=seconds)
