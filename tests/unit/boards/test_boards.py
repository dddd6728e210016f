from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from bot import metrics
from bot.boards import boards as module
from bot.boards import reading, snapshots
from bot.boards.board import Board
from bot.boards.boards import Boards
from bot.errors import Forbidden, RateLimited, Transient
from bot.handlers.base import BoardFound, BoardGone, Event, RecordingChanged
from bot.roomstate import RoomState
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.keep import APART, Pace
from bot.whiteboard.message import Message, Update
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE
from tests.fakes.rooms import (
    ALICE,
    BOT,
    KEY,
    NOW,
    OTHER,
    ROOM,
    MemoryArchive,
    NotMending,
    NotSaving,
    Server,
    board_event,
    drawn,
    member,
    services,
    snapshot_events,
    until,
)
from tests.unit.whiteboard.people import Person, loaded, texts


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "backoff", lambda *_, **__: iter([0.002] * 999))
    monkeypatch.setattr(reading, "backoff", lambda *_, **__: iter([0.002] * 999))
    monkeypatch.setattr(reading, "READ_ON", 0.002)


KEEPS = Pace(
    grace=60, own_grace=0.002, patience=60, spacing=0.002, own_spacing=0.002, per_megabyte=0
)


class Room:
    """The boards of a room and everything around them."""

    def __init__(
        self, tasks: asyncio.TaskGroup, *, pace: Pace | None = KEEPS, **values: Any
    ) -> None:
        self.state = RoomState(ROOM, BOT)
        self.archive = MemoryArchive()
        self.server = Server()
        self.told: list[Event] = []
        self.wanted: frozenset[str] = frozenset()
        self.changes = 0
        self.refused: list[bool] = []
        self.published: list[Message] = []
        self.boards = Boards(
            self.state,
            self.server,
            self.archive,
            services(self.archive, self.told, **values),
            wanted=lambda: self.wanted,
            publish=self.publish,
            heard=lambda _key, _arrival: None,
            changed=self.changed,
            pace=pace,
            refused=self.refused.append,
            tasks=tasks,
        )

    async def publish(self, message: Message) -> None:
        self.published.append(message)

    def changed(self) -> None:
        self.changes += 1

    async def has(self, *keys: BoardKey) -> None:
        for key in keys:
            self.state.apply(board_event(key))
        await self.boards.follow()

    async def board(self, key: BoardKey = KEY) -> Board:
        await self.has(key)
        found = BoardFound(key, NOW)
        await until(lambda: found in self.told)
        return self.boards.found[key.whiteboard_id]

    def saved(self) -> list[str]:
        return [event_type for event_type, _ in self.server.sent]


@asynccontextmanager
async def room(**values: Any) -> AsyncIterator[Room]:
    def count() -> float | None:
        return metrics.REGISTRY.get_sample_value("boardkeeper_boards")

    before = count()
    async with asyncio.TaskGroup() as tasks:
        here = Room(tasks, **values)
        yield here
        await here.boards.lose_all()
    here.boards.forget()
    assert count() == before


def alices() -> Person:
    alice = Person(7)
    alice.add("a")
    return alice


async def test_a_board_is_found_read_told_and_freed() -> None:
    async with room() as here:
        here.server.has_snapshot(alices().state())
        board = await here.board()
        assert isinstance(here.told[-1], BoardFound)
        assert not board.loaded
        assert here.changes == 1
        await here.boards.prepare(board)
        assert set(texts(board.document)) == {"a"}
        assert here.archive.kinds() == ["snapshot"]


async def test_a_board_is_found_once_however_often_it_is_shown() -> None:
    async with room() as here:
        await here.has(KEY)
        await here.has(KEY)
        await here.board()
        await here.has(KEY)
        assert here.archive.calls["board_id"] == 1


async def test_a_board_that_vanishes_while_it_is_numbered_is_not_there() -> None:
    async with room() as here:
        here.archive.slow.add("board_id")
        await here.has(KEY)
        here.state.apply(board_event(content={}))
        await here.boards.follow()
        here.archive.go.set()
        await asyncio.sleep(0.005)
        assert (here.boards.found, here.told) == ({}, [])


async def test_another_document_is_another_board() -> None:
    async with room() as here:
        first = await here.board()
        second = await here.board(replace(KEY, document_id="$other"))
        assert first is not second
        assert [type(event) for event in here.told] == [BoardFound, BoardGone, BoardFound]
        assert here.archive.gone == [1]


async def test_an_archive_that_cannot_number_is_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with room() as here:
        here.archive.broken.add("board_id")
        await here.has(KEY)
        await until(lambda: here.archive.calls["board_id"] > 1)
        here.archive.broken.clear()
        await here.board()
    assert "cannot be recorded yet" in caplog.text


async def test_a_board_found_after_the_end_is_none() -> None:
    async with room() as here:
        here.archive.slow.add("board_id")
        await here.has(KEY)
        await asyncio.sleep(0)
        await here.boards.lose_all()
        here.archive.go.set()
        await asyncio.sleep(0.005)
        assert (here.boards.found, here.told) == ({}, [])


async def test_the_end_of_a_board_that_cannot_be_kept_is_told_all_the_same() -> None:
    async with room() as here:
        await here.board()
        here.archive.broken.add("board_gone")
        await here.boards.lose_all()
        assert isinstance(here.told[-1], BoardGone)


async def test_boards_that_come_while_others_end_pause_or_resume() -> None:
    async with room() as here:
        await here.board()
        here.archive.slow |= {"board_gone", "checkpoint", "save_checkpoint"}
        board = here.boards.found["w1"]
        for work in (here.boards.pause, here.boards.resume, here.boards.close):
            here.archive.go.clear()
            board._document = None
            if work != here.boards.resume:
                loading = asyncio.create_task(board.load())
                await asyncio.sleep(0.002)
                here.archive.go.set()
                await loading
                here.archive.go.clear()
                board.ingest([drawn(Person(9).add(work.__name__))])
            doing = asyncio.create_task(work())
            await asyncio.sleep(0.002)
            here.boards.found[work.__name__] = Board(
                OTHER,
                2,
                here.boards._services,
                publish=here.publish,
                heard=lambda _: None,
                saving=NotSaving(),
                repeat=lambda _: None,
                mending=NotMending(),
            )
            metrics.BOARDS.inc()
            here.archive.go.set()
            await doing


@pytest.mark.parametrize("error", [Transient("gone"), RateLimited("slow", retry_after=0.001)])
async def test_a_room_that_cannot_be_read_now_is_read_again(error: Exception) -> None:
    async with room() as here:
        here.server.has_snapshot(alices().state())
        here.server.failures["relations"] = [error]
        await here.board()
        assert here.archive.kinds() == ["snapshot"]


async def test_an_archive_that_cannot_be_read_now_is_read_again() -> None:
    async with room() as here:
        here.server.has_snapshot(alices().state())
        here.archive.broken.add("checkpoint")
        await here.has(KEY)
        await until(lambda: here.archive.calls["checkpoint"] > 1)
        here.archive.broken.clear()
        await here.board()
        assert here.archive.kinds() == ["snapshot"]


async def test_a_room_that_may_not_be_read_leaves_the_board_incomplete() -> None:
    async with room() as here:
        here.server.failures["relations"] = [Forbidden("no")]
        board = await here.board()
        assert not board.complete


async def test_a_known_snapshot_is_not_read_again() -> None:
    async with room() as here:
        here.server.has_snapshot(alices().state())
        board = await here.board()
        calls = here.server.calls["relations"]
        here.wanted = frozenset({KEY.whiteboard_id})  # else it is freed again at once
        await here.boards.prepare(board)
        await until(lambda: board.complete)
        assert here.server.calls["relations"] == calls + 1  # the chunks are not asked for
        assert here.archive.kinds() == ["snapshot"]


async def test_many_looks_at_an_incomplete_board_read_it_once() -> None:
    async with room() as here:
        board = await here.board()
        here.server.slow.add("relations")
        calls = here.server.calls["relations"]
        for _ in range(5):
            await here.boards.prepare(board)
            await asyncio.sleep(0.001)
        await until(lambda: here.server.calls["relations"] > calls)
        await asyncio.sleep(0.002)
        assert here.server.calls["relations"] == calls + 1
        here.server.go.set()


async def test_a_board_that_is_freed_while_it_is_read_is_not_taken_for_read() -> None:
    async with room() as here:
        here.server.has_snapshot(alices().state())
        board = await here.board()
        here.wanted = frozenset({KEY.whiteboard_id})
        here.server.slow.add("relations")
        calls = here.server.calls["relations"]
        await here.boards.prepare(board)
        await until(lambda: here.server.calls["relations"] > calls)
        await here.boards.close()
        here.server.go.set()
        await until(lambda: not board.catching_up.locked())
        assert board.loaded == board.complete
        assert here.server.calls["relations"] > calls + 1  # what was read counts for nothing


async def test_while_the_room_is_read_for_a_board_nobody_frees_it() -> None:
    async with room() as here:
        here.server.has_snapshot(alices().state())
        board = await here.board()
        here.server.slow.add("relations")
        calls = here.server.calls["relations"]
        await here.boards.prepare(board)
        await until(lambda: here.server.calls["relations"] > calls)
        await here.boards.release(board)  # nobody is on it any more
        assert board.loaded
        here.server.go.set()
        await until(lambda: not board.loaded)
        assert not board.complete


async def test_what_was_lost_while_a_snapshot_was_merged_is_looked_for_in_the_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.boards.board.IN_PLACE", 10)
    monkeypatch.setattr("bot.boards.holding.MAX_COUNT", 0)
    async with room() as here:
        board = await here.board()
        here.wanted = frozenset({KEY.whiteboard_id})
        await here.boards.prepare(board)
        await until(lambda: board.complete)
        calls, head, *chunks = here.server.calls["relations"], *snapshot_events(alices().state())
        await here.boards.take(head)
        taking = asyncio.create_task(here.boards.take(chunks[0]))
        while board._held is None:
            await asyncio.sleep(0)
        board.ingest([drawn(Person(8).add("b"))])
        await taking
        await until(lambda: here.server.calls["relations"] > calls)
        await until(lambda: board.complete)


async def test_a_whole_snapshot_behind_many_broken_ones_is_found(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(snapshots, "MAX_TRIED", 2)
    async with room() as here:
        here.server.has_snapshot(alices().state())
        for number in range(7):
            here.server.has_snapshot(b"broken", f"$b{number}")
            del here.server.past[f"$b{number}", CHUNK_TYPE]
        board = await here.board()
        assert here.archive.kinds() == ["snapshot"]
        assert here.server.calls["relations"] == 4 + 7 + 1
        assert caplog.text.count("only broken snapshots so far") == 1
        await here.boards.open(board)
        assert here.server.calls["relations"] == 12 + 1  # nothing is read again


async def test_a_board_that_is_still_searched_for_is_not_saved_but_searched_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "MAX_TRIED", 1)
    async with room() as here:
        board = await here.board()
        here.server.has_snapshot(alices().state())
        for number in range(2):
            here.server.has_snapshot(b"broken", f"$b{number}")
            del here.server.past[f"$b{number}", CHUNK_TYPE]
        with pytest.raises(Transient, match="only broken snapshots"):
            async with here.boards.held(board):
                pass
        await until(lambda: here.archive.kinds() == ["snapshot"])
        async with here.boards.held(board):
            assert set(texts(board.document)) == {"a"}


async def test_a_snapshot_that_was_in_the_writing_when_it_was_read_is_taken() -> None:
    async with room() as here:
        here.wanted = frozenset({KEY.whiteboard_id})
        head, chunk = here.server.has_snapshot(alices().state())
        here.server.past["$s1", CHUNK_TYPE] = []
        board = await here.board()
        assert board.complete
        await here.boards.take(chunk)  # sync shows only what came later
        assert set(texts(board.document)) == {"a"}
        assert head["event_id"] in here.archive.seen


async def test_opened_for_a_handler_it_stays() -> None:
    async with room() as here:
        board = await here.board()
        await here.boards.open(board)
        assert board.complete
        await here.boards.release(board)
        assert board.loaded


async def test_snapshots_from_sync_are_merged_and_malformed_ones_counted() -> None:
    async with room() as here:
        await here.board()
        for event in reversed(snapshot_events(alices().state())):
            await here.boards.take(event)
        assert here.archive.kinds() == ["snapshot"]
        for event in snapshot_events(b"x", "$s9", document_id="$stranger"):
            await here.boards.take(event)
        await here.boards.take({"type": SNAPSHOT_TYPE, "content": 5})
        assert here.archive.kinds() == ["snapshot"]


async def test_a_change_of_our_own_is_saved_once_in_a_while() -> None:
    async with room() as here:
        board = await here.board()
        await here.boards.open(board)
        alice = Person(7)
        await board.change(alice.add("a"))
        await board.change(alice.add("b"))
        await until(lambda: len(here.server.sent) == 2)
        await asyncio.sleep(0.005)
        assert here.saved() == [SNAPSHOT_TYPE, CHUNK_TYPE]


async def test_of_several_bots_each_leaves_those_before_it_the_time_to_save() -> None:
    async with room() as here:
        board = await here.board()
        await here.boards.prepare(board)
        board.ingest([drawn(Person(8).add("b"))])
        dues = []
        for rank in (0, 2):
            here.boards.attended({KEY: 1}, {KEY: rank})
            found = here.boards.saving.outlook(KEY)
            assert found is not None
            dues.append(found.due or 0.0)
        assert dues[1] - dues[0] == pytest.approx(2 * APART)


async def test_nobody_on_a_board_that_holds_more_than_the_room_saves_it_at_once() -> None:
    async with room() as here:
        board = await here.board()
        await here.boards.prepare(board)
        here.wanted = frozenset({"w1"})
        here.boards.attended({KEY: 1}, {})
        board.ingest([drawn(Person(8).add("b"))])
        head, chunk = snapshot_events(alices().state())
        await here.boards.take(head)
        await asyncio.sleep(0.01)
        assert here.saved() == []  # somebody else is at it, and people are there
        await here.boards.take(chunk)
        here.boards.attended({}, {})
        await until(lambda: here.saved() == [SNAPSHOT_TYPE, CHUNK_TYPE])
        for event in here.server.events():
            await here.boards.take(event)  # our own come back
        assert here.refused == [False]


async def test_who_comes_gets_what_no_snapshot_has_and_who_lost_it_gets_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.boards.repeating.AFTER", 0.001)
    async with room() as here:
        board = await here.board()
        here.wanted = frozenset({"w1"})
        await here.boards.prepare(board)
        assert here.boards.lacking("w1") is None
        assert here.boards.lacking("w9") is None
        here.boards.attended({KEY: 1}, {})
        update = Person(8).add("b")
        board.ingest([drawn(update)])
        lacking = here.boards.lacking("w1")
        assert isinstance(lacking, Update)
        assert lacking.document_id == KEY.document_id
        await asyncio.sleep(0.005)
        assert here.published == []  # its author is alone
        here.boards.attended({KEY: 2}, {})
        another = Person(9).add("c")
        board.ingest([drawn(another)])
        await until(lambda: here.published)
        assert here.published == [Update(KEY.document_id, another)]


async def test_an_observer_sends_nobody_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.boards.repeating.AFTER", 0.001)
    async with room(pace=None) as here:
        board = await here.board()
        here.wanted = frozenset({"w1"})
        await here.boards.prepare(board)
        here.boards.attended({KEY: 2}, {})
        board.ingest([drawn(Person(8).add("b"))])
        assert here.boards.lacking("w1") is None
        here.boards.attended({}, {})
        await asyncio.sleep(0.02)
        await here.boards.rescue(leaving=True)
        assert (here.published, here.server.sent) == ([], [])


async def test_nothing_is_written_unencrypted_where_all_else_is_not() -> None:
    async with room() as here:
        board = await here.board()
        here.wanted = frozenset({"w1"})
        await here.boards.prepare(board)
        board.ingest([drawn(Person(8).add("b"))])
        here.state.apply(
            {
                "type": "m.room.encryption",
                "state_key": "",
                "sender": ALICE,
                "event_id": "$e",
                "content": {"algorithm": "m.megolm.v1.aes-sha2"},
            }
        )
        await here.boards.rescue(leaving=True)
        assert here.server.sent == []


async def test_paused_a_snapshot_is_read_though_the_archive_has_it() -> None:
    """Nothing is read from the archive then."""
    async with room() as here:
        here.server.has_snapshot(alices().state())
        board = await here.board()
        assert here.archive.seen
        await here.boards.pause()
        here.wanted = frozenset({"w1"})
        await here.boards.prepare(board)
        await until(lambda: board.complete)
        assert set(texts(board.document)) == {"a"}


async def test_what_an_earlier_life_did_not_save_is_saved() -> None:
    async with room() as here:
        here.archive.texts["unsaved.1"] = "1"
        here.archive.keys[KEY] = 1
        here.archive.record(Entry(1, NOW, Kind.UPDATE, ALICE, "AD", Person(7).add("a")))
        await here.board()
        here.boards.attended({}, {})
        await until(lambda: here.archive.texts["unsaved.1"] == "")
        assert here.saved() == [SNAPSHOT_TYPE, CHUNK_TYPE]


async def test_no_snapshot_is_written_before_the_rooms_newest_was_read() -> None:
    async with room() as here:
        board = await here.board()
        await here.boards.open(board)
        await board.change(Person(8).add("ours"))
        here.server.has_snapshot(alices().state())
        board.complete = False
        here.archive.broken.add("has_snapshot")  # and not while the archive cannot be read
        await asyncio.sleep(0.005)
        assert here.server.sent == []
        here.archive.broken.clear()
        await until(lambda: len(here.server.sent) == 2)
        assert set(texts(board.document)) == {"a", "ours"}
        assert loaded(board.document.encode()) == board.document.content()


@pytest.mark.parametrize(("kind", "bound"), [("star", 2**24), ("circle", 1000)])
async def test_no_older_state_is_written_over_what_people_have_and_we_cannot_take_in(
    kind: str, bound: int
) -> None:
    """Neither over what was there at the start, nor over what comes live."""
    async with room(max_document=bound) as here:
        alice = alices()
        here.server.has_snapshot(alice.state(), "$old", ts=NOW - 2000)
        alice.add("b", kind=kind, text="." * 1000)
        here.server.has_snapshot(alice.state(), "$beyond", ts=NOW - 1000)
        board = await here.board()
        here.wanted = frozenset({"w1"})
        await here.boards.prepare(board)
        assert set(texts(board.document)) == {"a"}
        for _ in range(2):
            board.ingest([drawn(alice.write("a", text="more"))])
            outlook = here.boards.saving.outlook(KEY)
            assert outlook is not None
            assert outlook.reason == "beyond"
            assert outlook.since is not None
            here.boards.attended({}, {})
            await asyncio.sleep(0.02)
            await here.boards.rescue(leaving=True)
            assert here.server.sent == []
            with pytest.raises(Transient, match="cannot take in the room's newest snapshot"):
                async with here.boards.held(board):
                    pytest.fail("it can be rewritten")
            for event in snapshot_events(alice.state(), "$live"):
                await here.boards.take(event)
        alice.remove("b")  # its author has thought better of it
        for event in snapshot_events(alice.state(), "$good"):
            await here.boards.take(event)
        assert board.document.content() == alice.content()
        async with here.boards.held(board):
            assert here.boards.saving.since(KEY) is None


async def test_what_cannot_be_read_back_is_asked_of_the_room_and_never_written_over() -> None:
    """The configuration bounds boards more than it did, or we know NeoBoard better."""
    async with room(max_document=1000) as here:
        alice = alices()
        alice.add("b", text="." * 1000)
        here.archive.keys[KEY] = 1
        await here.archive.save_checkpoint(1, 0, NOW - 9, alice.state())
        here.server.has_snapshot(alice.state(), "$s1", ts=NOW - 9)
        here.archive.seen["$s1"] = (ALICE, NOW - 9)
        here.wanted = frozenset({"w1"})
        board = await here.board()
        await here.boards.prepare(board)
        board.ingest([drawn(Person(8).add("c"))])
        outlook = here.boards.saving.outlook(KEY)
        assert outlook is not None
        assert outlook.reason == "beyond"
        assert await board.checkpoint()
        assert here.archive.checkpoints[1].data == alice.state()  # the better one stays
        await here.boards.rescue(leaving=True)
        assert here.server.sent == []


async def test_looking_mends_and_writes_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.boards.board.CHECKPOINT_EVERY", 1)
    async with room(lacks=lambda _: True) as here:
        board = await here.board()
        await here.boards.prepare(board)
        board.ingest([drawn(Person(7).add("a"))])
        await here.boards.look()
        assert here.archive.kinds() == ["update", "baseline"]
        assert 1 in here.archive.checkpoints


async def test_paused_nothing_is_kept_and_what_came_then_comes_in_without_a_name() -> None:
    async with room() as here:
        board = await here.board()
        await here.boards.prepare(board)
        await here.boards.pause()
        assert not here.boards.recording
        alice = Person(7)
        board.ingest([drawn(alice.add("a"))])
        await here.board(OTHER)
        assert here.archive.entries == []
        here.server.has_snapshot(alice.state(), ts=NOW - 5)
        await here.boards.resume()
        await until(lambda: board.complete or not board.loaded)
        assert {entry.kind.value for entry in here.archive.entries} == {"baseline"}
        assert {entry.sender for entry in here.archive.entries} == {None}
        assert ALICE not in str(here.archive.seen)
        changes = [event for event in here.told if isinstance(event, RecordingChanged)]
        assert [event.recording for event in changes] == [False, False, True, True]
        await until(lambda: not board.loaded)  # nobody is on it


async def test_a_board_that_cannot_be_read_again_resumes_later() -> None:
    async with room() as here:
        board = await here.board()
        await here.boards.pause()
        here.archive.broken.add("checkpoint")
        await here.boards.resume()
        assert here.boards.recording
        assert not board.recording
        await until(lambda: here.archive.calls["checkpoint"] > 3)
        here.archive.broken.clear()
        await until(lambda: board.recording)


async def test_paused_no_time_is_kept_of_boards_either() -> None:
    async with room() as here:
        await here.board()
        await here.boards.pause()
        await here.board(OTHER)
        here.state.apply(board_event(content={}))
        await here.boards.follow()
        assert here.archive.times == [NOW, 0, 0]


async def test_what_is_neither_recorded_nor_saved_stays_in_memory() -> None:
    async with room() as here:
        board = await here.board()
        await here.boards.prepare(board)
        await here.boards.pause()
        here.boards.attended({KEY: 1}, {})
        board.ingest([drawn(Person(7).add("a"))])
        await here.boards.release(board)
        assert set(texts(board.document)) == {"a"}
        here.boards.attended({}, {})
        await until(lambda: len(here.server.sent) == 2)
        await until(lambda: not board.loaded)


async def test_at_the_end_what_might_be_lost_is_saved_if_that_can_be_done_in_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with room() as here:
        here.wanted = frozenset({KEY.whiteboard_id})
        here.state.apply(member(BOT))
        board = await here.board()
        await here.boards.prepare(board)
        await until(lambda: board.complete)
        here.boards.attended({KEY: 1}, {})
        alice = Person(7)
        board.ingest([drawn(alice.add("a"))])
        await here.boards.rescue(leaving=False)
        assert here.saved() == []  # people are there; and the next start has it all
        await here.boards.pause()
        here.server.slow.add("send_event")
        monkeypatch.setattr(module, "RESCUE_WITHIN", 0.01)
        await here.boards.rescue(leaving=False)
        assert "not every board was saved in time" in caplog.text
        assert not here.server.sent
        here.server.go.set()
        monkeypatch.undo()
        await here.boards.rescue(leaving=False)
        assert here.saved()[-2:] == [SNAPSHOT_TYPE, CHUNK_TYPE]
        assert here.boards.saving.since(KEY) is None
        sent = len(here.server.sent)
        await here.boards.rescue(leaving=True)
        assert len(here.server.sent) == sent
        await here.boards.close()
        assert not board.loaded


async def test_a_snapshot_that_cannot_be_merged_now_ends_nothing() -> None:
    async with room() as here:
        board = await here.board()
        here.archive.broken.add("checkpoint")
        for event in snapshot_events(alices().state()):
            await here.boards.take(event)
        assert not board.complete
        here.archive.broken.clear()
        await until(lambda: board.complete or not board.loaded)


async def test_paused_again_before_it_could_be_resumed_it_stays_paused() -> None:
    async with room() as here:
        board = await here.board()
        await here.boards.pause()
        here.archive.broken.add("checkpoint")
        await here.boards.resume()
        await here.boards.pause()
        here.archive.broken.clear()
        await asyncio.sleep(0.01)
        assert not board.recording


async def test_closing_writes_checkpoints() -> None:
    async with room() as here:
        board = await here.board()
        await here.boards.prepare(board)
        board.ingest([drawn(Person(7).add("a"))])
        await here.boards.close()
        assert 1 in here.archive.checkpoints
        assert here.boards.found
