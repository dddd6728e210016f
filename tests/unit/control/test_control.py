from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot.control import control
from bot.control.control import Control, NotRunning, ask
from bot.errors import UsageError


async def answer(request: Mapping[str, Any]) -> Any:
    match request.get("command"):
        case "echo":
            return request["text"]
        case "wrong":
            raise UsageError("There is no room “x”.")
        case "slow":
            await asyncio.sleep(request["seconds"])
            return "late"
        case "import":
            await asyncio.sleep(0.5)
            return "imported"
        case _:
            raise RuntimeError("a bug")


@pytest_asyncio.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    async with Control(tmp_path, answer):
        yield tmp_path


async def raw(folder: Path, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(folder / control.SOCKET_NAME))
    writer.write(data)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_requests_are_answered(folder: Path) -> None:
    assert await ask(folder, {"command": "echo", "text": "é\n“"}) == "é\n“"
    with pytest.raises(UsageError, match="There is no room “x”"):
        await ask(folder, {"command": "wrong"})
    with pytest.raises(UsageError, match="the bot's log says why"):
        await ask(folder, {"command": "?"})
    assert await ask(folder, {"command": "echo", "text": 1}) == 1


async def test_the_socket_is_its_owner_s_alone_and_goes_at_the_end(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with Control(tmp_path, answer):
            mode = (tmp_path / control.SOCKET_NAME).stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
            assert os.umask(0) == 0  # as it was
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotRunning):
        await ask(tmp_path, {"command": "echo"})


async def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        await ask(tmp_path, {})
    with pytest.raises(NotRunning):
        await ask(tmp_path / "nowhere", {})
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / control.SOCKET_NAME))
    dead.close()
    with pytest.raises(NotRunning):
        await ask(tmp_path, {})
    async with Control(tmp_path, answer):  # it takes the dead one's place
        assert await ask(tmp_path, {"command": "echo", "text": "a"}) == "a"


async def test_a_path_longer_than_sockets_take(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120) / ("e" * 120)
    folder.mkdir(parents=True)
    async with Control(folder, answer):
        assert await ask(folder, {"command": "echo", "text": "a"}) == "a"
    assert list(folder.iterdir()) == []


async def test_a_folder_that_takes_no_socket_is_only_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / control.SOCKET_NAME).mkdir()
    async with Control(tmp_path, answer):
        pass
    assert "no control socket" in caplog.text
    with pytest.raises(UsageError):
        await ask(tmp_path, {})


@pytest.mark.parametrize(
    "data", [b"\n", b"[]\n", b"\xff\n", b"{\n", b"[" * 4000 + b"\n", b"x" * 5000 + b"\n"]
)
async def test_what_is_no_request_is_refused(folder: Path, data: bytes) -> None:
    assert json.loads(await raw(folder, data))["ok"] is False
    assert await ask(folder, {"command": "echo", "text": 1}) == 1


async def test_bad_clients_hurt_nobody(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(control, "REQUEST_WITHIN", 2.0)  # none is cut before all are there
    path = str(folder / control.SOCKET_NAME)
    silent = [await asyncio.open_unix_connection(path) for _ in range(control.MAX_CLIENTS)]
    with pytest.raises(UsageError, match=r"as many requests as it can|ended before"):
        await ask(folder, {"command": "echo", "text": 1})
    for reader, _ in silent:  # those who say nothing are cut
        with contextlib.suppress(ConnectionError):
            assert not await reader.read()
    assert await ask(folder, {"command": "echo", "text": 1}) == 1
    for _, writer in silent:
        writer.close()
    _, gone = await asyncio.open_unix_connection(path)
    gone.write(b'{"command": "echo"')
    gone.close()
    _, rude = await asyncio.open_unix_connection(path)
    rude.write(b'{"command": "slow", "seconds": 0.1}\n')
    rude.transport.abort()
    await asyncio.sleep(0.2)
    assert await ask(folder, {"command": "echo", "text": 1}) == 1


async def test_who_does_not_take_the_answer_is_cut(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "REQUEST_WITHIN", 0.2)

    asked = []

    async def much(request: Mapping[str, Any]) -> str:
        asked.append(request)
        return "x" * 2**23

    path = folder / "much"
    path.mkdir()
    async with Control(path, much) as server:
        _, writer = await asyncio.open_unix_connection(str(path / control.SOCKET_NAME))
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"{}\n")
        while server._clients or not asked:
            await asyncio.sleep(0.01)
        assert len(await ask(path, {})) == 2**23
        writer.close()


async def test_what_takes_too_long(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"does not answer within 0\.1 s"):
        await ask(folder, {"command": "slow", "seconds": 2}, within=0.1)
    monkeypatch.setattr(control, "ACT_WITHIN", 0.1)
    with pytest.raises(UsageError, match=r"not done within 0\.1 s"):
        await ask(folder, {"command": "slow", "seconds": 9})
    # Pictures and snapshots take as long as the homeserver lets them.
    assert await ask(folder, {"command": "import"}) == "imported"


async def test_the_end_waits_a_little_for_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "CLOSE_WITHIN", 2.0)
    async with Control(tmp_path, answer) as server:
        quick = asyncio.create_task(ask(tmp_path, {"command": "slow", "seconds": 0.05}))
        slow = asyncio.create_task(ask(tmp_path, {"command": "slow", "seconds": 9}))
        while len(server._clients) < 2 and not quick.done():
            await asyncio.sleep(0.001)
    assert await quick == "late"
    with pytest.raises(UsageError, match="ended before"):
        await slow


async def test_a_socket_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asyncio, "open_unix_connection", denied)
    with pytest.raises(UsageError, match="the user the bot runs as"):
        await ask(tmp_path, {})
