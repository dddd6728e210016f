"""Links: which LiveKit connections stand while the focus changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

import pytest

from bot.errors import Transient
from bot.presence import links as module
from bot.presence.hearing import Packet
from bot.presence.links import Links
from bot.rtc.membership import Focus
from tests.fakes.rooms import until

A, B, C = (Focus(f"https://{name}") for name in "abc")


@dataclass
class Heard:
    identity: str | None
    data: bytes
    at: float


class Wire:
    def __init__(self, focus: Focus) -> None:
        self.focus = focus
        self.connected = self.refused = False
        self.closed = False
        self.inbox: asyncio.Queue[Heard] = asyncio.Queue()
        self.sent: list[bytes] = []

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def packets(self) -> Sequence[Packet]:
        return [await self.inbox.get()]

    async def publish(self, data: bytes, *, reliable: bool, to: Sequence[str] = ()) -> None:
        assert reliable
        assert not to
        self.sent.append(data)

    async def close(self) -> None:
        self.closed, self.connected = True, False


class Wires:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.made: list[Wire] = []
        self.heard: list[bytes] = []
        self.links = Links(self._connect, self._receive, tasks)

    def _connect(self, focus: Focus) -> Wire:
        self.made.append(Wire(focus))
        return self.made[-1]

    def _receive(self, packets: Sequence[Packet]) -> None:
        self.heard += [packet.data for packet in packets]

    def now(self) -> list[Focus]:
        return [wire.focus for wire in self.made if not wire.closed]


@asynccontextmanager
async def wires() -> AsyncIterator[Wires]:
    async with asyncio.TaskGroup() as tasks:
        here = Wires(tasks)
        yield here
        await here.links.close()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWITCH_AFTER", 0.01)


async def moved(here: Wires, focus: Focus) -> None:
    assert not here.links.follow(focus)
    due = here.links.due
    assert due is not None
    await asyncio.sleep(max(0.0, due - monotonic()) + 0.001)
    assert not here.links.follow(focus)


@pytest.mark.scenario("F19")
async def test_the_new_connection_stands_before_the_old_one_closes() -> None:
    async with wires() as here:
        assert not here.links.follow(A)
        here.made[0].connected = True
        await moved(here, B)
        assert here.now() == [A, B]
        assert (here.links.focus, here.links.connected, here.links.due) == (A, True, None)
        here.made[1].connected = True
        assert here.links.follow(B)
        await until(lambda: here.now() == [B])
        assert here.links.focus == B
        assert not here.links.follow(B)


@pytest.mark.scenario("F18")
async def test_a_focus_that_flaps_is_not_followed() -> None:
    async with wires() as here:
        here.links.follow(A)
        for focus in (B, A, C, A, B, A, C, A, B, A):  # five times
            assert not here.links.follow(focus)
        assert here.links.due is None
        await asyncio.sleep(0.02)
        assert not here.links.follow(A)
        assert here.now() == [A]


@pytest.mark.scenario("F20")
async def test_one_that_cannot_be_reached_is_given_up_for_the_next_right_one() -> None:
    async with wires() as here:
        here.links.follow(A)
        here.made[0].connected = True
        await moved(here, B)
        assert not here.links.follow(C)  # another one is right now
        await until(lambda: here.now() == [A, C])
        assert here.links.focus == A
        here.links.follow(A)  # and back
        await until(lambda: here.now() == [A])


async def test_disconnecting_closes_whatever_there_is() -> None:
    async with wires() as here:
        here.links.disconnect()
        here.links.follow(A)
        await moved(here, B)
        here.links.disconnect()
        await until(lambda: here.now() == [])
        assert (here.links.focus, here.links.connected) == (None, False)


async def test_packets_come_from_both_and_go_to_the_one_in_use() -> None:
    async with wires() as here:
        with pytest.raises(Transient):
            await here.links.publish(b"to nobody", reliable=True)
        here.links.follow(A)
        await moved(here, B)
        for wire in here.made:
            wire.inbox.put_nowait(Heard(None, wire.focus.service_url.encode(), 0.0))
        await until(lambda: len(here.heard) == 2)
        await here.links.publish(b"data", reliable=True)
        assert [wire.sent for wire in here.made] == [[b"data"], []]
