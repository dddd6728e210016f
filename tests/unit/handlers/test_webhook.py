"""`webhook` against real HTTP servers on loopback, through its durable lane."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from bot.config.secret import Secret
from bot.config.settings import read_settings
from bot.errors import ConfigError
from bot.handlers import durable
from bot.handlers.addresses import PrivateAddressError, PublicResolver, check_host, is_public
from bot.handlers.base import CursorMoved, DocumentUpdate, Focused, Presented, TryLater
from bot.handlers.webhook import SIGNATURE, TIMESTAMP, Webhook, WebhookSettings, encode, sign
from bot.whiteboard.entry import Kind
from tests.fakes.context import FakeContext
from tests.unit.handlers.delivering import KEY, Here, running, until, until_async

SECRET = "what only both know"
FOCUS = {"type": "net.nordeck.whiteboard.focus_on", "content": {"slideId": "s"}}


@dataclass
class Receiver:
    """Answers what it is told to; the last answer for ever."""

    url: str = ""
    answers: list[web.Response] = field(default_factory=list)
    status: int = 204
    got: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    held: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        self.headers.append(request.headers)
        if self.held is not None:
            await self.held.wait()
        if self.answers:
            return self.answers.pop(0)
        if self.status < 300:
            self.got.append(json.loads(body))
        return web.Response(status=self.status)

    @property
    def updates(self) -> list[bytes]:
        return [b64decode(one["update"]) for each in self.got for one in each["events"]]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def telling(folder: Path, receiver: Receiver, **settings: Any) -> AsyncIterator[Here]:
    given_settings = WebhookSettings(receiver.url, Secret(SECRET), collect=0.0, allow_private=True)
    webhook = Webhook(replace(given_settings, **settings))
    await webhook.start(FakeContext())
    try:
        async with running(folder, webhook=webhook) as here:
            yield here
    finally:
        await webhook.stop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "FIRST_WAIT", 0.002)
    monkeypatch.setattr(durable, "LONGEST_WAIT", 0.01)


async def test_what_happens_arrives_signed_in_order_and_in_batches(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path, receiver, collect=0.05) as here:
        updates = [str(number).encode() for number in range(250)]
        await here.drawn(*updates)
        await until(lambda: len(receiver.updates) == 250)
        assert receiver.updates == updates
        assert [len(one["events"]) for one in receiver.got] == [100, 100, 50]
        first, body, headers = receiver.got[0], receiver.bodies[0], receiver.headers[0]
        assert first["board"] == {
            "room_id": KEY.room_id,
            "whiteboard_id": KEY.whiteboard_id,
            "document_id": KEY.document_id,
        }
        assert first["events"][0] == {
            "type": "document_update",
            "seq": 1,
            "ts": 1000,
            "sender": "@a:b",
            "update": "MA==",
            "replayed": False,
        }
        assert headers["Idempotency-Key"] == "1-100"
        assert headers[SIGNATURE] == sign(SECRET, int(headers[TIMESTAMP]), body)
        assert abs(int(headers[TIMESTAMP]) - time.time()) < 60
        assert SECRET not in str(receiver.headers)


async def test_only_what_the_settings_name_is_told(tmp_path: Path) -> None:
    async with (
        receiving() as receiver,
        telling(tmp_path, receiver, events=("focused",)) as here,
    ):
        await here.drawn(b"1")
        await here.drawn(json.dumps(FOCUS).encode(), kind=Kind.FOCUS)
        await until(lambda: receiver.got)
        [told] = receiver.got
        assert [one["type"] for one in told["events"]] == ["focused"]


@pytest.mark.parametrize("status", [301, 302, 401, 404, 408, 500, 502])
async def test_a_receiver_that_is_down_or_has_moved_is_tried_until_he_is_back(
    tmp_path: Path, status: int
) -> None:
    async with receiving() as receiver, telling(tmp_path, receiver) as here:
        receiver.answers = [
            web.Response(status=status, headers={"Location": "http://127.0.0.1:1/"})
            for _ in range(12)
        ]
        await here.drawn(b"1", b"2")
        await until(lambda: receiver.got)
        assert receiver.updates == [b"1", b"2"]
        assert len(receiver.bodies) == 13
        assert await here.letters() == []


async def test_nobody_there(tmp_path: Path) -> None:
    async with receiving() as receiver:
        url = receiver.url
    async with telling(tmp_path, Receiver(url)) as here:
        await here.drawn(b"1")
        await until_async(lambda: failures(here, 7))
        status = (await here.delivery.status())["webhook"]
        assert (status["behind"], status["dead"]) == (1, 0)


async def failures(here: Here, count: int) -> bool:
    status = await here.delivery.status()
    return bool(status["webhook"]["failures"] >= count)


async def test_one_who_does_not_answer_in_time_is_asked_again(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path, receiver, timeout=0.05) as here:
        receiver.held = asyncio.Event()
        await here.drawn(b"1")
        await until_async(lambda: failures(here, 2))
        receiver.held.set()
        await until(lambda: receiver.updates[-1:] == [b"1"])


async def test_what_is_not_for_him_is_a_dead_letter_and_the_rest_arrives(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path, receiver) as here:
        receiver.status = 422
        await here.drawn(b"1", b"2")
        await until_async(lambda: buried(here, 2))
        receiver.status = 200
        await here.drawn(b"3")
        await until(lambda: receiver.updates == [b"3"])
        letters = await here.archive.dead_letters()
        assert all(one.reason.startswith("ValueError at ") for one in letters)
        assert await here.delivery.retry("webhook") == {"taken": 2, "failed": 0}
        assert receiver.updates == [b"3", b"1", b"2"]


async def buried(here: Here, count: int) -> bool:
    return len(await here.letters()) == count


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("17", 17, 17),
        (3000, 1000, 3000),
        (-3000, 0, 0),
        ("-5", 0, 0),
    ],
)
async def test_he_says_how_long_to_wait(
    tmp_path: Path, asked: str | int, least: float, most: float
) -> None:
    """In seconds, or until an instant: so many seconds from now."""
    if isinstance(asked, int):
        asked = formatdate(time.time() + asked, usegmt=True)
    async with receiving() as receiver:
        webhook = Webhook(WebhookSettings(receiver.url, Secret(SECRET), allow_private=True))
        await webhook.start(FakeContext())
        receiver.answers = [web.Response(status=429, headers={"Retry-After": asked})]
        with pytest.raises(TryLater) as caught:
            await webhook.on_batch([DocumentUpdate(KEY, 1, None, b"1", seq=1)])
        await webhook.stop()
        assert caught.value.after is not None
        assert least <= caught.value.after <= most


@pytest.mark.parametrize("asked", ["nan", "inf", "soon", "", None])
async def test_he_says_nothing_usable(tmp_path: Path, asked: str | None) -> None:
    async with receiving() as receiver:
        webhook = Webhook(WebhookSettings(receiver.url, Secret(SECRET), allow_private=True))
        await webhook.start(FakeContext())
        headers = {} if asked is None else {"Retry-After": asked}
        receiver.answers = [web.Response(status=503, headers=headers)]
        with pytest.raises(TryLater) as caught:
            await webhook.on_batch([DocumentUpdate(KEY, 1, None, b"1", seq=1)])
        await webhook.stop()
        assert caught.value.after is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_our_own_network_is_closed_to_it(tmp_path: Path, host: str) -> None:
    async with receiving() as receiver:
        receiver.url = receiver.url.replace("127.0.0.1", host)
        async with telling(tmp_path, receiver, allow_private=False) as here:
            await here.drawn(b"1")
            await until_async(lambda: failures(here, 6))
        assert receiver.bodies == []


def test_every_kind_of_event_can_be_told() -> None:
    told = json.loads(
        encode(
            [
                DocumentUpdate(KEY, 1, None, b"\0", seq=1),
                CursorMoved(KEY, 2, "@a:b", "s", 1.5, 2.0, seq=2),
                Focused(KEY, 3, "@a:b", "s", seq=3, replayed=True),
                Presented(KEY, 4, "@a:b", "slide", None, edit=False, seq=4),
            ]
        )
    )
    assert [one["type"] for one in told["events"]] == [
        "document_update",
        "cursor_moved",
        "focused",
        "presented",
    ]
    assert told["events"][1]["x"] == 1.5
    assert told["events"][2]["replayed"]
    assert told["events"][3]["target"] is None


def test_settings_are_read_strictly() -> None:
    found = read_settings(
        WebhookSettings, {"url": "https://a.example/x", "secret": "s", "collect": "5s"}
    )
    assert (found.collect, found.secret) == (5.0, Secret("s"))
    with pytest.raises(ConfigError, match="events"):
        read_settings(WebhookSettings, {"url": "https://a/x", "secret": "s", "events": ["strokes"]})


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::1",
    ],
)
def test_addresses_of_no_public_network(text: str) -> None:
    assert not is_public(text)
    with pytest.raises(PrivateAddressError):
        check_host(f"[{text}]" if ":" in text else text)


@pytest.mark.parametrize("text", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses(text: str) -> None:
    assert is_public(text)
    check_host(text)


@given(st.ip_addresses())
def test_any_address_has_an_answer(found: object) -> None:
    assert is_public(str(found)) in {True, False}


async def test_a_name_is_looked_up_each_time() -> None:
    resolver = PublicResolver()
    with pytest.raises(PrivateAddressError):
        await resolver.resolve("localhost", 80)
    await resolver.close()
    check_host("a.example")  # a name: the resolver's task
