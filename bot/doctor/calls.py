"""LiveKit: who names it, who lets us in, and whether packets arrive.

Two connections with identities of the doctor's own meet in a LiveKit room of its own: nobody on a
board notices, and a running bot keeps its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from bot.doctor.finding import Finding, broken, ok, warning
from bot.doctor.patient import Patient, throw_away_device
from bot.errors import NotFound, RateLimited, ServerError, Transient, Unsupported
from bot.livekit import lean, native
from bot.livekit.auth import Grant, api_key_grant, sfu_get
from bot.livekit.inbox import Packet
from bot.matrix.survey import transports
from bot.rtc.focus import read_transports, read_well_known

FOCI = "LiveKit services"
TOKEN = "JWT service"  # noqa: S105 - no token, a heading
AUDIBLE = "LiveKit"

AUDIBLE_WITHIN = 20.0
"""Seconds for all services; connecting takes a second or two, being heard up to 4 more."""
MOST = 3
"""Services that are tried."""
HEARD_WITHIN = 6.0
CONNECT_WITHIN = 5.0
_AGAIN = 0.25

_WELL_KNOWN_ADVICE = (
    '"org.matrix.msc4143.rtc_foci": [{"type": "livekit", "livekit_service_url":'
    ' "https://…/livekit/jwt"}] in it'
)


async def foci(patient: Patient) -> AsyncIterator[Finding]:
    """See who names LiveKit services."""
    config = patient.config
    url = config.homeserver.well_known_url
    try:
        document = await patient.homeserver.well_known_foci(config.homeserver.well_known)
    except ServerError as error:
        text = f"{url} cannot be read: {error}"
        yield warning(FOCI, text, "homeserver.well_known, or the web server behind it")
    else:
        for focus in read_well_known(document):
            patient.foci.setdefault(focus.service_url, "well-known")
        if document is None:
            yield warning(FOCI, f"there is no {url}", f"serve it, with {_WELL_KNOWN_ADVICE}")
        elif not patient.foci:
            yield warning(FOCI, f"{url} names none", _WELL_KNOWN_ADVICE)
    with contextlib.suppress(Unsupported, NotFound, Transient):
        for focus in read_transports(await transports(patient.homeserver, 2.0)):
            patient.foci.setdefault(focus.service_url, "homeserver")
    for service in config.rtc.foci:
        patient.foci.setdefault(service, "rtc.foci")
    if patient.foci:
        named = ", ".join(f"{service} ({by})" for service, by in patient.foci.items())
        yield ok(FOCI, named)
    else:
        text = "nobody names one: the bot joins only boards whose people name theirs"
        yield broken(FOCI, text, "the well-known file, or rtc.foci in the configuration")


async def token(patient: Patient) -> AsyncIterator[Finding]:
    """See whether the JWT services give us tokens."""
    if patient.config.livekit.auth == "api_key":
        yield ok(TOKEN, "not used: livekit.auth is api_key")
        return
    for service in list(patient.foci)[:MOST]:
        try:
            grant = await _grant(patient, service, _room(patient))
        except ServerError as error:
            yield _refused(service, error)
            continue
        patient.sfu.add(grant.url)
        patient.let_in.append(service)
        if grant.may_announce:
            yield ok(TOKEN, f"{service} gives tokens for {grant.url}")
        else:
            text = f"{service} gives tokens without canUpdateOwnMetadata: heard 4 s late"
            yield warning(TOKEN, text, "LIVEKIT_CAN_UPDATE_OWN_METADATA=true of lk-jwt-service")


def _refused(service: str, error: ServerError) -> Finding:
    text = f"{service}: {error}"
    if isinstance(error, RateLimited):
        return warning(TOKEN, text, "try again later")
    if isinstance(error, NotFound):
        return broken(TOKEN, text, "livekit_service_url in the well-known file")
    if "OpenID" in text:
        advice = "the JWT service has to reach the homeserver's federation API (openid/userinfo)"
        return broken(TOKEN, text, advice)
    return broken(TOKEN, text, "the log of the JWT service says why")


async def audible(patient: Patient) -> AsyncIterator[Finding]:
    """See whether a packet gets from one of us to the other."""
    lean.apply()
    livekit = patient.config.livekit
    services = patient.let_in if livekit.auth == "sfu_get" else [livekit.url or ""]
    if not services:
        yield warning(AUDIBLE, f"not checked: needs what is broken ({TOKEN})")
    for service in services:
        yield await _tried(patient, service)


async def _tried(patient: Patient, service: str) -> Finding:
    try:
        took = await _between_two(patient, service)
    except TimeoutError:
        text = f"{service}: no connection within {CONNECT_WITHIN:g} s"
        return broken(AUDIBLE, text, "LiveKit's ports: 7881/tcp, 7882/udp (rtc: in livekit.yaml)")
    except ServerError as error:
        return _failed(patient, service, str(error))
    if took is None:
        text = f"{service}: connected, but no packet arrived within {HEARD_WITHIN:g} s"
        return broken(AUDIBLE, text, "rtc.use_external_ip and the UDP ports in livekit.yaml")
    return ok(AUDIBLE, f"{service}: connected and audible after {took:.1f} s")


def _failed(patient: Patient, service: str, why: str) -> Finding:
    text = f"{service}: {why}"
    if "did not accept the token" in why:
        own = patient.config.livekit.auth == "api_key"
        advice = (
            "livekit.api_key and livekit.api_secret: as under keys: in livekit.yaml"
            if own
            else "LIVEKIT_KEY and LIVEKIT_SECRET of the JWT service: as keys: in livekit.yaml"
        )
        return broken(AUDIBLE, text, advice)
    if "does not exist" in why:
        # So it is for guests of another organisation's LiveKit.
        advice = "LIVEKIT_FULL_ACCESS_HOMESERVERS of the JWT service must name our homeserver"
        return warning(AUDIBLE, text, advice)
    return broken(AUDIBLE, text, "LIVEKIT_URL of the JWT service, or livekit.url; is LiveKit up?")


async def _between_two(patient: Patient, service: str) -> float | None:
    """Send a packet from one to the other; return how long it took to be heard, None if never."""
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()
    word = secrets.token_bytes(16)
    room = _room(patient)
    begun = loop.time()

    def receive(packet: Packet) -> None:
        if packet.data == word:
            loop.call_soon_threadsafe(arrived.set)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_joined(await _any_grant(patient, service, room), receive))
        speaker = await stack.enter_async_context(
            _joined(await _any_grant(patient, service, room), lambda _packet: None)
        )
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


async def _any_grant(patient: Patient, service: str, room_id: str) -> Grant:
    livekit = patient.config.livekit
    if livekit.auth == "sfu_get":
        return await _grant(patient, service, room_id)
    assert livekit.api_key is not None
    assert livekit.api_secret is not None
    user = patient.config.homeserver.user_id
    secret = livekit.api_secret.reveal()
    return api_key_grant(livekit.api_key, secret, service, room_id, user, throw_away_device())


async def _grant(patient: Patient, service: str, room_id: str) -> Grant:
    openid = await patient.homeserver.openid_token(timeout=3.0)
    return await sfu_get(patient.http, service, room_id, openid, throw_away_device(), seconds=3.0)


def _room(patient: Patient) -> str:
    """Return a room that nobody is in."""
    server = patient.config.homeserver.server_name
    return f"!boardkeeper-doctor-{secrets.token_hex(8)}:{server}"
