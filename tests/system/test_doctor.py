"""`boardkeeper doctor` on real servers: all is well once, and every check broken once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.stack.bot import Bot
from tests.stack.client.events import MEMBER
from tests.stack.ports import HOST, free_port
from tests.stack.processes import ROOT
from tests.stack.stack import Login, Stack
from tests.system.archive import query
from tests.system.people import name

FEW_FILES = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (700, 700));"
    "from bot.__main__ import main; main(sys.argv[1:])"
)
SKEWED = (
    "import sys, time; real = time.time; time.time = lambda: real() + {ahead};"
    "from bot.__main__ import main; main(sys.argv[1:])"
)


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor said."""

    code: int
    said: str

    def has(self, *parts: str) -> bool:
        """Whether one line (with the advice below it) holds all parts."""
        blocks = self.said.replace("\n" + " " * 20, " ").splitlines()
        return any(all(part in block for part in parts) for block in blocks)


def doctor(bot: Bot, *more: str, start: tuple[str, ...] = ("-m", "bot"), **environ: str) -> Report:
    done = subprocess.run(
        [sys.executable, *start, "doctor", "-c", str(bot.config), *more],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Report(done.returncode, done.stdout)


async def examined(bot: Bot, *more: str, **rest: Any) -> Report:
    return await asyncio.to_thread(doctor, bot, *more, **rest)


async def made(
    stack: Stack, folder: Path, config: Mapping[str, Any] | None = None, login: Login | None = None
) -> Bot:
    return Bot(stack, folder / "bot", login or await stack.user(name("bot")), config)


def homeserver(stack: Stack, login: Login, **changed: Any) -> dict[str, Any]:
    usual = {
        "url": stack.homeserver_url,
        "user_id": login.user_id,
        "password": login.password,
        "well_known": f"{stack.homeserver_url}/.well-known/matrix/client",
    }
    return {"homeserver": usual | changed}


def stored_token(bot: Bot) -> str:
    """The running bot's own."""
    ((token,),) = query(bot.data, "SELECT value FROM meta WHERE name = 'access_token'")
    return str(token)


async def test_all_is_well_and_a_running_bot_is_not_disturbed(stack: Stack, tmp_path: Path) -> None:
    bot = await made(stack, tmp_path)
    await bot.start()
    try:
        report = await examined(bot)
        assert report.code == 0, report.said
        assert "broken " not in report.said
        assert report.has("✓ ok", "homeserver", "answers")
        assert report.has("✓ ok", "delayed events", "on, up to 24 h")
        assert report.has("✓ ok", "limits", "exempt from rate limits; 99 boards at a time")
        assert report.has("✓ ok", "LiveKit services", "(well-known)")
        assert report.has("JWT service", "gives tokens for")
        assert report.has("✓ ok", "LiveKit", "connected and audible")
        assert report.has("✓ ok", "rooms", "in none yet")
        assert report.has("✓ ok", "clock")
        assert report.has("✓ ok", "data folder", "can be written")
        assert report.has("✓ ok", "TLS", "not used")
        login = Login(bot.user_id, "X", stored_token(bot), "")
        devices = await stack.call(login, "GET", "/_matrix/client/v3/devices")
        left = [one["device_id"] for one in devices.body["devices"]]
        assert not [one for one in left if one.startswith("DOCTOR")]
        assert bot.running
    finally:
        await bot.stop()


async def test_json_for_programs(stack: Stack, tmp_path: Path) -> None:
    report = await examined(await made(stack, tmp_path), "--json")
    found = json.loads(report.said)
    assert set(found) == {"level", "findings"}
    assert {one["level"] for one in found["findings"]} <= {"ok", "warning"}
    assert set(found["findings"][0]) == {"level", "subject", "text", "advice"}


async def test_a_wrong_address(stack: Stack, tmp_path: Path) -> None:
    login = await stack.user(name("bot"))
    nobody = f"http://{HOST}:{free_port()}"
    bot = await made(stack, tmp_path, homeserver(stack, login, url=nobody), login)
    report = await examined(bot)
    assert report.code == 1
    assert report.has("✗ broken", "homeserver", f"{nobody}: versions: no connection")
    assert report.has("homeserver", "→ homeserver.url in the configuration")
    for subject in ("clock", "account", "delayed events", "limits", "JWT service", "rooms"):
        assert report.has("! warning", subject, "not checked: needs what is broken (homeserver)")
    assert report.has("✓ ok", "data folder")  # the rest is looked at all the same
    assert report.has("✓ ok", "LiveKit services")

    bot = await made(stack, tmp_path, homeserver(stack, login, url=stack.jwt_url), login)
    report = await examined(bot)
    assert report.has("✗ broken", "homeserver", "something in between answered")


async def test_a_homeserver_that_hangs(stack: Stack, tmp_path: Path) -> None:
    bot = await made(stack, tmp_path)
    await stack.proxies.synapse.pause()
    began = time.monotonic()
    report = await examined(bot)
    assert time.monotonic() - began < 80
    assert report.has("✗ broken", "homeserver", "no answer within 4 s")


async def test_a_wrong_password_and_a_wrong_token(stack: Stack, tmp_path: Path) -> None:
    login = await stack.user(name("bot"))
    wrong = homeserver(stack, login, password="nonsense")
    report = await examined(await made(stack, tmp_path, wrong, login))
    assert report.code == 1
    assert report.has("✗ broken", "account", f"refuses the password of {login.user_id}")
    assert report.has("account", "→ homeserver.password (or _file)")
    assert report.has("LiveKit", "not checked: needs what is broken (account)")

    bot = await made(stack, tmp_path, homeserver(stack, login), login)
    settings = json.loads(bot.config.read_text())
    del settings["homeserver"]["password"]
    settings["homeserver"]["access_token"] = "syt_nonsense"
    bot.config.write_text(json.dumps(settings))
    report = await examined(bot)
    assert report.has("✗ broken", "account", "The configured access token is not valid")
    assert report.has("account", "→ homeserver.access_token (or _file)")
    assert "syt_nonsense" not in report.said

    settings["homeserver"]["access_token"] = login.access_token
    bot.config.write_text(json.dumps(settings))
    assert (await examined(bot)).code == 0
    answer = await stack.call(login, "GET", "/_matrix/client/v3/account/whoami")
    assert answer.status == 200  # a configured token is not logged out


async def test_a_folder_that_cannot_be_written(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bot = await made(stack, tmp_path, {"data": {"folder": str(tmp_path / "file" / "data")}})
    report = await examined(bot)
    assert report.code == 1
    assert report.has("✗ broken", "data folder", f"{tmp_path}/file cannot be written")
    assert report.has("data folder", "or another data.folder")


async def test_too_few_open_files(stack: Stack, tmp_path: Path) -> None:
    bot = await made(stack, tmp_path)
    report = await examined(bot, start=("-c", FEW_FILES))
    assert report.code == 0
    assert report.has("! warning", "open files", "700, enough for 10 rooms", "→ ulimit -n 65536")


@pytest.mark.parametrize(
    ("ahead", "level", "text"),
    [
        (30, "! warning", "30 s ahead of the homeserver's"),
        (-3600, "✗ broken", "3600 s behind the homeserver's"),
    ],
)
async def test_a_skewed_clock(
    stack: Stack, tmp_path: Path, ahead: int, level: str, text: str
) -> None:
    bot = await made(stack, tmp_path)
    report = await examined(bot, start=("-c", SKEWED.format(ahead=ahead)))
    assert report.has(level, "clock", text, "→ timedatectl set-ntp true"), report.said


async def test_no_well_known(stack: Stack, tmp_path: Path) -> None:
    login = await stack.user(name("bot"))
    nowhere = f"{stack.homeserver_url}/nowhere"
    bot = await made(stack, tmp_path, homeserver(stack, login, well_known=nowhere), login)
    report = await examined(bot)
    assert report.code == 0
    assert report.has(
        "! warning",
        "LiveKit services",
        f"there is no {nowhere}",
        '"org.matrix.msc4143.rtc_foci": [{"type": "livekit"',
    )
    assert report.has("✓ ok", "LiveKit services", "(homeserver)")

    other = f"{stack.homeserver_url}/_matrix/client/versions"
    bot = await made(stack, tmp_path, homeserver(stack, login, well_known=other), login)
    assert (await examined(bot)).has("! warning", "LiveKit services", f"{other} names none")
    dead = f"http://{HOST}:{free_port()}/file"
    bot = await made(stack, tmp_path, homeserver(stack, login, well_known=dead), login)
    assert (await examined(bot)).has("! warning", "LiveKit services", f"{dead} cannot be read")


@pytest.mark.parametrize(
    ("fault", "level", "parts"),
    [
        ("unauthorized", "✗ broken", ("did not accept our OpenID token", "openid/userinfo")),
        ("lookup_failed", "✗ broken", ("did not accept our OpenID token", "openid/userinfo")),
        ("not_found", "✗ broken", ("no JWT service at this address (404)", "livekit_service_url")),
        ("forbidden", "✗ broken", ("does not let us in (403)", "log of the JWT service")),
        ("no_room", "✗ broken", ("failed (500)", "log of the JWT service")),
        ("rate_limited", "! warning", ("limits us", "try again later")),
        ("no_jwt", "✗ broken", ("gave no token",)),
        ("hang", "✗ broken", ("did not answer within 3 s",)),
    ],
)
async def test_a_jwt_service_that_fails(
    stack: Stack, tmp_path: Path, fault: str, level: str, parts: tuple[str, ...]
) -> None:
    bot = await made(stack, tmp_path)
    await stack.jwt.fault(fault)
    report = await examined(bot)
    assert report.code == (1 if level == "✗ broken" else 0), report.said
    assert report.has(level, "JWT service", *parts), report.said
    assert report.has("! warning", "LiveKit", "not checked: needs what is broken (JWT service)")
    assert report.has("✓ ok", "rooms")


async def test_livekit_is_away(stack: Stack, tmp_path: Path) -> None:
    bot = await made(stack, tmp_path)
    await stack.proxies.livekit.cut()
    report = await examined(bot)
    assert report.code == 1
    assert report.has("✓ ok", "JWT service")
    assert report.has("✗ broken", "LiveKit", "→"), report.said
    await stack.proxies.livekit.restore()
    await stack.proxies.livekit.pause()
    report = await examined(bot)
    assert report.has(
        "✗ broken", "LiveKit", "no connection within 5 s", "→ LiveKit's ports: 7881/tcp"
    ), report.said


async def test_a_key_of_livekit_right_and_wrong(stack: Stack, tmp_path: Path) -> None:
    own = {"auth": "api_key", "url": stack.livekit_url, "api_key": stack.livekit_key}
    right = {"livekit": own | {"api_secret": stack.livekit_secret}}
    report = await examined(await made(stack, tmp_path, right))
    assert report.code == 0, report.said
    assert report.has("✓ ok", "JWT service", "not used")
    assert report.has("✓ ok", "LiveKit", "connected and audible")

    wrong = {"livekit": own | {"api_secret": "nonsense" * 5}}
    report = await examined(await made(stack, tmp_path, wrong))
    assert report.code == 1
    assert report.has(
        "✗ broken",
        "LiveKit",
        "LiveKit did not accept the token",
        "→ livekit.api_key and livekit.api_secret: as under keys: in livekit.yaml",
    )
    assert "nonsense" not in report.said


@pytest.mark.parametrize(
    ("levels", "level", "text", "advice"),
    [
        (
            {"events": {MEMBER: 50}},
            "✗ broken",
            "the bot may not announce itself (has power 0, needs 50)",
            f'"events": {{"{MEMBER}": 0}}, or more power for the bot',
        ),
        (
            {"events": {MEMBER: 0, "net.nordeck.whiteboard.document.snapshot": 50}},
            "! warning",
            "the bot may not save boards (has power 0, needs 50)",
            "net.nordeck.whiteboard.document.snapshot",
        ),
        (
            {"events": {MEMBER: 0, "m.room.message": 25}},
            "! warning",
            "the bot may not speak (has power 0, needs 25)",
            "m.room.message",
        ),
    ],
)
async def test_power_in_rooms(
    stack: Stack, tmp_path: Path, levels: dict[str, Any], level: str, text: str, advice: str
) -> None:
    login = await stack.user(name("bot"))
    good = await room(stack, login, {"events": {MEMBER: 0}})
    bad = await room(stack, login, levels)
    report = await examined(await made(stack, tmp_path, None, login))
    assert report.code == (1 if level == "✗ broken" else 0)
    assert report.has(level, "rooms", f"Plans ({bad}): {text}", advice), report.said
    assert report.has("✓ ok", "rooms", "1 of 2: the bot may do what it has to")
    assert good not in report.said


async def room(stack: Stack, bot: Login, levels: dict[str, Any], *state: dict[str, Any]) -> str:
    """A room of somebody's with a board, what else is wanted, and the bot in it."""
    owner = await stack.user(name("alice"))
    board = {
        "type": "net.nordeck.whiteboard",
        "state_key": "w1",
        "content": {"documentId": "$document"},
    }
    body = {
        "name": "Plans",
        "preset": "public_chat",
        "initial_state": [board, *state],
        "power_level_content_override": levels,
    }
    answer = await stack.call(owner, "POST", "/_matrix/client/v3/createRoom", body)
    room_id = str(answer.body["room_id"])
    answer = await stack.call(bot, "POST", f"/_matrix/client/v3/join/{quote(room_id)}", {})
    assert answer.status == 200
    return room_id
