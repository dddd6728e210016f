"""Connection by its rules, on rooms that do what the test says, without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace

import pytest

from bot.errors import AuthLost, NotFound, RateLimited, ServerError, Transient, UsageError
from bot.livekit import connection as module
from bot.livekit.auth import Grant
from bot.livekit.connection import MAX_DATA, Connection, State
from bot.livekit.inbox import Packet
from bot.livekit.native import Ending
from tests.unit.livekit import clock
from tests.unit.livekit.clock import virtual

LOST = Ending(refused=False, reason="broke")
REFUSED = Ending(refused=True, reason="removed")


class Room:
    """A room in the hands of a test."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.broken_at: float | None = None
        self.repairs = 0
        self.ending: Ending | None = None
        self.announced: list[Mapping[str, str]] = []
        self.published: list[tuple[bytes, bool, Sequence[str]]] = []
        self.left = 0
        self.deaf = False
        self.stuck = False
        self.receive: Callable[[Packet], None]
        self.participant: Callable[[str, bool], None]

    async def announce(self, attributes: Mapping[str, str]) -> bool:
        self.announced.append(attributes)
        if self.deaf:
            await asyncio.sleep(2)
        return not self.deaf

    async def publish(self, data: bytes, *, reliable: bool, to: Sequence[str]) -> None:
        self.published.append((data, reliable, to))

    async def leave(self) -> None:
        self.left += 1
        if self.stuck:
            await asyncio.sleep(1_000)

    def end(self, ending: Ending) -> None:
        self.ending = ending
        self.changed.set()

    def breaks(self) -> None:
        self.broken_at = clock.monotonic()
        self.changed.set()

    def repaired(self) -> None:
        self.broken_at = None
        self.repairs += 1
        self.changed.set()


@dataclass
class World:
    """What a connection under test is connected to.

    Attributes:
        outcomes: of the next joins: a room's preparation, or an error; then all work.
        refusals: of the next grants; then all are given.
        told: state, reason and seconds since the start.
    """

    may_announce: bool = True
    outcomes: list[Exception | Callable[[Room], None]] = field(default_factory=list)
    refusals: list[Exception] = field(default_factory=list)
    rooms: list[Room] = field(default_factory=list)
    grants: int = 0
    told: list[tuple[State, str, float]] = field(default_factory=list)
    seen: list[tuple[str, bool]] = field(default_factory=list)
    started: float = 0.0
    hanging: bool = False

    async def grant(self) -> Grant:
        self.grants += 1
        if self.refusals:
            raise self.refusals.pop(0)
        number = str(self.grants)
        return Grant("ws://sfu", number, "room", "me", "", None, self.may_announce)

    async def join(
        self,
        _: Grant,
        receive: Callable[[Packet], None],
        participant: Callable[[str, bool], None],
    ) -> Room:
        if self.hanging:
            await asyncio.sleep(1_000)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        room = Room()
        room.receive, room.participant = receive, participant
        if outcome is not None:
            outcome(room)
        self.rooms.append(room)
        return room

    def connection(self, *, inbox_limit: int = 10_000, inbox_bytes: int = 1_000_000) -> Connection:
        self.started = clock.monotonic()
        return Connection(
            self.grant,
            on_state=lambda state, why: self.told.append(
                (state, why, round(clock.monotonic() - self.started, 2))
            ),
            on_participant=lambda who, here: self.seen.append((who, here)),
            attributes={"a": "b"},
            inbox_limit=inbox_limit,
            inbox_bytes=inbox_bytes,
            random=lambda: 0.0,
            join=self.join,
        )

    @property
    def states(self) -> list[State]:
        return [state for state, _, _ in self.told]


@pytest.fixture(autouse=True)
def _jumping_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))


@asynccontextmanager
async def running(world: World, **limits: int) -> AsyncIterator[Connection]:
    connection = world.connection(**limits)
    task = asyncio.create_task(connection.run())
    await settle()
    yield connection
    task.cancel()
    await asyncio.wait({task})


async def settle(seconds: float = 0.01) -> None:
    await asyncio.sleep(seconds)


def packet(data: bytes = b"x", identity: str | None = "ann") -> Packet:
    return Packet(identity, data, reliable=False, topic="", at=0.0)


@virtual
async def test_it_joins_announces_itself_and_then_says_so() -> None:
    world = World()
    async with running(world) as connection:
        assert world.states == [State.CONNECTING, State.CONNECTED]
        assert world.rooms[0].announced == [{"a": "b"}]
        assert connection.connected
        assert connection.connected_at == connection.audible_at == world.started


@virtual
async def test_who_may_not_announce_himself_is_heard_later() -> None:
    world = World(may_announce=False)
    async with running(world) as connection:
        assert world.rooms[0].announced == []
        assert connection.audible_at == world.started + 4.0


@virtual
async def test_an_announcement_that_hangs_holds_nothing_up_for_long() -> None:
    world = World(outcomes=[lambda room: setattr(room, "deaf", True)])
    async with running(world) as connection:
        await settle(2)
        assert connection.connected
        assert connection.audible_at == world.started + 2.0 + 4.0


@pytest.mark.scenario("J03", "J06")
@virtual
async def test_failures_are_told_and_tried_again_ever_more_slowly() -> None:
    world = World(
        refusals=[NotFound("no service"), ServerError("no use")],
        outcomes=[Transient("no answer")] * 6,
    )
    async with running(world) as connection:
        await settle(100)
        assert connection.connected
    lost = [(why, at) for state, why, at in world.told if state is State.LOST]
    assert [why for why, _ in lost] == ["no service", "no use"] + ["no answer"] * 6
    assert [at for _, at in lost] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 30.5, 45.5]
    assert world.grants == 9


@virtual
async def test_whatever_a_service_makes_us_fail_with_ends_here() -> None:
    world = World(refusals=[ValueError("unforeseen")], outcomes=[UnicodeError("of the SDK")])
    async with running(world) as connection:
        await settle(10)
        assert connection.connected
    lost = [why for state, why, _ in world.told if state is State.LOST]
    assert lost == [
        "the service made us fail (ValueError)",
        "the service made us fail (UnicodeError)",
    ]


@virtual
@pytest.mark.parametrize(("asked", "waited"), [(None, 0.5), (0.0, 0.5), (7.0, 7.0), (1e9, 600.0)])
async def test_the_servers_word_on_waiting_counts(asked: float | None, waited: float) -> None:
    world = World(refusals=[RateLimited("slowly", asked)])
    async with running(world):
        await settle(700)
        assert world.told[1] == (State.LOST, "slowly", 0)
        assert world.told[2] == (State.CONNECTING, "", waited)


@virtual
async def test_without_an_account_it_ends() -> None:
    world = World(refusals=[AuthLost("gone")])
    connection = world.connection()
    with pytest.raises(AuthLost):
        await connection.run()
    assert world.states == [State.CONNECTING, State.CLOSED]


@pytest.mark.scenario("J11")
@virtual
async def test_a_lost_room_is_joined_anew_with_a_fresh_token() -> None:
    world = World()
    async with running(world) as connection:
        world.rooms[0].end(LOST)
        await settle()
        assert connection.state is State.LOST
        assert connection.connected_at is connection.audible_at is None
        await settle(0.5)
        assert connection.connected
        assert world.told[2:] == [
            (State.LOST, "broke", 0.01),
            (State.CONNECTING, "", 0.51),
            (State.CONNECTED, "", 0.51),
        ]
        assert (world.grants, [room.left for room in world.rooms]) == (2, [1, 0])


async def settle_connected(world: World) -> None:
    """Let it connect again, and stand for a moment."""
    await settle()
    while world.states[-1] is not State.CONNECTED:
        await settle(0.5)
    await settle(3)


@virtual
async def test_a_room_that_stood_for_long_is_tried_again_soon_one_that_did_not_is_not() -> None:
    world = World()
    async with running(world):
        for _ in range(4):
            await settle_connected(world)
            world.rooms[-1].end(LOST)
        await settle_connected(world)
        waits = [
            after - before
            for (one, _, before), (_, _, after) in pairwise(world.told)
            if one is State.LOST
        ]
        assert [round(wait, 2) for wait in waits] == [0.5, 1.0, 2.0, 4.0]
        await settle(60)
        world.rooms[-1].end(LOST)
        await settle(0.6)
        assert world.states[-1] is State.CONNECTED


@virtual
async def test_whoever_is_not_wanted_stays_away_for_a_while() -> None:
    world = World()
    async with running(world) as connection:
        world.rooms[0].end(REFUSED)
        await settle(59)
        assert connection.state is State.REFUSED
        assert world.told[-1] == (State.REFUSED, "removed", 0.01)
        await settle(2)
        assert connection.connected


@virtual
async def test_a_repair_by_the_sdk_is_told_and_announced() -> None:
    world = World()
    async with running(world) as connection:
        room = world.rooms[0]
        room.breaks()
        await settle(4)
        assert connection.state is State.RECONNECTING
        assert connection.connected_at is not None
        room.repaired()
        await settle()
        assert connection.connected
        assert len(room.announced) == 2
        assert world.grants == 1


@virtual
async def test_a_repair_too_quick_to_see_is_told_all_the_same() -> None:
    world = World()
    async with running(world):
        world.rooms[0].breaks()
        world.rooms[0].repaired()
        await settle()
        assert world.states == [State.CONNECTING, State.CONNECTED, State.CONNECTED]


@virtual
async def test_news_without_news_are_not_told() -> None:
    world = World()
    async with running(world):
        world.rooms[0].changed.set()
        await settle()
        assert world.states == [State.CONNECTING, State.CONNECTED]


@virtual
async def test_a_repair_that_takes_too_long_is_not_waited_for() -> None:
    world = World()
    async with running(world) as connection:
        world.rooms[0].breaks()
        await settle(3)
        world.rooms[0].changed.set()  # news that change nothing about it
        await settle(2.1)
        assert connection.state is State.LOST
        assert world.rooms[0].left == 1
        await settle(0.6)
        assert (connection.state, world.grants) == (State.CONNECTED, 2)


@virtual
async def test_what_breaks_while_it_is_announced_is_not_told_as_standing() -> None:
    world = World(outcomes=[lambda room: setattr(room, "deaf", True)])
    async with running(world) as connection:
        world.rooms[0].breaks()
        await settle(2)
        assert world.states == [State.CONNECTING, State.RECONNECTING]
        world.rooms[0].deaf = False
        world.rooms[0].repaired()
        await settle()
        assert connection.connected


@virtual
async def test_what_ends_while_it_is_announced_is_not_told_as_standing() -> None:
    world = World(outcomes=[lambda room: setattr(room, "deaf", True)])
    async with running(world):
        world.rooms[0].end(LOST)
        await settle(2)
        assert world.states == [State.CONNECTING, State.LOST]


@virtual
async def test_participants_come_and_go_and_all_go_with_the_room() -> None:
    world = World()
    async with running(world) as connection:
        room = world.rooms[0]
        for who, here in (("ann", True), ("bob", True), ("ann", False), ("eve", False)):
            room.participant(who, here)
        assert connection.participants() == {"bob"}
        room.end(LOST)
        await settle()
        assert connection.participants() == set()
        assert world.seen[-1] == ("bob", False)


@virtual
async def test_packets_wait_for_their_taker_across_rooms() -> None:
    world = World()
    async with running(world, inbox_limit=3) as connection:
        for number in range(2):
            world.rooms[0].receive(packet(b"%d" % number))
        world.rooms[0].end(LOST)
        await settle(1)
        for number in range(2, 5):
            world.rooms[1].receive(packet(b"%d" % number, identity=None))
        taken = await connection.packets()
        assert [one.data for one in taken] == [b"0", b"1", b"2"]
        assert (connection.received, connection.dropped) == (3, 2)


@virtual
async def test_publishing_needs_a_connection_that_stands() -> None:
    world = World(refusals=[Transient("not yet")])
    async with running(world) as connection:
        with pytest.raises(Transient, match="not connected"):
            await connection.publish(b"x", reliable=True)
        await settle(1)
        await connection.publish(b"x" * MAX_DATA, reliable=True, to=["ann"])
        await connection.publish(b"y", reliable=False)
        assert world.rooms[0].published == [(b"x" * MAX_DATA, True, ["ann"]), (b"y", False, ())]
        with pytest.raises(UsageError, match="63000"):
            await connection.publish(b"x" * (MAX_DATA + 1), reliable=True)
        world.rooms[0].breaks()
        await settle()
        with pytest.raises(Transient):
            await connection.publish(b"x", reliable=True)


@virtual
async def test_closing_leaves_the_room_and_ends_the_run() -> None:
    world = World()
    connection = world.connection()
    async with asyncio.TaskGroup() as group:
        group.create_task(connection.run())
        await settle()
        world.rooms[0].participant("ann", True)
        await connection.close()
    assert world.states == [State.CONNECTING, State.CONNECTED, State.CLOSED]
    assert (world.rooms[0].left, world.seen[-1]) == (1, ("ann", False))
    assert clock.monotonic() - world.started == pytest.approx(0.01)
    await connection.close()
    assert world.states[-1] is State.CLOSED


@virtual
async def test_closing_gives_what_was_just_published_time_to_go() -> None:
    world = World()
    async with running(world) as connection:
        await connection.publish(b"x", reliable=True)
        await connection.close()
        assert clock.monotonic() - world.started == pytest.approx(0.11)


@virtual
async def test_closing_takes_less_than_a_second_whatever_hangs() -> None:
    for world in (
        World(hanging=True),
        World(outcomes=[lambda room: setattr(room, "stuck", True)]),
        World(refusals=[RateLimited("slowly", 500)]),
    ):
        async with running(world) as connection:
            before = clock.monotonic()
            await connection.close()
            assert clock.monotonic() - before < 1.0
            assert connection.state is State.CLOSED


@virtual
async def test_closed_before_it_runs_it_does_not_run() -> None:
    world = World()
    connection = world.connection()
    await connection.close()
    await connection.run()
    assert (world.states, world.grants) == ([State.CLOSED], 0)


@virtual
async def test_cancelling_the_run_leaves_the_room() -> None:
    world = World()
    connection = world.connection()
    task = asyncio.create_task(connection.run())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.rooms[0].left == 1
    assert connection.state is State.CLOSED


@virtual
async def test_cancelling_and_closing_at_once_is_a_cancellation() -> None:
    world = World(outcomes=[lambda room: setattr(room, "stuck", True)])
    connection = world.connection()
    task = asyncio.create_task(connection.run())
    await settle()
    closing = asyncio.create_task(connection.close())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await closing
    assert connection.state is State.CLOSED
