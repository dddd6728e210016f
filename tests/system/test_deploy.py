"""The files of `docker compose` without Docker: the same configuration, the real servers.

What differs from the containers: paths, ports, loopback instead of names, no TLS proxy.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.stack.http import answers, request
from tests.stack.ports import HOST, free_port
from tests.stack.processes import ROOT, Process, Program
from tests.stack.programs import find_program

DEPLOY = ROOT / "docs" / "deploy"
DOMAIN = "chat.example.com"  # not that of config.example.yaml, which check points at


def setup(volumes: Path, *arguments: str, say: str = "", domain: str = DOMAIN) -> str:
    """Runs `setup.py` as the one-shot containers do; returns what it said."""
    command = [sys.executable, str(DEPLOY / "setup.py"), "--volumes", str(volumes), *arguments]
    done = subprocess.run(
        command,
        input=say,
        env={**os.environ, "DOMAIN": domain, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else f"failed: {done.stderr}"


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """The empty volumes, as Docker makes them."""
    for name in ("synapse", "livekit", "jwt", "bot"):
        (tmp_path / name).mkdir()
    return tmp_path


def prepare(volumes: Path) -> str:
    return setup(volumes, "--data", str(volumes / "synapse"), "prepare")


def test_secrets_are_written_once_and_configuration_each_time(volumes: Path) -> None:
    assert prepare(volumes) == f"{DOMAIN}: configuration and secrets are there\n"
    first = {path: path.read_text() for path in volumes.rglob("*") if path.is_file()}
    assert {path.relative_to(volumes).as_posix() for path in first} == {
        "synapse/homeserver.yaml",
        "synapse/log.yaml",
        "synapse/signing.key",
        "synapse/registration.secret",
        "synapse/macaroon.secret",
        "synapse/form.secret",
        "livekit/keys.yaml",
        "jwt/keys.yaml",
        "bot/config.yaml",
        "bot/password",
    }
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in first)
    assert len(set(first.values())) == len(first) - 1  # LiveKit and the JWT service share a key
    (volumes / "bot" / "config.yaml").write_text("changed here")
    prepare(volumes)
    assert {path: path.read_text() for path in first} == first


@pytest.mark.parametrize("domain", ["", "https://chat.example.org", "a b", "$(x)", "A.example.org"])
def test_a_domain_that_is_none_is_said(volumes: Path, domain: str) -> None:
    assert "DOMAIN must be" in setup(volumes, "prepare", domain=domain)
    assert not any(path.is_file() for path in volumes.rglob("*"))


def test_the_bots_configuration_is_right(volumes: Path) -> None:
    prepare(volumes)
    command = [sys.executable, "-m", "bot", "check", "-c", str(volumes / "bot" / "config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


class Synapse:
    """Synapse with the configuration of the containers, on a free port of loopback."""

    def __init__(self, volumes: Path) -> None:
        port = free_port()
        self.volumes, self.url = volumes, f"http://{HOST}:{port}"
        config = volumes / "synapse" / "homeserver.yaml"
        text = config.read_text().replace("port: 8008", f"port: {port}").replace("0.0.0.0", HOST)
        config.write_text(text)
        self.process = Process(
            Program(
                name="synapse",
                command=[
                    find_program("synapse_python"),
                    *("-m", "synapse.app.homeserver", "-c", str(config)),
                ],
                folder=volumes,
                ready=lambda: answers(f"{self.url}/health"),
            )
        )

    def users(self, *names: str, say: str = "") -> str:
        return setup(self.volumes, "--homeserver", self.url, "users", *names, say=say)

    async def login(self, name: str, password: str) -> int:
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": name},
            "password": password,
        }
        return (await request("POST", f"{self.url}/_matrix/client/v3/login", body=body)).status


@pytest_asyncio.fixture
async def synapse(volumes: Path) -> AsyncIterator[Synapse]:
    prepare(volumes)
    server = Synapse(volumes)
    await server.process.start()
    yield server
    await server.process.stop()


async def test_synapse_runs_with_it_and_the_accounts_are_made(synapse: Synapse) -> None:
    assert synapse.users() == f"created @boardkeeper:{DOMAIN}\n"
    assert synapse.users() == f"@boardkeeper:{DOMAIN} is there already\n"
    password = (synapse.volumes / "bot" / "password").read_text()
    assert await synapse.login(f"@boardkeeper:{DOMAIN}", password) == 200

    assert synapse.users("alice", say="her own password\n").endswith(f"created @alice:{DOMAIN}\n")
    assert await synapse.login("alice", "her own password") == 200
    told = synapse.users("bob", say="\n")
    assert await synapse.login("bob", told.rpartition("password ")[2].strip()) == 200
    assert f"@alice:{DOMAIN} is there already" in synapse.users("alice", say="x\n")
    assert "refused" in synapse.users("Not a name", say="x\n")


async def test_it_says_where_the_livekit_service_is_and_knows_delayed_events(
    synapse: Synapse,
) -> None:
    client = (await request("GET", f"{synapse.url}/.well-known/matrix/client")).body
    assert isinstance(client, dict)
    assert client["m.homeserver"] == {"base_url": f"https://{DOMAIN}/"}
    assert client["org.matrix.msc4143.rtc_foci"] == [
        {"type": "livekit", "livekit_service_url": f"https://{DOMAIN}/livekit/jwt"}
    ]
    server = (await request("GET", f"{synapse.url}/.well-known/matrix/server")).body
    assert server == {"m.server": f"{DOMAIN}:443"}
    versions = (await request("GET", f"{synapse.url}/_matrix/client/versions")).body
    assert isinstance(versions, dict)
    assert versions["unstable_features"]["org.matrix.msc4140"] is True
    assert versions["unstable_features"]["org.matrix.msc4354"] is True
    # The JWT service asks here who a user is.
    path = "/_matrix/federation/v1/openid/userinfo?access_token=none"
    assert (await request("GET", f"{synapse.url}{path}")).status == 401


async def test_it_says_the_same_to_newer_neoboards(synapse: Synapse) -> None:
    synapse.users()
    password = (synapse.volumes / "bot" / "password").read_text()
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "boardkeeper"},
        "password": password,
    }
    login = (await request("POST", f"{synapse.url}/_matrix/client/v3/login", body=body)).body
    assert isinstance(login, dict)
    url = f"{synapse.url}/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"
    answer = await request("GET", url, token=str(login["access_token"]))
    service = f"https://{DOMAIN}/livekit/jwt"
    assert answer.body == {"rtc_transports": [{"type": "livekit", "livekit_service_url": service}]}


async def test_livekit_runs_with_it(volumes: Path) -> None:
    prepare(volumes)
    port = free_port()
    text = (DEPLOY / "livekit.yaml").read_text()
    for old, new in {
        "port: 7880": f"port: {port}\nbind_addresses: [{HOST}]",
        "/keys/keys.yaml": str(volumes / "livekit" / "keys.yaml"),
        "tcp_port: 7881": "tcp_port: 0",
        "udp_port: 7882": f"udp_port: {free_port()}\n  enable_loopback_candidate: true",
        # There is no STUN server on loopback.
        "use_external_ip: true": f"use_external_ip: false\n  node_ip: {HOST}",
    }.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    (volumes / "livekit.yaml").write_text(text)
    process = Process(
        Program(
            name="livekit",
            command=[find_program("livekit_server"), "--config", str(volumes / "livekit.yaml")],
            folder=volumes,
            ready=lambda: answers(f"http://{HOST}:{port}/"),
        )
    )
    await process.start()
    await process.stop()
