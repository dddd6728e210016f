"""The doctor on the sticky profile, where a real server cannot show it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import pytest

from bot.config import Config, Homeserver, Livekit, Rtc
from bot.config.secret import Secret
from bot.doctor import calls, server, sticky
from bot.doctor.command import CHECKS, checks
from bot.doctor.finding import Finding, Level
from bot.doctor.patient import Patient
from bot.errors import NotFound, RateLimited, ServerError, TooManyDelayed, Transient, Unsupported
from bot.livekit.auth import Grant
from bot.matrix import survey
from bot.rtc.sticky import STICKY_MS, STICKY_TYPE, Seat, pseudonym

SERVICE = "https://rtc.a/jwt"
USER = "@b:x"


@dataclass
class Server:
    """A homeserver that answers what a test wants."""

    versions: dict[str, Any] = field(default_factory=dict)
    transports: dict[str, Any] | ServerError = field(default_factory=dict)
    rooms: list[str] = field(default_factory=list)
    refusal: ServerError | None = None
    problems: list[ServerError] = field(default_factory=list)
    scheduled: list[tuple[Any, ...]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    async def openid_token(self, *, timeout: float) -> dict[str, Any]:
        return {"timeout": timeout}

    async def schedule_sticky(self, *what: Any, timeout: float) -> str:
        if self.refusal is not None:
            raise self.refusal
        self.scheduled.append((*what, timeout))
        return "d1"

    async def cancel_delayed(self, delay_id: str) -> None:
        self.cancelled.append(delay_id)
        if self.problems:
            raise self.problems.pop(0)


@pytest.fixture
def homeserver(monkeypatch: pytest.MonkeyPatch) -> Server:
    fake = Server()

    async def versions(*_: Any) -> dict[str, Any]:
        return fake.versions

    async def transports(*_: Any) -> dict[str, Any]:
        if isinstance(fake.transports, ServerError):
            raise fake.transports
        return fake.transports

    async def joined_rooms(*_: Any) -> list[str]:
        return fake.rooms

    monkeypatch.setattr(survey, "versions", versions)
    monkeypatch.setattr(survey, "transports", transports)
    monkeypatch.setattr(survey, "joined_rooms", joined_rooms)
    return fake


def patient(homeserver: Server, profile: Literal["auto", "legacy", "sticky"] = "auto") -> Patient:
    account = Homeserver("https://x", USER, password=Secret("p"), well_known="https://x")
    made = Patient(Config(account, rtc=Rtc(profile=profile)))
    made.homeserver = cast("Any", homeserver)
    made.http = cast("Any", None)
    return made


async def the(check: AsyncIterator[Finding]) -> Finding:
    (found,) = [finding async for finding in check]
    return found


@pytest.mark.parametrize("said", [{}, {"unstable_features": []}, {"unstable_features": {"a": 1}}])
async def test_no_sticky_events(homeserver: Server, said: dict[str, Any]) -> None:
    homeserver.versions = said
    found = await the(sticky.events(patient(homeserver)))
    assert found.level is Level.WARNING
    assert found.advice.startswith("experimental_features: {msc4354_enabled: true}")
    assert "rtc.profile: legacy" in found.advice

    found = await the(sticky.events(patient(homeserver, "sticky")))
    assert found.level is Level.BROKEN
    assert found.advice == "experimental_features: {msc4354_enabled: true} in homeserver.yaml"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({}, "list of them is empty"),
        ({"rtc_transports": []}, "list of them is empty"),
        ({"rtc_transports": "no"}, "list of them is empty"),
        ({"rtc_transports": [{"type": "other"}]}, "no LiveKit service with a livekit_service_url"),
        (
            {"rtc_transports": [{"type": "livekit", "url": "wss://rtc.a"}]},
            "no LiveKit service with a livekit_service_url",
        ),
        (Transient("transports: no answer"), "transports: no answer"),
        (Unsupported("unknown"), "the homeserver has no list of them"),
    ],
    ids=["absent", "empty", "no list", "other kind", "only the address", "no answer", "unknown"],
)
async def test_no_transports(
    homeserver: Server, said: dict[str, Any] | ServerError, text: str
) -> None:
    homeserver.transports = said
    found = await the(sticky.transports(patient(homeserver)))
    assert found.level is Level.WARNING
    assert text in found.text
    assert (await the(sticky.transports(patient(homeserver, "sticky")))).level is Level.BROKEN


@pytest.mark.parametrize("kind", ["livekit", "m.livekit"])
async def test_transports_in_both_spellings(homeserver: Server, kind: str) -> None:
    homeserver.transports = {"rtc_transports": [{"type": kind, "livekit_service_url": SERVICE}]}
    who = patient(homeserver)
    assert await the(sticky.transports(who)) == Finding(Level.OK, "RTC transports", SERVICE)
    assert who.transports == [SERVICE]


async def test_the_advice_names_the_service_that_is_known(homeserver: Server) -> None:
    who = patient(homeserver)
    who.foci[SERVICE] = "well-known"
    setting = f'{{type: livekit, livekit_service_url: "{SERVICE}"}}'
    assert setting in (await the(sticky.transports(who))).advice


async def test_a_leave_is_left_and_taken_back(homeserver: Server) -> None:
    who = patient(homeserver)
    assert [one async for one in sticky.leaving(who)] == []  # told by the check before
    who.sticky, who.max_delay_ms = True, 20_000
    assert "in no room yet" in (await the(sticky.leaving(who))).text
    homeserver.rooms = ["!r:x", "!s:x"]
    limited = RateLimited("limited", 0.001)
    for problems in ([], [NotFound("gone")], [limited, limited], [limited] * 3):
        homeserver.problems = list[ServerError](problems)
        assert (await the(sticky.leaving(who))).level is Level.OK
        assert not homeserver.problems
        room_id, kind, content, duration, delay, _ = homeserver.scheduled.pop()
        assert (room_id, kind, duration, delay) == ("!r:x", STICKY_TYPE, STICKY_MS, 20_000)
        assert content["member"]["membership"] == "leave"
        assert homeserver.cancelled.pop() == "d1"


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        (RateLimited("limited", 1.0), "try again later"),
        (TooManyDelayed("full"), "try again later"),
        (Unsupported("no"), "a newer Synapse"),
    ],
    ids=["limited", "full", "unsupported"],
)
async def test_a_leave_is_refused(homeserver: Server, refusal: ServerError, advice: str) -> None:
    who = patient(homeserver)
    who.sticky, homeserver.rooms, homeserver.refusal = True, ["!r:x"], refusal
    found = await the(sticky.leaving(who))
    assert (found.level, str(refusal) in found.text) == (Level.WARNING, True)
    assert advice in found.advice


def answers(monkeypatch: pytest.MonkeyPatch, identity: str | ServerError | None) -> None:
    """Have every JWT service give this identity (None: the right one), or fail so."""

    async def get_token(
        _http: object,
        service_url: str,
        _room_id: str,
        seat: Seat,
        _openid: object,
        user_id: str,
        device_id: str,
        *,
        seconds: float,
    ) -> Grant:
        assert seconds == 3.0
        if isinstance(identity, ServerError):
            raise identity
        named = identity or pseudonym(user_id, device_id, seat.member_id)
        return Grant("wss://sfu.a", "jwt", "room", named, service_url, None, may_announce=True)

    monkeypatch.setattr(sticky, "get_token", get_token)


@pytest.mark.parametrize(
    ("identity", "level", "text", "advice"),
    [
        (None, Level.OK, "gives tokens for wss://sfu.a", ""),
        ("member id", Level.WARNING, "as an old version does", "lk-jwt-service from 0.4.3 on"),
        (NotFound("404"), Level.WARNING, "has no /get_token", "lk-jwt-service from 0.4.3 on"),
        (Transient("failed"), Level.WARNING, "failed", "the log of the JWT service"),
    ],
    ids=["right", "old identity", "absent", "failing"],
)
async def test_tokens(
    homeserver: Server,
    monkeypatch: pytest.MonkeyPatch,
    identity: str | ServerError | None,
    level: Level,
    text: str,
    advice: str,
) -> None:
    answers(monkeypatch, identity)
    who = patient(homeserver)
    who.foci["https://other.a"] = "well-known"
    who.transports = [SERVICE]
    found = await the(sticky.tokens(who))
    assert found.level is level
    assert found.text.startswith(SERVICE)
    assert text in found.text
    assert found.advice.startswith(advice)
    assert who.let_in_sticky == ([SERVICE] if level is Level.OK else [])


async def test_whom_nobody_let_in_is_not_tried(homeserver: Server) -> None:
    found = await the(sticky.audible(patient(homeserver)))
    assert found.text == "not checked: needs what is missing (sticky tokens)"


def test_each_profile_has_its_checks() -> None:
    def looked_at(profile: Literal["auto", "legacy", "sticky"], **livekit: Any) -> set[str]:
        account = Homeserver("https://x", USER, password=Secret("p"))
        config = Config(account, rtc=Rtc(profile=profile), livekit=Livekit(**livekit))
        return {check.subject for check in checks(config)}

    every = {check.subject for check in CHECKS}
    tokens = {sticky.TOKENS, sticky.AUDIBLE}
    own_key = {"auth": "api_key", "url": "wss://a", "api_key": "k", "api_secret": Secret("s")}
    assert every > sticky.ALL
    assert server.DELAYED in every
    assert looked_at("auto") == every
    assert looked_at("legacy") == looked_at("legacy", **own_key) == every - sticky.ALL
    assert looked_at("sticky") == every - {calls.TOKEN, calls.AUDIBLE}
    assert looked_at("auto", **own_key) == looked_at("sticky", **own_key) == every - tokens
