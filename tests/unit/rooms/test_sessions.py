from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from bot import metrics, turns
from bot.boards.board import Board
from bot.errors import Transient, UsageError
from bot.handlers.base import DocumentUpdate, Event, Focused, Participant, SessionChanged
from bot.rooms import sessions
from bot.rooms.sessions import Sessions
from bot.roomstate import RoomState
from bot.rtc.membership import STICKY
from bot.services import Arrival, Origin
from bot.whiteboard.board import BoardKey
from bot.whiteboard.message import FocusOn, Message, Update
from tests.fakes.rooms import (
    ALICE,
    BOT,
    DEVICE,
    KEY,
    NOW,
    OTHER,
    ROOM,
    MemoryArchive,
    NotMending,
    NotSaving,
    board_event,
    drawn,
    member,
    off_board,
    on_board,
    services,
    until,
)
from tests.unit.whiteboard.people import Person, texts

BOB = "@bob:here"


class Taking:
    """A Presence that only notes what it is told."""

    def __init__(self) -> None:
        self.connected = True
        self.member_ids: frozenset[str] = frozenset()
        self.running = False
        self.wants: list[set[str]] = []
        self.looks = 0
        self.published: list[Message] = []
        self.passed: list[tuple[str, Arrival]] = []
        self.fails: Exception | None = None
        self.closes = asyncio.Event()
        self.closing: Callable[[], Any] = lambda: None
        self._end = asyncio.Event()

    async def run(self) -> None:
        self.running = True
        try:
            if self.fails is not None:
                raise self.fails
            await self._end.wait()
        finally:
            self.running = False

    async def close(self) -> None:
        self.closes.set()
        await asyncio.sleep(0)
        result = self.closing()
        if result is not None:
            await result
        self._end.set()

    def want(self, whiteboards: frozenset[str]) -> None:
        self.wants.append(set(whiteboards))

    def room_changed(self) -> None:
        self.looks += 1

    def own_state(self, event: Mapping[str, Any]) -> None: ...

    def own_sticky(self, event: Mapping[str, Any]) -> None: ...

    def pass_on(self, whiteboard_id: str, arrival: Arrival) -> None:
        self.passed.append((whiteboard_id, arrival))

    def permission_changed(self) -> None: ...

    def retime(self) -> None: ...

    async def publish(self, message: Message) -> None:
        if self.fails is not None:
            raise self.fails
        self.published.append(message)


class Place:
    """A room with boards and everything around its Sessions."""

    def __init__(self, tasks: asyncio.TaskGroup, *, always: bool, linger: float) -> None:
        self.state = RoomState(ROOM, BOT)
        self.archive = MemoryArchive()
        self.told: list[Event] = []
        self.services = services(self.archive, self.told)
        self.boards: dict[str, Board] = {}
        self.made: list[Taking] = []
        self.prepared: list[str] = []
        self.released: list[str] = []
        self.preparing: Callable[[Board], object] = lambda _: None
        self.sessions = Sessions(
            self.state,
            self.boards,
            self.services,
            presence=self.make,
            always=always,
            linger=linger,
            prepare=self.prepare,
            release=self.release,
            tasks=tasks,
        )
        self.has(KEY)
        for user in (ALICE, BOB, BOT):
            self.state.apply(member(user))

    def make(self) -> Taking:
        self.made.append(Taking())
        return self.made[-1]

    def has(self, key: BoardKey) -> None:
        self.state.apply(board_event(key))
        self.boards[key.whiteboard_id] = Board(
            key,
            1,
            self.services,
            publish=lambda _: None,
            heard=lambda arrival: self.sessions.heard(key, arrival),
            saving=NotSaving(),
            repeat=lambda _: None,
            mending=NotMending(),
        )

    async def prepare(self, board: Board) -> None:
        self.prepared.append(board.key.whiteboard_id)
        await board.load()
        self.preparing(board)

    async def release(self, board: Board) -> None:
        self.released.append(board.key.whiteboard_id)

    async def says(self, *events: dict[str, Any]) -> None:
        for event in events:
            self.state.apply(event)
        await self.sessions.reconsider()

    async def running(self) -> Taking:
        await until(lambda: self.made and self.made[-1].running)
        return self.made[-1]


@asynccontextmanager
async def place(*, always: bool = False, linger: float = 0.0) -> AsyncIterator[Place]:
    before = metrics.REGISTRY.get_sample_value("boardkeeper_participants")
    async with asyncio.TaskGroup() as tasks:
        here = Place(tasks, always=always, linger=linger)
        try:
            yield here
        finally:
            await here.sessions.close()
            here.sessions.forget()
    assert metrics.REGISTRY.get_sample_value("boardkeeper_participants") == before
    assert not any(taking.running for taking in here.made)


async def test_nobody_is_there_and_nothing_happens() -> None:
    async with place() as here:
        await here.says()
        assert (here.made, here.sessions.taking_part, here.sessions.connected) == ([], False, False)
        assert here.sessions.next_look() is None


async def test_somebody_comes_and_goes() -> None:
    async with place() as here:
        await here.says(on_board())
        taking = await here.running()
        assert here.sessions.taking_part
        assert here.sessions.connected
        assert here.told == [SessionChanged(KEY, NOW, (Participant(ALICE, "AD"),))]
        assert (taking.wants, here.prepared) == ([{"w1"}], ["w1"])
        wait = here.sessions.next_look()
        assert wait is not None
        assert abs(wait - 3600) < 1
        await here.says(off_board())
        assert taking.closes.is_set()
        assert not here.sessions.taking_part
        assert here.told[1:] == [SessionChanged(KEY, NOW, ())]
        assert here.released == ["w1"]


async def test_we_ourselves_are_nobody() -> None:
    async with place() as here:
        await here.says(on_board(BOT, DEVICE))
        assert here.made == []


async def test_it_is_there_for_people_and_not_for_other_bots() -> None:
    async with place() as here:
        await here.says(member(BOB), on_board(BOB, "BOARDKEEPER2", event_id="$b"))
        assert here.made == []
        await here.says(on_board())
        assert here.sessions.attended == {KEY: 1}
        assert here.sessions.ranks == {KEY: 1}  # @bob:here comes before @bot:here
        taking = await here.running()
        await here.says(off_board())
        assert taking.closes.is_set()
        assert here.told[-1] == SessionChanged(KEY, NOW, (Participant(BOB, "BOARDKEEPER2"),))


async def test_it_stays_a_while_after_the_last_one() -> None:
    async with place(linger=0.5) as here:
        await here.says(on_board())
        taking = await here.running()
        await here.says(off_board())
        assert not taking.closes.is_set()
        wait = here.sessions.next_look()
        assert wait is not None
        assert wait <= 0.51
        await here.says(on_board())
        await asyncio.sleep(0.6)
        await here.says(off_board())  # counted from now on
        assert not taking.closes.is_set()
        await asyncio.sleep(0.6)
        await here.says()
        assert taking.closes.is_set()


async def test_on_each_board_it_stays_a_while_whoever_is_on_others() -> None:
    """Else somebody who comes and goes has us come and go each time."""
    async with place(linger=0.5) as here:
        here.has(OTHER)
        await here.says(on_board())
        taking = await here.running()
        for _ in range(3):
            await here.says(on_board(BOB, "BD", "w2"))
            await here.says(off_board(BOB, "BD"))
        assert {"w1"} not in taking.wants[1:]
        assert here.released == []
        wait = here.sessions.next_look()
        assert wait is not None
        assert wait <= 0.51
        await asyncio.sleep(0.6)
        await here.says()
        assert taking.wants[-1] == {"w1"}
        assert here.released == ["w2"]
        wait = here.sessions.next_look()
        assert wait is not None
        assert wait > 3000  # her membership expires


async def test_always_means_also_where_nobody_is() -> None:
    async with place(always=True) as here:
        await here.says()
        await here.running()


async def test_a_second_board_is_wanted_too_and_released_when_left() -> None:
    async with place() as here:
        here.has(OTHER)
        await here.says(on_board())
        taking = await here.running()
        await here.says(on_board(BOB, "BD", "w2"))
        await here.says(off_board(BOB, "BD"))
        assert taking.wants == [{"w1"}, {"w1", "w2"}, {"w1"}]
        assert taking.looks == 2
        assert here.released == ["w2"]


async def test_a_board_that_goes_while_others_are_prepared() -> None:
    async with place() as here:
        for key in (OTHER, BoardKey(ROOM, "w3", "$d3")):
            here.has(key)
        await here.says(on_board())
        taking = await here.running()
        here.preparing = lambda _: here.boards.pop("w2", None) and here.boards.pop("w3", None)
        await here.says(on_board(BOB, "BD", "w2"), on_board(BOB, "BE", "w3"))
        assert taking.running
        await here.says()
        assert taking.wants[-1] == {"w1"}


async def test_people_on_a_board_that_is_gone_are_counted_no_more() -> None:
    async with place() as here:
        here.has(OTHER)
        await here.says(on_board(), on_board(BOB, "BD", "w2"))
        await here.running()
        del here.boards["w2"]
        await here.says()
        assert metrics.REGISTRY.get_sample_value("boardkeeper_participants") == 1
        # Bob's signal is on the only board that is left.
        await here.boards["w1"].load()
        here.sessions.deliver([Arrival(FocusOn("s"), BOB, "BD", NOW, b"{}")])
        assert isinstance(here.told[-1], Focused)


async def test_a_presence_that_fails_is_begun_anew(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sessions, "backoff", lambda _: iter([0.001] * 9))
    async with place() as here:
        first = Taking()
        first.fails = ValueError("broken")
        makes = iter([first, Taking()])
        here.sessions._make = lambda: here.made.append(next(makes)) or here.made[-1]  # type: ignore[func-returns-value]
        await here.says(on_board())
        await until(lambda: len(here.made) == 2 and here.made[1].running)
    assert "taking part failed" in caplog.text


async def test_an_archive_that_cannot_be_read_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "backoff", lambda _: iter([0.001] * 9))
    async with place() as here:
        here.archive.broken.add("checkpoint")
        await here.says(on_board())
        await until(lambda: here.archive.calls["checkpoint"] > 1)
        assert here.sessions.taking_part
        here.archive.broken.clear()
        await here.running()
        here.has(OTHER)
        here.archive.broken.add("checkpoint")
        await here.says(on_board(BOB, "BD", "w2"))  # raises nothing
        assert here.made[-1].wants[-1] == {"w1", "w2"}


async def test_stopped_twice_and_before_the_presence_is_made() -> None:
    async with place() as here:
        await here.says(on_board())
        await here.sessions.stop()
        await here.sessions.stop()
        assert not here.sessions.taking_part
        assert here.made == []


async def test_once_closed_nothing_brings_it_back() -> None:
    async with place() as here:
        await here.says(on_board())
        taking = await here.running()
        # The room shows our leave while the boards are still being closed.
        taking.closing = here.says
        await here.sessions.close()
        await here.says()
        await asyncio.sleep(0.002)
        assert len(here.made) == 1
        assert not here.sessions.taking_part


async def test_a_look_while_it_stops_waits_and_takes_part_again() -> None:
    async with place() as here:
        await here.says(on_board())
        taking = await here.running()
        going = asyncio.create_task(here.says(off_board()))
        await taking.closes.wait()
        await here.says(on_board())
        await going
        again = await here.running()
        assert again is not taking
        assert here.sessions.presence is again


async def test_messages_find_their_board() -> None:
    async with place() as here:
        alice = Person(7)
        here.has(OTHER)
        await here.says(on_board(), on_board(BOB, "BD", "w2"))
        await here.running()
        here.sessions.deliver(
            [
                drawn(alice.add("a")),
                replace(drawn(b"", "$nobody"), ts=1),
                Arrival(FocusOn("s"), BOB, "BD", NOW, b"{}"),
                Arrival(FocusOn("s"), None, None, NOW, b"{}"),  # on one of two boards
            ]
        )
        assert set(texts(here.boards["w1"].document)) == {"a"}
        events = [event for event in here.told if not isinstance(event, SessionChanged)]
        assert [(type(event), event.board) for event in events] == [
            (DocumentUpdate, KEY),
            (Focused, OTHER),
        ]


async def test_what_comes_over_a_boards_own_connection_is_of_that_board() -> None:
    async with place() as here:
        alice, over_w2 = Person(7), Origin(STICKY, "w2")
        here.has(OTHER)
        await here.says(on_board(), on_board(BOB, "BD", "w2"))
        taking = await here.running()
        nameless = Arrival(FocusOn("s"), None, None, NOW, b"{}", over_w2)
        elsewhere = replace(nameless, origin=Origin(STICKY, "gone"))
        of_w1 = replace(drawn(alice.add("a")), origin=over_w2)
        here.sessions.deliver([nameless, elsewhere, of_w1])
        events = [event for event in here.told if not isinstance(event, SessionChanged)]
        assert [(type(event), event.board) for event in events] == [(Focused, OTHER)]
        assert taking.passed == [("w2", nameless)]


async def test_a_nameless_signal_is_on_the_only_board() -> None:
    async with place() as here:
        await here.says(on_board())
        await here.running()
        here.sessions.deliver([Arrival(FocusOn("s"), None, None, NOW, b"{}")])
        assert isinstance(here.told[-1], Focused)


async def test_messages_for_a_board_that_is_not_loaded_wait_for_it() -> None:
    async with place() as here:
        alice = Person(7)
        here.sessions.deliver([drawn(alice.add("a"))])
        here.sessions.deliver([drawn(alice.add("b"))])
        await until(lambda: here.boards["w1"].loaded and len(here.archive.entries) == 2)
        assert set(texts(here.boards["w1"].document)) == {"a", "b"}


async def test_while_the_archive_hangs_messages_are_kept_in_order_and_not_without_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dropped() -> float:
        labels = {"reason": "too_many"}
        return metrics.REGISTRY.get_sample_value("boardkeeper_packets_dropped_total", labels) or 0.0

    monkeypatch.setattr(sessions, "MAX_HELD", 3)
    async with place() as here:
        before, alice = dropped(), Person(7)
        here.archive.slow.add("checkpoint")
        for name in "abcde":
            here.sessions.deliver([drawn(alice.add(name))])
        assert dropped() == before + 2
        here.archive.go.set()
        await until(lambda: len(here.archive.entries) == 3)
        assert set(texts(here.boards["w1"].document)) == {"a", "b", "c"}
        here.sessions.deliver([drawn(Person(8).add("later"))])
        assert len(here.archive.entries) == 4


async def test_what_has_waited_for_a_board_is_taken_in_slices_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "SLICE", 0)
    monkeypatch.setattr(sessions, "AT_ONCE", 1)
    async with place() as here:
        alice = Person(7)
        names = [f"e{number}" for number in range(40)]
        updates = [drawn(alice.add(name)) for name in names]
        here.sessions.deliver(updates[:10])
        for late in updates[10:]:
            await asyncio.sleep(0)
            here.sessions.deliver([late])
        await until(lambda: len(here.archive.entries) == len(names))
        assert [entry.data for entry in here.archive.entries] == [
            one.message.data for one in updates if isinstance(one.message, Update)
        ]
        assert here.boards["w1"].document.waiting == 0
        assert list(texts(here.boards["w1"].document)) == names


async def test_messages_whose_board_cannot_be_loaded_cost_only_themselves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with place() as here:
        here.archive.broken.add("checkpoint")
        here.sessions.deliver([drawn(Person(7).add("a"))])
        await until(lambda: here.archive.calls["checkpoint"])
        await asyncio.sleep(0.002)
    assert "their board could not be loaded" in caplog.text


@pytest.mark.parametrize("error", [None, Transient("gone"), UsageError("too large")])
async def test_publishing_to_nobody_is_no_error(error: Exception | None) -> None:
    async with place() as here:
        message = Update("$d1", b"u")
        await here.sessions.publish(message)
        await here.says(on_board())
        taking = await here.running()
        taking.fails = error
        await here.sessions.publish(message)
        assert taking.published == ([] if error else [message])
