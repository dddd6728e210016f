"""Sync while the homeserver, the network or a room misbehaves."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from bot.errors import AuthLost, StoreError
from bot.matrix import standing, sync
from bot.matrix.batches import RoomBatch
from bot.matrix.client import Homeserver
from bot.matrix.sync import Syncer
from tests.fakes.homeserver import Answer, FakeHomeserver, MemoryTokens, Play, refused

A, B = "!a:example.org", "!b:example.org"
HANG = Answer(hang=True)


def said(body: str) -> dict[str, Any]:
    return {"type": "m.room.message", "content": {"body": body}}


def response(position: str, *, limited: bool = False, **rooms: str) -> Answer:
    """A response in which something was said in rooms a and b."""
    join = {
        {"a": A, "b": B}[name]: {
            "timeline": {"events": [said(body)], "limited": limited, "prev_batch": "p"}
        }
        for name, body in rooms.items()
    }
    return Answer(body={"next_batch": position, "rooms": {"join": join}})


class Rooms:
    """Takes batches; handles those of `a` and `b` at once unless told otherwise."""

    def __init__(self, *stuck: str) -> None:
        self.batches: list[RoomBatch] = []
        self.open: list[asyncio.Future[None]] = []
        self.stuck = stuck

    async def deliver(self, batch: RoomBatch) -> asyncio.Future[None]:
        self.batches.append(batch)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if batch.room_id in self.stuck:
            self.open.append(future)
        else:
            future.set_result(None)
        return future

    def said(self, room_id: str) -> list[str]:
        return [
            event["content"]["body"]
            for batch in self.batches
            if batch.room_id == room_id
            for event in batch.timeline
        ]


async def follow(syncer: Syncer, rooms: Rooms, until: Callable[[], bool]) -> None:
    """Run sync until something holds."""
    task = asyncio.create_task(syncer.run(rooms.deliver))
    try:
        async with asyncio.timeout(40):
            while not until() and not task.done():
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
    if not isinstance(results[0], asyncio.CancelledError):
        raise results[0]


def play(fake: FakeHomeserver, *plays: Play) -> None:
    fake.on("GET", "/sync", *plays)


def syncer_of(hs: Homeserver, tokens: MemoryTokens, **settings: Any) -> Syncer:
    return Syncer(hs, tokens, **{"poll": 0.3, "grace": 0.3, **settings})


async def test_every_response_in_order_and_positions_after_it(
    fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens
) -> None:
    tokens.texts["sync_token"] = "s0"
    play(fake, response("s1", a="1", b="1"), response("s2", a="2"), response("s3", a="3"), HANG)
    rooms = Rooms()
    syncer = syncer_of(hs, tokens)
    assert not syncer.healthy
    await follow(syncer, rooms, lambda: tokens.texts["sync_token"] == "s3")
    assert rooms.said(A) == ["1", "2", "3"]
    assert [batch.full_state for batch in rooms.batches] == [True, True, False, False]
    first, second = fake.asked("/sync")[:2]
    assert (first.query["since"], first.query["full_state"], first.query["timeout"]) == (
        "s0",
        "true",
        "0",
    )
    assert (second.query["since"], second.query["full_state"]) == ("s1", "false")
    assert second.query["timeout"] == "300"
    assert "snapshot" not in first.query["filter"]
    assert "snapshot" in second.query["filter"]
    assert syncer.healthy
    assert syncer.healthy_since is not None
    assert syncer.last_success is not None
    assert syncer.healthy_since < syncer.last_success < time.monotonic()


@pytest.mark.parametrize(
    "broken",
    [
        Answer(502, b"<html>"),
        Answer(200, b"{"),
        Answer(body={}),
        Answer(body=[]),
        Answer(429, {"retry_after_ms": 100}),
        refused(403, "M_FORBIDDEN"),
        HANG,
    ],
)
async def test_what_fails_is_asked_again_from_the_same_position(
    fake: FakeHomeserver,
    hs: Homeserver,
    tokens: MemoryTokens,
    broken: Answer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    play(fake, response("s1", a="1"), broken, response("s2", a="2"), HANG)
    rooms = Rooms()
    syncer = syncer_of(hs, tokens)
    unhealthy: list[bool] = []

    def done() -> bool:
        if len(fake.seen) == 2:
            unhealthy.append(not syncer.healthy)
        return len(rooms.batches) == 2

    await follow(syncer, rooms, done)
    assert rooms.said(A) == ["2"], "what was said before our first sync is not for us"
    assert [seen.query.get("since") for seen in fake.asked("/sync")[:3]] == [None, "s1", "s1"]
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in warnings] == ["sync fails, trying again"]
    assert unhealthy[-1]
    assert syncer.healthy


async def test_an_outage_is_logged_once(
    fake: FakeHomeserver,
    hs: Homeserver,
    tokens: MemoryTokens,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limited = Answer(429, {"retry_after_ms": 1})
    play(fake, limited, limited, limited, response("s1"), HANG)
    await follow(syncer_of(hs, tokens), Rooms(), lambda: "sync_token" in tokens.texts)
    assert caplog.text.count("sync fails") == 1


async def test_a_dead_token_ends_it(
    fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens
) -> None:
    play(fake, response("s1", a="1"), refused(401, "M_UNKNOWN_TOKEN"))
    with pytest.raises(AuthLost):
        await follow(syncer_of(hs, tokens), Rooms(), lambda: False)
    assert tokens.texts["sync_token"] == "s1"


async def test_a_store_that_fails_ends_it(fake: FakeHomeserver, hs: Homeserver) -> None:
    class Broken(MemoryTokens):
        async def set(self, name: str, value: str) -> None:
            raise StoreError(f"{name} {value}")

    play(fake, response("s1", a="1"), HANG)
    with pytest.raises(StoreError):
        await follow(syncer_of(hs, Broken()), Rooms(), lambda: False)


async def test_a_position_the_server_does_not_know(
    fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens
) -> None:
    tokens.texts["sync_token"] = "of another database"
    play(fake, refused(400, "M_UNKNOWN"), response("s1", a="old"), response("s2", a="new"), HANG)
    rooms = Rooms()
    await follow(syncer_of(hs, tokens), rooms, lambda: len(rooms.batches) == 2)
    assert "since" not in fake.asked("/sync")[1].query
    assert rooms.said(A) == ["new"]


async def test_a_stuck_room_stops_neither_the_others_nor_loses_anything(
    fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens
) -> None:
    play(
        fake,
        response("s1"),
        response("s2", a="1", b="1"),
        response("s3", b="2"),
        response("s4", b="3"),
        HANG,
    )
    rooms = Rooms(A)
    syncer = syncer_of(hs, tokens)
    await follow(syncer, rooms, lambda: rooms.said(B) == ["1", "2", "3"])
    assert tokens.texts["sync_token"] == "s1"
    rooms.open[0].set_result(None)
    await syncer.settle()
    assert tokens.texts["sync_token"] == "s4"


async def test_only_so_many_responses_may_wait(
    fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens
) -> None:
    play(fake, *(response(f"s{index}", a="x") for index in range(9)))
    rooms = Rooms(A)
    await follow(syncer_of(hs, tokens, outstanding=3), rooms, lambda: len(rooms.batches) == 3)
    assert len(fake.asked("/sync")) == 3


async def test_a_gap_is_filled_in_forward_order(
    fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens
) -> None:
    tokens.texts["sync_token"] = "s0"
    play(fake, response("s1", a="1"), response("s2", limited=True, a="9"), HANG)
    fake.on(
        "GET",
        "/messages",
        Answer(502, b""),
        Answer(body={"chunk": [said("8"), said("7")], "end": "p2"}),
        Answer(body={"chunk": [said("6"), 7]}),
    )
    rooms = Rooms()
    await follow(syncer_of(hs, tokens), rooms, lambda: len(rooms.batches) == 2)
    assert rooms.said(A) == ["1", "6", "7", "8", "9"]
    assert not rooms.batches[1].limited
    pages = fake.asked("/messages")
    assert [page.query["from"] for page in pages] == ["p", "p", "p2"]
    assert {page.query["to"] for page in pages} == {"s1"}
    assert "m.room.member" not in json.loads(pages[0].query["filter"])["types"]


@pytest.mark.parametrize(
    "messages",
    [
        refused(403, "M_FORBIDDEN"),
        Answer(429, {"retry_after_ms": 60_000}),
        Answer(body={"chunk": "none"}),
        refused(401, "M_UNKNOWN_TOKEN"),
    ],
)
async def test_a_gap_that_cannot_be_filled_is_said(
    fake: FakeHomeserver,
    hs: Homeserver,
    tokens: MemoryTokens,
    messages: Answer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.matrix.sync.GAP_PATIENCE", 0.2)
    play(fake, response("s1", a="1"), response("s2", limited=True, a="9"), HANG)
    fake.on("GET", "/messages", messages)
    rooms = Rooms()
    await follow(syncer_of(hs, tokens), rooms, lambda: len(rooms.batches) == 2)
    assert rooms.said(A) == ["9"]
    assert rooms.batches[1].limited


async def test_a_gap_is_bounded(fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens) -> None:
    play(fake, response("s1", a="1"), response("s2", limited=True, a="9"), HANG)
    fake.on("GET", "/messages", Answer(body={"chunk": [said("8"), said("7")], "end": "again"}))
    rooms = Rooms()
    await follow(syncer_of(hs, tokens, gap_events=5), rooms, lambda: len(rooms.batches) == 2)
    assert rooms.said(A) == ["8", "7", "8", "7", "8", "9"]
    assert rooms.batches[1].limited
    assert [page.query["limit"] for page in fake.asked("/messages")] == ["5", "3", "1"]


async def test_one_room_s_gap_does_not_hold_up_the_others(
    fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens
) -> None:
    release = asyncio.Event()
    play(fake, response("s1", a="1", b="1"), response("s2", limited=True, a="9", b="9"), HANG)
    play_b = response("s2", b="9").body["rooms"]["join"]

    def mixed(_: object) -> Answer:
        both = response("s2", limited=True, a="9").body
        both["rooms"]["join"] |= play_b
        return Answer(body=both)

    play(fake, response("s1", a="1", b="1"), mixed, HANG)
    fake.on("GET", "/messages", Answer(body={"chunk": []}, wait=release))
    rooms = Rooms()

    def done() -> bool:
        if rooms.said(B) == ["9"]:
            release.set()
        return rooms.said(A) == ["9"]

    await follow(syncer_of(hs, tokens), rooms, done)
    assert [batch.room_id for batch in rooms.batches[2:]] == [B, A]


async def test_a_room_left_and_entered_again_is_new(
    fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens
) -> None:
    left = Answer(body={"next_batch": "s2", "rooms": {"leave": {A: {}}, "invite": {B: {}}}})
    play(fake, response("s1", a="1"), left, left, response("s3", a="2"), HANG)
    rooms = Rooms()
    await follow(syncer_of(hs, tokens), rooms, lambda: len(rooms.batches) == 6)
    kinds = [(batch.room_id, batch.kind) for batch in rooms.batches]
    assert kinds[1:5] == [(B, "invite"), (A, "leave")] * 2, "an invite may come twice"
    assert rooms.batches[5].full_state


async def test_a_deliver_that_fails_ends_it(
    fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens
) -> None:
    async def broken(_: RoomBatch) -> asyncio.Future[None]:
        raise LookupError("a bug")

    play(fake, response("s1", a="1"))
    with pytest.raises(LookupError):
        await syncer_of(hs, tokens).run(broken)


STICKY = Answer(body={"unstable_features": {"org.matrix.msc4354": True}})


def sits(number: int) -> dict[str, Any]:
    return {"type": "m.rtc.member", "sender": "@a:example.org", "event_id": f"${number}"}


def apart(position: Any, room: str = A, *events: dict[str, Any]) -> Answer:
    """A response with sticky events beside the timeline."""
    rooms = {"join": {room: {"msc4354_sticky": {"events": list(events)}}}}
    return Answer(body={"next_batch": position, "rooms": rooms})


def seats(rooms: Rooms, room_id: str = A) -> list[str]:
    mine = (batch for batch in rooms.batches if batch.room_id == room_id)
    return [event["event_id"] for batch in mine for event in batch.sticky]


async def test_a_restart_learns_who_sat_down_before_it(
    fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens
) -> None:
    tokens.texts["sync_token"] = "s0"
    fake.on("GET", "/versions", STICKY)
    first = response("s1", a="1", b="1")
    first.body["rooms"]["join"][A]["msc4354_sticky"] = {"events": [sits(3)]}
    play(
        fake,
        first,
        apart("x1", A, sits(1)),
        apart("x2", A, said("no seat")),
        apart("x3", A, sits(2)),
        apart("x4"),
        apart("s2", A, sits(4)),
        HANG,
    )
    rooms = Rooms()
    await follow(syncer_of(hs, tokens), rooms, lambda: tokens.texts["sync_token"] == "s2")
    assert seats(rooms) == ["$1", "$2", "$3", "$4"]
    assert seats(rooms, B) == []
    asked = [seen.query.get("since") for seen in fake.asked("/sync")]
    assert asked[:6] == ["s0", None, "x1", "x2", "x3", "s1"]


@pytest.mark.parametrize(
    "versions", [Answer(), Answer(body={"unstable_features": {"org.matrix.msc4354": False}})]
)
async def test_without_sticky_events_nothing_more_is_asked(
    fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens, versions: Answer
) -> None:
    tokens.texts["sync_token"] = "s0"
    fake.on("GET", "/versions", versions)
    play(fake, response("s1", a="1"), response("s2", a="2"), HANG)
    rooms = Rooms()
    await follow(syncer_of(hs, tokens), rooms, lambda: tokens.texts["sync_token"] == "s2")
    assert [seen.query["since"] for seen in fake.asked("/sync")][:2] == ["s0", "s1"]


async def test_no_two_starts_ask_for_what_stands_with_the_same_words(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    """Synapse would answer with what stood at the first of them."""
    fake.on("GET", "/versions", STICKY)
    play(fake, response("s1"), response("s2"), HANG)
    for _ in range(2):
        await standing.standing(hs.transport, seconds=30, patience=0)
    asked = [seen.query["filter"] for seen in fake.asked("/sync")]
    assert len(asked) == len(set(asked)) == 2


async def test_a_start_without_a_position_is_told_them_anyway(
    fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens
) -> None:
    fake.on("GET", "/versions", STICKY)
    play(fake, apart("s1", A, sits(1)), apart("s2", A, sits(2)), HANG)
    rooms = Rooms()
    await follow(syncer_of(hs, tokens), rooms, lambda: len(rooms.batches) == 2)
    assert seats(rooms) == ["$1", "$2"]
    assert not fake.asked("/versions")


async def test_what_stands_is_given_up_when_it_cannot_be_read(
    fake: FakeHomeserver,
    hs: Homeserver,
    tokens: MemoryTokens,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sync, "STANDING_PATIENCE", 0.01)
    tokens.texts["sync_token"] = "s0"
    fake.on("GET", "/versions", STICKY)
    play(fake, response("s1", a="1"), Answer(502), response("s2", a="2"), HANG)
    rooms = Rooms()
    await follow(syncer_of(hs, tokens), rooms, lambda: tokens.texts["sync_token"] == "s2")
    assert rooms.said(A) == ["1", "2"]
    assert "sticky events of before the start are not known" in caplog.text


async def test_a_server_that_never_ends_its_sticky_events_is_not_asked_for_ever(
    fake: FakeHomeserver,
    hs: Homeserver,
    tokens: MemoryTokens,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(standing, "MAX_PAGES", 3)
    tokens.texts["sync_token"] = "s0"
    fake.on("GET", "/versions", STICKY)
    more = [apart(f"x{number}", A, sits(number)) for number in range(3)]
    play(fake, response("s1", a="1"), *more, response("s2", a="2"), HANG)
    rooms = Rooms()
    await follow(syncer_of(hs, tokens), rooms, lambda: tokens.texts["sync_token"] == "s2")
    assert seats(rooms) == ["$0", "$1", "$2"]
    assert "not all sticky events" in caplog.text


async def test_a_lost_token_is_told_there_too(
    fake: FakeHomeserver, hs: Homeserver, tokens: MemoryTokens
) -> None:
    tokens.texts["sync_token"] = "s0"
    fake.on("GET", "/versions", STICKY)
    play(fake, response("s1", a="1"), refused(401, "M_UNKNOWN_TOKEN"))
    with pytest.raises(AuthLost):
        await follow(syncer_of(hs, tokens), Rooms(), lambda: False)
