"""Long work on the event loop: everything else has its turn, and the order stays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from bot import turns as module
from bot.presence.hearing import Packet
from bot.presence.links import Links
from bot.rtc.membership import Focus
from bot.turns import AT_ONCE, Turns
from tests.fakes.rooms import until
from tests.unit.presence.test_links import A, Heard, Wire


class Flood(Wire):
    """A connection on which very much comes at once."""

    def __init__(self, focus: Focus, count: int) -> None:
        super().__init__(focus)
        self.batches: list[list[Heard]] = [[Heard("b", b"%d" % n, 0.0) for n in range(count)]]

    async def packets(self) -> Sequence[Packet]:
        if not self.batches:
            await asyncio.Event().wait()
        return self.batches.pop()


class Ticks:
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


@pytest.mark.parametrize("slow", [True, False])
async def test_a_flood_is_taken_in_order_and_in_slices_only_if_it_is_slow(
    monkeypatch: pytest.MonkeyPatch,
    slow: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(module, "SLICE", 0 if slow else 3600)
    count, ticks = 500, Ticks()
    heard: list[tuple[bytes, int]] = []

    def receive(packets: Sequence[Packet]) -> None:
        assert len(packets) <= AT_ONCE
        heard.extend((packet.data, ticks.count) for packet in packets)

    async with asyncio.TaskGroup() as tasks:
        ticking = tasks.create_task(ticks.run())
        links = Links(lambda focus: Flood(focus, count), receive, tasks)
        links.follow(A)
        await until(lambda: len(heard) == count)
        await links.close()
        ticking.cancel()
    assert [data for data, _ in heard] == [b"%d" % n for n in range(count)]
    slices = len({tick for _, tick in heard})
    assert slices == (-(-count // AT_ONCE) if slow else 1)


async def test_a_slice_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    instants = iter([10.0, 10.04, 10.06, 10.06, 10.1, 10.12, 10.12])  # begun, looked at, begun …
    monkeypatch.setattr(module, "monotonic", lambda: next(instants))
    given: list[Any] = []

    async def sleep(seconds: float) -> None:
        given.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    turns = Turns()
    for _ in range(4):
        await turns.next()
    assert given == [0, 0]
