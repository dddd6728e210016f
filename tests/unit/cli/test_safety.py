from __future__ import annotations

from typing import Any

import pytest

from bot.cli import safety

NOW = 1_795_218_261_000
WHOLE = {"used": True, "complete": True, "until_ts": None}
PART = {"used": True, "complete": False, "until_ts": NOW - 75_000}
UNUSED = {"used": False, "complete": False, "until_ts": None}


def board(number: int = 3, **values: Any) -> dict[str, Any]:
    return {
        "board": number,
        "room_id": "!plan:here",
        "name": "Plan [x]",
        "whiteboard_id": "board-one",
        "room": WHOLE,
        "archive": WHOLE,
        "lacks": [],
        **values,
    }


def shown(capsys: pytest.CaptureFixture[str], *boards: dict[str, Any]) -> str:
    safety.show(boards, NOW)
    return capsys.readouterr().out


def test_all_is_saved(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys) == ""
    assert shown(capsys, board(), board(4)) == (
        "saved        all of 2 boards: everything is in the rooms and in the archive\n"
    )
    assert "left to people" in shown(capsys, board(room=UNUSED))
    assert "nothing is recorded" in shown(capsys, board(archive=UNUSED))
    assert "neither records nor saves" in shown(capsys, board(room=UNUSED, archive=UNUSED))


def test_what_is_not_saved_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    why = [{"where": "room", "reason": "waiting", "text": "waits for [its] author"}]
    assert shown(capsys, board(), board(4, room=PART, lacks=why)) == (
        "NOT SAVED    1 of 2 boards:\n"
        "  No. 4  Plan [x]  board-one\n"
        "      in the room     everything up to 2026-11-20 23:43:06 UTC (1 min 15 s ago)\n"
        "                      waits for [its] author\n"
        "      in the archive  everything\n"
    )
    unknown = {**PART, "until_ts": None}
    said = shown(capsys, board(name="", room=UNUSED, archive=unknown, lacks=why))
    assert "No. 3  !plan:here  board-one" in said
    assert "in the room     saving is left to people" in said
    assert "in the archive  not everything" in said
    gap = [{"where": "board", "reason": "gap", "text": "a gap"}]
    said = shown(capsys, board(archive=UNUSED, lacks=gap))
    assert "nothing is recorded now\n      on the board    a gap\n" in said


def test_very_many_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    why = [{"where": "room", "reason": "waiting", "text": "waits"}]
    said = shown(capsys, *(board(number, lacks=why) for number in range(25)))
    assert said.count("No. ") == 20
    assert "… and 5 more" in said
