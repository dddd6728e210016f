from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from time import monotonic

import pytest

from bot.boards import board as board_module
from bot.boards import mending as module
from bot.boards.board import Board
from bot.boards.mending import Mending
from bot.commands.texts import TEXTS
from bot.errors import InvalidUpdate, Transient
from bot.handlers.base import Event
from bot.whiteboard.message import Message, Update
from bot.whiteboard.repair import Kind
from bot.whiteboard.snapshot import Snapshot
from tests.fakes.rooms import KEY, MemoryArchive, drawn, services, snapshot, until
from tests.unit.whiteboard.people import Person, texts


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_AFTER", 0.01)
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "LOOK_EVERY", 0.01)


class Desk:
    """A board that is mended, and everything around it."""

    def __init__(self, tasks: asyncio.TaskGroup, *, tells: bool) -> None:
        self.told: list[str] = []
        self.events: list[Event] = []
        self.sent: list[bytes] = []
        self.fails = False
        self.writes = True
        self.missed = 0
        self.ours: list[bytes] = []
        self.mending = Mending(
            self._publish, saving=self, told=self._tell if tells else None, tasks=tasks
        )
        self.board = Board(
            KEY,
            1,
            services(MemoryArchive(), self.events),
            publish=self._send,
            heard=lambda _: None,
            saving=self,
            repeat=lambda _: None,
            mending=self.mending,
        )

    async def _tell(self, name: str) -> None:
        self.told.append(name)

    async def _publish(self, update: bytes) -> None:
        if self.fails:
            raise Transient("not connected")
        self.sent.append(update)

    async def _send(self, message: Message) -> None:
        assert isinstance(message, Update)
        self.ours.append(message.data)

    def changed(self, board: Board, update: bytes, *, ours: bool = False) -> None: ...

    async def noted(self, board: Board) -> None: ...

    def saved(self, board: Board, snapshot: Snapshot, ids: object = None) -> None: ...

    def not_taken(self, board: Board, snapshot: Snapshot, beyond: str) -> None: ...

    def withheld(self, board: Board) -> str:
        return ""

    def needed(self, board: Board) -> None:
        self.missed += 1

    def hear(self, *updates: bytes) -> None:
        self.board.ingest([drawn(update) for update in updates])

    @property
    def texts(self) -> dict[str, str]:
        return texts(self.board.document)


@asynccontextmanager
async def desk(*, tells: bool = True) -> AsyncIterator[Desk]:
    async with asyncio.TaskGroup() as tasks:
        here = Desk(tasks, tells=tells)
        await here.board.load()
        here.board.complete = True
        yield here
        # Ends what may still wait for something that never comes.
        here.board._document = None
        here.mending._stirred.set()


# -- gaps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("large", [False, True])
async def test_what_a_snapshot_brings_to_close_a_gap_is_sent_to_everybody(
    monkeypatch: pytest.MonkeyPatch,
    large: bool,  # noqa: FBT001
) -> None:
    if large:
        monkeypatch.setattr(board_module, "IN_PLACE", 0)
    async with desk() as here:
        alice, bob = Person(5), Person(6)
        first, lost, later = alice.add("a"), alice.add("b"), alice.add("c")
        assert lost
        here.hear(first, later)
        bob.hear(first, later)
        await here.board.merge_snapshot(snapshot(alice.state()))
        await until(lambda: here.sent)
        bob.hear(*here.sent)
        assert bob.content() == alice.content()
        assert len(here.sent) == 1


async def test_what_closes_a_gap_late_is_sent_together_and_without_a_gap_nothing() -> None:
    async with desk() as here:
        alice = Person(5)
        updates = [alice.add(name) for name in "abcde"]
        here.hear(updates[0], updates[2], updates[4])
        await here.board.merge_snapshot(snapshot(Person(9).state()))
        assert here.sent == []
        here.hear(updates[1])
        here.hear(updates[3])
        await until(lambda: here.sent)
        carol = Person(7, "0", updates[0])
        carol.hear(*here.sent)
        assert carol.content() == alice.content()
        here.hear(alice.add("f"))
        await asyncio.sleep(0.05)
        assert len(here.sent) == 1


async def test_what_does_not_fit_into_a_packet_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LIVE", 10)
    async with desk() as here:
        alice = Person(5)
        first, second = alice.add("a"), alice.add("b")
        here.hear(second)
        here.hear(first)
        await until(lambda: here.missed)
        assert here.sent == []


async def test_nobody_there_is_no_trouble() -> None:
    async with desk() as here:
        alice = Person(5)
        first, second = alice.add("a"), alice.add("b")
        here.fails = True
        here.hear(second)
        here.hear(first)
        await until(lambda: here.mending._before is None)
        third, fourth = alice.add("c"), alice.add("d")
        here.hear(fourth)
        here.hear(third)
        here.board._document = None  # unloaded
        await until(lambda: here.mending._before is None)
        assert here.sent == []


async def test_an_observer_mends_nothing() -> None:
    async with desk() as here:
        here.writes = False
        alice = Person(5)
        first, second = alice.add("a"), alice.add("b")
        here.hear(second)
        here.hear(first)
        here.hear(alice.add("bad", fillColor=""), alice.add("c"))
        await asyncio.sleep(0.2)
        assert (here.sent, here.ours) == ([], [])


# -- authors who are blocked -----------------------------------------------------------------------


async def test_an_author_is_unblocked_for_everybody_and_that_is_said_once() -> None:
    async with desk() as here:
        alice, bob, carol = Person(5), Person(6), Person(7)
        for name in ("first", "second"):
            here.ours.clear()
            bad, good = alice.add(f"bad {name}", fillColor=""), alice.add(name)
            here.hear(bad, good)
            bob.hear(good)
            await until(lambda: here.ours)
            for person in (alice, bob):
                person.hear(*here.ours)
        assert here.texts == {"first": "", "second": ""}
        carol.hear(here.board.document.encode())
        assert bob.content() == carol.content() == here.board.document.content()
        assert here.told == ["repair_removed"]


async def test_its_author_may_correct_it_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 60)
    async with desk() as here:
        alice = Person(5)
        here.hear(alice.add("a", fillColor=""))
        here.hear(alice.add("b"))
        await asyncio.sleep(0.05)
        assert here.ours == []
        monkeypatch.setattr(module, "PATIENCE", 0.01)
        here.hear(alice.write("a", fillColor="#000"))
        await until(lambda: here.ours)
        assert here.texts == {"a": "", "b": ""}
        assert here.told == []


async def test_for_what_he_does_next_he_has_as_long_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    async with desk() as here:
        alice, times = Person(5), list[float]()
        change = here.board.change

        async def change_and_hear(update: bytes) -> bool:
            times.append(monotonic())
            done = await change(update)
            if len(times) == 1:
                here.hear(alice.add("c", fillColor=""), alice.add("d"))
            return done

        monkeypatch.setattr(here.board, "change", change_and_hear)
        here.hear(alice.add("a", fillColor=""), alice.add("b"))
        await until(lambda: here.texts == {"b": "", "d": ""})
        assert times[1] - times[0] >= 0.3


async def test_it_is_done_also_where_nothing_is_said() -> None:
    async with desk(tells=False) as here:
        alice = Person(5)
        here.hear(alice.add("a"), alice.write("a", text=5), alice.add("b"))
        await until(lambda: here.texts == {"a": "", "b": ""})


async def test_what_a_newer_neoboard_shows_stays_and_is_tried_ever_more_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with desk() as here:
        alice, bob = Person(5), Person(6)
        here.hear(alice.add("a", kind="star"), alice.add("b"))
        await until(lambda: "blocks its author" in caplog.text)
        here.hear(bob.add("c", fillColor=""), bob.add("d"))
        await until(lambda: here.texts == {"d": ""})  # others are helped all the same
        assert here.board.document.has_gap
        assert here.told == ["repair_removed"]


async def test_each_try_in_vain_makes_the_next_one_wait_twice_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[float] = []

    def in_vain(*_: object) -> None:
        tries.append(monotonic())

    monkeypatch.setattr(module, "repair", in_vain)
    async with desk() as here:
        alice = Person(5)
        here.hear(alice.add("a", fillColor=""), alice.add("b"))
        await until(lambda: len(tries) == 4)
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert all(wait >= 0.05 * 2**number for number, wait in enumerate(waits, 1)), waits


async def test_what_cannot_be_repaired_or_not_yet_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with desk() as here:
        alice, bob = Person(5), Person(6)
        here.board.complete = False
        bad = alice.do(lambda: alice.root.update({"slides": 5.0}))
        here.hear(bad, alice.do(lambda: alice.root["slideIds"].append("s")))
        await until(lambda: here.mending._failures)
        here.hear(bob.add("c", fillColor=""), bob.add("d"))
        await until(lambda: here.mending._failures > 1)
        assert here.texts == {}
        here.board.complete = True
        await until(lambda: here.texts == {"d": ""})


async def test_what_changed_meanwhile_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk() as here:
        change, failed = here.board.change, asyncio.Event()

        async def fails_once(update: bytes) -> bool:
            if not failed.is_set():
                failed.set()
                raise InvalidUpdate("no longer")
            return await change(update)

        monkeypatch.setattr(here.board, "change", fails_once)
        alice = Person(5)
        here.hear(alice.add("a", fillColor=""), alice.add("b"))
        await until(lambda: here.texts == {"b": ""})
        assert failed.is_set()


async def test_a_snapshot_that_proves_it_harmless_ends_the_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 60)
    async with desk() as here:
        alice = Person(5)
        here.hear(alice.add("a", fillColor=""), alice.add("b"))
        bob = Person(6)
        bob.add("lost")
        here.hear(bob.add("later"))  # a gap that nothing refused is behind
        alice.write("a", fillColor="#fff")
        await here.board.merge_snapshot(snapshot(alice.state()))
        await until(lambda: not len(here.mending._refused))
        assert here.texts == {"a": "", "b": ""}
        assert here.ours == []


def test_the_sentences_are_there() -> None:
    said = {f"repair_{kind.value}" for kind in Kind if kind is not Kind.CORRECTED}
    assert said <= TEXTS.keys()
