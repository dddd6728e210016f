"""What a simulated user sends: through a link, counted, cursors at their beat."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable

from tests.stack.client.channel import Channel
from tests.stack.client.jobs import Jobs
from tests.stack.client.link import Link
from tests.stack.client.throttle import Throttle

_CURSOR_EVERY = 0.1
_HELD_FOR = 0.3
_TYPE = re.compile(rb'"type": ?"net\.nordeck\.whiteboard\.(\w+)"')


class Outbox:
    """The way out of one client.

    Args:
        link: what happens to packets on the way.
        channel: tells the connection of the moment.

    Attributes:
        made: type → packets that were to be sent.
        sent: type → packets on the wire, after the link.
        unsent: type → packets that no connection took.
    """

    def __init__(self, link: Link, channel: Callable[[], Channel | None]) -> None:
        self.link = link
        self.made: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.unsent: Counter[str] = Counter()
        self._channel = channel
        self._jobs = Jobs()
        self._cursor = Throttle[bytes](_CURSOR_EVERY, leading=True)
        self._trailing = False
        self._flushing = asyncio.Lock()

    async def send(self, payload: bytes, *, reliable: bool = False) -> None:
        """Sends a packet."""
        self.made[_type(payload)] += 1
        for packet, kind in self.link.offer((payload, reliable)):
            await self._put(packet, reliable=kind)
        if self.link.holds:
            self._jobs.start(self._flush_later())

    async def flush(self) -> None:
        """Sends what the link holds back; when it returns, all of it is counted."""
        async with self._flushing:
            for packet, reliable in self.link.flush():
                await self._put(packet, reliable=reliable)

    async def send_cursor(self, payload: bytes) -> None:
        """Sends a cursor: at most ten times a second, and in the end the last one."""
        packet = self._cursor.offer(payload, time.monotonic())
        if packet is not None:
            await self.send(packet)
        if not self._trailing:
            self._trailing = True
            self._jobs.start(self._trail())

    def check(self) -> None:
        """Raises what went wrong in the background."""
        self._jobs.check()

    async def end(self) -> None:
        """Drops what is still to be sent."""
        self.link.flush()
        self._trailing = False
        await self._jobs.end()

    async def _put(self, packet: bytes, *, reliable: bool) -> None:
        channel = self._channel()
        sent = channel is not None and await channel.send(packet, reliable=reliable)
        (self.sent if sent else self.unsent)[_type(packet)] += 1

    async def _flush_later(self) -> None:
        await asyncio.sleep(_HELD_FOR)
        await self.flush()

    async def _trail(self) -> None:
        while self._cursor.deadline is not None:
            await asyncio.sleep(self._cursor.deadline - time.monotonic())
            packet = self._cursor.take(time.monotonic())
            if packet is not None:
                await self.send(packet)
        self._trailing = False


def _type(packet: bytes) -> str:
    found = _TYPE.search(packet)
    return found[1].decode() if found else "junk"
