from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import main
from bot.control.control import Control
from bot.store.archive import Archive
from bot.store.rows import RoomRow
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry, Kind

ROOM = "!plan:here"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    config = {
        "homeserver": {"url": "http://127.0.0.1:9", "user_id": "@bot:here", "password": "x"},
        "data": {"folder": "data"},
    }
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    return tmp_path / "data"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.out + said.err


async def _kept(folder: Path) -> None:
    async with Archive(folder) as archive:
        number = await archive.board_id(BoardKey(ROOM, "board-one", "$one"), 5)
        await archive.set_room(ROOM, name="Plan [x]", alias="#plan:here", noticed=True)
        await archive.append([Entry(number, 1_795_218_261_000, Kind.UPDATE, "@a:x", "A", b"x")])
        gone = await archive.board_id(BoardKey("!old:here", "board-two", "$two"), 6)
        await archive.board_gone(gone, 7)


@pytest.fixture
def archive(folder: Path) -> Path:
    asyncio.run(_kept(folder))
    return folder


async def _room(folder: Path) -> RoomRow | None:
    async with Archive(folder, read_only=True) as archive:
        return await archive.room(ROOM)


def test_boards_are_shown_with_names_people_and_state(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(capsys, "boards")
    assert code == 0
    first, second = [line for line in said.splitlines() if line.strip()][-2:]
    assert first.split() == [
        *("1", "Plan", "[x]", "board-one", "1", "1"),
        *("2026-11-20", "23:44:21", "UTC", "2026-11-20", "23:44:21", "UTC", "recording"),
    ]
    assert second.split() == ["2", "!old:here", "board-two", "0", "0", "-", "-", "gone"]
    code, said = run(capsys, "boards", "--json")
    one, two = json.loads(said)
    assert (one["id"], one["room_id"], one["room_name"]) == (1, ROOM, "Plan [x]")
    assert (one["participants"], one["state"], two["state"]) == (1, "recording", "gone")


def test_status_without_a_bot(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(capsys, "status")
    assert code == 1
    assert "The bot does not run." in said
    assert "the bot did not run here yet" in said
    asyncio.run(_kept(folder))
    code, said = run(capsys, "status")
    assert code == 1
    assert "1 entry of 2 boards, the last of 2026-11-20 23:44:21 UTC" in said
    code, said = run(capsys, "status", "--json")
    assert (code, json.loads(said)["running"]) == (1, False)


@pytest.mark.parametrize("command", [("sessions", "1"), ("leave", "1"), ("drain",)])
def test_what_needs_the_bot_says_so(
    archive: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    code, said = run(capsys, *command)
    assert code == 1
    assert f"“boardkeeper {command[0]}” needs the running bot" in said


def test_pause_and_resume_without_a_bot(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "as before" in run(capsys, "resume", "1")[1]
    code, said = run(capsys, "pause", "#plan:here")
    assert (code, "holds when it starts" in said) == (0, True)
    room = asyncio.run(_room(archive))
    assert room is not None
    assert (room.paused, room.noticed, room.resumed_ts) == (True, True, 0)
    assert "paused, as before" in run(capsys, "pause", "plan [x]")[1]
    assert run(capsys, "resume", "board-one")[0] == 0
    room = asyncio.run(_room(archive))
    assert room is not None
    assert (room.paused, room.noticed) == (False, False)
    assert room.resumed_ts > 0
    code, said = run(capsys, "pause", "Plam [x]")
    assert code == 1
    assert "Did you mean “Plan [x]”?" in said


def test_pause_without_an_archive_makes_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(capsys, "pause", "1")
    assert code == 1
    assert "did the bot ever run?" in said
    assert not folder.exists()


STATUS = {
    "running": True, "version": "1.2", "merger": "pure", "pid": 7, "since_ts": 0,
    "user_id": "@bot:here", "device_id": "D", "logged_in": True, "draining": True,
    "components": {"archive": {"ok": False, "detail": "the disk is full"}},
    "rooms": 2, "paused": 1, "boards": 1, "attended": 1, "memberships": 1, "unsaved": 0,
    "bridged": 1, "saved": [],
    "entries": 1234, "archive_bytes": 2_000_000,
    "admission": {"on": 1, "waiting": 2, "capacity": 1, "refresh": 5.0},
}  # fmt: skip
MEMBER = {
    "user_id": "@a:x", "device_id": "A", "since_ts": 1, "expires_ts": 90_061_000, "focus": None,
    "foreign_focus": False, "ours": True, "profile": "legacy",
}  # fmt: skip
OTHER = {**MEMBER, "user_id": "@c:x", "ours": False, "profile": "sticky"}
SESSIONS: dict[str, Any] = {
    "room": ROOM, "name": "Plan", "now_ts": 0, "connected": True,
    "sessions": [{
        "application": "m.call", "call_id": "ROOM", "whiteboard_id": None, "board": None,
        "next_change_ts": 90_061_000, "members": [MEMBER], "bridged": False,
    }],
}  # fmt: skip
BRIDGED = {
    **SESSIONS["sessions"][0],
    "bridged": True,
    "members": [{**MEMBER, "profile": "both"}, OTHER],
}


async def answer(request: Mapping[str, Any]) -> Any:
    match request:
        case {"command": "status"}:
            return STATUS
        case {"command": "sessions", "room": room}:
            there = {"1": SESSIONS["sessions"], "3": [BRIDGED]}.get(room, [])
            return {**SESSIONS, "sessions": there}
        case {"command": "drain", "on": True}:
            return {"withdrawn": 1, "done": False, "left": {"unsaved": 2, "handlers": 0}}
        case {"command": command}:
            return {"shown": "Plan", "changed": command == "pause", "recording": False}


async def _beside(folder: Path, work: Callable[[], Any]) -> Any:
    folder.mkdir()
    async with Control(folder, answer):
        return await asyncio.to_thread(work)


@pytest.mark.parametrize(
    ("command", "code", "texts"),
    [
        (
            ("status",),
            0,
            [
                "boardkeeper 1.2, process 7",
                "merger       in Python; compiled, as in the image",
                "@bot:here, device D\n",
                "archive      FAILING: the disk is full",
                "1 board in 2 rooms; people on 1; 1 bridged (old and new NeoBoards); 1 membership",
                "1 taken, at most 1, 2 waiting; each renewed every 5 s",
                "1,234 entries; 2.0 MB; 1 room paused",
                "DRAINED",
            ],
        ),
        (("status", "--json"), 0, ['"pid": 7']),
        (("sessions", "1"), 0, ["m.call ROOM", "@a:x (this bot)", "changes in 1 day 1 h"]),
        (("sessions", "3"), 0, ["Profile", "   both  ", "@c:x", "   sticky  "]),
        (("sessions", "2"), 0, ["Nobody is on a board."]),
        (("sessions", "1", "--json"), 0, ['"foreign_focus": false']),
        (("pause", "1"), 0, ["Plan: nothing is recorded; the room was told."]),
        (("resume", "1"), 0, ["Plan: nothing is recorded, as before."]),
        (("leave", "1"), 0, ["Plan: left."]),
        (("drain",), 1, ["not everything is done (unsaved: 2)"]),
        (("drain", "--off"), 0, ["takes part again"]),
    ],
)
def test_what_the_running_bot_answers_is_shown(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    code: int,
    texts: list[str],
) -> None:
    def work() -> int:
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert isinstance(ended.value.code, int)
        return ended.value.code

    assert asyncio.run(_beside(folder, work)) == code
    caught = capsys.readouterr()
    said = caught.out + caught.err
    for text in texts:
        assert text in said
    assert ("Profile" in said) is (command == ("sessions", "3"))
