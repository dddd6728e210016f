from __future__ import annotations

import csv
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from bot.handlers.attendance import COLUMNS, Attendance, AttendanceSettings, cell
from bot.handlers.base import (
    BoardFound,
    BoardGone,
    Participant,
    RecordingChanged,
    SessionChanged,
    Span,
)
from bot.rtc.membership import WHITEBOARD
from bot.rtc.session import Slot
from bot.testing import SimulatedRoom
from bot.whiteboard.board import BoardKey
from tests.fakes.context import FakeContext

KEY = BoardKey("!r:x", "w", "$d")
ALICE, BOB = Participant("@alice:x", "A"), Participant("@bob:x", "=B")
NOON = 1_795_262_400_000


async def begun(file: Path, context: FakeContext) -> Attendance:
    handler = Attendance(AttendanceSettings(file))
    await handler.start(context)
    return handler


def at(minute: float) -> int:
    return NOON + int(minute * 60_000)


def changed(minute: float, *there: Participant) -> SessionChanged:
    return SessionChanged(KEY, at(minute), there)


def lines(file: Path) -> list[list[str]]:
    with file.open(newline="") as opened:
        return list(csv.reader(opened))


async def test_who_was_there_is_written_when_he_has_left(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    handler = await begun(file, FakeContext())
    await handler.on_session_changed(changed(0, ALICE))
    await handler.on_session_changed(changed(1, ALICE, BOB))
    assert not file.exists()
    await handler.on_session_changed(changed(2.5, BOB))
    await handler.on_board_gone(BoardGone(KEY, NOON + 600_000))
    assert lines(file) == [
        list(COLUMNS),
        [
            *("!r:x", "w", "'@alice:x", "A"),
            *("2026-11-21T12:00:00+00:00", "2026-11-21T12:02:30+00:00", "2.5"),
        ],
        [
            *("!r:x", "w", "'@bob:x", "'=B"),
            *("2026-11-21T12:01:00+00:00", "2026-11-21T12:10:00+00:00", "9.0"),
        ],
    ]
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_crash_loses_nobody(tmp_path: Path) -> None:
    file, context = tmp_path / "a.csv", FakeContext()
    await (await begun(file, context)).on_session_changed(changed(0, ALICE, BOB))
    after = await begun(file, context)
    await after.on_session_changed(changed(10, ALICE))  # Bob left while nobody looked
    await after.on_session_changed(changed(11))
    assert [(line[2], line[-1]) for line in lines(file)[1:]] == [
        ("'@bob:x", "10.0"),
        ("'@alice:x", "11.0"),
    ]


def stay(who: Participant, came: float, left: float | None) -> Span:
    ends = None if left is None else at(left)
    return Span(Slot(WHITEBOARD, KEY.whiteboard_id), who.user_id, who.device_id, at(came), ends)


async def written(
    file: Path, spans: list[Span], *looks: tuple[float, tuple[Participant, ...] | None]
) -> list[tuple[str, float, float]]:
    """Who was there from when to when, in minutes, as it is written after some looks."""
    context = FakeContext()
    handler = await begun(file, context)
    for minute, there in looks:
        # At each look the history knows what has happened until then.
        context.spans = [
            one if one.end_ts is None or one.end_ts <= at(minute) else replace(one, end_ts=None)
            for one in spans
            if one.start_ts <= at(minute)
        ]
        if there is None:
            handler = await begun(file, context)
            await handler.on_board_found(BoardFound(KEY, at(minute)))
        else:
            await handler.on_session_changed(changed(minute, *there))
    return [
        (line[2].removeprefix("'"), minutes(line[4]), minutes(line[5]))
        for line in (lines(file)[1:] if file.exists() else [])
    ]


def minutes(text: str) -> float:
    return (datetime.fromisoformat(text).timestamp() * 1000 - NOON) / 60_000


async def test_times_are_those_of_the_room(tmp_path: Path) -> None:
    spans = [stay(ALICE, 1, 3)]
    looks = ((2.0, (ALICE,)), (5.0, ()), (6.0, (BOB,)))
    assert await written(tmp_path / "a.csv", spans, *looks) == [("@alice:x", 1, 3)]


async def test_who_left_while_the_bot_was_down_left_then(tmp_path: Path) -> None:
    spans = [stay(ALICE, 0, 3), stay(BOB, 0, 4)]
    looks = ((1.0, (ALICE, BOB)), (60.0, None), (61.0, ()))
    found = await written(tmp_path / "a.csv", spans, *looks)
    assert found == [("@alice:x", 0, 3), ("@bob:x", 0, 4)]


async def test_who_left_and_came_back_meanwhile_was_there_twice(tmp_path: Path) -> None:
    spans = [stay(ALICE, 0, 3), stay(ALICE, 5, 6), stay(ALICE, 8, 90)]
    looks = ((1.0, (ALICE,)), (60.0, None), (61.0, (ALICE,)), (95.0, ()))
    found = await written(tmp_path / "a.csv", spans, *looks)
    assert found == [("@alice:x", 0, 3), ("@alice:x", 5, 6), ("@alice:x", 8, 90)]


async def test_who_came_and_left_meanwhile_was_there(tmp_path: Path) -> None:
    spans = [stay(ALICE, 0, 70), stay(BOB, 5, 6), stay(BOB, 8, None)]
    looks = ((1.0, (ALICE,)), (60.0, None), (61.0, (ALICE, BOB)), (75.0, (BOB,)))
    found = await written(tmp_path / "a.csv", spans, *looks)
    assert found == [("@bob:x", 5, 6), ("@alice:x", 0, 70)]


async def test_who_was_there_before_the_first_look_came_then_but_no_others(tmp_path: Path) -> None:
    spans = [stay(BOB, -90, -80), stay(ALICE, -60, 4)]
    looks = ((0.0, None), (1.0, (ALICE,)), (5.0, ()))
    assert await written(tmp_path / "a.csv", spans, *looks) == [("@alice:x", -60, 4)]


async def test_what_the_history_does_not_know_is_as_it_was_seen(tmp_path: Path) -> None:
    """It is in a pause, or the archive is full: nobody is written twice or lost."""
    file = tmp_path / "a.csv"
    spans = [stay(ALICE, 0, 3)]  # there all the time, but nothing was recorded from minute 3 on
    looks = ((1.0, (ALICE, BOB)), (4.0, (ALICE, BOB)), (6.0, None), (7.0, (BOB,)), (9.0, ()))
    assert await written(file, spans, *looks) == [
        ("@alice:x", 0, 3),
        ("@alice:x", 4, 7),
        ("@bob:x", 1, 9),
    ]


async def test_who_does_not_count_any_more_has_left(tmp_path: Path) -> None:
    """The slot was closed, say: their membership still stands."""
    spans = [stay(ALICE, 0, None), stay(BOB, 0, None)]
    looks = ((1.0, (ALICE,)), (4.0, ()), (6.0, ()))
    assert await written(tmp_path / "a.csv", spans, *looks) == [("@alice:x", 0, 4)]


async def test_an_end_that_is_still_to_come_is_none(tmp_path: Path) -> None:
    file, context = tmp_path / "a.csv", FakeContext()
    handler = await begun(file, context)
    context.spans = [stay(ALICE, 0, 9)]  # by a clock that is ahead
    for minute in (1, 2):
        await handler.on_session_changed(changed(minute, ALICE))
    await handler.on_session_changed(changed(10))
    assert [line[-1] for line in lines(file)[1:]] == ["9.0"]


async def test_in_a_simulated_room_too(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    async with SimulatedRoom(Attendance, settings={"file": str(file)}) as room:
        alice = await room.join("@alice:x")
        bob = await room.join("@bob:x", device_id="B")
        room.clock.advance(60)
        await room.settle()
        await room.crash()
        room.clock.advance(60)
        await alice.leave()
        room.clock.advance(60)
        alice = await room.join("@alice:x")
        room.clock.advance(60)
        await bob.leave()
        await alice.leave()
        cleo = await room.join("@cleo:x")
        room.clock.advance(60)
        await cleo.leave()
        room.clock.advance(3600)
        await room.restart()
        await room.settle()
    assert sorted((line[2], line[-1]) for line in lines(file)[1:]) == [
        ("'@alice:x", "1.0"),
        ("'@alice:x", "2.0"),
        ("'@bob:x", "4.0"),
        ("'@cleo:x", "1.0"),
    ]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum(1)", "\t=1", "\r", "\n"])
def test_nothing_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_the_rest_stays_as_it_is() -> None:
    assert cell("") == ""
    assert cell("!room:x") == "!room:x"


def recording(minute: float, *, on: bool) -> RecordingChanged:
    return RecordingChanged(KEY, at(minute), on, None)


async def test_of_a_pause_nothing_is_written_or_kept(tmp_path: Path) -> None:
    file, context = tmp_path / "a.csv", FakeContext()
    handler = await begun(file, context)
    await handler.on_session_changed(changed(0, ALICE))
    await handler.on_recording_changed(recording(5, on=False))
    await handler.on_session_changed(changed(6, ALICE, BOB))
    await handler.on_session_changed(changed(8, ALICE))
    await handler.on_recording_changed(recording(10, on=True))
    await handler.on_session_changed(changed(12))
    stays = [(line[2], line[4][14:19], line[5][14:19]) for line in lines(file)[1:]]
    assert stays == [("'@alice:x", "00:00", "05:00"), ("'@alice:x", "10:00", "12:00")]


async def test_a_board_that_goes_in_a_pause_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    handler = await begun(file, FakeContext())
    await handler.on_recording_changed(recording(0, on=False))
    await handler.on_session_changed(changed(1, ALICE))
    await handler.on_board_gone(BoardGone(KEY, at(2)))
    assert not file.exists()
    await handler.on_recording_changed(recording(3, on=True))
    await handler.on_session_changed(changed(4, BOB))
    await handler.on_session_changed(changed(5))
    assert [line[2] for line in lines(file)[1:]] == ["'@bob:x"]
