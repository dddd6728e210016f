"""The image and the compose files: linted, and in step with each other and with the program."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit

import pytest
from ruamel.yaml import YAML

from bot.config.file import load
from tests.dockerfile import read

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "docs" / "deploy"
STEPS = read(ROOT / "Dockerfile")


def said(word: str) -> list[str]:
    return [step.rest for step in STEPS if step.word == word]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "docker-compose.yml")
    return loaded


def linted(*command: str) -> str:
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [program, *command[1:]], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.timeout(60)
def test_hadolint_has_nothing_to_say() -> None:
    assert linted("hadolint", "Dockerfile") == ""


@pytest.mark.timeout(60)
def test_the_compose_file_fits_the_specification() -> None:
    schema = ("--builtin-schema", "vendor.compose-spec")
    assert linted("check-jsonschema", *schema, "docker-compose.yml") == ""


def test_both_stages_have_the_same_pinned_python() -> None:
    build, final = said("FROM")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", final)
    assert build == f"{final.replace('-slim', '')} AS build"  # which has a C compiler


def test_packages_come_with_hashes_and_none_of_them_is_compiled() -> None:
    for step in said("RUN"):
        for install in re.findall(r"pip [^&]*install ([^&]*)", step):
            pinned = "--require-hashes" in install and "--only-binary :all:" in install
            assert pinned or "--no-deps --no-index" in install


def test_the_image_runs_as_a_user_that_owns_only_the_data_folder() -> None:
    assert said("USER") == ["10001:10001"]
    assert [step for step in said("RUN") if "10001" in step] == [
        "install -d -o 10001 -g 10001 -m 0700 /data"
    ]
    assert said("VOLUME") == ['["/data"]']


def test_no_shell_is_needed() -> None:
    commands = said("ENTRYPOINT") + said("CMD")
    commands += [step.partition(" CMD ")[2] for step in said("HEALTHCHECK")]
    assert all(command.startswith("[") for command in commands)


def test_what_the_image_is_built_from_is_sent_to_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    sources = [step.split(" ")[:-1] for step in said("COPY") if not step.startswith("--from")]
    assert {source for copy in sources for source in copy} == kept
    assert all((ROOT / source).exists() for source in kept)


def test_every_image_is_pinned(compose: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in compose["services"].items()}
    assert images.pop("bot") == "boardkeeper"
    assert all(re.search(r":v?\d+\.\d+\.\d+(-\w+)?$", image) for image in images.values())


def test_the_servers_are_those_that_the_tests_run(compose: dict[str, Any]) -> None:
    synapse = re.search(r"matrix-synapse==(\S+)", (ROOT / ".ci/locks/synapse.in").read_text())
    livekit = re.search(r'LIVEKIT_VERSION = "v(\S+)"', (ROOT / ".ci/setup.py").read_text())
    assert synapse is not None
    assert livekit is not None
    for service in ("prepare", "synapse", "users"):
        assert compose["services"][service]["image"].endswith(f":v{synapse[1]}")
    assert compose["services"]["livekit"]["image"].endswith(f":v{livekit[1]}")


def test_everything_that_is_mounted_is_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists()
            else:
                assert source in compose["volumes"]


def test_nobody_waits_for_what_never_comes(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for other, wait in service.get("depends_on", {}).items():
            awaited = compose["services"][other]
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in awaited
            if wait["condition"] == "service_completed_successfully":
                assert awaited["restart"] == "no"


def test_no_container_has_more_rights_than_it_needs(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name == "prepare":  # gives files to the others' users; no network instead
            assert service["network_mode"] == "none"
            continue
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    bot = compose["services"]["bot"]
    assert bot["read_only"] is True
    assert [mount for mount in bot["volumes"] if not mount.endswith(":ro")] == ["bot-data:/data"]


def test_the_bot_is_asked_where_it_listens(compose: dict[str, Any], tmp_path: Path) -> None:
    text = (DEPLOY / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(Template(text).substitute(domain="a.example"))
    (tmp_path / "password").write_text("x")
    (tmp_path / "password").chmod(0o600)
    config = load(tmp_path / "config.yaml", {})
    assert config.warnings == ()
    assert config.data.folder == Path("/data")
    assert config.web.listen.host == "0.0.0.0"
    port = config.web.listen.port
    assert f"http://127.0.0.1:{port}/live" in said("HEALTHCHECK")[0]
    assert said("EXPOSE") == [str(port)]
    assert compose["services"]["bot"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert urlsplit(config.homeserver.url).hostname in compose["services"]


def test_the_proxy_leads_to_services_of_the_file(compose: dict[str, Any]) -> None:
    caddyfile = (DEPLOY / "Caddyfile").read_text()
    targets = dict(re.findall(r"reverse_proxy (\w+):(\d+)", caddyfile))
    assert set(targets) <= set(compose["services"])
    assert f"port: {targets['synapse']}" in (DEPLOY / "homeserver.yaml").read_text()
    assert f"port: {targets['livekit']}" in (DEPLOY / "livekit.yaml").read_text()
    assert "/livekit/jwt/*" in caddyfile
    assert "$domain/livekit/jwt" in (DEPLOY / "homeserver.yaml").read_text()
    environment = compose["services"]["jwt"]["environment"]
    assert environment["LIVEKIT_URL"] == "wss://${DOMAIN}/livekit/sfu"
    aliases = compose["services"]["proxy"]["networks"]["default"]["aliases"]
    assert aliases == ["${DOMAIN}"]


def test_the_media_ports_are_open(compose: dict[str, Any]) -> None:
    livekit = YAML(typ="safe", pure=True).load(DEPLOY / "livekit.yaml")["rtc"]
    assert compose["services"]["livekit"]["ports"] == [
        f"{livekit['tcp_port']}:{livekit['tcp_port']}/tcp",
        f"{livekit['udp_port']}:{livekit['udp_port']}/udp",
    ]


def test_nothing_that_is_secret_is_sent_to_the_builder() -> None:
    kept = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    for secret in (".env", "config.yaml", "data/archive.db", ".git/config"):
        assert not any(fnmatch(secret, pattern) for pattern in kept)
