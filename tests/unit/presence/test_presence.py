"""Presence: which keys its memberships take, and where it connects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import pytest

from bot.errors import Forbidden, Transient
from bot.presence import legacy as module
from bot.presence.hearing import Packet
from bot.presence.presence import Presence
from bot.presence.setting import Setting
from bot.roomstate import RoomState
from bot.rtc.membership import Focus
from bot.rtc.sticky import Seat
from bot.rtc.timing import Timing
from bot.services import Arrival
from bot.whiteboard.message import FocusOn, Message, Update, encode
from tests.fakes.rooms import (
    ALICE,
    BOT,
    DEVICE,
    NOW,
    ROOM,
    Server,
    member,
    off_board,
    on_board,
    until,
)

PLAIN = f"_{BOT}_{DEVICE}"


@dataclass
class Heard:
    identity: str | None
    data: bytes
    at: float


class Wire:
    """A connection that stands at once."""

    def __init__(self, where: str, changed: Callable[[], None]) -> None:
        self.where = where
        self.connected = self.refused = False
        self.sent: list[tuple[bool, tuple[str, ...]]] = []
        self.inbox: asyncio.Queue[Packet] = asyncio.Queue()
        self._changed = changed

    async def run(self) -> None:
        self.connected = True
        self._changed()

    async def packets(self) -> Sequence[Packet]:
        return [await self.inbox.get()]

    async def publish(self, data: bytes, *, reliable: bool, to: Sequence[str] = ()) -> None:
        self.sent.append((reliable, tuple(to)))

    def breaks(self, *, back: bool = False) -> None:
        self.connected = back
        self._changed()

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
        self.state.apply(member(ALICE))
        self.state.power_levels = {"users": {BOT: 100}}

        self.arrivals: list[Arrival] = []
        self.told: list[str] = []
        self.lacks: dict[str, Message] = {}

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        self.arrivals += arrivals

    def lacking(self, whiteboard_id: str) -> Message | None:
        return self.lacks.get(whiteboard_id)

    def forbidden(self, profile: str) -> None:
        self.told.append(f"forbidden {profile}")

    def full(self) -> None:
        self.told.append("full")

    def unheard(self) -> None:
        self.told.append("unheard")

    def bridged(self) -> None:
        self.told.append("bridged")


class World:
    """A presence with all it has to do with."""

    def __init__(self, grace: float) -> None:
        self.server = Server()
        self.home = Home()
        self.wires: list[Wire] = []
        self.foci = [Focus("https://sfu.here")]
        self.allowed = True
        self.grace = grace
        self.participants: list[Callable[[str, bool], None]] = []
        self.presence = Presence(self.home, self._setting())

    def _setting(self) -> Setting:
        return Setting(
            homeserver=self.server,
            own_user=BOT,
            own_device=DEVICE,
            connect=self._connect,
            delayed=lambda: True,
            own_foci=lambda: self.foci,
            allowed=lambda _: self.allowed,
            configured_foci=[],
            timing=Timing,
            sfu_grace=self.grace,
            now_ts=lambda: NOW,
            admission=Places(),
        )

    def _connect(
        self,
        _room_id: str,
        where: str,
        changed: Callable[[], None],
        participant: Callable[[str, bool], None],
        seat: Seat | None = None,
    ) -> Wire:
        assert seat is None, "nothing here is of the sticky profile"
        self.participants.append(participant)
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
async def world(grace: float = 10.0) -> AsyncIterator[World]:
    here = World(grace)
    task = asyncio.create_task(here.presence.run())
    try:
        yield here
    finally:
        await here.presence.close()
        await asyncio.wait_for(task, 15)


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


async def announced(here: World) -> None:
    here.presence.want(frozenset({"w1"}))
    await until(lambda: here.keys() == [PLAIN])
    here.shows(on_board(BOT, DEVICE, "w1"))


@pytest.mark.scenario("C03")
async def test_a_lost_connection_is_waited_for_and_then_the_membership_withdrawn() -> None:
    async with world(grace=1.0) as here:
        await announced(here)
        here.wires[0].breaks()
        await asyncio.sleep(0.01)
        here.wires[0].breaks(back=True)  # in time
        await asyncio.sleep(1.1)
        assert here.server.states[-1][2]
        here.wires[0].breaks()
        await until(lambda: here.server.states[-1] == (ROOM, PLAIN, {}))
        here.shows(off_board(BOT, DEVICE))
        here.wires[0].breaks(back=True)
        await until(lambda: here.keys() == [PLAIN, PLAIN])


async def test_without_permission_it_neither_announces_nor_listens() -> None:
    async with world() as here:
        await announced(here)
        here.home.state.power_levels = {"users": {}, "state_default": 50}
        here.presence.permission_changed()
        await until(lambda: not here.presence.connected)
        assert "forbidden legacy" in here.home.told
        with pytest.raises(Transient):
            await here.presence.publish(Update("$d1", b"u"))


async def test_a_homeserver_that_refuses_the_membership_is_told_to_the_room() -> None:
    async with world() as here:
        here.server.failures["send_state"] = [Forbidden("no")]
        here.presence.want(frozenset({"w1"}))
        await until(lambda: "forbidden legacy" in here.home.told)


async def test_where_it_may_not_go_it_does_not_go(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as here:
        here.allowed = False
        here.presence.want(frozenset({"w1"}))
        await until(lambda: "no focus is known that may be used" in caplog.text)
        here.presence.room_changed()
        await asyncio.sleep(0.05)
        assert here.wires == []
        assert caplog.text.count("no focus is known") == 1
        here.allowed = True
        here.presence.room_changed()
        await until(lambda: here.keys() == [PLAIN])


async def test_whoever_comes_onto_a_board_is_sent_what_he_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.presence.newcomers.SETTLE", 0.001)
    monkeypatch.setattr("bot.presence.newcomers.AGAIN", 0.002)
    monkeypatch.setattr("bot.presence.newcomers.AT_MOST_EVERY", 0.003)
    async with world() as here:
        await announced(here)
        here.home.lacks["w1"] = Update("$d1", b"u")
        here.shows(on_board())  # his membership is how the bot hears of him first
        await until(lambda: (True, (f"{ALICE}:AD",)) in here.wires[0].sent)
        count = len(here.wires[0].sent)
        here.participants[0](f"{ALICE}:AD", True)
        await until(lambda: len(here.wires[0].sent) > count)
        here.participants[0](f"{ALICE}:AD", False)
        here.participants[0]("somebody without a board", True)
        await here.presence.publish(Update("$d1", b"u"))
        assert here.wires[0].sent[-1] == (True, ())


async def test_what_is_heard_is_delivered_and_an_unknown_sender_waited_for() -> None:
    async with world() as here:
        await announced(here)
        here.shows(on_board())
        for who in (f"{ALICE}:AD", "unknown"):
            here.wires[0].inbox.put_nowait(Heard(who, encode(FocusOn("s")), monotonic()))
        await until(lambda: [one.sender for one in here.home.arrivals] == [ALICE])


async def test_another_application_under_our_key_is_given_way_to() -> None:
    async with world() as here:
        await announced(here)
        call = on_board(BOT, DEVICE, "w1")
        call["content"] = {**call["content"], "application": "m.call"}
        here.shows(call)
        await until(lambda: len(here.keys()) == 2)
        assert here.keys()[1] not in {PLAIN, ""}
        assert (ROOM, PLAIN, {}) not in here.server.states


async def test_when_boards_come_and_go_the_durations_may_change() -> None:
    async with world() as here:
        await announced(here)
        here.presence.retime()
        assert here.server.states[-1][2]


async def test_a_homeserver_that_hangs_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LEAVE_WITHIN", 0.01)
    async with world() as here:
        await announced(here)
        here.server.slow |= {"send_state", "send_delayed"}
    assert "did not take the leave in time" in caplog.text
