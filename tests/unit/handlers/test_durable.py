"""Durable lanes on a real archive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bot.errors import StoreError, UsageError
from bot.handlers import durable
from bot.handlers.base import (
    BoardFound,
    CursorMoved,
    DocumentUpdate,
    Event,
    Handler,
    Presented,
    TryLater,
)
from bot.handlers.delivery import Replay
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry, Kind
from tests.unit.handlers.delivering import KEY, Here, running, until, until_async

CURSOR = {
    "type": "net.nordeck.whiteboard.cursor_update",
    "content": {"slideId": "s", "position": {"x": 1, "y": 2}},
}
PRESENT = {
    "type": "net.nordeck.whiteboard.present_slide",
    "content": {"view": {"isEditMode": True, "slideId": "s"}},
}


class Taking(Handler):
    durable = True

    def __init__(self, settings: object = None) -> None:
        super().__init__(settings)
        self.got: list[Event] = []
        self.calls = 0
        self.errors: dict[bytes, list[BaseException]] = {}
        self.held = asyncio.Event()
        self.held.set()

    async def on_document_update(self, event: DocumentUpdate) -> None:
        self.calls += 1
        await self.held.wait()
        if errors := self.errors.get(event.update):
            raise errors.pop(0)
        self.got.append(event)

    async def on_presented(self, event: Presented) -> None:
        self.got.append(event)

    async def on_board_found(self, event: BoardFound) -> None:
        self.got.append(event)

    @property
    def updates(self) -> list[bytes]:
        return [event.update for event in self.got if isinstance(event, DocumentUpdate)]


class Batches(Handler):
    durable = True
    batch: ClassVar[int] = 3

    def __init__(self) -> None:
        super().__init__(None)
        self.got: list[list[bytes]] = []

    async def on_batch(self, events: Sequence[Event]) -> None:
        updates = [event.update for event in events if isinstance(event, DocumentUpdate)]
        if b"bad" in updates:
            raise ValueError("what is on the board")
        self.got.append(updates)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "FIRST_WAIT", 0.002)
    monkeypatch.setattr(durable, "LONGEST_WAIT", 0.01)


async def test_what_is_recorded_arrives_in_order_with_its_number(tmp_path: Path) -> None:
    taking = Taking()
    async with running(tmp_path, taking=taking) as here:
        await here.drawn(b"1", b"2")
        await here.drawn(b"refused", kind=Kind.REFUSED)
        await here.drawn(json.dumps(PRESENT).encode(), b"damaged", kind=Kind.PRESENT)
        await here.drawn(json.dumps(CURSOR).encode(), kind=Kind.CURSOR)
        await here.drawn(b"3", kind=Kind.SNAPSHOT)
        await here.settled()
        assert taking.updates == [b"1", b"2", b"3"]
        presented = taking.got[2]
        assert isinstance(presented, Presented)
        assert presented.target == "s"
        seqs = [event.seq for event in taking.got]
        assert seqs == sorted(filter(None, seqs))
        assert not any(event.replayed for event in taking.got)
        assert await here.archive.cursor("taking", here.board) == seqs[-1]


async def test_it_goes_on_where_it_was_also_with_what_nobody_told_it_of(tmp_path: Path) -> None:
    async with running(tmp_path, taking=(first := Taking())) as here:
        await here.drawn(b"1")
        await here.settled()
        await here.archive.append([Entry(here.board, 1, Kind.UPDATE, None, None, b"2")])
        # A board that is new, and whose entries no lane heard of before the crash.
        other = await here.archive.board_id(BoardKey("!r", "w2", "$d2"), 1)
        await here.archive.append([Entry(other, 1, Kind.UPDATE, None, None, b"3")])
    async with running(tmp_path, taking=(second := Taking())) as here:
        await here.settled()
    assert (first.updates, sorted(second.updates)) == ([b"1"], [b"2", b"3"])


async def test_a_new_handler_begins_now(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        await here.drawn(b"long ago")
    async with running(tmp_path, taking=(taking := Taking())) as here:
        await here.drawn(b"now")
        await here.settled()
        assert taking.updates == [b"now"]


async def test_what_was_not_taken_before_the_end_is_given_again(tmp_path: Path) -> None:
    stuck = Taking()
    stuck.held.clear()
    async with running(tmp_path, taking=stuck) as here:
        await here.drawn(b"1", b"2")
        while not stuck.calls:
            await asyncio.sleep(0.001)
    async with running(tmp_path, taking=(taking := Taking())) as here:
        await here.settled()
        assert taking.updates == [b"1", b"2"]


async def test_one_that_says_later_is_given_the_same_for_as_long_as_it_takes(
    tmp_path: Path,
) -> None:
    taking = Taking()
    taking.errors[b"1"] = [TryLater("down", after) for after in (None, 0.001) * 6]
    async with running(tmp_path, taking=taking) as here:
        await here.drawn(b"1", b"2")
        await until(lambda: len(taking.got) == 2)
        assert taking.updates == [b"1", b"2"]
        assert taking.calls == 14
        assert await here.letters() == []


async def test_what_it_fails_on_is_buried_and_can_be_given_once_more(tmp_path: Path) -> None:
    taking = Taking()
    taking.errors[b"bad"] = [ValueError("what is on the board") for _ in range(6)]
    async with running(tmp_path, taking=taking) as here:
        await here.drawn(b"bad", b"good")
        await until(lambda: taking.updates == [b"good"])
        await here.settled()
        [letter] = await here.archive.dead_letters("taking")
        assert (letter.board_id, letter.tries) == (here.board, durable.MAX_TRIES)
        assert letter.reason.startswith("ValueError at ")
        assert "what is on the board" not in letter.reason
        status = (await here.delivery.status())["taking"]
        assert (status["behind"], status["dead"], status["failures"]) == (0, 1, 5)
        assert await here.delivery.retry("taking") == {"taken": 0, "failed": 1}
        assert await here.delivery.retry("taking", letter.seq) == {"taken": 1, "failed": 0}
        assert taking.updates == [b"good", b"bad"]
        assert await here.letters() == []
        with pytest.raises(UsageError, match="no dead letter"):
            await here.delivery.retry("taking", letter.seq)
        with pytest.raises(UsageError, match="known: taking"):
            await here.delivery.retry("other")


async def test_a_dead_letter_can_be_dropped(tmp_path: Path) -> None:
    taking = Taking()
    taking.errors[b"bad"] = [ValueError() for _ in range(5)]
    async with running(tmp_path, taking=taking) as here:
        await here.drawn(b"bad")
        await here.settled()
        await until_async(here.letters)
        assert await here.delivery.answer({"action": "drop", "handler": "taking", "seq": None}) == 1
        assert await here.letters() == []


async def test_a_batch_that_fails_is_given_one_by_one(tmp_path: Path) -> None:
    batches = Batches()
    async with running(tmp_path, batches=batches) as here:
        await here.drawn(b"1", b"bad", b"2", b"3", b"4", b"5", b"6")
        await until_async(here.letters)
        await until(lambda: batches.got[-1:] == [[b"6"]])
        assert batches.got == [[b"1"], [b"2"], [b"3", b"4", b"5"], [b"6"]]


async def test_the_operator_need_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "FIRST_WAIT", 1000.0)
    monkeypatch.setattr(durable, "LONGEST_WAIT", 1000.0)
    taking = Taking()
    taking.errors[b"1"] = [TryLater("down")]
    async with running(tmp_path, taking=taking) as here:
        await here.drawn(b"1")
        await until_async(lambda: waiting(here))
        status = (await here.delivery.status())["taking"]
        assert (status["behind"], status["waiting"], status["boards_behind"]) == (1, 1, 1)
        assert status["last_error"] == "down"
        assert here.delivery.busy == 0  # nothing that an end should wait for
        assert await here.delivery.retry("taking") == {"taken": 0, "failed": 0}
        await until(lambda: taking.updates == [b"1"])


async def waiting(here: Here) -> bool:
    status = await here.delivery.status()
    return bool(status["taking"]["waiting"])


async def test_a_waiting_lane_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "FIRST_WAIT", 1000.0)
    taking = Taking()
    taking.errors[b"1"] = [TryLater("down", 1000.0)]
    monkeypatch.setattr(durable, "LONGEST_WAIT", 1000.0)
    async with asyncio.timeout(15), running(tmp_path, taking=taking) as here:
        await here.drawn(b"1")
        await until_async(lambda: waiting(here))


async def test_live_events_of_a_durable_handler_keep_their_turn(tmp_path: Path) -> None:
    taking = Taking()
    taking.held.clear()
    async with running(tmp_path, taking=taking) as here:
        await here.drawn(b"1")
        await until(lambda: taking.calls)
        here.lanes.offer(BoardFound(KEY, 1))
        here.lanes.offer(DocumentUpdate(KEY, 1, None, b"live"))  # comes from the archive instead
        here.lanes.offer(CursorMoved(KEY, 1, None, "s", 1.0, 2.0))
        await asyncio.sleep(0.02)
        assert taking.got == []
        taking.held.set()
        await until(lambda: len(taking.got) == 2)
        assert [type(event) for event in taking.got] == [DocumentUpdate, BoardFound]


async def test_a_replay_tells_everything_once_more_and_says_so(tmp_path: Path) -> None:
    taking = Taking()
    async with running(tmp_path, taking=taking) as here:
        await here.drawn(*(str(number).encode() for number in range(6)))
        await here.settled()
        taking.got.clear()
        cursor = await here.archive.cursor("taking", here.board)
        here.delivery.replay(Replay("taking", here.board, 1001, 1003, speed=1000.0))
        await until(lambda: len(taking.got) == 3)
        assert taking.updates == [b"1", b"2", b"3"]
        assert all(event.replayed for event in taking.got)
        taking.got.clear()
        here.delivery.replay(Replay("taking", here.board))
        await until(lambda: len(taking.got) == 6)
        assert await here.archive.cursor("taking", here.board) == cursor
        with pytest.raises(UsageError, match="There is no durable handler"):
            here.delivery.replay(Replay("nobody", here.board))


async def test_an_archive_that_cannot_be_read_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking, failing = Taking(), [StoreError("locked"), RuntimeError("a bug"), StoreError("locked")]
    async with running(tmp_path, taking=taking) as here:
        real = here.archive.entries

        async def entries(*args: Any, **named: Any) -> list[Entry]:
            if failing:
                raise failing.pop()
            return await real(*args, **named)

        monkeypatch.setattr(here.archive, "entries", entries)
        await here.drawn(b"1")
        await until(lambda: taking.updates == [b"1"])
        failing.append(StoreError("locked"))
        here.delivery.replay(Replay("taking", here.board))  # broken off, and no harm done
        await until(lambda: not failing)
        await here.drawn(b"2")
        await until(lambda: taking.updates == [b"1", b"2"])


async def test_an_erased_board_is_passed_by(tmp_path: Path) -> None:
    taking = Taking()
    async with running(tmp_path, taking=taking) as here:
        here.delivery.committed([Entry(99, 1, Kind.UPDATE, None, None, b"1", 5)])
        await here.settled()
        assert taking.got == []
        assert await here.archive.board_key(99) is None


async def test_handlers_that_are_not_durable_have_no_such_lane(tmp_path: Path) -> None:
    class Live(Taking):
        durable = False

    async with running(tmp_path, live=(live := Live())) as here:
        await here.drawn(b"1")
        assert await here.delivery.status() == {}
        here.lanes.offer(DocumentUpdate(KEY, 1, None, b"live"))
        await until(lambda: live.updates == [b"live"])


@pytest.mark.parametrize("kind", [SystemExit, asyncio.CancelledError])
async def test_an_event_on_which_it_ends_more_than_its_call_becomes_a_dead_letter(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    """Else the program would end at each of its starts, or the lane stand still without a word."""
    taking = Taking()
    taking.errors[b"bad"] = [kind() for _ in range(99)]
    async with running(tmp_path, taking=taking) as here:
        await here.drawn(b"bad", b"good")
        await until(lambda: taking.updates == [b"good"])
        assert len(await here.letters()) == 1


async def test_what_is_committed_after_the_end_is_for_the_next_start(tmp_path: Path) -> None:
    async with running(tmp_path, taking=Taking()) as here:
        last = Entry(here.board, 1, Kind.UPDATE, "@a:b", "D", b"late", 1)
    here.delivery.committed([last])  # no lane any more, and no error for who commits


async def test_a_cursor_that_cannot_be_noted_has_nothing_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking = Taking()

    async def full(*_: object) -> None:
        raise StoreError("the disk is full")

    async with running(tmp_path, taking=taking) as here:
        monkeypatch.setattr(here.archive, "set_cursor", full)
        updates = [bytes([number]) for number in range(1, 50)]
        await here.drawn(*updates)
        await until(lambda: taking.updates == updates)
        monkeypatch.undo()
        await here.drawn(b"after")
        await here.settled()
        assert taking.updates == [*updates, b"after"]
        assert not await here.archive.backlog("taking")


async def test_behind_is_who_lacks_what_he_wants(tmp_path: Path) -> None:
    async with running(tmp_path, taking=(taking := Taking())) as here:
        await here.drawn(b"1")
        await until(lambda: bool(taking.updates))
        await here.drawn(json.dumps(CURSOR).encode(), kind=Kind.CURSOR)
        await here.settled()
        assert (await here.delivery.status())["taking"]["behind"] == 0
        assert len(await here.archive.backlog("taking")) == 1  # of any kind
