"""Orders: the files that are left for the bot, and what it does not understand."""

from __future__ import annotations

import asyncio
import stat
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.control import orders
from bot.control.orders import Orders
from bot.errors import UsageError
from tests.fakes.rooms import BOT, KEY, NOW, MemoryArchive


def test_a_file_is_left_for_the_bot_alone_and_read_once(tmp_path: Path) -> None:
    name = orders.leave(tmp_path, b"slides")
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert orders.fetch(tmp_path, name) == b"slides"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="cannot be read"):
        orders.fetch(tmp_path, name)


def test_only_files_that_were_left_are_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"token")
    name = f"import.{'0' * 32}.nwb"
    (tmp_path / name).symlink_to(secret)
    with pytest.raises(UsageError, match="cannot be read"):
        orders.fetch(tmp_path, name)
    for other in ("secret", "../secret", f"import.{'0' * 32}.nwb/../secret", ""):
        with pytest.raises(UsageError, match="no such file"):
            orders.fetch(tmp_path, other)
    assert secret.read_bytes() == b"token"


def test_of_a_file_that_is_too_large_no_more_is_read_than_tells_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "MAX_BYTES", 10)
    assert len(orders.fetch(tmp_path, orders.leave(tmp_path, b"x" * 99))) == 11


def test_what_was_left_for_a_bot_that_has_ended_is_swept(tmp_path: Path) -> None:
    orders.leave(tmp_path, b"slides")
    mine = tmp_path / "import.mine.nwb"
    mine.write_bytes(b"")
    orders.sweep(tmp_path)
    orders.take_away(tmp_path, "import.never.nwb")
    assert list(tmp_path.iterdir()) == [mine]


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"command": "restore"}, "names no board"),
        ({"command": "restore", "board": "1"}, "does not know that order"),
        ({"command": "restore", "board": "1", "at_ts": "x", "slide": None}, "not know that order"),
        ({"command": "import", "board": "1", "file": 5, "append": False}, "not know that order"),
        ({"command": "fly", "board": "1"}, "does not know that order"),
        ({"command": "snapshot", "board": "9"}, "9"),
        ({"command": "snapshot", "board": "1"}, "not logged in yet"),
        ({"command": "clone", "board": "1", "target": "1"}, "not logged in yet"),
    ],
)
async def test_what_cannot_be_done_is_said(
    tmp_path: Path, request_: dict[str, Any], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        await ordered_of(tmp_path).answer(request_)


def ordered_of(folder: Path, host: object = None) -> Orders:
    archive = MemoryArchive()
    archive.keys[KEY] = 1
    return Orders(
        lambda: cast("Any", host),
        cast("Any", archive),
        cast("Any", None),
        empty=cast("Any", None),
        now_ts=lambda: NOW,
        committed=cast("Any", None),
        own_user=BOT,
        folder=folder,
    )


async def test_a_board_that_another_document_has_replaced_is_not_the_one_that_is_meant(
    tmp_path: Path,
) -> None:
    board = SimpleNamespace(key=replace(KEY, document_id="$another"))
    boards = SimpleNamespace(found={KEY.whiteboard_id: board})
    host = SimpleNamespace(rooms=[SimpleNamespace(room_id=KEY.room_id, boards=boards)])
    with pytest.raises(UsageError, match="in no room of the bot any more"):
        await ordered_of(tmp_path, host).answer({"command": "snapshot", "board": "1"})


async def test_one_order_is_carried_out_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy: list[int] = []

    async def write_snapshot(*_: object) -> int:
        busy.append(busy[-1] + 1 if busy else 1)
        await asyncio.sleep(0.01)
        busy.append(busy[-1] - 1)
        return 5

    monkeypatch.setattr("bot.actions.changes.write_snapshot", write_snapshot)
    one = ordered_of(tmp_path)
    request = {"command": "snapshot", "board": "1"}
    told = await asyncio.gather(*(one.answer(request) for _ in range(3)))
    assert told == [{"board": 1, "bytes": 5}] * 3
    assert max(busy) == 1
