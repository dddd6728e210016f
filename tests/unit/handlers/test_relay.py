"""Relay: differences from board to board, one way or both; and what it does where it cannot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from bot.errors import InvalidUpdate, Transient
from bot.handlers.base import BoardFound, DocumentUpdate, SnapshotSeen
from bot.handlers.relay import Relay, RelaySettings
from bot.whiteboard.board import BoardKey
from bot.whiteboard.document import Document
from bot.whiteboard.verdict import Verdict
from tests.fakes.context import FakeContext
from tests.unit.whiteboard.people import Person, texts

FROM = BoardKey("!from", "w1", "$d1")
TO = BoardKey("!to", "w2", "$d2")
ELSEWHERE = BoardKey("!else", "w3", "$d3")
REFUSED = "not relayed: one board has slides, the other is an infinite canvas"


@dataclass(slots=True)
class FakeBoard:
    """A board with a real document; counts what was changed by a handler."""

    document: Document = field(default_factory=Document)
    changes: list[bytes] = field(default_factory=list)
    fault: Exception | None = None
    inside: int = 0

    @property
    def version(self) -> str | None:
        return self.document.version

    def content(self) -> Mapping[str, Any]:
        return self.document.content()

    def state_vector(self) -> bytes:
        return self.document.state_vector()

    def diff(self, state_vector: bytes) -> bytes:
        return self.document.diff(state_vector)

    async def change(self, update: bytes) -> bool:
        self.inside += 1
        assert self.inside == 1, "one difference at a time"
        await asyncio.sleep(0)
        self.inside -= 1
        if self.fault is not None:
            raise self.fault
        if self.document.apply([update])[0].verdict is Verdict.KNOWN:
            return False
        self.changes.append(update)
        return True


@pytest.fixture
def source() -> FakeBoard:
    return FakeBoard()


@pytest.fixture
def target() -> FakeBoard:
    return FakeBoard()


@pytest.fixture
def context(source: FakeBoard, target: FakeBoard) -> FakeContext:
    return FakeContext({FROM: source, TO: target, ELSEWHERE: FakeBoard()})


async def relay_on(context: FakeContext, **settings: Any) -> Relay:
    relay = Relay(RelaySettings(**{"from_room": "!from", "to_room": "!to", **settings}))
    await relay.start(context)
    return relay


def drawn(board: FakeBoard, update: bytes, key: BoardKey = FROM) -> DocumentUpdate:
    """Somebody draws on a board."""
    board.document.apply([update])
    return DocumentUpdate(key, 1, "@alice:x", update)


async def test_what_is_drawn_goes_to_the_target_and_nothing_comes_back(
    source: FakeBoard, target: FakeBoard, context: FakeContext
) -> None:
    relay = await relay_on(context)
    alice, bob = Person(7), Person(8)
    await relay.on_document_update(drawn(source, alice.add("one", text="one")))
    assert texts(target.document) == {"one": "one"}
    await relay.on_document_update(drawn(target, bob.add("own", text="own"), TO))
    assert texts(source.document) == {"one": "one"}
    assert len(target.changes) == 1
    assert not source.changes


async def test_both_ways_each_gets_what_it_lacks_and_then_there_is_rest(
    source: FakeBoard, target: FakeBoard, context: FakeContext
) -> None:
    relay = await relay_on(context, both_ways=True)
    alice, bob = Person(7), Person(8)
    await relay.on_document_update(drawn(source, alice.add("one", text="one")))
    await relay.on_document_update(drawn(target, bob.add("two", text="two"), TO))
    assert texts(source.document) == texts(target.document) == {"one": "one", "two": "two"}
    sent = [len(source.changes), len(target.changes)]
    assert sent == [1, 1]
    # Its own changes come back to it as events.
    await relay.on_document_update(DocumentUpdate(TO, 1, None, target.changes[0]))
    await relay.on_snapshot_seen(SnapshotSeen(FROM, 1, "@alice:x", "$s"))
    assert [len(source.changes), len(target.changes)] == sent


async def test_what_is_drawn_on_another_board_is_none_of_its_business(
    target: FakeBoard, context: FakeContext
) -> None:
    relay = await relay_on(context)
    update = Person(7).add("one")
    await relay.on_document_update(drawn(context.boards[ELSEWHERE], update, ELSEWHERE))
    await relay.on_snapshot_seen(SnapshotSeen(ELSEWHERE, 1, "@alice:x", "$s"))
    await relay.on_board_found(BoardFound(ELSEWHERE, 1))
    assert not target.changes


async def test_it_sends_what_the_target_lacks_however_it_came(
    source: FakeBoard, target: FakeBoard, context: FakeContext
) -> None:
    relay = await relay_on(context)
    alice = Person(7)
    first, second = alice.add("one", text="one"), alice.add("two", text="two")
    source.document.apply([first])  # nobody told it of this one
    await relay.on_document_update(drawn(source, second))
    assert texts(target.document) == {"one": "one", "two": "two"}
    assert len(target.changes) == 1  # one difference, not two packets
    alice.add("three", text="three")
    source.document.merge_snapshot(alice.state())
    await relay.on_snapshot_seen(SnapshotSeen(FROM, 1, "@alice:x", "$s"))
    assert list(texts(target.document)) == ["one", "two", "three"]
    await relay.on_snapshot_seen(SnapshotSeen(FROM, 1, "@alice:x", "$s"))
    assert len(target.changes) == 2  # nothing is sent twice


@pytest.mark.parametrize("appears", [FROM, TO])
async def test_it_catches_up_when_either_board_appears(
    source: FakeBoard, target: FakeBoard, context: FakeContext, appears: BoardKey
) -> None:
    relay = await relay_on(context)
    board = context.boards.pop(appears)
    await relay.on_document_update(drawn(source, Person(7).add("one", text="one")))
    assert not target.changes
    context.boards[appears] = board
    await relay.on_board_found(BoardFound(appears, 1))
    assert texts(target.document) == {"one": "one"}


@pytest.mark.parametrize("closed", [FROM, TO])
async def test_a_board_that_goes_away_meanwhile_costs_nothing(
    source: FakeBoard, target: FakeBoard, context: FakeContext, closed: BoardKey
) -> None:
    relay = await relay_on(context)
    context.closed.add(closed)
    await relay.on_document_update(drawn(source, Person(7).add("one")))
    assert not target.changes


async def test_the_boards_meant_are_those_that_the_settings_name(
    source: FakeBoard, target: FakeBoard, context: FakeContext
) -> None:
    named = FakeBoard()
    context.boards[BoardKey("!to", "named", "$d4")] = named
    relay = await relay_on(context, from_board="w1", to_board="named")
    await relay.on_document_update(drawn(source, Person(7).add("one", text="one")))
    assert texts(named.document) == {"one": "one"}
    assert not target.changes
    relay = await relay_on(context, from_board="nowhere")
    await relay.on_document_update(drawn(source, Person(8).add("two")))
    assert not target.changes


async def test_updates_of_many_lanes_are_sent_one_at_a_time(
    source: FakeBoard, target: FakeBoard, context: FakeContext
) -> None:
    relay = await relay_on(context)
    alice = Person(7)
    events = [drawn(source, alice.add(f"e{at}")) for at in range(5)]
    await asyncio.gather(*map(relay.on_document_update, events))
    assert len(target.changes) == 1
    assert target.content() == source.content()


async def test_two_kinds_of_board_are_said_once_and_nothing_is_written(
    source: FakeBoard,
    target: FakeBoard,
    context: FakeContext,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    relay = await relay_on(context)
    canvas = Person(8, "1")
    canvas.add("own")
    target.document.merge_snapshot(canvas.state())
    alice = Person(7)
    for number in range(3):
        await relay.on_document_update(drawn(source, alice.add(f"secret {number}")))
    assert [record.message for record in caplog.records] == [REFUSED]
    assert not target.changes

    # Somebody puts another board there: it goes on, and would say it again.
    context.boards[TO] = FakeBoard()
    await relay.on_board_found(BoardFound(TO, 1))
    assert context.boards[TO].content() == source.content()
    context.boards[TO] = target
    await relay.on_board_found(BoardFound(TO, 1))
    assert [record.message for record in caplog.records] == [REFUSED, REFUSED]
    assert "secret" not in caplog.text


async def test_an_unknown_board_becomes_what_is_brought(
    source: FakeBoard, target: FakeBoard, context: FakeContext
) -> None:
    relay = await relay_on(context)
    await relay.on_board_found(BoardFound(FROM, 1))  # both unknown: nothing to bring
    assert not target.changes
    await relay.on_document_update(drawn(source, Person(7).add("one")))
    assert (source.version, target.version) == ("0", "0")


@pytest.mark.parametrize("fault", [InvalidUpdate("no"), Transient("not yet")])
async def test_what_the_target_refuses_comes_with_the_next_difference(
    source: FakeBoard, target: FakeBoard, context: FakeContext, fault: Exception
) -> None:
    relay = await relay_on(context)
    alice = Person(7)
    target.fault = fault
    with pytest.raises(type(fault)):  # its lane counts that, and goes on
        await relay.on_document_update(drawn(source, alice.add("one", text="one")))
    target.fault = None
    await relay.on_document_update(drawn(source, alice.add("two", text="two")))
    assert texts(target.document) == {"one": "one", "two": "two"}


async def test_both_directions_come_to_rest(
    source: FakeBoard, target: FakeBoard, context: FakeContext
) -> None:
    there = await relay_on(context)
    back = await relay_on(context, from_room="!to", to_room="!from")
    alice, bob = Person(7), Person(8)
    waiting = [
        drawn(source, alice.add("a", text="a")),
        drawn(target, bob.add("b", text="b"), TO),
    ]
    for _ in range(20):  # every change is an event for both, as with the real boards
        if not waiting:
            break
        event = waiting.pop(0)
        for relay in (there, back):
            for board, key in ((source, FROM), (target, TO)):
                before = len(board.changes)
                await relay.on_document_update(event)
                waiting += [
                    DocumentUpdate(key, 1, None, update) for update in board.changes[before:]
                ]
    assert not waiting
    assert (len(source.changes), len(target.changes)) == (1, 1)
    assert texts(source.document) == texts(target.document)
    assert set(texts(source.document)) == {"a", "b"}
