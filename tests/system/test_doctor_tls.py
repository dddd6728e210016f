"""What `boardkeeper doctor` says of certificates, with the real homeserver behind TLS."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.stack.ports import HOST, free_port
from tests.stack.stack import Stack
from tests.system.people import name
from tests.system.test_doctor import Report, examined, homeserver, made


def certificate(folder: Path, kind: str, *more: str) -> Path:
    """A key and a certificate that it signed itself, in one file."""
    folder.mkdir(exist_ok=True)
    key, made_of, both = (folder / f"{kind}.{end}" for end in ("key", "crt", "pem"))
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-nodes"),
            *("-pkeyopt", "ec_paramgen_curve:P-256"),
            *(f"-subj /CN={HOST} -addext subjectAltName=IP:{HOST}".split()),
            *("-keyout", str(key), "-out", str(made_of), *more),
        ],
        check=True,
        capture_output=True,
    )
    both.write_text(key.read_text() + made_of.read_text())
    return both


def expired(folder: Path) -> Path:
    """A certificate whose time was over before it began."""
    pem = certificate(folder, "old")
    request, made_of = folder / "old.req", folder / "old.crt"
    key, names = folder / "old.key", folder / "old.names"
    names.write_text(f"subjectAltName=IP:{HOST}")
    for command in (
        f"req -new -key {key} -subj /CN={HOST} -out {request}",
        f"x509 -req -in {request} -signkey {key} -days -1 -extfile {names} -out {made_of}",
    ):
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
    pem.write_text(key.read_text() + made_of.read_text())
    return pem


@asynccontextmanager
async def encrypted(stack: Stack, pem: Path, port: int = 0) -> AsyncIterator[str]:
    """The homeserver behind TLS; yields its address."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    tasks = set()
    open_here: list[asyncio.StreamWriter] = []

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                target.write(data)
                await target.drain()
        target.close()

    async def serve(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection(HOST, stack.proxies.synapse.port)
        open_here.extend((target, inner[1]))
        tasks.add(asyncio.create_task(copy(source, inner[1])))
        tasks.add(asyncio.create_task(copy(inner[0], target)))

    port = port or free_port()
    server = await asyncio.start_server(serve, HOST, port, ssl=context)
    try:
        yield f"https://{HOST}:{port}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in open_here:  # servers keep connections for the next request
            writer.transport.abort()
        await asyncio.sleep(0.1)


async def behind(stack: Stack, folder: Path, pem: Path, **environ: str) -> Report:
    login = await stack.user(name("bot"))
    async with encrypted(stack, pem) as url:
        bot = await made(stack, folder, homeserver(stack, login, url=url), login)
        return await examined(bot, **environ)


async def test_a_certificate_nobody_knows(stack: Stack, tmp_path: Path) -> None:
    report = await behind(stack, tmp_path, certificate(tmp_path, "own"))
    assert report.code == 1
    assert report.has("✗ broken", "homeserver")
    assert report.has("✗ broken", "TLS", "self-signed certificate", "→ SSL_CERT_FILE")


async def test_a_certificate_that_is_known_or_ends_soon(stack: Stack, tmp_path: Path) -> None:
    pem = certificate(tmp_path, "long", "-days", "90")
    report = await behind(stack, tmp_path, pem, SSL_CERT_FILE=str(pem))
    assert report.code == 0, report.said
    assert report.has("✓ ok", "TLS", "the certificate is valid for 89 more days")
    pem = certificate(tmp_path, "short", "-days", "5")
    report = await behind(stack, tmp_path, pem, SSL_CERT_FILE=str(pem))
    assert report.has("! warning", "TLS", "valid for 4 more days", "→ renew it now")


async def test_a_certificate_that_has_expired(stack: Stack, tmp_path: Path) -> None:
    pem = expired(tmp_path)
    report = await behind(stack, tmp_path, pem, SSL_CERT_FILE=str(pem))
    assert report.code == 1
    assert report.has("✗ broken", "TLS", "certificate has expired", "→ renew the certificate")


ASK = """
import asyncio, sys
import aiohttp
from bot.errors import ServerError
from bot.livekit.auth import sfu_get

async def main():
    async with aiohttp.ClientSession() as http:
        try:
            await sfu_get(http, sys.argv[1], "!r", {"access_token": "t"}, "DEV")
        except ServerError as error:
            print(type(error).__name__)

asyncio.run(main())
"""


@pytest.mark.scenario("J13")
async def test_a_jwt_service_nobody_knows_is_not_talked_to_unless_configured(
    stack: Stack, tmp_path: Path
) -> None:
    pem = certificate(tmp_path, "own")

    async def asked(url: str, **environ: str) -> str:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", ASK, url),
            env={**os.environ, **environ},
            stdout=asyncio.subprocess.PIPE,
        )
        return (await program.communicate())[0].decode().strip()

    # Any server does: what answers here is Synapse, which has no such endpoint.
    async with encrypted(stack, pem) as url:
        assert await asked(url) == "Transient"
        assert await asked(url, SSL_CERT_FILE=str(pem)) == "NotFound"
