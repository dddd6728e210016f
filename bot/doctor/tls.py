"""Certificates of every address the bot talks to."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator

from yarl import URL

from bot.doctor.finding import Finding, broken, ok, warning
from bot.doctor.patient import Patient

TLS = "TLS"

WITHIN = 15.0
"""Seconds for all addresses."""
ONE = 4.0
SOON = 14
"""Days; a certificate that renews itself does so a month ahead."""

_PLAIN = {"http", "ws"}
_PORTS = {"https": 443, "wss": 443}


async def tls(patient: Patient) -> AsyncIterator[Finding]:
    """Look at each address once."""
    done: set[tuple[str, int | None]] = set()
    for url in addresses(patient):
        place = (url.host or "", url.port)
        if place in done or not url.host:
            continue
        done.add(place)
        finding = await _look(url, url.host)
        if finding is not None:
            yield finding
    if not any(url.scheme in _PORTS for url in addresses(patient)):
        yield ok(TLS, "not used: every address is plain")


def addresses(patient: Patient) -> list[URL]:
    """Return every address that is known by now."""
    config = patient.config
    every = [config.homeserver.url, config.homeserver.well_known_url, *patient.foci, *patient.sfu]
    if config.livekit.url:
        every.append(config.livekit.url)
    return [URL(one) for one in every]


async def _look(url: URL, host: str) -> Finding | None:
    if url.scheme in _PLAIN:
        if is_loopback(host):
            return None
        text = f"{url.origin()} is not encrypted: passwords and boards can be read on the way"
        return warning(TLS, text, "https:// (or wss://) with a certificate")
    try:
        async with asyncio.timeout(ONE):
            expires = await _expiry(host, url.port or _PORTS[url.scheme])
    except ssl.SSLCertVerificationError as error:
        text = f"{url.origin()}: {error.verify_message}"
        return broken(TLS, text, _advice(error.verify_message))
    except (OSError, TimeoutError, ssl.SSLError) as error:
        # Whether it has to be there is judged where it is used.
        return warning(TLS, f"{url.origin()}: no TLS connection ({type(error).__name__})")
    days = int((expires - time.time()) / 86_400)
    text = f"{url.origin()}: the certificate is valid for {days} more days"
    return warning(TLS, text, "renew it now") if days < SOON else ok(TLS, text)


def _advice(why: str) -> str:
    if "expired" in why:
        return "renew the certificate"
    if "self" in why or "issuer" in why:
        return "SSL_CERT_FILE in the bot's environment: the certificate of your own authority"
    return "a certificate for this name"


async def _expiry(host: str, port: int) -> float:
    """Return until when a certificate is valid, seconds since 1970."""
    _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    try:
        certificate = writer.get_extra_info("ssl_object").getpeercert()
    finally:
        writer.close()
    return ssl.cert_time_to_seconds(certificate["notAfter"])


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
