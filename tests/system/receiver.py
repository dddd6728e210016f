"""A receiver of webhooks that can be down, slow or picky."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SECRET = "what only both know"


@dataclass
class Receiver:
    """Keeps what it took.

    Attributes:
        url: where it listens.
        status: what it answers now.
        events: what it took, in order, repetitions included.
        refused: how many requests it did not take.
    """

    url: str = ""
    status: int = 204
    events: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Check the signature as the documentation says, and take the events."""
        body = await request.read()
        signed = request.headers["Boardkeeper-Timestamp"].encode() + b"." + body
        expected = "v1=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(request.headers["Boardkeeper-Signature"], expected):
            return web.Response(status=401)
        if self.status >= 300:
            self.refused += 1
        else:
            self.events += json.loads(body)["events"]
        return web.Response(status=self.status)

    @property
    def seqs(self) -> list[int]:
        """The numbers of what it took, in order."""
        return [event["seq"] for event in self.events]

    @property
    def updates(self) -> list[bytes]:
        """The changes it took, each once, in order of their numbers."""
        once = {event["seq"]: event for event in self.events}
        return [b64decode(once[seq]["update"]) for seq in sorted(once)]

    def in_order(self) -> bool:
        """Whether it never got a number that skips one it had not got yet."""
        wanted = sorted(set(self.seqs))
        reached = -1
        for seq in self.seqs:
            at = wanted.index(seq)
            if at > reached + 1:
                return False
            reached = max(reached, at)
        return True


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Listen on loopback."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
