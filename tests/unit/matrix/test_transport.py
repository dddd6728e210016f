"""What a request does when the homeserver or the network misbehaves."""

from __future__ import annotations

import asyncio
import logging
import time
from email.utils import formatdate

import pytest
from mautrix.api import Method, Path

from bot.errors import (
    AuthLost,
    Forbidden,
    NotFound,
    RateLimited,
    ServerError,
    Transient,
)
from bot.matrix.client import Homeserver
from tests.fakes.homeserver import Answer, FakeHomeserver, MemoryTokens, Seen, refused
from tests.unit.matrix.conftest import ME

ROOM = "!room:example.org"
SENT = Answer(body={"event_id": "$1"})


async def send(hs: Homeserver, patience: float = 5.0) -> str:
    return await hs.send_event(ROOM, "m.room.message", {"body": "DRAWING"}, patience=patience)


@pytest.mark.parametrize(
    "limited",
    [
        Answer(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 300}),
        Answer(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 9000}, {"Retry-After": "1"}),
        Answer(429, b"slow down", {"Retry-After": "1"}),
    ],
)
async def test_429_is_waited_out_and_the_event_sent_once(
    fake: FakeHomeserver, hs: Homeserver, limited: Answer
) -> None:
    fake.on("PUT", "", limited, SENT)
    begun = time.monotonic()
    assert await send(hs) == "$1"
    assert 0.3 <= time.monotonic() - begun < 30
    first, second = fake.seen
    assert first.path == second.path, "the same transaction"
    assert first.headers["Authorization"] == "Bearer sesame"


async def test_429_with_a_date(fake: FakeHomeserver, hs: Homeserver) -> None:
    def limited(_: Seen) -> Answer:
        return Answer(429, b"", {"Retry-After": formatdate(time.time() + 2, usegmt=True)})

    fake.on("PUT", "", limited, SENT)
    begun = time.monotonic()
    assert await send(hs) == "$1"
    assert 0.1 <= time.monotonic() - begun < 30


async def test_a_wait_beyond_the_patience_is_not_begun(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    fake.on("PUT", "", Answer(429, {"errcode": "M_LIMIT_EXCEEDED"}, {"Retry-After": "60"}))
    begun = time.monotonic()
    with pytest.raises(RateLimited) as caught:
        await send(hs)
    assert caught.value.retry_after == 60.0
    assert time.monotonic() - begun < 15
    assert len(fake.seen) == 1


async def test_without_patience_there_is_one_try(fake: FakeHomeserver, hs: Homeserver) -> None:
    fake.on("PUT", "", Answer(429, {}, {"Retry-After": "0"}))
    with pytest.raises(RateLimited):
        await send(hs, patience=0)
    assert len(fake.seen) == 1


async def test_retry_after_zero_is_no_busy_loop(fake: FakeHomeserver, hs: Homeserver) -> None:
    fake.on("PUT", "", Answer(429, {}, {"Retry-After": "0"}))
    with pytest.raises(RateLimited):
        await send(hs, patience=0.5)
    assert len(fake.seen) <= 5


@pytest.mark.parametrize(
    "broken",
    [
        refused(500, "M_UNKNOWN"),
        Answer(502, b"<html>Bad Gateway"),
        Answer(404, b"404 page not found"),
        Answer(200, b"<html>Welcome to the hotel"),
        Answer(200, b"[" * 100_000),
    ],
)
async def test_what_may_pass_is_tried_again(
    fake: FakeHomeserver, hs: Homeserver, broken: Answer
) -> None:
    fake.on("PUT", "", broken, SENT)
    assert await send(hs) == "$1"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(403, "M_FORBIDDEN"), Forbidden),
        (refused(404, "M_NOT_FOUND"), NotFound),
        (refused(401, "M_UNKNOWN_TOKEN"), AuthLost),
        (refused(400, "M_BAD_JSON"), ServerError),
    ],
)
async def test_what_will_not_pass_is_not_tried_again(
    fake: FakeHomeserver, hs: Homeserver, answer: Answer, kind: type[ServerError]
) -> None:
    fake.on("PUT", "", answer)
    with pytest.raises(kind):
        await send(hs)
    assert len(fake.seen) == 1


@pytest.mark.parametrize("body", [[], "text", 7, None, {"event_id": 7}, {}])
async def test_answers_of_another_form(fake: FakeHomeserver, hs: Homeserver, body: object) -> None:
    fake.on("PUT", "", Answer(body=body))
    with pytest.raises(Transient):
        await send(hs, patience=0)


async def test_a_server_that_hangs(fake: FakeHomeserver, hs: Homeserver) -> None:
    fake.on("POST", "", Answer(hang=True))
    begun = time.monotonic()
    with pytest.raises(Transient, match=r"restart delayed event: no answer within 0\.2 s"):
        await hs.restart_delayed("SECRET", timeout=0.2)
    assert time.monotonic() - begun < 15


async def test_nobody_listens(tokens: MemoryTokens) -> None:
    async with Homeserver("http://127.0.0.1:9", ME, access_token="x", tokens=tokens) as hs:
        with pytest.raises(Transient, match="no connection"):
            await send(hs, patience=0)


async def test_a_server_that_hangs_up(tokens: MemoryTokens) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Homeserver(f"http://127.0.0.1:{port}", ME, tokens=tokens) as hs:
        with pytest.raises(Transient, match=r"no connection \(ServerDisconnectedError\)"):
            await hs.restart_delayed("SECRET")


async def test_cancelling_is_no_failure(fake: FakeHomeserver, hs: Homeserver) -> None:
    fake.on("PUT", "", Answer(hang=True))
    task = asyncio.create_task(send(hs))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_redirects_in_circles(fake: FakeHomeserver, hs: Homeserver) -> None:
    """aiohttp puts the URL, here with the delay id, into the text of this error."""
    fake.on("GET", "", Answer(302, b"", {"Location": "/SECRET"}))
    with pytest.raises(Transient) as caught:
        await hs.state_event(ROOM, "SECRET", patience=0)
    assert "SECRET" not in str(caught.value)


async def test_nothing_of_a_request_is_logged(
    fake: FakeHomeserver, hs: Homeserver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    logging.getLogger("mau").setLevel(1)
    fake.on("PUT", "", SENT)
    fake.on("POST", "", Answer(429, {}))
    await send(hs)
    with pytest.raises(RateLimited) as caught:
        await hs.restart_delayed("syd_secret")
    said = " ".join(str(record.__dict__) for record in caplog.records) + repr(caught.value)
    for secret in ("DRAWING", "syd_secret", "sesame"):
        assert secret not in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_the_base_url_may_have_a_path(fake: FakeHomeserver, tokens: MemoryTokens) -> None:
    fake.on("GET", "", Answer())
    async with Homeserver(f"{fake.url}/matrix/", ME, tokens=tokens) as hs:
        await hs.transport.ask("versions", Method.GET, Path.versions)
    assert fake.seen[0].path == "/matrix/_matrix/client/versions"
    assert fake.seen[0].headers["User-Agent"].startswith("boardkeeper/")


async def test_the_clock_follows_the_server(fake: FakeHomeserver, hs: Homeserver) -> None:
    assert hs.clock_offset == 0
    ahead = formatdate(time.time() + 7200, usegmt=True)
    fake.on("PUT", "", Answer(body={"event_id": "$1"}, headers={"Date": ahead}))
    await send(hs)
    assert abs(hs.clock_offset - 7200) < 60
    assert abs(hs.server_ts() / 1000 - time.time() - 7200) < 60


@pytest.mark.scenario("M52")
async def test_a_wrong_clock_is_told_of_once_and_again_when_it_is_right(
    fake: FakeHomeserver, hs: Homeserver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bot.matrix.transport")
    for seconds in (30.0, 30.0, 600.0, 600.0, 0.0):
        date = formatdate(time.time() + seconds, usegmt=True)
        fake.on("PUT", "", Answer(body={"event_id": "$1"}, headers={"Date": date}))
        await send(hs)
    text = "this machine's clock differs from the homeserver's"
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, text),
        (logging.ERROR, text),
        (logging.INFO, "this machine's clock is right again"),
    ]
    behind = [record.__dict__.get("seconds_ahead", 0.0) for record in caplog.records]
    assert [round(seconds / 10) for seconds in behind] == [-3, -60, 0]
