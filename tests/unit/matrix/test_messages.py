"""Pages of a room's timeline."""

from __future__ import annotations

import json

import pytest

from bot.errors import Transient
from bot.matrix.client import Homeserver
from bot.matrix.relations import Page
from tests.fakes.homeserver import Answer, FakeHomeserver

ROOM = "!room:example.org"


async def test_a_page_says_where_it_begins_and_ends(fake: FakeHomeserver, hs: Homeserver) -> None:
    fake.on("GET", "/messages", Answer(body={"chunk": [{"n": 1}, 5], "start": "s", "end": "e"}))
    page = await hs.messages(ROOM, None, {"types": ["t"]}, forwards=False, limit=7)
    assert page == Page(({"n": 1},), "s", "e")
    fake.on("GET", "/messages", Answer(body={"chunk": [], "start": "e"}))
    assert await hs.messages(ROOM, "e", {}, forwards=True, limit=7) == Page((), "e", None)
    first, second = fake.asked("/messages")
    assert (first.query["dir"], first.query["limit"], "from" in first.query) == ("b", "7", False)
    assert json.loads(first.query["filter"]) == {"types": ["t"]}
    assert (second.query["dir"], second.query["from"]) == ("f", "e")
    fake.on("GET", "/messages", Answer(body={"chunk": []}))
    with pytest.raises(Transient, match="where it begins"):
        await hs.messages(ROOM, "e", {}, forwards=True, limit=7, patience=0)
