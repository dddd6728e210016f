"""LiveKit: who names it, who lets us in, and whether packets arrive.

Two connections with identities of the doctor's own meet in a LiveKit room of its own: nobody on a
board notices, and a running bot keeps its place.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from functools import partial

from bot.doctor.finding import Finding, broken, ok, warning
from bot.doctor.pair import tried
from bot.doctor.patient import Patient, throw_away_device
from bot.errors import NotFound, RateLimited, ServerError, Transient, Unsupported
from bot.livekit import lean
from bot.livekit.auth import Grant, api_key_grant, sfu_get
from bot.matrix.survey import transports
from bot.rtc.focus import read_transports, read_well_known

FOCI = "LiveKit services"
TOKEN = "JWT service"  # noqa: S105 - no token, a heading
AUDIBLE = "LiveKit"

AUDIBLE_WITHIN = 20.0
"""Seconds for all services; connecting takes a second or two, being heard up to 4 more."""
MOST = 3
"""Services that are tried."""

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
    """See whether the JWT services give us tokens, as the legacy profile needs them."""
    if patient.config.livekit.auth == "api_key":
        yield ok(TOKEN, "not used: livekit.auth is api_key")
        return
    for service in list(patient.foci)[:MOST]:
        try:
            grant = await _grant(patient, service, nobodys_room(patient))
        except ServerError as error:
            yield refused(TOKEN, service, error)
            continue
        patient.sfu.add(grant.url)
        patient.let_in.append(service)
        if grant.may_announce:
            yield ok(TOKEN, f"{service} gives tokens for {grant.url}")
        else:
            text = f"{service} gives tokens without canUpdateOwnMetadata: heard 4 s late"
            yield warning(TOKEN, text, "LIVEKIT_CAN_UPDATE_OWN_METADATA=true of lk-jwt-service")


def refused(subject: str, service: str, error: ServerError) -> Finding:
    """Say why a JWT service gives us no token."""
    text = f"{service}: {error}"
    if isinstance(error, RateLimited):
        return warning(subject, text, "try again later")
    if isinstance(error, NotFound):
        return broken(subject, text, "livekit_service_url in the well-known file")
    if "OpenID" in text:
        advice = "the JWT service has to reach the homeserver's federation API (openid/userinfo)"
        return broken(subject, text, advice)
    return broken(subject, text, "the log of the JWT service says why")


async def audible(patient: Patient) -> AsyncIterator[Finding]:
    """See whether a packet gets from one of us to the other."""
    lean.apply()
    livekit = patient.config.livekit
    services = patient.let_in if livekit.auth == "sfu_get" else [livekit.url or ""]
    if not services:
        yield warning(AUDIBLE, f"not checked: needs what is broken ({TOKEN})")
    for service in services:
        admit = partial(_any_grant, patient, service, nobodys_room(patient))
        yield await tried(AUDIBLE, service, admit, own_key=livekit.auth == "api_key")


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


def nobodys_room(patient: Patient) -> str:
    """Return a room that nobody is in."""
    server = patient.config.homeserver.server_name
    return f"!boardkeeper-doctor-{secrets.token_hex(8)}:{server}"
