"""The sticky profile: what NeoBoard since September 2026 needs, and the bot with it.

The legacy profile works without any of it. What is missing is a warning, therefore, unless the
bot is told to be in the sticky profile alone.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from bot.doctor import calls
from bot.doctor.finding import Finding, Level, ok, warning
from bot.doctor.pair import tried
from bot.doctor.patient import Patient, throw_away_device
from bot.errors import NotFound, RateLimited, ServerError, TooManyDelayed, Unsupported
from bot.livekit import lean
from bot.livekit.auth import Grant, get_token
from bot.matrix import survey
from bot.rtc.focus import read_transports
from bot.rtc.sticky import STICKY_MS, STICKY_TYPE, Seat, leave_content, pseudonym, slot_id

EVENTS = "sticky events"
LEAVING = "sticky leave"
TRANSPORTS = "RTC transports"
TOKENS = "sticky tokens"
AUDIBLE = "sticky LiveKit"
ALL = {EVENTS, LEAVING, TRANSPORTS, TOKENS, AUDIBLE}

_LONGEST = 3_600_000
"""Milliseconds; the leave that is tried is cancelled long before."""
_TRIES = 3
_LOOKS = "where NeoBoard since September 2026 looks"
_FEATURE = "org.matrix.msc4354"
_EVENTS_ADVICE = "experimental_features: {msc4354_enabled: true} in homeserver.yaml"
_ENDPOINT_ADVICE = "experimental_features: {msc4143_enabled: true}, and "
_SERVICE_ADVICE = "lk-jwt-service from 0.4.3 on at livekit_service_url"


def lacking(patient: Patient, subject: str, text: str, advice: str) -> Finding:
    """Return that the sticky profile lacks something."""
    level = Level.BROKEN if patient.config.rtc.profile == "sticky" else Level.WARNING
    return Finding(level, subject, text, advice)


async def events(patient: Patient) -> AsyncIterator[Finding]:
    """See whether the homeserver has sticky events."""
    reply = await survey.versions(patient.homeserver, 4.0)
    features = reply.get("unstable_features")
    patient.sticky = isinstance(features, Mapping) and features.get(_FEATURE) is True
    if patient.sticky:
        yield ok(EVENTS, "on")
        return
    text = "the homeserver has none: NeoBoard since September 2026 needs them, older ones do not"
    advice = _EVENTS_ADVICE
    if patient.config.rtc.profile != "sticky":
        advice += "; or rtc.profile: legacy, if nobody here has such a NeoBoard"
    yield lacking(patient, EVENTS, text, advice)


async def leaving(patient: Patient) -> AsyncIterator[Finding]:
    """See whether a sticky event can be a delayed one: our leave, should we die.

    Such a leave is left with the homeserver and taken back at once, in a room that we are in: it
    takes none for others.
    """
    if not patient.sticky:
        return
    homeserver = patient.homeserver
    rooms = await survey.joined_rooms(homeserver, 4.0)
    if not rooms:
        yield ok(LEAVING, "not tried: the bot is in no room yet")
        return
    leave = leave_content(
        call_id="boardkeeper-doctor",
        device_id=throw_away_device(),
        member_id=secrets.token_hex(8),
        code="delayed_leave",
    )
    try:
        delay_id = await homeserver.schedule_sticky(
            rooms[0], STICKY_TYPE, leave, STICKY_MS, _delay_ms(patient), timeout=4.0
        )
    except (RateLimited, TooManyDelayed) as error:
        yield warning(LEAVING, str(error), "try again later")
        return
    except ServerError as error:
        text = f"the homeserver does not take one for later ({error})"
        yield lacking(patient, LEAVING, text, "a newer Synapse: 1.163 does")
        return
    await _take_back(patient, delay_id)
    yield ok(LEAVING, "the homeserver sends it when the bot dies")


async def _take_back(patient: Patient, delay_id: str) -> None:
    for _ in range(_TRIES):
        try:
            await patient.homeserver.cancel_delayed(delay_id)
        except NotFound:
            return  # a bot that starts takes it for one that it has left behind itself
        except RateLimited as error:
            await asyncio.sleep(min(error.retry_after or 1.0, 2.0))
        else:
            return


def _delay_ms(patient: Patient) -> int:
    return min(_LONGEST, patient.max_delay_ms or _LONGEST)


async def transports(patient: Patient) -> AsyncIterator[Finding]:
    """See whether the homeserver itself names LiveKit services, as the sticky profile wants it."""
    setting = _setting(patient)
    try:
        document = await survey.transports(patient.homeserver, 4.0)
    except (NotFound, Unsupported):
        text = f"the homeserver has no list of them (rtc/transports), {_LOOKS}"
        yield lacking(patient, TRANSPORTS, text, _ENDPOINT_ADVICE + setting)
        return
    except ServerError as error:
        yield lacking(patient, TRANSPORTS, str(error), "the log of the homeserver says why")
        return
    patient.transports = [focus.service_url for focus in read_transports(document)]
    if patient.transports:
        yield ok(TRANSPORTS, ", ".join(patient.transports))
    else:
        yield lacking(patient, TRANSPORTS, _unusable(document), setting)


def _setting(patient: Patient) -> str:
    """Return what has to stand in Synapse's configuration, with our LiveKit service in it."""
    service = next(iter(patient.foci), "https://…/livekit/jwt")
    transport = f"{{type: livekit, livekit_service_url: {json.dumps(service, ensure_ascii=False)}}}"
    return f"matrix_rtc: {{transports: [{transport}]}} in homeserver.yaml"


def _unusable(document: Mapping[str, Any]) -> str:
    """Say of a list without a service that we can use what is in it."""
    listed = document.get("rtc_transports")
    if not isinstance(listed, list) or not listed:
        return f"the homeserver's list of them is empty, {_LOOKS}"
    return "the homeserver's list of them holds no LiveKit service with a livekit_service_url"


async def tokens(patient: Patient) -> AsyncIterator[Finding]:
    """See whether the JWT services give us tokens of the sticky profile."""
    for service in (patient.transports or list(patient.foci))[: calls.MOST]:
        device, seat = throw_away_device(), _seat()
        try:
            grant = await _grant(patient, service, calls.nobodys_room(patient), device, seat)
        except NotFound:
            yield lacking(patient, TOKENS, f"{service} has no /get_token", _SERVICE_ADVICE)
            continue
        except ServerError as error:
            finding = calls.refused(TOKENS, service, error)
            yield lacking(patient, TOKENS, finding.text, finding.advice)
            continue
        patient.sfu.add(grant.url)
        if grant.identity != pseudonym(patient.config.homeserver.user_id, device, seat.member_id):
            text = f"{service} names participants as an old version does: nobody knows who is who"
            yield lacking(patient, TOKENS, text, _SERVICE_ADVICE)
            continue
        patient.let_in_sticky.append(service)
        yield ok(TOKENS, f"{service} gives tokens for {grant.url}")


async def audible(patient: Patient) -> AsyncIterator[Finding]:
    """See whether a packet gets from one of us to the other, with such tokens."""
    lean.apply()
    if not patient.let_in_sticky:
        yield warning(AUDIBLE, f"not checked: needs what is missing ({TOKENS})")
    room = calls.nobodys_room(patient)
    for service in patient.let_in_sticky:
        finding = await tried(AUDIBLE, service, partial(_admit, patient, service, room))
        fine = finding.level is Level.OK
        yield finding if fine else lacking(patient, AUDIBLE, finding.text, finding.advice)


async def _admit(patient: Patient, service: str, room_id: str) -> Grant:
    return await _grant(patient, service, room_id, throw_away_device(), _seat())


async def _grant(patient: Patient, service: str, room_id: str, device: str, seat: Seat) -> Grant:
    openid = await patient.homeserver.openid_token(timeout=3.0)
    user = patient.config.homeserver.user_id
    return await get_token(patient.http, service, room_id, seat, openid, user, device, seconds=3.0)


def _seat() -> Seat:
    return Seat(slot_id("boardkeeper-doctor"), secrets.token_hex(8))
