"""Tokens: what the JWT service may answer, and what we make ourselves."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Forbidden, NotFound, RateLimited, ServerError, Transient
from bot.livekit.auth import Grant, _read, api_key_grant, get_token, room_name, sfu_get
from bot.rtc.sticky import Seat

OPENID = {
    "access_token": "syt_secret",
    "token_type": "Bearer",
    "matrix_server_name": "example.com",
    "expires_in": 3600,
}
VIDEO: dict[str, Any] = {
    "room": "abc",
    "roomJoin": True,
    "canPublish": True,
    "canSubscribe": True,
    "canUpdateOwnMetadata": True,
}


def token(**claims: Any) -> str:
    usual = {"sub": "@bot:example.com:DEV", "exp": 1_900_000_000, "video": VIDEO}
    return jwt.encode(usual | claims, "k" * 32, algorithm="HS256")


@asynccontextmanager
async def service(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/livekit/sfu/get", answer)
    app.router.add_post("/livekit/get_token", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/livekit"))


async def ask(url: str, seconds: float = 5.0) -> Grant:
    async with aiohttp.ClientSession() as http:
        return await sfu_get(http, url, "!room:example.com", OPENID, "DEV", seconds=seconds)


async def answered(status: int, body: object, **headers: str) -> Grant:
    async def answer(_: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers)

    async with service(answer) as url:
        return await ask(url)


@pytest.mark.scenario("J01", "J02", "F22")
async def test_a_grant_is_read_out_of_the_token() -> None:
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response({"url": "wss://sfu", "jwt": token(), "more": 1})

    async with service(answer) as url:
        grant = await ask(url + "/")
    assert asked == [{"room": "!room:example.com", "openid_token": OPENID, "device_id": "DEV"}]
    assert grant == Grant(
        url="wss://sfu",
        jwt=grant.jwt,
        room="abc",
        identity="@bot:example.com:DEV",
        service_url=url + "/",
        expires_at=1_900_000_000_000,
        may_announce=True,
    )
    assert grant.jwt not in repr(grant)


@pytest.mark.scenario("J01")
async def test_only_what_the_service_knows_is_sent_on() -> None:
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response({"url": "wss://sfu", "jwt": token()})

    async with service(answer) as url, aiohttp.ClientSession() as http:
        await sfu_get(http, url, "!r", {**OPENID, "org.example.extra": True}, "DEV")
    assert asked[0]["openid_token"] == OPENID


@pytest.mark.scenario("J01", "J02", "F22")
async def test_a_seat_is_asked_for_by_slot_and_member() -> None:
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path, await request.json()))
        return web.json_response({"url": "wss://sfu", "jwt": token(sub="pseudonym")})

    seat = Seat("net.nordeck.whiteboard#w1", "m1")
    more = {**OPENID, "org.example.extra": True}
    async with service(answer) as url, aiohttp.ClientSession() as http:
        grant = await get_token(http, url + "/", "!r", seat, more, "@bot:example.com", "DEV")
    body = {
        "room_id": "!r",
        "slot_id": "net.nordeck.whiteboard#w1",
        "openid_token": OPENID,
        "member": {
            "id": "m1",
            "claimed_user_id": "@bot:example.com",
            "claimed_device_id": "DEV",
        },
    }
    assert asked == [("/livekit/get_token", body)]
    assert (grant.identity, grant.room, grant.service_url) == ("pseudonym", "abc", url + "/")


@pytest.mark.scenario("J03")
async def test_errors_about_a_seat_are_sorted_likewise() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"errcode": "M_UNAUTHORIZED"}, status=401)

    async with service(answer) as url, aiohttp.ClientSession() as http:
        with pytest.raises(Transient, match="OpenID"):
            await get_token(http, url, "!r", Seat("a#1", "m1"), OPENID, "@bot:example.com", "DEV")


@pytest.mark.scenario("J03", "J04", "J05", "J06")
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "M_BAD_JSON", ServerError),
        (400, "M_NOT_JSON", ServerError),
        (401, "M_UNAUTHORIZED", Transient),
        (403, "M_FORBIDDEN", Forbidden),
        (404, "M_UNRECOGNIZED", NotFound),
        (405, "", NotFound),
        (429, "M_LIMIT_EXCEEDED", RateLimited),
        (500, "M_LOOKUP_FAILED", Transient),
        (500, "M_UNKNOWN", Transient),
        (503, "M_UNKNOWN", Transient),
        (302, "", ServerError),
        (204, "", ServerError),
    ],
)
async def test_errors_are_sorted_by_what_helps(
    status: int, code: str, kind: type[ServerError]
) -> None:
    with pytest.raises(ServerError) as caught:
        await answered(status, {"errcode": code, "error": "secret text"})
    assert type(caught.value) is kind
    assert "secret" not in str(caught.value)


@pytest.mark.scenario("J03")
async def test_an_openid_token_not_accepted_is_told_from_a_broken_service() -> None:
    with pytest.raises(Transient, match="OpenID"):
        await answered(500, {"errcode": "M_LOOKUP_FAILED"})
    with pytest.raises(Transient, match="failed"):
        await answered(500, {"errcode": "M_UNKNOWN"})


@pytest.mark.scenario("J07")
@pytest.mark.parametrize(
    ("body", "headers", "wait"),
    [
        ({"retry_after_ms": 2500}, {}, 2.5),
        ({"retry_after_ms": 2500}, {"Retry-After": "7"}, 2.5),
        ({}, {"Retry-After": "7"}, 7.0),
        ({"retry_after_ms": "x"}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry_after_ms": -1}, {}, None),
        ({}, {"Retry-After": "9" * 400}, 1e6),
        ("<html>", {}, None),
    ],
)
async def test_the_services_word_on_waiting_is_kept(
    body: object, headers: dict[str, str], wait: float | None
) -> None:
    with pytest.raises(RateLimited) as caught:
        await answered(429, body, **headers)
    assert caught.value.retry_after == wait


@pytest.mark.scenario("J08")
@pytest.mark.parametrize(
    "body",
    [
        "<html>It works!</html>",
        "[]",
        "[" * 50_000,
        '{"x": "' + "y" * 100_000 + '"}',
        {"jwt": token()},
        {"url": 5, "jwt": token()},
        {"url": "file:///etc/passwd", "jwt": token()},
        {"url": "wss://sfu"},
        {"url": "wss://sfu", "jwt": 5},
        {"url": "wss://sfu", "jwt": "abc"},
        {"url": "wss://sfu", "jwt": "a.b.c"},
        {"url": "wss://sfu", "jwt": "a.\u00e9\u00e9.c"},
        {"url": "wss://sfu", "jwt": token(video=None)},
        {"url": "wss://sfu", "jwt": token(sub="")},
        {"url": "wss://sfu\udc00", "jwt": token()},
        {"url": "wss://sfu", "jwt": token() + "\ud800"},
        {"url": "wss://sfu", "jwt": token(video=VIDEO | {"room": ""})},
        {"url": "wss://sfu", "jwt": token(video=VIDEO | {"room": 7})},
        {"url": "wss://sfu", "jwt": token(video=VIDEO | {"roomJoin": False})},
        {"url": "wss://sfu", "jwt": token(video=VIDEO | {"canPublishData": False})},
        {"url": "wss://sfu", "jwt": token(video=VIDEO | {"canPublish": False})},
    ],
)
async def test_an_answer_that_is_no_use_is_an_error(body: object) -> None:
    with pytest.raises(ServerError) as caught:
        await answered(200, body)
    assert type(caught.value) is ServerError


@pytest.mark.parametrize(
    "video",
    [
        {"canPublish": None},
        {"canPublish": False, "canPublishData": True},
        {"canPublishData": None},
    ],
)
async def test_rights_that_the_token_leaves_open_are_there(video: dict[str, Any]) -> None:
    body = {"url": "wss://sfu", "jwt": token(video=VIDEO | video, exp="soon")}
    grant = await answered(200, body)
    assert grant.room == "abc"
    assert grant.expires_at is None


async def test_it_is_seen_when_we_may_not_announce_ourselves() -> None:
    video = VIDEO | {"canUpdateOwnMetadata": False}
    grant = await answered(200, {"url": "wss://sfu", "jwt": token(video=video)})
    assert not grant.may_announce


async def test_a_service_that_does_not_answer_is_given_up() -> None:
    with pytest.raises(Transient, match="no connection"):
        await ask("http://127.0.0.1:9")

    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    async with service(hang) as url:
        with pytest.raises(Transient, match="did not answer"):
            await ask(url, seconds=0.1)


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b" " * 10_000)

    async with service(flood) as url:
        with pytest.raises(ServerError, match="no SFU"):
            await ask(url)


@pytest.mark.parametrize("url", ["nonsense", "ftp://example.com", "http://[::1", "http://a:99999"])
async def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(NotFound, match="not valid"):
        await ask(url)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists) | st.text())
def test_whatever_claims_hold_nothing_but_our_errors_comes_out(found: object) -> None:
    for claims in ({"sub": found}, {"video": found}, {"video": VIDEO | {"room": found}}):
        with suppress(ServerError):
            assert _read({"url": "wss://sfu", "jwt": token_of(claims)}, "").room


def token_of(claims: dict[str, Any]) -> str:
    part = urlsafe_b64encode(json.dumps({"sub": "me", "video": VIDEO} | claims).encode()).decode()
    return f"e30.{part.rstrip('=')}.sig"


@pytest.mark.scenario("J09")
@pytest.mark.parametrize(
    ("room_id", "slot", "name"),
    [
        ("!roomid:example.com", "slot1234", "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc"),
        ("!room:example.com", "m.call#ROOM", "krj2dgxw2K6EOm9he4GfQJ6JsSVWfJ8a7BkyjZcSmxs"),
    ],
)
def test_room_names_are_those_of_the_jwt_service(room_id: str, slot: str, name: str) -> None:
    assert room_name(room_id, slot) == name


@pytest.mark.scenario("J09")
def test_an_own_token_has_the_services_names_and_more_rights() -> None:
    grant = api_key_grant(
        "key", "s" * 32, "ws://sfu", "!room:example.com", "@bot:example.com", "DEV"
    )
    claims = jwt.decode(grant.jwt, "s" * 32, algorithms=["HS256"])
    assert claims["iss"] == "key"
    assert claims["exp"] * 1000 == grant.expires_at
    assert claims["exp"] - claims["nbf"] == 3600
    assert claims["video"] == {
        "roomJoin": True,
        "roomCreate": True,
        "room": "krj2dgxw2K6EOm9he4GfQJ6JsSVWfJ8a7BkyjZcSmxs",
        "canPublish": True,
        "canPublishData": True,
        "canSubscribe": True,
        "canUpdateOwnMetadata": True,
    }
    assert (grant.identity, grant.service_url) == ("@bot:example.com:DEV", "")
    assert grant.may_announce


@pytest.mark.scenario("J09")
def test_an_own_token_for_a_seat_has_the_services_names() -> None:
    seat = Seat("slot1234", "memberABC")
    grant = api_key_grant(
        "key",
        "s" * 32,
        "ws://sfu",
        "!roomid:example.com",
        "@alice:example.com",
        "DEVICE123",
        seat,
    )
    assert grant.room == "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc"
    assert grant.identity == "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU"
