"""`sessions --history` on an archive alone, and what it asks of a running bot."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import main
from bot.cli import past
from bot.control import control
from bot.errors import UsageError
from bot.store.archive import Archive
from bot.whiteboard.board import BoardKey
from tests.unit.cli.test_operate import ROOM, folder, run
from tests.unit.rtc.past import Room, at

__all__ = ["folder"]

ANN, BEN = "@ann:hs", "@ben:hs"


def happened() -> Room:
    room = Room()
    room.on(0, ANN, call_id="board-one")
    room.on(10, BEN, "=B", call_id="board-one")
    room.on(15, "@bot:here", call_id="board-one")
    room.off(30, ANN)
    room.off(60, BEN, "=B")
    room.on(100, ANN, application="m.call", call_id="ROOM")
    room.off(130, ANN)
    room.on(131, BEN, application="m.call", call_id="ROOM", expires=2**52)
    return room


async def _kept(folder: Path, walk: Mapping[str, Any] | None, *, paused: bool) -> None:
    async with Archive(folder) as archive:
        await archive.board_id(BoardKey(ROOM, "board-one", "$one"), 5)
        await archive.board_id(BoardKey("!old:here", "board-two", "$two"), 6)
        await archive.set_room(ROOM, name="Plan")
        await archive.saw_memberships(ROOM, happened().rows)
        if walk is not None:
            await archive.read_memberships(ROOM, [], walk)
        if paused:
            await archive.set_room(ROOM, paused=True, paused_ts=at(20_000))


def keep(folder: Path, walk: Mapping[str, Any] | None = None, *, paused: bool = False) -> None:
    asyncio.run(_kept(folder, walk, paused=paused))


def history(
    capsys: pytest.CaptureFixture[str], *more: str, room: str = "Plan"
) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(("sessions", room, "--history", *more))
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.out, said.err


def test_a_table_of_sessions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(folder)
    code, out, err = history(capsys)
    assert code == 0
    assert "does not run" in err
    rows = [line.split() for line in out.splitlines() if "UTC" in line]
    assert rows[0] == [
        *("1", "2026-11-21", "00:00:00", "UTC", "2026-11-21", "01:00:00", "UTC", "1", "h"),
        *("2", "2", f"{ANN},", BEN),
    ]
    assert rows[1][:2] == ["m.call", "ROOM"]
    assert "running" in rows[2]
    assert "From before the bot came, nothing was read." in out


@pytest.mark.parametrize(
    ("walk", "text"),
    [
        ({"back": None, "reached_ts": 5}, "Read back to the beginning"),
        ({"back": "t", "reached_ts": None}, "Nothing older was found yet"),
        ({"back": "t", "reached_ts": at(0)}, "Read back to 2026-11-21 00:00:00 UTC."),
    ],
)
def test_it_says_how_far_back_it_goes(
    folder: Path, capsys: pytest.CaptureFixture[str], walk: Mapping[str, Any], text: str
) -> None:
    keep(folder, walk, paused=True)
    _, out, _ = history(capsys)
    assert text in out
    assert "Recording was paused from 2026-12-04 21:20:00 UTC until now" in out


def test_csv_has_a_line_per_stay_and_no_formula(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(folder)
    _, out, _ = history(capsys, "--csv")
    assert "\r\n" in out
    first, *lines = csv.reader(io.StringIO(out))
    assert first[-3:] == ["came", "left", "minutes"]
    assert lines[0] == [
        *("1", ROOM, "1", "net.nordeck.whiteboard", "board-one", f"'{ANN}", "D"),
        *("2026-11-21 00:00:00 UTC", "2026-11-21 00:30:00 UTC", "30.0"),
    ]
    assert lines[1][5:7] == [f"'{BEN}", "'=B"]
    assert [line[2] for line in lines] == ["1", "1", "", ""]
    assert lines[-1][-2] == ""


def test_json_and_what_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(folder)

    def sessions(*more: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(history(capsys, "--json", *more)[1])["sessions"]
        return found

    first, second, third = sessions()
    assert (first["board"], first["most_people"], first["people"]) == (1, 2, [ANN, BEN])
    assert first["spans"][0] == {
        "user_id": ANN, "device_id": "D", "start_ts": at(0), "end_ts": at(30),
    }  # fmt: skip
    assert (second["board"], third["end_ts"]) == (None, None)
    assert sessions("--board", "1") == [first]
    assert sessions("--since", "2026-11-21T01:30Z") == [second, third]
    assert len(sessions("--gap", "90")) == 2
    assert history(capsys, "--board", "2")[2].endswith("Board 2 is in another room.\n")
    assert "No sessions." in history(capsys, room="!old:here")[1]


def test_what_only_a_history_has(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(folder)
    code, said = run(capsys, "sessions", "Plan", "--csv")
    assert (code, "go with --history" in said) == (1, True)
    assert "Only a running bot" in history(capsys, "--recompute")[2]


@pytest.mark.parametrize("gap", ["-5", "nan", "inf", "1e300", "soon"])
def test_what_is_no_gap(folder: Path, capsys: pytest.CaptureFixture[str], gap: str) -> None:
    code, _, err = history(capsys, f"--gap={gap}")
    assert (code, "argument --gap: invalid seconds value" in err) == (2, True)


def test_a_running_bot_reads_until_it_is_done(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(folder)
    part = {"now_ts": at(0), "recording": True, "pages": 10, "events": 5000, "full": False}
    answers: list[dict[str, Any]] = [
        {**part, "done": False, "reached_ts": at(0)},
        {**part, "done": False, "reached_ts": None},
        {**part, "done": True, "reached_ts": None, "full": True},
    ]
    asked: list[Mapping[str, Any]] = []

    async def ask(folder: Path, request: Mapping[str, Any]) -> Any:
        asked.append(request)
        return answers[len(asked) - 1]

    monkeypatch.setattr(control, "ask", ask)
    _, _, err = history(capsys, "--recompute", "--since", "2026-11-21T04:00Z")
    assert "reading: 5,000 events in 10 requests, back to 2026-11-21 00:00:00 UTC" in err
    assert "reading: 10,000 events in 20 requests, back to now" in err
    assert "The archive keeps no more" in err
    assert [one["anew"] for one in asked] == [True, False, False]
    assert asked[0]["until_ts"] == at(0)
    answers[:] = [{"now_ts": at(0), "recording": False, "done": True}]
    asked.clear()
    assert "Nothing is recorded" in history(capsys)[2]

    async def refuse(folder: Path, request: Mapping[str, Any]) -> Any:
        raise UsageError("There is no room “Plan” here.")

    monkeypatch.setattr(control, "ask", refuse)
    code, out, err = history(capsys)
    assert (code, "There is no room “Plan” here. This is what was read before." in err) == (0, True)
    assert ANN in out
    assert history(capsys, "--recompute")[0] == 1


def test_who_is_there_is_so_by_the_homeservers_clock(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(folder)
    now = {"ts": at(20)}  # when Ann and Ben were on the board

    async def ask(folder: Path, request: Mapping[str, Any]) -> Any:
        return {"now_ts": now["ts"], "recording": False, "done": True}

    async def comes() -> None:
        async with Archive(folder) as archive:
            row = Room().on(19, "@cleo:hs", call_id="board-one", expires=at(300))
            await archive.saw_memberships(ROOM, [row._replace(event_id="$cleo")])

    monkeypatch.setattr(control, "ask", ask)
    asyncio.run(comes())
    [first, *_] = json.loads(history(capsys, "--json")[1])["sessions"]
    assert [stay["end_ts"] for stay in first["spans"]] == [at(30), at(60), None]
    now["ts"] = at(18)  # a homeserver that is behind the one that Cleo is of
    [*lines] = csv.reader(io.StringIO(history(capsys, "--csv")[1]))
    assert [line[-2:] for line in lines if line[5] == "'@cleo:hs"] == [["", "0.0"]]
    [row] = [line for line in history(capsys)[1].splitlines() if "cleo" in line]
    assert "running" in row


def test_more_people_than_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room = Room()
    for number in range(past.MAX_NAMED + 2):
        room.on(0, f"@user{number}:hs", call_id="\x1b[2J")

    async def kept(rows: Sequence[Any]) -> None:
        async with Archive(folder) as archive:
            await archive.saw_memberships("!old:here", rows)

    keep(folder)
    asyncio.run(kept([row._replace(event_id=f"{row.event_id}b") for row in room.rows]))
    out = history(capsys, room="!old:here")[1]
    assert "@user4:hs and 2 more" in out
    assert "?[2J" in out
    assert "\x1b" not in out
