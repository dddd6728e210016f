"""A board in the hands of a handler: reading, rewriting, and how much it may write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from pycrdt import Doc, Map

from bot import view as module
from bot.boards.board import Board
from bot.errors import InvalidUpdate, RateLimited, Transient, UsageError
from bot.handlers.base import BoardView, DocumentUpdate, Event
from bot.permission import State
from bot.view import Budget, Limits, View
from bot.whiteboard.message import Message, Update
from bot.whiteboard.snapshot import SNAPSHOT_TYPE
from tests.fakes.rooms import (
    ALICE,
    BOT,
    KEY,
    MemoryArchive,
    NotMending,
    NotSaving,
    drawn,
    services,
    snapshot,
)
from tests.unit.whiteboard.people import FIRST_SLIDE, Person, plain, shape


class Place:
    """A board with the view that a handler has of it."""

    def __init__(self, **settings: Any) -> None:
        self.told: list[Event] = []
        self.published: list[Message] = []
        self.saving = NotSaving()
        self.own_user = BOT
        self.power_levels: Mapping[str, Any] = {}
        self.room: State | None = self
        self.alice = Person(7)
        self.board = Board(
            KEY,
            1,
            services(MemoryArchive(), self.told, **settings),
            publish=self._send,
            heard=lambda _: None,
            saving=self.saving,
            repeat=lambda _: None,
            mending=NotMending(),
        )
        self.view = View(self.board, lambda: self.room, Limits())

    def power(self, user: str) -> int:
        return {BOT: 0, ALICE: 50}[user]

    async def _send(self, message: Message) -> None:
        self.published.append(message)

    async def opened(self) -> View:
        await self.board.load()
        await self.board.merge_snapshot(snapshot(self.alice.state()))
        self.told.clear()
        return self.view

    def seen(self) -> list[str]:
        """What Alice sees on her first slide, having heard everything."""
        for one in self.published:
            assert isinstance(one, Update)
            self.alice.hear(one.data)
        slides = self.alice.content()["slides"]
        return [element["text"] for element in slides[0]["elements"]] if slides else []


def note(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, **plain(shape(text=name)), **fields}


async def test_a_board_is_read() -> None:
    place = Place()
    place.alice.add("a", text="a")
    view: BoardView = await place.opened()
    assert view.version == "0"
    (slide,) = view.slides()
    assert (slide.id, [one["id"] for one in slide.elements]) == (FIRST_SLIDE, ["a"])
    assert view.content() == place.alice.content()
    assert view.diff(view.state_vector()) == b"\0\0"


async def test_a_rewrite_is_seen_and_told_and_what_is_drawn_meanwhile_stays() -> None:
    place = Place(noting=True)
    place.alice.add("a", text="a")
    view = await place.opened()
    (slide,) = view.slides()
    assert await view.rewrite([slide.put(note("b")).put({**slide.elements[0], "text": "A"})])
    place.board.ingest([drawn(place.alice.add("c", text="c"))])
    assert sorted(place.seen()) == ["A", "b", "c"]
    ours = place.told[0]
    assert isinstance(ours, DocumentUpdate)
    assert {(one.element_id, one.kind) for one in ours.changes.elements} == {
        ("a", "changed"),
        ("b", "added"),
    }
    assert not await view.rewrite(view.slides())
    assert len(place.published) == 1
    assert await view.rewrite([])
    assert view.slides() == ()


async def test_what_came_since_it_was_read_stays_when_told_what_it_was() -> None:
    place = Place()
    place.alice.add("a", text="a")
    view = await place.opened()
    was = view.slides()
    place.board.ingest([drawn(place.alice.add("c", text="c"))])
    assert await view.rewrite([was[0].put(note("b"))], was=was)
    assert sorted(place.seen()) == ["a", "b", "c"]
    assert await view.rewrite(was)
    assert place.seen() == ["a"]


async def test_a_large_one_comes_in_parts() -> None:
    place = Place()
    view = await place.opened()
    (slide,) = view.slides()
    for number in range(40):
        slide = slide.put(note(f"n{number}", text="x" * 4000))
    assert await view.rewrite([slide])
    assert len(place.published) > 3
    assert len(place.seen()) == 40


async def test_locks_hold_unless_told() -> None:
    place = Place()
    view = await place.opened()
    (slide,) = view.slides()
    locked = replace(slide, lock={"userId": ALICE})
    assert await view.rewrite([locked])
    with pytest.raises(UsageError, match=r"locked slides would change \(1\)"):
        await view.rewrite([locked.put(note("a"))])
    assert await view.rewrite([locked.put(note("a"))], unlock=True)
    assert view.slides()[0].lock == {"userId": ALICE}


async def test_what_speaks_against_it_is_said() -> None:
    place = Place()
    (slide,) = (await place.opened()).slides()
    other = [slide.put(note("a"))]
    with pytest.raises(InvalidUpdate, match="unknown type"):
        await place.view.rewrite([slide.put(note("a", type="cloud"))])

    place.board.complete = False
    with pytest.raises(Transient):
        await place.view.rewrite(other)
    place.board.complete = True

    place.alice.add("lost")
    place.board.ingest([drawn(place.alice.write("lost", text="gap"))])
    with pytest.raises(UsageError, match="missing"):
        await place.view.rewrite(other)

    place.power_levels = {"events": {SNAPSHOT_TYPE: 50}}
    with pytest.raises(UsageError, match="power level 50"):
        await place.view.rewrite(other)
    place.saving.writes = False
    with pytest.raises(UsageError, match="observe"):
        await place.view.rewrite(other)
    place.room = None
    with pytest.raises(UsageError, match="not in the board's room"):
        await place.view.rewrite(other)
    assert place.published == []


async def test_a_newer_board_is_left_alone() -> None:
    place = Place()
    await place.board.load()
    await place.board.merge_snapshot(snapshot(newer()))
    place.board.complete = True
    with pytest.raises(UsageError, match="newer NeoBoard"):
        await place.view.rewrite([])


def newer() -> bytes:
    """The state of a board of a version that nobody knows yet."""
    doc: Doc[Any] = Doc()
    doc.get("7", type=Map)["slides"] = Map()
    return bytes(doc.get_update())


async def test_rewrites_are_limited_and_say_when_to_come_again() -> None:
    place = Place()
    view = await place.opened()
    (slide,) = view.slides()
    for number in range(module.REWRITES):
        assert not await view.rewrite(view.slides())  # costs nothing
        assert await view.rewrite([slide.put(note("a", text=f"{number}"))])
    with pytest.raises(RateLimited) as caught:
        await view.rewrite([slide])
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 1


async def test_changes_wait_and_what_brings_nothing_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock[0] += seconds

    clock = [1000.0]
    monkeypatch.setattr("bot.view.sleep", sleep)
    monkeypatch.setattr("bot.view.monotonic", lambda: clock[0])
    place = Place()
    view = await place.opened()
    update = place.alice.add("a")
    assert await view.change(update)
    for _ in range(2 * module.CHANGES):
        assert not await view.change(update)
    assert waited == []
    for number in range(module.CHANGES + 9):
        assert await view.change(place.alice.write("a", text=f"{number}"))
    assert sum(waited) == pytest.approx(0.1)
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.005)
    with pytest.raises(RateLimited):
        await view.change(place.alice.write("a", text="one more"))


def test_a_budget_recovers_and_lets_what_is_larger_than_it_through() -> None:
    budget = Budget(10, 2.0)
    assert budget.wait(100, 0.0) == 0
    budget.spend(100)
    assert budget.wait(1, 0.0) == pytest.approx(45.5)
    assert budget.wait(1, 45.5) == 0
    assert budget.wait(1, 1e6) == 0
    budget.spend(10)
    assert budget.wait(1, 1e6) == pytest.approx(0.5)
