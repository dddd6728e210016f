"""Two participants of the doctor's own that meet in LiveKit: does the one hear the other."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from bot.doctor.finding import Finding, broken, ok, warning
from bot.errors import ServerError
from bot.livekit import native
from bot.livekit.auth import Grant
from bot.livekit.inbox import Packet

HEARD_WITHIN = 6.0
CONNECT_WITHIN = 5.0
_AGAIN = 0.25

Admit = Callable[[], Awaitable[Grant]]
"""Gets leave for one participant, another one each time, always into the same LiveKit room."""


async def tried(subject: str, service: str, admit: Admit, *, own_key: bool = False) -> Finding:
    """Say whether two participants hear each other.

    Args:
        subject: of the finding.
        service: the address it is about, for people.
        admit: lets them in.
        own_key: whether their tokens are made with an API key of the configuration.
    """
    try:
        took = await _between_two(admit)
    except TimeoutError:
        text = f"{service}: no connection within {CONNECT_WITHIN:g} s"
        return broken(subject, text, "LiveKit's ports: 7881/tcp, 7882/udp (rtc: in livekit.yaml)")
    except ServerError as error:
        return _failed(subject, service, str(error), own_key=own_key)
    if took is None:
        text = f"{service}: connected, but no packet arrived within {HEARD_WITHIN:g} s"
        return broken(subject, text, "rtc.use_external_ip and the UDP ports in livekit.yaml")
    return ok(subject, f"{service}: connected and audible after {took:.1f} s")


def _failed(subject: str, service: str, why: str, *, own_key: bool) -> Finding:
    text = f"{service}: {why}"
    if "did not accept the token" in why:
        advice = (
            "livekit.api_key and livekit.api_secret: as under keys: in livekit.yaml"
            if own_key
            else "LIVEKIT_KEY and LIVEKIT_SECRET of the JWT service: as keys: in livekit.yaml"
        )
        return broken(subject, text, advice)
    if "does not exist" in why:
        # So it is for guests of another organisation's LiveKit.
        advice = "LIVEKIT_FULL_ACCESS_HOMESERVERS of the JWT service must name our homeserver"
        return warning(subject, text, advice)
    return broken(subject, text, "LIVEKIT_URL of the JWT service, or livekit.url; is LiveKit up?")


async def _between_two(admit: Admit) -> float | None:
    """Send a packet from one to the other; return how long it took to be heard, None if never."""
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()
    word = secrets.token_bytes(16)
    begun = loop.time()

    def receive(packet: Packet) -> None:
        if packet.data == word:
            loop.call_soon_threadsafe(arrived.set)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_joined(await admit(), receive))
        speaker = await stack.enter_async_context(_joined(await admit(), lambda _packet: None))
        connected = loop.time()
        # The first ones may be lost while the other side gets ready.
        while loop.time() - connected < HEARD_WITHIN:
            await speaker.publish(word, reliable=True, to=())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(arrived.wait(), _AGAIN)
                return loop.time() - begun
    return None


@asynccontextmanager
async def _joined(
    grant: Grant, receive: Callable[[Packet], None]
) -> AsyncIterator[native.NativeRoom]:
    async with asyncio.timeout(CONNECT_WITHIN):
        room = await native.join(grant, receive, lambda _identity, _here: None)
    try:
        if grant.may_announce:
            await room.announce({"boardkeeper": "doctor"})
        yield room
    finally:
        await room.leave()
