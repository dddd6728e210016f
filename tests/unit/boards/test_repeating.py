from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bot.boards import repeating as module
from bot.boards.repeating import Repeating
from bot.errors import Transient
from tests.fakes.rooms import until
from tests.unit.whiteboard.people import Person


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AFTER", 0.01)


class Board:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.sent: list[bytes] = []
        self.needed = True
        self.fails = False
        self.open = asyncio.Event()
        self.open.set()
        self.publishing = 0
        self.most = 0
        self.repeating = Repeating(self._publish, lambda: self.needed, tasks)

    async def _publish(self, update: bytes) -> None:
        if self.fails:
            raise Transient("not connected")
        self.publishing += 1
        self.most = max(self.most, self.publishing)
        await self.open.wait()
        self.publishing -= 1
        self.sent.append(update)


@asynccontextmanager
async def board() -> AsyncIterator[Board]:
    async with asyncio.TaskGroup() as tasks:
        yield Board(tasks)


async def test_who_lost_a_packet_shows_everything_a_moment_later() -> None:
    async with board() as here:
        alice, bob = Person(7), Person(8)
        updates = [alice.add(name) for name in "abc"]
        for update in updates:
            here.repeating.took(update)
        bob.hear(*updates[1:])
        assert bob.content() != alice.content()
        await until(lambda: here.sent)
        bob.hear(*here.sent)
        assert bob.content() == alice.content()
        assert len(here.sent) == 1
        here.repeating.took(alice.add("d"))
        await until(lambda: len(here.sent) == 2)


async def test_alone_nothing_is_repeated() -> None:
    async with board() as here:
        here.needed = False
        here.repeating.took(Person(7).add("a"))
        await asyncio.sleep(0.03)
        assert here.sent == []


async def test_much_takes_several_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    async with board() as here:
        alice, bob = Person(7), Person(8)
        updates = [alice.add(name, text="x" * 100) for name in "abcdef"]
        monkeypatch.setattr(module, "MAX_BYTES", 2 * len(updates[0]) + 50)
        for update in updates:
            here.repeating.took(update)
        await until(lambda: len(here.sent) == 3)
        bob.hear(*here.sent)
        assert bob.content() == alice.content()


async def test_a_flood_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    async with board() as here:
        alice, bob = Person(7), Person(8)
        updates = [alice.add(name) for name in "abc"]
        monkeypatch.setattr(module, "MAX_PENDING", len(updates[0]) + len(updates[1]))
        for update in updates:
            here.repeating.took(update)
        await until(lambda: here.sent)
        bob.hear(*here.sent)
        assert len(bob.content()["slides"][0]["elements"]) == 2


async def test_without_a_connection_it_is_left_to_snapshots() -> None:
    async with board() as here:
        here.fails = True
        alice = Person(7)
        here.repeating.took(alice.add("a"))
        await asyncio.sleep(0.03)
        here.fails = False
        here.repeating.took(alice.add("b"))
        await until(lambda: here.sent)
        assert len(here.sent) == 1


async def test_while_a_packet_does_not_get_out_no_second_one_is_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with board() as here:
        alice, bob = Person(7), Person(8)
        here.open.clear()
        here.repeating.took(alice.add("a"))
        await until(lambda: here.publishing)
        for name in "bcd":
            here.repeating.took(alice.add(name))
            await asyncio.sleep(0.02)
        monkeypatch.setattr(module, "MAX_PENDING", 0)
        here.repeating.took(Person(9).add("x"))  # what waits is bounded
        here.open.set()
        await until(lambda: len(here.sent) == 2)
        bob.hear(*here.sent)
        assert bob.content() == alice.content()
        assert here.most == 1
