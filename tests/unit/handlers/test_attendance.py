from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bot.handlers.attendance import COLUMNS, Attendance, AttendanceSettings, cell
from bot.handlers.base import BoardGone, Participant, SessionChanged
from bot.whiteboard.board import BoardKey
from tests.fakes.context import FakeContext

KEY = BoardKey("!r:x", "w", "$d")
ALICE, BOB = Participant("@alice:x", "A"), Participant("@bob:x", "=B")
NOON = 1_795_262_400_000


async def begun(file: Path, context: FakeContext) -> Attendance:
    handler = Attendance(AttendanceSettings(file))
    await handler.start(context)
    return handler


def changed(minute: float, *there: Participant) -> SessionChanged:
    return SessionChanged(KEY, NOON + int(minute * 60_000), there)


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
    assert not any(context.store.kept.values())


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum(1)", "\t=1", "\r", "\n"])
def test_nothing_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_the_rest_stays_as_it_is() -> None:
    assert cell("") == ""
    assert cell("!room:x") == "!room:x"
