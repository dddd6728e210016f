"""livekit-client (npm) in Debian's Chromium: a page on loopback that listens to a LiveKit room."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from tests.stack.bot import until
from tests.stack.ports import HOST
from tests.stack.processes import Process, Program, tail
from tests.stack.programs import find_program
from tests.stack.stack import Login, Stack

_HERE = Path(__file__).parent
_FILES = {
    "/": _HERE / "listener.html",
    "/listener.js": _HERE / "listener.js",
    "/livekit-client.umd.js": _HERE / "node_modules/livekit-client/dist/livekit-client.umd.js",
}
# The closed network here refuses what Chromium would ask of the outside, again and again.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--allow-loopback-in-peer-connection",
)

Report = dict[str, Any]
"""`what`, `at` (ms since 1970) and details: listener.js."""


class Listener:
    """The page, as far as it has told.

    Args:
        peer: what it is told: where to go and who it is.
    """

    def __init__(self, peer: Mapping[str, str]) -> None:
        self._peer = peer
        self.reports: list[Report] = []
        self.log = Path()

    def of(self, what: str, identity: str | None = None) -> list[Report]:
        """Reports of a kind, in order; about one participant if given."""
        return [
            report
            for report in self.reports
            if report["what"] == what and identity in (None, report.get("identity"))
        ]

    async def until(self, check: Callable[[], Any], within: float, what: str) -> Any:
        """Waits for something to be told.

        Raises:
            StackError: it was not; the text holds what was, and the browser's log.
        """
        try:
            return await until(check, within, what)
        except Exception as error:
            told = [{**one, "payload": len(one.get("payload", ""))} for one in self.reports]
            error.add_note(f"{told}\n{tail(self.log)}")
            raise

    def application(self) -> web.Application:
        """What the page is made of."""
        app = web.Application()
        for path, file in _FILES.items():
            app.router.add_get(path, _serving(file))
        app.router.add_get("/peer", self._tell)
        app.router.add_get("/reports", self._hear)
        return app

    async def _tell(self, _: web.Request) -> web.Response:
        return web.json_response(self._peer)

    async def _hear(self, asked: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(asked)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.reports.append(json.loads(message.data))
        return socket


@asynccontextmanager
async def listening(
    stack: Stack, folder: Path, login: Login, room_id: str
) -> AsyncIterator[Listener]:
    """Runs the browser for the block; it is connected to the LiveKit room when the block begins."""
    listener = Listener(
        {
            "homeserver": stack.homeserver_url,
            "serviceUrl": stack.jwt_url,
            "userId": login.user_id,
            "deviceId": login.device_id,
            "accessToken": login.access_token,
            "roomId": room_id,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    runner = web.AppRunner(listener.application(), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    process = _chromium(folder, f"http://{HOST}:{runner.addresses[0][1]}/", listener)
    listener.log = process.program.log_file
    try:
        await process.start(within=120)
        await listener.until(
            lambda: listener.of("connected") + listener.of("failed"), 15, "joining LiveKit"
        )
        assert not listener.of("failed"), listener.of("failed")
        yield listener
    finally:
        await process.stop()
        await runner.cleanup()


def _chromium(folder: Path, page: str, listener: Listener) -> Process:
    async def ready() -> bool:
        return bool(listener.reports)

    command = [find_program("chromium"), *_FLAGS, f"--user-data-dir={folder / 'profile'}", page]
    program = Program(
        name="chromium",
        command=command,
        folder=folder,
        ready=ready,
        environment={"HOME": str(folder)},
    )
    return Process(program)


def _serving(file: Path) -> Callable[[web.Request], Any]:
    async def serve(_: web.Request) -> web.FileResponse:
        return web.FileResponse(file)

    return serve
