from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Map

from bot import metrics
from bot.actions.actions import read_time
from bot.errors import UsageError
from bot.handlers import calling, lanes, queue
from bot.handlers.base import (
    METHODS,
    BoardFound,
    BoardGone,
    CursorMoved,
    DocumentUpdate,
    Event,
    Handler,
    Presented,
    SnapshotSeen,
)
from bot.handlers.lanes import Lanes
from bot.handlers.load import BUILT_IN, build, find, settings_of
from bot.handlers.queue import Queue, Tally
from bot.handlers.relay import Relay
from bot.whiteboard.board import BoardKey

BOARD = BoardKey("!r", "w", "$d")
OTHER = BoardKey("!r2", "w", "$d2")


def updates(count: int) -> list[bytes]:
    doc: Doc[Any] = Doc(client_id=7)
    found: list[bytes] = []
    doc.observe(lambda event: found.append(event.update))
    values = doc.get("0", type=Map)
    for number in range(count):
        values["key"] = float(number)
    return found


def drawn(update: bytes, sender: str | None = "@a:b") -> DocumentUpdate:
    return DocumentUpdate(BOARD, 1, sender, update)


class Notes(Handler):
    def __init__(self, settings: object = None) -> None:
        super().__init__(settings)
        self.events: list[Event] = []

    async def on_document_update(self, event: DocumentUpdate) -> None:
        self.events.append(event)

    async def on_board_gone(self, event: BoardGone) -> None:
        self.events.append(event)


class Failing(Handler):
    async def on_document_update(self, event: DocumentUpdate) -> None:
        raise ValueError("what is on the board")


class Stuck(Handler):
    async def on_document_update(self, event: DocumentUpdate) -> None:
        await asyncio.Event().wait()


def test_every_method_of_the_api_has_its_event() -> None:
    methods = {name for name in vars(Handler) if name.startswith("on_")} - {"on_batch"}
    assert set(METHODS.values()) == methods
    # By name: a slotted dataclass is made twice.
    assert {event.__name__ for event in METHODS} == {one.__name__ for one in Event.__subclasses__()}


def test_only_overridden_methods_are_wanted() -> None:
    assert Notes().wants() == {DocumentUpdate, BoardGone}
    assert Handler(None).wants() == set()


async def test_events_arrive_in_order_and_only_those_wanted() -> None:
    notes = Notes()
    async with Lanes({"notes": notes}) as offered:
        for number in range(5):
            offered.offer(DocumentUpdate(BOARD, number, None, b""))
            offered.offer(BoardFound(BOARD, number))
    assert [event.ts for event in notes.events] == [0, 1, 2, 3, 4]


async def test_a_failing_handler_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    with caplog.at_level(logging.WARNING):
        async with Lanes({"failing": Failing(None), "notes": notes}) as offered:
            offered.offer(drawn(b"1"))
            offered.offer(drawn(b"2"))
    assert len(notes.events) == 2
    assert [record.__dict__["error"] for record in caplog.records] == ["ValueError"] * 2
    assert "what is on the board" not in caplog.text


class Broken(Notes):
    """Fails on everything for as long as it is told to."""

    broken = True
    tries = 0

    async def on_document_update(self, event: DocumentUpdate) -> None:
        self.tries += 1
        if self.broken:
            raise ValueError("what is on the board")
        await super().on_document_update(event)


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not check():
            await asyncio.sleep(0.002)


async def test_one_that_fails_again_and_again_gets_a_pause(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lanes, "FIRST_PAUSE", 0.05)
    broken, notes = Broken(), Notes()
    open_lanes = metrics.LANES_OPEN.labels("broken")._value.get
    with caplog.at_level(logging.INFO):
        async with Lanes({"broken": broken, "notes": notes}) as offered:
            for number in range(10):
                offered.offer(DocumentUpdate(BOARD, number, None, b""))
            await until(lambda: offered.status()["broken"]["state"] == "open")
            status = offered.status()["broken"]
            assert status["failures"] == broken.tries == lanes.FAILURES
            assert (status["queued"], status["oldest_ts"], status["open"]) == (5, 5, 1)
            assert status["since_ts"] == pytest.approx(status["last_error_ts"], abs=60_000)
            assert status["last_error"].startswith("ValueError at ")
            assert "test_lanes.py:" in status["last_error"]
            assert status["next_try"] > 0
            assert offered.busy == 0  # nothing that an end should wait for
            assert open_lanes() == 1
            await until(lambda: broken.tries > lanes.FAILURES)  # a trial, that fails
            broken.broken = False
            await until(lambda: offered.status()["broken"]["state"] == "closed")
            assert open_lanes() == 0
        assert [event.ts for event in notes.events] == list(range(10))
        assert broken.events[-1].ts == 9
    assert "what is on the board" not in caplog.text
    assert "a handler's lane works again" in caplog.text


class Raising(Handler):
    """Wants one event only."""

    async def on_document_update(self, event: DocumentUpdate) -> None:
        raise ValueError


async def test_a_pause_neither_holds_up_the_end_nor_outlives_its_board(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "FIRST_PAUSE", 1000.0)
    open_lanes = metrics.LANES_OPEN.labels("raising")._value.get
    async with asyncio.timeout(15), Lanes({"raising": Raising(None)}) as offered:
        for number in range(lanes.FAILURES):
            offered.offer(DocumentUpdate(BOARD, number, None, b""))
        await until(lambda: open_lanes() == 1)
        await until(lambda: not offered.status()["raising"]["queued"])
        offered.offer(BoardGone(BOARD, 2))
        assert open_lanes() == 0
        for number in range(10):
            offered.offer(DocumentUpdate(OTHER, number, None, b""))
        await until(lambda: open_lanes() == 1)


async def test_a_stuck_handler_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    async with Lanes({"stuck": Stuck(None), "notes": notes}, drain=0.05) as offered:
        offered.offer(drawn(b"1"))
        await asyncio.sleep(0)
        offered.offer(drawn(b"2"))
    assert len(notes.events) == 2

    monkeypatch.setattr(calling, "CALL_DEADLINE", 0.01)
    async with Lanes({"stuck": Stuck(None)}) as offered:
        offered.offer(drawn(b"1"))  # ends by the deadline of the call


async def test_a_board_that_goes_takes_its_lanes_along() -> None:
    notes = Notes()
    async with Lanes({"notes": notes}) as offered:
        offered.offer(drawn(b"1"))
        offered.offer(BoardGone(BOARD, 2))
        offered.offer(DocumentUpdate(OTHER, 3, None, b""))
    assert [event.ts for event in notes.events] == [1, 2, 3]


def test_an_overflowing_queue_merges_updates_and_keeps_the_latest_signal() -> None:
    tally = Tally()
    queue = Queue(tally, limit=6)
    parts = updates(4)
    for part in parts:
        queue.put(drawn(part))
        queue.put(CursorMoved(BOARD, 1, "@a:b", "s", float(len(queue)), 0.0))
    first, second, *rest = [queue.take() for _ in range(len(queue))]
    assert isinstance(first, DocumentUpdate | CursorMoved)
    merged = [event for event in (first, second, *rest) if isinstance(event, DocumentUpdate)]
    doc: Doc[Any] = Doc()
    for event in merged:
        doc.apply_update(event.update)
    assert doc.get("0", type=Map).to_py() == {"key": 3.0}
    assert tally.dropped == 0
    assert tally.condensed == 8 - len((first, second, *rest))


def test_a_merged_update_names_its_sender_only_when_there_is_one() -> None:
    one, two, three = updates(3)
    queue = Queue(limit=2)
    for update, sender in ((one, "@a:b"), (two, "@c:d"), (three, "@a:b")):
        queue.put(drawn(update, sender))
    merged = queue.take()
    assert isinstance(merged, DocumentUpdate)
    assert merged.sender is None
    same = Queue(limit=2)
    for update in (one, two, three):
        same.put(drawn(update))
    assert same.take().sender == "@a:b"  # type: ignore[attr-defined]


def test_a_queue_bounded_in_bytes_is_condensed_too() -> None:
    parts = updates(50)
    queue = Queue(limit=1000, max_bytes=sum(map(len, parts)) // 2)
    for part in parts:
        queue.put(drawn(part))
    assert len(queue) < 50


@given(st.lists(st.sampled_from(["update", "cursor", "present", "snapshot"]), max_size=60))
def test_a_queue_never_exceeds_its_bound(kinds: list[str]) -> None:
    part = updates(1)[0]
    queue = Queue(limit=8)
    events: dict[str, Event] = {
        "update": drawn(part),
        "cursor": CursorMoved(BOARD, 1, "@a:b", "s", 0.0, 0.0),
        "present": Presented(BOARD, 1, "@a:b", "slide", None, False),
        "snapshot": SnapshotSeen(BOARD, 1, "@a:b", "$s"),
    }
    for kind in kinds:
        queue.put(events[kind])
        assert len(queue) <= 8


def test_built_in_handlers_are_found_with_their_settings() -> None:
    for name in BUILT_IN:
        assert issubclass(find(name), Handler)
    assert settings_of("relay") is Relay.settings_type
    assert find("bot.handlers.relay:Relay") is Relay
    assert build([]) == {}


@pytest.mark.parametrize(
    ("use", "why"),
    [
        ("nope", "no handler “nope”"),
        ("no.such.module:Thing", "ModuleNotFoundError"),
        ("bot.handlers.relay:Nope", "it has: Relay"),
        ("bot.handlers.relay:RelaySettings", "is not a"),
    ],
)
def test_what_cannot_be_found_is_named(use: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        find(use)


class Ending(Handler):
    def __init__(self, error: BaseException) -> None:
        super().__init__(None)
        self.error = error

    async def on_document_update(self, event: DocumentUpdate) -> None:
        raise self.error


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
async def test_who_ends_more_than_his_call_only_fails(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    notes, one = Notes(), updates(1)[0]
    async with Lanes({"ending": Ending(error), "notes": notes}) as offered:
        offered.offer(drawn(one))
    [failed] = [line for line in caplog.records if "failed on an event" in line.message]
    assert (failed.error, failed.handler) == (type(error).__name__, "ending")  # type: ignore[attr-defined]
    assert len(notes.events) == 1


def test_the_place_of_a_failure_is_its_authors_not_ours() -> None:
    def ask() -> None:
        read_time("nonsense", datetime.now(UTC))

    with pytest.raises(UsageError) as caught:
        ask()
    assert calling.where(caught.value).startswith(__file__)
    assert calling.where(ValueError()) == ""


def test_a_large_queue_is_not_merged_with_every_stroke(monkeypatch: pytest.MonkeyPatch) -> None:
    merges = list[int]()

    def merged(events: list[DocumentUpdate]) -> DocumentUpdate:
        merges.append(len(events))
        return DocumentUpdate(BOARD, 1, None, b"".join(one.update for one in events))

    monkeypatch.setattr(queue, "merged", merged)
    waiting = Queue(max_bytes=10_000)
    for _ in range(400):
        waiting.put(drawn(bytes(1000)))
        assert waiting._bytes == sum(map(queue._size, waiting._events))
    assert len(merges) < 12
    while waiting:
        waiting.take()
    assert (waiting._bytes, waiting._bound) == (0, 10_000)


async def test_after_the_end_nobody_is_told_and_who_tells_is_not_hurt() -> None:
    notes = Notes()
    async with Lanes({"notes": notes}) as offered:
        pass
    offered.offer(drawn(updates(1)[0]))
    await asyncio.sleep(0)
    assert notes.events == []
