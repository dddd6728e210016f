"""Is it saved? What operators are told of each board."""

from __future__ import annotations

import asyncio
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from bot.boards import reading, snapshots
from bot.boards.board import Board
from bot.control import saved
from bot.control.saved import REASONS, Lack, Place, Safety, Saved
from bot.errors import Forbidden, RateLimited, Transient
from bot.metrics import REGISTRY
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE
from tests.fakes.rooms import ALICE, BOT, KEY, NOW, ROOM, drawn, snapshot_events, until
from tests.unit.boards.test_boards import Room, room
from tests.unit.whiteboard.people import Person


class Desk:
    """A room's boards, and what is said of them."""

    def __init__(self, here: Room) -> None:
        self.here = here
        self.failing: str | None = None
        self.needs_baseline: set[int] = set()
        self.pending: dict[int, int] = {}
        one: Any = SimpleNamespace(room_id=ROOM, state=here.state, boards=here.boards)
        self.safety = Safety(lambda: [one], self, lambda: NOW)

    def oldest(self) -> dict[int, int]:
        return self.pending

    def says(self) -> Saved:
        [board] = self.safety.boards()
        return board

    def reasons(self) -> list[str]:
        return [lack.reason for lack in self.says().lacks]

    async def on_board(self) -> Board:
        board = await self.here.board()
        self.here.wanted = frozenset({"w1"})
        self.here.boards.attended({KEY: 1}, {})
        await self.here.boards.prepare(board)
        await until(lambda: board.complete)
        return board


async def test_everything_is_saved() -> None:
    async with room() as here:
        desk = Desk(here)
        await desk.on_board()
        found = desk.says()
        assert (found.board, found.room_id, found.whiteboard_id) == (1, ROOM, "w1")
        assert found.room == found.archive == Place(used=True, complete=True)
        assert found.lacks == ()


async def test_a_stroke_waits_for_its_author_and_then_for_us() -> None:
    async with room() as here:
        desk = Desk(here)
        board = await desk.on_board()
        board.ingest([drawn(Person(8).add("b"))])
        found = desk.says()
        assert not found.room.complete
        assert found.room.until_ts is not None
        assert NOW - 5000 < found.room.until_ts <= NOW
        [lack] = found.lacks
        assert lack.reason == "waiting"
        assert "without one the bot saves it at 2027-01-15 08:0" in lack.text
        await here.boards.take(snapshot_events(Person(7).state())[0])
        assert desk.reasons() == ["writing"]


@pytest.mark.parametrize(
    ("error", "reason", "text"),
    [
        (Transient("no connection"), "failed", "saving failed (no connection); the bot tries"),
        (RateLimited("slowly", 60.0), "asked_to_wait", "asks to wait; the bot tries again at 20"),
        (Forbidden("no"), "forbidden", "power level 50 is needed, it has 0; ask somebody"),
    ],
)
async def test_why_it_cannot_be_saved(error: Exception, reason: str, text: str) -> None:
    async with room() as here:
        desk = Desk(here)
        board = await desk.on_board()
        levels = {"events": {CHUNK_TYPE: 50, SNAPSHOT_TYPE: "x"}, "users": {ALICE: 100}}
        power = {"type": "m.room.power_levels", "state_key": "", "sender": ALICE}
        if reason == "forbidden":
            here.state.apply({**power, "content": levels})
        here.server.failures["send_event"] = [error] * 999
        board.ingest([drawn(Person(8).add("b"))])
        here.boards.attended({}, {})
        await until(lambda: desk.reasons() == [reason])
        assert text in desk.says().lacks[0].text
        if reason == "forbidden":
            await until(lambda: here.refused)
            here.state.apply({**power, "content": {"users": {BOT: 100}}})
            assert "the room refused the bot’s snapshot" in desk.says().lacks[0].text


async def test_what_an_earlier_life_left_has_no_time() -> None:
    async with room() as here:
        here.archive.texts["unsaved.1"] = "1"
        desk = Desk(here)
        here.server.slow.add("send_event")
        await desk.on_board()
        await until(lambda: not desk.says().room.complete)
        assert desk.says().room.until_ts is None
        here.server.go.set()
        here.boards.attended({}, {})
        await until(lambda: desk.says().room.complete)


async def test_what_the_room_has_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_TRIED", 1)
    monkeypatch.setattr(reading, "READ_ON", 0.2)
    async with room() as here:
        desk = Desk(here)
        here.server.has_snapshot(Person(7).state())
        for number in range(2):
            here.server.has_snapshot(b"broken", f"$b{number}")
            del here.server.past[f"$b{number}", CHUNK_TYPE]
        await here.has(KEY)
        await until(lambda: here.boards.found and desk.reasons() == ["searching"])
        assert not desk.says().room.complete
        await until(lambda: desk.reasons() == [])


async def test_a_room_that_cannot_be_read() -> None:
    async with room() as here:
        desk = Desk(here)
        here.server.failures["relations"] = [Forbidden("no way in")]
        board = await here.board()
        assert desk.reasons() == ["unreadable"]
        assert "no way in" in desk.says().lacks[0].text
        await here.boards._reading.catch_up(board)
        assert desk.reasons() == []


async def test_gaps_and_versions_that_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async with room() as here:
        desk = Desk(here)
        board = await desk.on_board()
        alice = Person(7)
        lost, *later = [alice.add(name) for name in "abc"]
        for update, text in zip(later, ("1 update waits", "2 updates wait"), strict=True):
            board.ingest([drawn(update)])
            gap = next(lack for lack in desk.says().lacks if lack.reason == "gap")
            pieces = "one client’s pieces that have not come, missed since 2027-01-15"
            assert gap.text.startswith(f"a gap: {text} for {pieces}")
        now = monotonic() + 3600
        monkeypatch.setattr(saved, "monotonic", lambda: now)
        gap = next(lack for lack in desk.says().lacks if lack.reason == "gap")
        assert " 2027-01-15 06:59:" in gap.text or " 2027-01-15 07:00:" in gap.text  # the same one
        board.ingest([drawn(lost)])
        assert "gap" not in desk.reasons()
        one: Any = SimpleNamespace(supported=False)
        board._document = one
        text = "of a version the bot does not know: kept as it is"
        assert Lack("board", "unsupported", text) in desk.says().lacks
        one = SimpleNamespace(supported=True, waiting=0, has_gap=True)
        board._document = one
        assert "more came at once" in desk.says().lacks[-1].text
        here.boards.saving.gone(KEY)
        board._document = None


async def test_the_archive_lacks_something() -> None:
    async with room() as here:
        desk = Desk(here)
        await desk.on_board()
        desk.pending = {1: NOW - 9}
        desk.failing = "the disk is full"
        assert desk.says().archive == Place(used=True, complete=False, until_ts=NOW - 9)
        assert desk.says().lacks == (Lack("archive", "archive_failing", desk.failing),)
        desk.failing, desk.pending, desk.needs_baseline = None, {}, {1}
        assert desk.reasons() == ["lost"]
        assert not desk.says().archive.complete
        desk.needs_baseline = set()
        await here.boards.pause()
        assert desk.reasons() == ["paused"]
        assert desk.says().archive == Place(used=False, complete=False)


async def test_metrics_count_boards_by_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "FRESH", -1.0)

    def gauge(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(f"boardkeeper_{name}", labels)

    async with room() as here:
        desk = Desk(here)
        desk.safety.measure()
        board = await desk.on_board()
        assert gauge("unsaved_age_seconds") == 0.0
        board.ingest([drawn(Person(8).add("b"))])
        await asyncio.sleep(0.01)
        assert (gauge("unsaved_age_seconds") or 0.0) >= 0.01
        assert gauge("boards_lacking", reason="waiting") == 1
        assert sum(gauge("boards_lacking", reason=one) or 0.0 for one in REASONS) == 1
        here.boards.saving.gone(KEY)
        assert gauge("boards_lacking", reason="waiting") == 0
        monkeypatch.setattr(saved, "FRESH", 60.0)
        assert gauge("boards_lacking", reason="waiting") == 0


async def test_who_only_observes_saves_nothing_to_rooms() -> None:
    async with asyncio.TaskGroup() as tasks:
        here = Room(tasks)
        here.boards.saving._pace = None
        desk = Desk(here)
        await desk.on_board()
        assert desk.says().room == Place(used=False, complete=True)
        assert desk.says().lacks == ()
        await here.boards.lose_all()
