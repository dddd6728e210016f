"""Logging in, delayed events, documents: where homeservers differ from a healthy Synapse."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from bot.errors import (
    AuthLost,
    NotFound,
    RateLimited,
    Refused,
    ServerError,
    Transient,
    Unsupported,
)
from bot.matrix.client import Homeserver
from bot.matrix.delayed import DelayedEvent, DelayedSupport
from bot.matrix.wellknown import address
from tests.fakes.homeserver import Answer, FakeHomeserver, MemoryTokens, Seen, refused
from tests.unit.matrix.conftest import ME

ROOM = "!room:example.org"
I_AM = Answer(body={"user_id": ME, "device_id": "DEV"})
LOGGED_IN = Answer(body={"user_id": ME, "device_id": "DEV", "access_token": "fresh"})
DEAD = refused(401, "M_UNKNOWN_TOKEN")


async def login(
    fake: FakeHomeserver, tokens: MemoryTokens, device: str | None = "DEV", **secrets: str
) -> Homeserver:
    async with Homeserver(fake.url, ME, device, tokens=tokens, **secrets) as hs:
        await hs.login()
        return hs


async def test_the_password_is_used_once(fake: FakeHomeserver, tokens: MemoryTokens) -> None:
    fake.on("POST", "/login", LOGGED_IN)
    fake.on("GET", "/whoami", I_AM)
    hs = await login(fake, tokens, password="pw")
    assert (hs.device_id, hs.server_name, hs.transport.token) == ("DEV", "example.org", "fresh")
    assert fake.seen[0].body["device_id"] == "DEV"
    assert fake.seen[0].body["identifier"] == {"type": "m.id.user", "user": ME}
    await login(fake, tokens, password="pw")
    assert len(fake.asked("/login")) == 1
    assert fake.asked("/whoami")[0].headers["Authorization"] == "Bearer fresh"
    assert tokens.texts == {"user_id": ME, "device_id": "DEV", "access_token": "fresh"}


async def test_a_dead_stored_token_needs_the_password(fake: FakeHomeserver) -> None:
    tokens = MemoryTokens(access_token="old", device_id="DEV", user_id=ME, sync_token="s1")
    fake.on("POST", "/login", LOGGED_IN)
    fake.on("GET", "/whoami", DEAD)
    hs = await login(fake, tokens, None, password="pw")
    assert hs.transport.token == "fresh"
    assert fake.asked("/login")[0].body["device_id"] == "DEV", "the device we were"
    assert "Authorization" not in fake.asked("/login")[0].headers
    assert tokens.texts["sync_token"] == "s1"
    with pytest.raises(AuthLost, match="neither"):
        await login(fake, tokens)


async def test_a_homeserver_that_is_away_is_no_dead_token(fake: FakeHomeserver) -> None:
    tokens = MemoryTokens(access_token="old")
    fake.on("GET", "/whoami", Answer(502, b""), I_AM)
    fake.on("POST", "/login", LOGGED_IN)
    hs = await login(fake, tokens, password="pw")
    assert hs.transport.token == "old"
    assert not fake.asked("/login")


@pytest.mark.parametrize(
    "other",
    [
        {"user_id": "@somebody:example.org", "device_id": "DEV"},
        {"user_id": ME, "device_id": "OTHERDEV"},
    ],
)
async def test_another_account_or_device_is_configured_now(
    fake: FakeHomeserver, other: dict[str, str]
) -> None:
    tokens = MemoryTokens(access_token="old", sync_token="s1", **other)
    fake.on("GET", "/whoami", Answer(body=other))
    fake.on("POST", "/login", LOGGED_IN)
    hs = await login(fake, tokens, password="pw")
    assert hs.transport.token == "fresh"
    assert tokens.texts["sync_token"] == ("s1" if other["user_id"] == ME else "")


@pytest.mark.parametrize(
    ("whoami", "device", "text"),
    [
        (DEAD, "DEV", "put the new token into the configuration"),
        (Answer(body={"user_id": "@x:example.org"}), "DEV", "is @x:example.org's"),
        (Answer(body={"user_id": ME}), None, "configure the device id"),
    ],
)
async def test_a_configured_token_that_does_not_fit(
    fake: FakeHomeserver, tokens: MemoryTokens, whoami: Answer, device: str | None, text: str
) -> None:
    fake.on("GET", "/whoami", whoami)
    with pytest.raises(AuthLost, match=text):
        await login(fake, tokens, device, access_token="t")


async def test_a_configured_token_wins(fake: FakeHomeserver) -> None:
    tokens = MemoryTokens(access_token="stored")
    fake.on("GET", "/whoami", Answer(body={"user_id": ME, "device_id": "ITS"}))
    hs = await login(fake, tokens, "DEV", access_token="configured")
    assert (hs.device_id, hs.transport.token) == ("ITS", "configured")


async def test_a_refused_password(fake: FakeHomeserver, tokens: MemoryTokens) -> None:
    fake.on("POST", "/login", refused(403, "M_FORBIDDEN"))
    with pytest.raises(AuthLost, match="refuses the password of @bot"):
        await login(fake, tokens, password="pw")


async def test_logins_that_are_limited(fake: FakeHomeserver, tokens: MemoryTokens) -> None:
    fake.on("POST", "/login", Answer(429, {}, {"Retry-After": "600"}))
    with pytest.raises(RateLimited):
        await login(fake, tokens, password="pw")


@pytest.mark.parametrize("body", [{}, {"access_token": "t"}, {"device_id": "D"}])
async def test_a_login_without_a_token(
    fake: FakeHomeserver, tokens: MemoryTokens, body: dict[str, str]
) -> None:
    fake.on("POST", "/login", Answer(body=body))
    with pytest.raises(Transient):
        await login(fake, tokens, password="pw")
    fake.on("GET", "/whoami", Answer())
    with pytest.raises(Transient):
        await login(fake, MemoryTokens(access_token="old"), password="pw")


# --- delayed events


@pytest.mark.parametrize(
    ("versions", "capabilities", "support"),
    [
        ({}, {}, DelayedSupport(supported=False)),
        ({"unstable_features": []}, {}, DelayedSupport(supported=False)),
        (
            {"unstable_features": {"org.matrix.msc4140": "true"}},
            {},
            DelayedSupport(supported=False),
        ),
        ({"unstable_features": {"org.matrix.msc4140": True}}, {}, DelayedSupport(supported=True)),
        (
            {"unstable_features": {"org.matrix.msc4140.stable": True}},
            {"m.delayed_events": {"max_delay_ms": 5, "max_scheduled": 6}},
            DelayedSupport(supported=True, max_delay_ms=5, max_scheduled=6),
        ),
        (
            {"unstable_features": {"org.matrix.msc4140": True}},
            {"org.matrix.msc4140.delayed_events": {"max_delay_ms": "5", "max_scheduled": -1}},
            DelayedSupport(supported=True),
        ),
        (
            {"unstable_features": {"org.matrix.msc4354": True}},
            {},
            DelayedSupport(supported=False, sticky=True),
        ),
        (
            {"unstable_features": {"org.matrix.msc4140": True, "org.matrix.msc4354": True}},
            {},
            DelayedSupport(supported=True, sticky=True),
        ),
    ],
)
async def test_what_the_server_can_do(
    fake: FakeHomeserver,
    hs: Homeserver,
    versions: dict[str, Any],
    capabilities: dict[str, Any],
    support: DelayedSupport,
) -> None:
    fake.on("GET", "/versions", Answer(body=versions))
    fake.on("GET", "/capabilities", Answer(body={"capabilities": capabilities}))
    assert await hs.delayed_support() == support


@pytest.mark.scenario("M16")
async def test_a_server_that_sends_the_leave_at_once(fake: FakeHomeserver, hs: Homeserver) -> None:
    fake.on("PUT", "", Answer(body={"event_id": "$1"}))
    with pytest.raises(Unsupported, match="at once"):
        await hs.schedule_state(ROOM, "t", "k", {}, 18_000)
    fake.on("PUT", "", Answer(body={"delay_id": 7}))
    with pytest.raises(Transient):
        await hs.schedule_state(ROOM, "t", "k", {}, 18_000)


@pytest.mark.scenario("M01", "M16")
async def test_m01_sticky_events_now_and_later(fake: FakeHomeserver, hs: Homeserver) -> None:
    content = {"msc4354_sticky_key": "m1"}
    fake.on("PUT", "", Answer(body={"event_id": "$1", "delay_id": "d1"}))
    assert await hs.send_sticky(ROOM, "t", content, 3_600_000) == "$1"
    with pytest.raises(Unsupported, match="at once"):
        await hs.schedule_sticky(ROOM, "t", content, 3_600_000, 18_000)
    fake.on("PUT", "", Answer(body={"delay_id": "d1"}))
    assert await hs.schedule_sticky(ROOM, "t", content, 3_600_000, 18_000) == "d1"
    stick = {"org.matrix.msc4354.sticky_duration_ms": "3600000"}
    later = {**stick, "org.matrix.msc4140.delay": "18000"}
    assert [seen.query for seen in fake.seen] == [stick, later, later]
    assert [seen.body for seen in fake.seen] == [content] * 3
    paths = [seen.path.rpartition("/send/t/") for seen in fake.seen]
    assert len({txn for _, _, txn in paths}) == 3, "one call would be taken for another"
    assert all(path.endswith("/rooms/" + quote(ROOM)) for path, _, _ in paths)
    fake.on("PUT", "", Answer(body={"event_id": "$2"}))
    await hs.send_sticky(ROOM, "t", content, 3_600_000, txn_id="again")
    assert fake.seen[-1].path.endswith("/again")


async def test_delayed_calls_try_once(fake: FakeHomeserver, hs: Homeserver) -> None:
    fake.on("PUT", "", Answer(429, {"retry_after_ms": 200}))
    with pytest.raises(RateLimited) as caught:
        await hs.schedule_state(ROOM, "t", "k", {}, 18_000)
    assert caught.value.retry_after == 0.2
    assert fake.seen[0].query == {"org.matrix.msc4140.delay": "18000"}
    assert len(fake.seen) == 1


@pytest.mark.scenario("M55")
async def test_servers_that_want_the_action_in_the_body(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    fake.on("POST", "/delayed_events/d%2F1", Answer())
    await hs.restart_delayed("d/1")
    await hs.cancel_delayed("d/1")
    paths = [seen.path.rpartition("delayed_events/")[2] for seen in fake.seen]
    assert paths == ["d%2F1/restart", "d%2F1", "d%2F1"], "found out once"
    assert [seen.body for seen in fake.seen[1:]] == [{"action": "restart"}, {"action": "cancel"}]


async def test_a_server_that_knows_neither_form(fake: FakeHomeserver, hs: Homeserver) -> None:
    for _ in range(2):
        with pytest.raises(Unsupported):
            await hs.send_delayed("d1")
    assert len(fake.seen) == 4, "a wrongly routed request does not decide for good"


async def test_a_fired_event_is_not_taken_for_an_old_server(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    fake.on("POST", "", refused(404, "M_NOT_FOUND"))
    with pytest.raises(NotFound):
        await hs.restart_delayed("d1")
    assert len(fake.seen) == 1


async def test_the_list_of_delayed_events(fake: FakeHomeserver, hs: Homeserver) -> None:
    good = {"delay_id": "d1", "room_id": ROOM, "type": "t", "state_key": "k", "content": {}}
    message = {"delay_id": "d2", "room_id": ROOM, "type": "t"}
    leave = {"sticky_key": "m1", "slot_id": "a#1", "member": {"device_id": "DEV"}}
    sticky = {"delay_id": "d3", "room_id": ROOM, "type": "t", "content": leave}
    odd = {"delay_id": "d4", "room_id": ROOM, "type": "t", "content": {"member": 1, "slot_id": 2}}
    fake.on(
        "GET",
        "",
        Answer(body={"delayed_events": [good, message, sticky, odd, 7, {}, {"delay_id": 1}]}),
    )
    events = await hs.delayed_events()
    assert events == [
        DelayedEvent("d1", ROOM, "t", "k"),
        DelayedEvent("d2", ROOM, "t", None),
        DelayedEvent("d3", ROOM, "t", None, "m1", "a#1", "DEV"),
        DelayedEvent("d4", ROOM, "t", None),
    ]
    assert "d1" not in repr(events)
    fake.on("GET", "", Answer())
    with pytest.raises(Transient):
        await hs.delayed_events()


# --- rooms


async def test_join_names_servers_in_both_spellings(fake: FakeHomeserver, hs: Homeserver) -> None:
    fake.on("POST", "", Answer(body={"room_id": ROOM}))
    await hs.join(ROOM, ["a.org"])
    assert fake.seen[0].path.endswith("/join/%21room%3Aexample.org")
    assert fake.seen[0].query == {"via": "a.org", "server_name": "a.org"}
    await hs.leave(ROOM)
    await hs.leave(ROOM, "why")
    await hs.forget(ROOM)
    assert [seen.body for seen in fake.seen[1:]] == [{}, {"reason": "why"}, {}]


async def test_room_state_of_another_form(fake: FakeHomeserver, hs: Homeserver) -> None:
    fake.on("GET", "/state", Answer(body=[{"type": "t"}, 7]))
    assert await hs.room_state(ROOM) == [{"type": "t"}]
    fake.on("GET", "/state", Answer(body={}))
    with pytest.raises(Transient):
        await hs.room_state(ROOM)


async def test_relations_that_never_end(fake: FakeHomeserver, hs: Homeserver) -> None:
    fake.on("GET", "", Answer(body={"chunk": [{"event_id": "$1"}, 7], "next_batch": "again"}))
    with pytest.raises(ServerError, match="more events"):  # never taken for all there are
        _ = [event async for event in hs.relations(ROOM, "$board", "t")]
    assert len(fake.seen) == 400
    fake.on("GET", "", Answer(body={"chunk": 7}))
    with pytest.raises(Transient):
        _ = [event async for event in hs.relations(ROOM, "$board", "t", patience=0)]


async def test_openid_has_four_keys(fake: FakeHomeserver, hs: Homeserver) -> None:
    four = {
        "access_token": "t",
        "token_type": "Bearer",
        "matrix_server_name": "example.org",
        "expires_in": 3600,
    }
    fake.on("POST", "/request_token", Answer(body={**four, "more": 1}))
    assert await hs.openid_token() == four
    fake.on("POST", "/request_token", Answer(body={"access_token": "t"}))
    with pytest.raises(Transient):
        await hs.openid_token()


# --- documents


async def test_media_of_an_old_server(fake: FakeHomeserver, hs: Homeserver) -> None:
    fake.on("GET", "/media/v3/download/example.org/abc", Answer(body=b"PNG"))
    assert await hs.download("mxc://example.org/abc", 3) == b"PNG"
    assert "/client/v1/media/" in fake.seen[0].path
    with pytest.raises(Refused, match="more than 2 bytes"):
        await hs.download("mxc://example.org/abc", 2)
    with pytest.raises(Unsupported):
        await hs.download("mxc://example.org/other", 2)


async def test_media_that_is_limited(fake: FakeHomeserver, hs: Homeserver) -> None:
    fake.on("GET", "", Answer(429, {}, {"Retry-After": "3"}))
    with pytest.raises(RateLimited):
        await hs.download("mxc://example.org/abc", 2)


@pytest.mark.parametrize(
    "mxc",
    [
        "",
        "https://example.org/a",
        "mxc://example.org",
        "mxc://example.org/",
        "mxc://example.org/a/b",
        "mxc://example.org/..",
        "mxc://../a",
        "mxc:///a",
        "mxc://example.org/a?b",
        "mxc://example.org/a\n",
        "mxc://exa mple.org/a",
    ],
)
async def test_what_is_no_address_is_not_asked_for(
    fake: FakeHomeserver, hs: Homeserver, mxc: str
) -> None:
    with pytest.raises(Refused):
        await hs.download(mxc, 10)
    assert not fake.seen


async def test_a_file_is_stored(fake: FakeHomeserver, hs: Homeserver) -> None:
    fake.on("POST", "/media/v3/upload", Answer(body={"content_uri": "mxc://example.org/abc"}))
    assert await hs.upload(b"1", "image/png") == "mxc://example.org/abc"
    (seen,) = fake.seen
    assert (seen.body, seen.headers["Content-Type"]) == (1, "image/png")
    assert "Authorization" in seen.headers


@pytest.mark.parametrize("body", [{}, {"content_uri": 1}, {"content_uri": "https://x"}, [1]])
async def test_a_file_without_an_address_is_not_stored(
    fake: FakeHomeserver, hs: Homeserver, body: object
) -> None:
    fake.on("POST", "/upload", Answer(body=body))
    with pytest.raises(Transient, match="no address"):
        await hs.upload(b"1", "image/png")


async def test_a_file_that_is_too_large_for_the_homeserver(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    fake.on("POST", "/upload", refused(413, "M_TOO_LARGE"))
    with pytest.raises(ServerError):
        await hs.upload(b"1", "image/png")


def test_the_well_known_file_is_at_the_server_name() -> None:
    assert address("example.org") == "https://example.org/.well-known/matrix/client"


async def test_well_known(fake: FakeHomeserver, hs: Homeserver) -> None:
    url = f"{fake.url}/.well-known/matrix/client"
    fake.on("GET", "/client", Answer(body={"m.homeserver": {}}))
    assert await hs.well_known_foci(url) == {"m.homeserver": {}}
    assert "Authorization" not in fake.seen[0].headers
    fake.on("GET", "/client", Answer(404, b"no such file"))
    assert await hs.well_known_foci(url) is None


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, b""),
        Answer(403, b""),
        Answer(body=b"<html>"),
        Answer(body=[]),
        Answer(body=b"{}" + b" " * 70_000),
        refused(401, "M_UNKNOWN_TOKEN"),
    ],
)
async def test_a_broken_well_known_file_says_nothing(
    fake: FakeHomeserver, hs: Homeserver, answer: Answer
) -> None:
    fake.on("GET", "/client", answer)
    with pytest.raises(Transient):
        await hs.well_known_foci(f"{fake.url}/.well-known/matrix/client")


async def test_a_well_known_file_out_of_reach(hs: Homeserver) -> None:
    with pytest.raises(Transient, match="no connection"):
        await hs.well_known_foci("http://127.0.0.1:9/")


async def test_answers_may_depend_on_the_request(fake: FakeHomeserver, hs: Homeserver) -> None:
    """Pages: the second is asked for with the token of the first."""

    def page(seen: Seen) -> Answer:
        if "from" in seen.query:
            return Answer(body={"chunk": [{"n": 1}]})
        return Answer(body={"chunk": [{"n": 2}], "next_batch": "p2"})

    fake.on("GET", "", page)
    assert [event["n"] async for event in hs.relations(ROOM, "$b", "t", limit=1)] == [2, 1]
    assert fake.seen[1].query == {"dir": "b", "limit": "1", "from": "p2"}
    assert [event async for event in hs.relations(ROOM, "$b", "t", oldest_first=True)]
    assert fake.seen[2].query["dir"] == "f"
