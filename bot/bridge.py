"""Bridge: what people of one profile do on a board reaches those of the other.

It comes from us there, as LiveKit lets nobody speak for another. Changes are passed once the board
has taken them, and only what was new to it: so nothing goes round between two bridges.

Who presents is remembered: NeoBoard ends a presentation when its presenter leaves, which people of
the other profile do not see; and tells it to whoever comes later.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet

from bot import metrics
from bot.errors import Transient, UsageError
from bot.rtc.membership import LEGACY, STICKY
from bot.rtc.profile import Device
from bot.services import Arrival
from bot.whiteboard.message import CursorMove, Message, Present

MAX_QUEUED = 2_000
"""Messages that wait to be passed on, of 64 kB at the most; what is lost comes with a snapshot."""

OTHER: Mapping[str, str] = {LEGACY: STICKY, STICKY: LEGACY}

_log = logging.getLogger(__name__)

Side = tuple[str, str]
"""A profile, and a board by its whiteboard id."""


class Bridge:
    """Passes messages between the profiles of one room's boards, in order.

    Args:
        send: sends a message to everybody on a board by one profile.
    """

    def __init__(self, send: Callable[[Side, Message], Awaitable[None]]) -> None:
        self._send = send
        self._queue: deque[tuple[Side, Message]] = deque()
        self._cursors: dict[tuple[Side, Device], CursorMove] = {}
        self._presenting: dict[Side, tuple[Device, Present]] = {}  # by where the presenter is
        self._wake = asyncio.Event()

    def take(self, side: Side, who: Device | None, message: Message) -> None:
        """Take what somebody did.

        Args:
            side: where he is.
            who: the device; None when nobody knows: then only changes are passed on.
            message: as it came.
        """
        profile, whiteboard_id = side
        there = OTHER[profile], whiteboard_id
        if isinstance(message, CursorMove):
            if who is not None:
                self._cursors[there, who] = message  # only where it is now is of interest
                self._wake.set()
            return
        if isinstance(message, Present):
            if who is None:
                return
            self._present(side, who, message)
        self._put(there, message)

    def _present(self, side: Side, who: Device, message: Present) -> None:
        if message.target is not None:
            self._presenting[side] = (who, message)
        elif side in self._presenting and self._presenting[side][0] == who:
            del self._presenting[side]

    def _put(self, side: Side, message: Message) -> None:
        if len(self._queue) >= MAX_QUEUED:
            metrics.BRIDGED.labels("dropped").inc()
            return
        self._queue.append((side, message))
        self._wake.set()

    def shown(self, side: Side) -> Present | None:
        """Return what is presented to a side by somebody of the other, for who comes there."""
        profile, whiteboard_id = side
        found = self._presenting.get((OTHER[profile], whiteboard_id))
        return None if found is None else found[1]

    def look(self, whiteboard_id: str, here: Mapping[str, AbstractSet[Device]]) -> None:
        """End the presentations of who is not on the board any more.

        Args:
            whiteboard_id: the board.
            here: the devices on it by profile.
        """
        for profile, devices in here.items():
            side = profile, whiteboard_id
            if side in self._presenting and self._presenting[side][0] not in devices:
                self._end(side)

    def forget(self, whiteboard_id: str) -> None:
        """End what is presented across: the board is bridged no more."""
        for profile in OTHER:
            if (profile, whiteboard_id) in self._presenting:
                self._end((profile, whiteboard_id))

    def _end(self, side: Side) -> None:
        profile, whiteboard_id = side
        _, message = self._presenting.pop(side)
        self._put((OTHER[profile], whiteboard_id), Present(message.kind, None))

    async def run(self) -> None:
        """Pass messages on until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Pass on what waits."""
        while self._queue or self._cursors:
            while self._queue:
                side, message = self._queue.popleft()
                await self._pass(side, message)
            cursors, self._cursors = self._cursors, {}
            for (side, _), cursor in cursors.items():
                await self._pass(side, cursor)

    async def _pass(self, side: Side, message: Message) -> None:
        try:
            await self._send(side, message)
        except (Transient, UsageError):
            # Who is not connected is told when he comes; what is too large comes as a snapshot.
            _log.debug("a message could not be passed to the other profile")
            metrics.BRIDGED.labels("dropped").inc()
        else:
            metrics.BRIDGED.labels(type(message).__name__.lower()).inc()


def device_of(arrival: Arrival) -> Device | None:
    """Return who sent a message; None when nobody knows."""
    if arrival.sender is None or arrival.device is None:
        return None
    return arrival.sender, arrival.device
