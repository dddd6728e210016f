"""`boardkeeper setup` on real Synapses, and what the doctor says before and after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.stack.bot import Bot
from tests.stack.processes import ROOT
from tests.stack.stack import Options, Stack
from tests.system.people import name
from tests.system.test_doctor import examined, homeserver, made


def boardkeeper(*arguments: object, code: int = 0, said: str | None = None, **environ: str) -> str:
    """Run it; return everything it said."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environ},
        input=said,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


async def admin_token(stack: Stack, folder: Path) -> Path:
    file = folder / "admin"
    file.write_text((await stack.user("setup-admin", admin=True)).access_token + "\n")
    return file


async def test_from_nothing_to_a_deployment_that_is_well(stack: Stack, tmp_path: Path) -> None:
    user = f"@{name('bot')}:{stack.server_name}"
    config = tmp_path / "my.yaml"
    call = ("setup", "--homeserver", stack.homeserver_url, "--user", user, "-o", config, "--yes")
    token = await admin_token(stack, tmp_path)
    said = boardkeeper(*call, "--admin-token-file", token)
    assert said.index("This will:") < said.index(f"create the account {user}")
    assert f"lift the rate limits of {user}" in said
    password = tmp_path / "my.yaml.password"
    for file in (config, password):
        assert file.stat().st_mode & 0o777 == 0o600
    for secret in (password.read_text(), token.read_text().strip()):
        assert secret not in said
        assert secret not in config.read_text()
    assert boardkeeper("check", "-c", config) == f"{config} is right.\n"
    said = boardkeeper("doctor", "-c", config)
    assert f"{user} is let in" in said
    assert "connected and audible" in said
    assert "broken " not in said

    # Again, with the token from the environment: nothing changes.
    before = config.read_text(), password.read_text()
    said = boardkeeper(*call, BOARDKEEPER_ADMIN_TOKEN=token.read_text())
    assert f"leave {config} as it is" in said
    assert "password" not in said
    assert (config.read_text(), password.read_text()) == before
    boardkeeper("doctor", "-c", config)

    # The password's file is lost, the configuration not: its password is not made wrong.
    password.unlink()
    said = boardkeeper(*call, "--admin-token-file", token)
    assert "password" not in said

    # Both lost: a new password, which is said first.
    config.unlink()
    said = boardkeeper(*call, "--admin-token-file", token)
    assert f"set a new password for {user}, which ends its sessions" in said
    assert "is let in" in boardkeeper("doctor", "-c", config)


async def test_what_it_refuses(stack: Stack, tmp_path: Path) -> None:
    user = f"@{name('bot')}:{stack.server_name}"
    config = tmp_path / "config.yaml"
    call = ("setup", "--homeserver", stack.homeserver_url, "--user", user, "-o", config)
    token = await admin_token(stack, tmp_path)
    nobody = tmp_path / "nobody"
    nobody.write_text((await stack.user(name())).access_token)

    said = boardkeeper(*call, "--admin-token-file", nobody, "--yes", code=1)
    assert "does not accept the token as an administrator's (403)" in said
    said = boardkeeper(*call, "--admin-token-file", tmp_path / "no", "--yes", code=1)
    assert "cannot be read" in said
    said = boardkeeper(*call, "--yes", code=1, said="")
    assert "give --admin-token-file, or the token in BOARDKEEPER_ADMIN_TOKEN" in said
    said = boardkeeper(*call, "--admin-token-file", token, code=1, said="")
    assert f"create the account {user}" in said
    assert "nobody can be asked here: give --yes" in said
    away = ("setup", "--homeserver", stack.jwt_url, "--user", user, "-o", config, "--yes")
    said = boardkeeper(*away, "--admin-token-file", token, code=1)
    assert f"{stack.jwt_url} has no admin API of Synapse" in said
    far = ("setup", "--homeserver", stack.homeserver_url, "--user", "@b:far.example", "--yes")
    said = boardkeeper(*far, "-o", config, "--admin-token-file", token, code=1)
    assert "boardkeeper: " in said
    config.write_text("mine")
    said = boardkeeper(*call, "--admin-token-file", token, "--yes", code=1)
    assert f"{config} exists, but not the account" in said
    assert config.read_text() == "mine"
    assert not list(tmp_path.glob("*.password*"))


async def test_usual_limits_low_limits_and_no_delayed_events(tmp_path: Path) -> None:
    few = {
        "max_event_delay_duration": "10s",
        "experimental_features": {"msc4140_max_delayed_events_per_user": 4},
    }
    options = Options(default_limits=True, synapse=few)
    async with Stack.start(tmp_path / "stack", options) as stack:
        await limits_are_low(stack, tmp_path)
        file = stack.folder / "homeserver.yaml"
        settings = json.loads(file.read_text())
        for key in ("max_event_delay_duration", "extra_well_known_client_content", "matrix_rtc"):
            del settings[key]
        file.write_text(json.dumps(settings))
        await stack.synapse.restart()
        await nothing_is_there(stack, tmp_path)


async def limits_are_low(stack: Stack, folder: Path) -> None:
    bot = await made(stack, folder)
    report = await examined(bot)
    assert report.code == 0, report.said
    assert report.has(
        "! warning",
        "delayed events",
        "may be 10 s at the most, rtc.delay is longer",
        "→ max_event_delay_duration: 24h in homeserver.yaml",
    )
    assert report.has(
        "! warning",
        "limits",
        "4 delayed events per account carry 3 boards",
        "→ experimental_features: {msc4140_max_delayed_events_per_user: 1000} in homeserver.yaml",
    )
    assert report.has(
        "! warning",
        "limits",
        "restarts a second carry 3 boards every 5 s",  # 1.0, measured
        "→ boardkeeper setup lifts the account's limits; or rc_delayed_event_mgmt:",
    ), report.said

    call = ("setup", "--homeserver", stack.homeserver_url, "--user", bot.user_id, "--yes")
    (folder / "exempt.yaml.password").write_text(password(bot))
    token = await admin_token(stack, folder)
    said = boardkeeper(*call, "-o", folder / "exempt.yaml", "--admin-token-file", token)
    assert "new password" not in said
    report = await examined(bot)
    assert report.has("✓ ok", "limits", "exempt from rate limits; 3 boards at a time"), report.said


async def nothing_is_there(stack: Stack, folder: Path) -> None:
    bot = await made(stack, folder / "2")
    report = await examined(bot)
    assert report.code == 1
    assert report.has(
        "✗ broken",
        "delayed events",
        "if the bot dies it stays in the lists of participants",
        "→ max_event_delay_duration: 24h in homeserver.yaml",
    )
    assert report.has("! warning", "limits", "not checked: needs what is broken (delayed events)")
    assert report.has(
        "✗ broken",
        "LiveKit services",
        "nobody names one",
        "→ the well-known file, or rtc.foci in the configuration",
    )
    assert report.has("LiveKit", "not checked: needs what is broken (LiveKit services)")
    login = await stack.user(name("bot"))
    own = {**homeserver(stack, login), "rtc": {"foci": [stack.jwt_url]}}
    report = await examined(await made(stack, folder / "3", own, login))
    assert report.has("✓ ok", "LiveKit services", f"{stack.jwt_url} (rtc.foci)")
    assert report.has("✓ ok", "LiveKit", "connected and audible")


def password(bot: Bot) -> str:
    return str(json.loads(bot.config.read_text())["homeserver"]["password"])
