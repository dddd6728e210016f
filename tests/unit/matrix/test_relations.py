"""What relates to an event of a room whose past our homeserver does not have yet."""

from __future__ import annotations

import pytest

from bot.errors import NotFound
from bot.matrix import relations
from bot.matrix.client import Homeserver
from tests.fakes.homeserver import Answer, FakeHomeserver, refused

ROOM = "!room:there.org"
UNKNOWN = refused(404, "M_UNKNOWN")


def page(*events: str, end: str | None) -> Answer:
    body: dict[str, object] = {"chunk": [{"event_id": one} for one in events], "start": "s"}
    return Answer(body=body | ({} if end is None else {"end": end}))


async def read(hs: Homeserver) -> list[object]:
    return [event["event_id"] async for event in hs.relations(ROOM, "$board", "t")]


async def test_the_room_is_read_back_until_the_event_is_known(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    fake.on("GET", "/t", UNKNOWN, page("$snapshot", end=None))
    fake.on("GET", "/messages", page("$3", "$2", end="e1"), page("$1", "$board", end="e2"))
    assert await read(hs) == ["$snapshot"]
    first, second = fake.asked("/messages")
    assert "from" not in first.query
    assert (second.query["from"], second.query["dir"]) == ("e1", "b")


async def test_what_nobody_has_is_not_looked_for_again_soon(
    fake: FakeHomeserver, hs: Homeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.on("GET", "/t", UNKNOWN)
    fake.on("GET", "/messages", page("$2", end="e1"), page(end=None))
    for _ in range(2):
        with pytest.raises(NotFound):
            await read(hs)
    assert len(fake.asked("/messages")) == 2
    monkeypatch.setattr(relations, "BACK_AGAIN", -1.0)
    hs.absent.note(ROOM, "$board")
    with pytest.raises(NotFound):
        await read(hs)
    assert len(fake.asked("/messages")) == 3


async def test_reading_back_is_bounded(
    fake: FakeHomeserver, hs: Homeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relations, "BACK_PAGES", 3)
    fake.on("GET", "/t", UNKNOWN)
    fake.on("GET", "/messages", page("$2", end="again"))
    with pytest.raises(NotFound):
        await read(hs)
    assert len(fake.asked("/messages")) == 3


async def test_a_later_page_that_is_gone_is_an_error(fake: FakeHomeserver, hs: Homeserver) -> None:
    first = Answer(body={"chunk": [], "next_batch": "more"})
    fake.on("GET", "/t", first, UNKNOWN)
    with pytest.raises(NotFound):
        await read(hs)
    assert not fake.asked("/messages")


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relations, "MAX_ABSENT", 2)
    absent = relations.Absent()
    for number in range(3):
        absent.note(ROOM, f"${number}")
    assert [absent.holds(ROOM, f"${number}") for number in range(3)] == [False, True, True]
