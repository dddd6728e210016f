"""What came in on a connection and has not been taken yet: bounded in count and bytes.

Filled by the native library's threads, emptied by one task of the event loop, which is woken once
however much comes before it runs.

At a bound the newest packet is dropped and counted. What is left is the older part without holes,
so updates still find their causes; the rest is healed by the next snapshot, as for any lost packet.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from threading import Lock

BATCH = 500
"""Packets handed over at once at the most."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as it came.

    Attributes:
        identity: LiveKit identity of the sender; None while the SFU has not announced him, which
            it does up to 3 s after he joined. Nothing else about him is known then.
        data: what he sent.
        reliable: whether it came on the reliable channel.
        topic: as sent; NeoBoard leaves it empty.
        at: when it arrived, in seconds of `time.monotonic()`.
    """

    identity: str | None
    data: bytes = field(repr=False)
    reliable: bool
    topic: str
    at: float


class Inbox:
    """A bounded queue of packets; made in the event loop that empties it.

    Attributes:
        received: packets taken in.
        dropped: packets refused at a bound.
    """

    def __init__(self, max_packets: int, max_bytes: int) -> None:
        self.received = 0
        self.dropped = 0
        self._max_packets = max_packets
        self._max_bytes = max_bytes
        self._packets: deque[Packet] = deque()
        self._bytes = 0
        # Several native threads fill it, and `+=` on a number is not one step.
        self._lock = Lock()
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        self._woken = False

    def put(self, packet: Packet) -> None:
        """Take a packet in, or drop it; from any thread, without waiting."""
        size = len(packet.data)
        with self._lock:
            if len(self._packets) >= self._max_packets or self._bytes + size > self._max_bytes:
                self.dropped += 1
                return
            self.received += 1
            self._bytes += size
            self._packets.append(packet)
            wake, self._woken = not self._woken, True
        if wake:
            with contextlib.suppress(RuntimeError):  # the event loop has ended before the room
                self._loop.call_soon_threadsafe(self._filled.set)

    async def take(self) -> list[Packet]:
        """Wait for packets and return the oldest, in order; at most `BATCH`."""
        await self._filled.wait()
        with self._lock:
            taken = [self._packets.popleft() for _ in range(min(BATCH, len(self._packets)))]
            self._bytes -= sum(len(packet.data) for packet in taken)
            if not self._packets:
                self._filled.clear()
                self._woken = False
        return taken
