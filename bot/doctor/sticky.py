"""The sticky profile: what NeoBoard since September 2026 needs, and the bot with it.

The legacy profile works without any of it. What is missing is a warning, therefore, unless the
bot is told to be in the sticky profile alone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from bot.doctor.finding import Finding, Level, ok
from bot.doctor.patient import Patient
from bot.errors import NotFound, ServerError, Unsupported
from bot.matrix import survey
from bot.rtc.focus import read_transports

EVENTS = "sticky events"
TRANSPORTS = "RTC transports"

_LOOKS = "where NeoBoard since September 2026 looks"
_FEATURE = "org.matrix.msc4354"
_EVENTS_ADVICE = "experimental_features: {msc4354_enabled: true} in homeserver.yaml"
_ENDPOINT_ADVICE = "experimental_features: {msc4143_enabled: true}, and "


def lacking(patient: Patient, subject: str, text: str, advice: str) -> Finding:
    """Return that the sticky profile lacks something."""
    level = Level.BROKEN if patient.config.rtc.profile == "sticky" else Level.WARNING
    return Finding(level, subject, text, advice)


def wanted(patient: Patient) -> bool:
    """Return whether the bot takes part in the sticky profile at all."""
    return patient.config.rtc.profile != "legacy"


async def events(patient: Patient) -> AsyncIterator[Finding]:
    """See whether the homeserver has sticky events."""
    if not wanted(patient):
        yield ok(EVENTS, "not looked at, nor what belongs to them: rtc.profile is legacy")
        return
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


async def transports(patient: Patient) -> AsyncIterator[Finding]:
    """See whether the homeserver itself names LiveKit services, as the sticky profile wants it."""
    if not wanted(patient):
        return
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
