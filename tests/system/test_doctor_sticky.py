"""`boardkeeper doctor` on what the sticky profile needs, there and missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.stack.stack import Options, Stack
from tests.system.people import name
from tests.system.test_doctor import examined, made

NO_STICKY_EVENTS: dict[str, Any] = {"experimental_features": {"msc4354_enabled": False}}
NO_ENDPOINT: dict[str, Any] = {"experimental_features": {"msc4143_enabled": False}}
NO_TRANSPORTS: dict[str, Any] = {"matrix_rtc": {"transports": []}}
STICKY: dict[str, Any] = {"rtc": {"profile": "sticky"}}


async def test_all_is_well(stack: Stack, tmp_path: Path) -> None:
    report = await examined(await made(stack, tmp_path))
    assert report.code == 0, report.said
    assert report.has("✓ ok", "sticky events", "on")
    assert report.has("✓ ok", "RTC transports", stack.jwt_url)


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
        report = await examined(await made(stack, tmp_path, STICKY, login))
        assert report.code == 1
        assert report.has("✗ broken", subject, text, advice), report.said
