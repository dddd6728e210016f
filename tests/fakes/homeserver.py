"""A homeserver that answers what a test wants, for faults a real one does not show on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer.

    Attributes:
        status: of HTTP.
        body: as JSON, unless it is bytes.
        headers: beside the usual ones.
        hang: never answer.
        wait: answer only once this is set.
    """

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    wait: asyncio.Event | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


Play = Answer | Callable[[Seen], Answer]


def refused(status: int, errcode: str, **more: Any) -> Answer:
    return Answer(status, {"errcode": errcode, "error": "SECRET said the server", **more})


class FakeHomeserver:
    """Plays the answers it was given, in order, per method and end of path; the last one stays."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.url = ""
        self._plays: dict[tuple[str, str], list[Play]] = {}

    def on(self, method: str, path_end: str, *plays: Play) -> None:
        self._plays[method, path_end] = list(plays)

    def asked(self, path_end: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path.endswith(path_end)]

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[FakeHomeserver]:
        fake = cls()
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", fake._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.05, handle_signals=False, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            fake.url = f"http://{host}:{port}"
            yield fake
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        seen = Seen(
            request.method,
            request.raw_path.partition("?")[0],
            dict(request.query),
            request.headers,
            json.loads(raw) if raw else None,
        )
        self.seen.append(seen)
        play = self._next(seen)
        answer = play if isinstance(play, Answer) else play(seen)
        if answer.hang:
            await asyncio.Event().wait()
        if answer.wait is not None:
            await answer.wait.wait()
        raw_answer = isinstance(answer.body, bytes)
        return web.Response(
            status=answer.status,
            body=answer.body if raw_answer else json.dumps(answer.body).encode(),
            headers=answer.headers,
            content_type="application/octet-stream" if raw_answer else "application/json",
        )

    def _next(self, seen: Seen) -> Play:
        for (method, path_end), plays in self._plays.items():
            if method == seen.method and seen.path.endswith(path_end):
                return plays.pop(0) if len(plays) > 1 else plays[0]
        return refused(404, "M_UNRECOGNIZED")


class MemoryTokens:
    """Keeps texts in memory, and what was stored in which order."""

    def __init__(self, **texts: str) -> None:
        self.texts = dict(texts)
        self.history: list[tuple[str, str]] = []

    async def get(self, name: str) -> str | None:
        return self.texts.get(name)

    async def set(self, name: str, value: str) -> None:
        self.texts[name] = value
        self.history.append((name, value))
