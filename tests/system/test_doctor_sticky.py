"""`boardkeeper doctor` on what the sticky profile needs, there and missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.stack.client.events import MEMBER
from tests.stack.stack import Login, Options, Stack
from tests.system.people import name
from tests.system.test_doctor import examined, made, room

PENDING = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"
SLOT_TYPE = "org.matrix.msc4143.rtc.slot"
STICKY_TYPE = "org.matrix.msc4143.rtc.member"
NO_STICKY_EVENTS: dict[str, Any] = {"experimental_features": {"msc4354_enabled": False}}
NO_ENDPOINT: dict[str, Any] = {"experimental_features": {"msc4143_enabled": False}}
NO_TRANSPORTS: dict[str, Any] = {"matrix_rtc": {"transports": []}}
STICKY: dict[str, Any] = {"rtc": {"profile": "sticky"}}


SUBJECTS = ("sticky events", "sticky leave", "RTC transports", "sticky tokens", "sticky LiveKit")


async def test_all_is_well(stack: Stack, tmp_path: Path) -> None:
    login = await stack.user(name("bot"))
    report = await examined(await made(stack, tmp_path, None, login))
    assert report.has("✓ ok", "sticky leave", "not tried: the bot is in no room yet")
    room_id = await room(stack, login, {"events": {MEMBER: 0}})
    before = await newest(stack, login, room_id)
    report = await examined(await made(stack, tmp_path, None, login))
    assert report.code == 0, report.said
    assert report.has("✓ ok", "sticky events", "on")
    assert report.has("✓ ok", "sticky leave", "the homeserver sends it when the bot dies")
    assert report.has("✓ ok", "RTC transports", stack.jwt_url)
    assert report.has("✓ ok", "sticky tokens", f"{stack.jwt_url} gives tokens for")
    assert report.has("✓ ok", "sticky LiveKit", "connected and audible")
    assert report.has("✓ ok", "JWT service")
    pending = await stack.call(login, "GET", PENDING)
    assert pending.body["delayed_events"] == []
    assert await newest(stack, login, room_id) == before


async def test_default_limits(tmp_path: Path) -> None:
    async with Stack.start(tmp_path / "stack", Options(default_limits=True)) as stack:
        login = await stack.user(name("bot"))
        await room(stack, login, {"events": {MEMBER: 0}})
        report = await examined(await made(stack, tmp_path, None, login))
        assert report.code == 0, report.said
        assert report.has("✓ ok", "sticky leave"), report.said
        assert report.has("! warning", "limits", "carry 4 boards")
        pending = await stack.call(login, "GET", PENDING)
        assert pending.body["delayed_events"] == []


async def newest(stack: Stack, login: Login, room_id: str) -> str:
    path = f"/_matrix/client/v3/rooms/{quote(room_id)}/messages"
    answer = await stack.call(login, "GET", path, dir="b", limit="1")
    return str(answer.body["chunk"][0]["event_id"])


@pytest.mark.parametrize("profile", ["legacy", "sticky"])
async def test_only_what_the_profile_needs_is_looked_at(
    stack: Stack, tmp_path: Path, profile: str
) -> None:
    report = await examined(await made(stack, tmp_path, {"rtc": {"profile": profile}}))
    assert report.code == 0, report.said
    for subject in SUBJECTS:
        assert report.has("✓ ok", subject) is (profile == "sticky")
    assert report.has("JWT service ") is (profile == "legacy")


async def test_a_key_of_livekit_opens_both_profiles_rooms(stack: Stack, tmp_path: Path) -> None:
    own = {"auth": "api_key", "url": stack.livekit_url, "api_key": stack.livekit_key}
    config = STICKY | {"livekit": own | {"api_secret": stack.livekit_secret}}
    report = await examined(await made(stack, tmp_path, config))
    assert report.code == 0, report.said
    assert report.has("✓ ok", "JWT service", "not used: livekit.auth is api_key")
    assert report.has("✓ ok", "LiveKit", "connected and audible")
    assert not report.has("sticky tokens")


@pytest.mark.parametrize(
    ("fault", "parts"),
    [
        ("not_found", ("has no /get_token", "→ lk-jwt-service from 0.4.3 on")),
        ("unauthorized", ("did not accept our OpenID token", "openid/userinfo")),
        ("hang", ("did not answer within 3 s",)),
    ],
)
async def test_a_jwt_service_that_fails(
    stack: Stack, tmp_path: Path, fault: str, parts: tuple[str, ...]
) -> None:
    bot = await made(stack, tmp_path, STICKY)
    await stack.jwt.fault(fault)
    report = await examined(bot)
    assert report.code == 1, report.said
    assert report.has("✗ broken", "sticky tokens", *parts), report.said
    assert report.has("sticky LiveKit", "not checked: needs what is broken (sticky tokens)")


async def test_another_organisations_livekit(tmp_path: Path) -> None:
    options = Options(full_access=("elsewhere.example",))
    async with Stack.start(tmp_path / "stack", options) as stack:
        report = await examined(await made(stack, tmp_path))
    for subject in ("LiveKit", "sticky LiveKit"):
        assert report.has("! warning", subject, "→ LIVEKIT_FULL_ACCESS_HOMESERVERS"), report.said


@pytest.mark.parametrize(
    ("synapse", "subject", "text", "advice"),
    [
        (
            NO_STICKY_EVENTS,
            "sticky events",
            "the homeserver has none: NeoBoard since September 2026 needs them",
            "→ experimental_features: {msc4354_enabled: true} in homeserver.yaml",
        ),
        (
            NO_ENDPOINT,
            "RTC transports",
            "the homeserver has no list of them (rtc/transports)",
            "→ experimental_features: {msc4143_enabled: true}, and matrix_rtc: {transports: [{type",
        ),
        (
            NO_TRANSPORTS,
            "RTC transports",
            "the homeserver's list of them is empty",
            "→ matrix_rtc: {transports: [{type: livekit, livekit_service_url:",
        ),
    ],
)
async def test_what_the_homeserver_lacks(
    tmp_path: Path, synapse: Mapping[str, Any], subject: str, text: str, advice: str
) -> None:
    async with Stack.start(tmp_path / "stack", Options(synapse=synapse)) as stack:
        login = await stack.user(name("bot"))
        report = await examined(await made(stack, tmp_path, None, login))
        assert report.code == 0, report.said  # the legacy profile works all the same
        assert report.has("! warning", subject, text, advice), report.said
        if subject == "RTC transports":
            assert report.has(subject, stack.jwt_url)  # what to name is known from the other file
            assert report.has("✓ ok", "sticky tokens", stack.jwt_url)
        report = await examined(await made(stack, tmp_path, STICKY, login))
        assert report.code == 1
        assert report.has("✗ broken", subject, text, advice), report.said


@pytest.mark.parametrize(
    ("config", "levels", "slot", "code", "said"),
    [
        ({}, {}, None, 0, ("✓ ok", "1 of 1: the bot may do what it has to")),
        ({}, {}, "open", 0, ("✓ ok", "1 of 1: the bot may do what it has to, 1 with an open slot")),
        (
            {},
            {STICKY_TYPE: 50},
            "open",
            1,
            (
                "✗ broken",
                "the bot may not announce itself (has power 0, needs 50)",
                f'→ m.room.power_levels: "events": {{"{STICKY_TYPE}": 0}}, or more power',
            ),
        ),
        ({}, {STICKY_TYPE: 50}, None, 0, ("✓ ok", "1 of 1")),
        ({}, {MEMBER: 50}, "open", 0, ("✓ ok", "1 of 1")),
        (STICKY, {MEMBER: 50}, "open", 0, ("✓ ok", "1 of 1")),
        (STICKY, {}, "closed", 0, ("! warning", "the slot of a board is closed", "→ state event")),
        (STICKY, {}, None, 0, ("! warning", "a board has no slot", f"→ state event {SLOT_TYPE}")),
        (
            {"rtc": {"profile": "sticky", "require_open_slot": True}},
            {},
            None,
            1,
            ("✗ broken", "nobody counts as being on it", "or rtc.require_open_slot: false"),
        ),
    ],
    ids=[
        "none",
        "open",
        "no power",
        "no power, not needed",
        "legacy not needed",
        "sticky alone",
        "closed",
        "no slot",
        "a slot is wanted",
    ],
)
async def test_rooms(
    stack: Stack,
    tmp_path: Path,
    config: dict[str, Any],
    levels: dict[str, int],
    slot: str | None,
    code: int,
    said: tuple[str, ...],
) -> None:
    login = await stack.user(name("bot"))
    state = {
        "type": SLOT_TYPE,
        "state_key": "net.nordeck.whiteboard#w1",
        "content": {"status": slot, "application": {"type": "net.nordeck.whiteboard"}},
    }
    events = {"events": {MEMBER: 0} | levels}
    await room(stack, login, events, *([state] if slot else []))
    report = await examined(await made(stack, tmp_path, config, login))
    assert report.code == code, report.said
    assert report.has("rooms", *said), report.said
