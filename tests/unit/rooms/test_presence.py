"""Presence: which keys its memberships take, and where it connects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bot.hearing import Packet
from bot.presence import Presence
from bot.roomstate import RoomState
from bot.rtc.membership import Focus
from bot.rtc.timing import Timing
from bot.services import Arrival
from bot.setting import Setting
from bot.whiteboard.message import Message
from tests.fakes.rooms import BOT, DEVICE, NOW, ROOM, Server, member, off_board, on_board, until

PLAIN = f"_{BOT}_{DEVICE}"


class Wire:
    """A connection that stands at once."""

    def __init__(self, where: str, changed: Callable[[], None]) -> None:
        self.where = where
        self.connected = False
        self._changed = changed

    async def run(self) -> None:
        self.connected = True
        self._changed()

    async def packets(self) -> Sequence[Packet]:
        await asyncio.Event().wait()
        return []

    async def publish(self, data: bytes, *, reliable: bool, to: Sequence[str] = ()) -> None:
        """Lose it."""

    async def close(self) -> None:
        self.connected = False


class Places:
    """Room for everything."""

    def claim(self, room_id: str, whiteboard_id: str) -> bool:
        return bool(room_id and whiteboard_id)

    def release(self, room_id: str, whiteboard_id: str) -> None:
        """Take it back."""


class Home:
    """A room where the bot may do everything."""

    def __init__(self) -> None:
        self.room_id = ROOM
        self.state = RoomState(ROOM, BOT)
        self.state.apply(member(BOT))
        self.state.power_levels = {"users": {BOT: 100}}

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        """Take messages."""

    def lacking(self, whiteboard_id: str) -> Message | None:
        del whiteboard_id
        return None

    def forbidden(self) -> None:
        """Hear that announcing is refused."""

    def full(self) -> None:
        """Hear that a board has to wait."""


class World:
    """A presence with all it has to do with."""

    def __init__(self) -> None:
        self.server = Server()
        self.home = Home()
        self.wires: list[Wire] = []
        self.foci = [Focus("https://sfu.here")]
        self.presence = Presence(self.home, self._setting())

    def _setting(self) -> Setting:
        return Setting(
            homeserver=self.server,
            own_user=BOT,
            own_device=DEVICE,
            connect=self._connect,
            delayed=lambda: True,
            own_foci=lambda: self.foci,
            allowed=lambda _: True,
            configured_foci=[],
            timing=Timing,
            sfu_grace=10.0,
            now_ts=lambda: NOW,
            admission=Places(),
        )

    def _connect(
        self,
        _room_id: str,
        where: str,
        changed: Callable[[], None],
        _participant: Callable[[str, bool], None],
    ) -> Wire:
        self.wires.append(Wire(where, changed))
        return self.wires[-1]

    def shows(self, event: dict[str, Any]) -> None:
        """Have sync show an event."""
        self.home.state.apply(event)
        self.presence.own_state(event)
        self.presence.room_changed()

    def keys(self) -> list[str]:
        """Return the state keys of the joins sent, in order."""
        return [key for _, key, content in self.server.states if content]


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    here = World()
    task = asyncio.create_task(here.presence.run())
    try:
        yield here
    finally:
        await here.presence.close()
        await asyncio.wait_for(task, 2)


async def test_the_plain_key_is_free_again_once_its_board_has_been_left() -> None:
    async with world() as here:
        here.presence.want(frozenset({"w1"}))
        await until(lambda: here.keys() == [PLAIN])
        here.shows(on_board(BOT, DEVICE, "w1"))
        here.presence.want(frozenset())
        await until(lambda: here.server.states[-1] == (ROOM, PLAIN, {}))
        here.shows(off_board(BOT, DEVICE))
        await until(lambda: not here.presence.connected)
        here.presence.want(frozenset({"w2"}))
        await until(lambda: len(here.keys()) == 2)
        assert here.keys() == [PLAIN, PLAIN]


async def test_a_second_board_has_a_key_of_its_own_and_the_same_connection() -> None:
    async with world() as here:
        here.presence.want(frozenset({"w1"}))
        await until(lambda: here.keys() == [PLAIN])
        here.presence.want(frozenset({"w1", "w2"}))
        await until(lambda: len(here.keys()) == 2)
        assert here.keys()[1] != PLAIN
        assert len(here.wires) == 1
