"""A receiver of webhooks that can be down, slow or picky."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SECRET = "what only both know"


@dataclass(frozen=True, slots=True)
class Taken:
    """One request that was taken.

    Attributes:
        board: the whiteboard it is about.
        key: its Idempotency-Key.
        events: what it tells.
    """

    board: str
    key: str
    events: list[dict[str, Any]]

    @property
    def seqs(self) -> list[int]:
        """The numbers of the events."""
        return [event["seq"] for event in self.events]


@dataclass
class Receiver:
    """Keeps what it took.

    Attributes:
        url: where it listens.
        status: what it answers now.
        headers: of its answers.
        garbage: what it sends instead of an answer, and then hangs up.
        slow: seconds until it answers what it has read.
        never: entries it answers 422 to.
        taken: the requests it took, in order, repetitions included.
        arrived: how many requests it has read.
        refused: how many requests it did not take.
        elsewhere: how many came to where redirects lead.
    """

    url: str = ""
    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    garbage: bytes = b""
    slow: float = 0.0
    never: Collection[int] = ()
    taken: list[Taken] = field(default_factory=list)
    arrived: int = 0
    refused: int = 0
    elsewhere: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Check the signature as the documentation says, and take the events."""
        body = await request.read()
        signed = request.headers["Boardkeeper-Timestamp"].encode() + b"." + body
        expected = "v1=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(request.headers["Boardkeeper-Signature"], expected):
            return web.Response(status=401)
        self.arrived += 1
        found = json.loads(body)
        key = request.headers["Idempotency-Key"]
        told = Taken(found["board"]["whiteboard_id"], key, found["events"])
        status = 422 if set(told.seqs) & set(self.never) else self.status
        if status >= 300 or self.garbage:
            self.refused += 1
        else:
            self.taken.append(told)
        # Whoever dies meanwhile does not learn that it was taken.
        await asyncio.sleep(self.slow)
        if self.garbage and request.transport is not None:
            request.transport.write(self.garbage)
            request.transport.close()
        return web.Response(status=status, headers=self.headers)

    async def redirected(self, _request: web.Request) -> web.Response:
        """Count who follows a redirect."""
        self.elsewhere += 1
        return web.Response(status=204)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it took, in order, repetitions included."""
        return [event for one in self.taken for event in one.events]

    @property
    def seqs(self) -> list[int]:
        """The numbers of what it took, in order."""
        return [event["seq"] for event in self.events]

    def seqs_of(self, board: str) -> list[int]:
        """The numbers of what it took of one board, in order."""
        return [seq for one in self.taken if one.board == board for seq in one.seqs]

    def updates_of(self, board: str) -> list[bytes]:
        """The changes of a board it took, each once, in order of their numbers."""
        told = [event for one in self.taken if one.board == board for event in one.events]
        once = {event["seq"]: event for event in told}
        return [b64decode(once[seq]["update"]) for seq in sorted(once)]

    def in_order(self) -> bool:
        """Whether no board's numbers skip one that it had not got yet."""
        boards = {one.board for one in self.taken}
        return all(in_order(seqs := self.seqs_of(one), sorted(set(seqs))) for one in boards)


def in_order(seqs: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether somebody who was told these numbers never got one before the one that precedes it.

    Args:
        seqs: as they came, repetitions included.
        wanted: all there are, ascending.
    """
    places = {seq: place for place, seq in enumerate(wanted)}
    reached = -1
    for seq in seqs:
        place = places.get(seq, len(wanted))
        if place > reached + 1:
            return False
        reached = max(reached, place)
    return True


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Listen on loopback."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.answer)
    app.router.add_route("*", "/elsewhere", receiver.redirected)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
