"""Bridge: what people of one profile do on a board reaches those of the other.

It comes from us there, as LiveKit lets nobody speak for another. Changes are passed once the board
has taken them, and only what was new to it; of signals the latest of each person and kind, and none
that was passed the other way just before. So nothing goes round between two bridges that do not
know of each other yet.

Who presents is remembered: NeoBoard ends a presentation when its presenter leaves, which people of
the other profile do not see; and tells it to whoever comes later.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Container, Mapping
from math import inf
from time import monotonic

from bot import metrics
from bot.errors import Transient, UsageError
from bot.rtc.membership import LEGACY, STICKY
from bot.rtc.profile import Device
from bot.services import Arrival
from bot.whiteboard.message import Message, Present, Signal, Update

MAX_QUEUED = 2_000
"""Changes that wait to be passed on, of 64 kB at the most; what is lost comes with a snapshot."""
ECHO = 0.5
"""Seconds in which the same signal from where we have passed it to is our own, come round: people
are not that quick to do the same."""

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
        self._updates: deque[tuple[Side, Update]] = deque()
        self._signals: dict[tuple[Side, Device, str], Signal] = {}  # by kind
        self._passed: dict[tuple[Side, Signal], float] = {}  # where to, and when, monotonic
        self._presenting: dict[Side, tuple[Device, Present]] = {}  # by where the presenter is
        self._wake = asyncio.Event()

    def take(self, side: Side, who: Device | None, message: Message) -> None:
        """Take what somebody did, to be passed on.

        Args:
            side: where he is.
            who: the device; None when nobody knows: then only changes are passed on.
            message: as it came.
        """
        profile, whiteboard_id = side
        there = OTHER[profile], whiteboard_id
        if isinstance(message, Update):
            self._put(there, message)
        elif who is not None and self._passed.get((side, message), -inf) < monotonic() - ECHO:
            self._signal(there, who, message)

    def note(self, side: Side, who: Device, message: Present) -> None:
        """Remember who presents, whether it is passed on now or only to who comes later."""
        if message.target is not None:
            self._presenting[side] = (who, message)
        elif side in self._presenting and self._presenting[side][0] == who:
            del self._presenting[side]

    def _put(self, side: Side, update: Update) -> None:
        if len(self._updates) >= MAX_QUEUED:
            metrics.BRIDGED.labels("dropped").inc()
            return
        self._updates.append((side, update))
        self._wake.set()

    def _signal(self, side: Side, who: Device, message: Signal) -> None:
        """Only the latest of a kind is of interest: where a cursor is, what is shown."""
        kind = message.kind if isinstance(message, Present) else type(message).__name__
        self._signals.pop((side, who, kind), None)
        self._signals[side, who, kind] = message
        self._wake.set()

    def shown(self, side: Side) -> Present | None:
        """Return what is presented to a side by somebody of the other, for who comes there."""
        profile, whiteboard_id = side
        found = self._presenting.get((OTHER[profile], whiteboard_id))
        return None if found is None else found[1]

    def look(self, whiteboard_id: str, here: Mapping[str, Container[Device]]) -> None:
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
        who, message = self._presenting.pop(side)
        self._signal((OTHER[profile], whiteboard_id), who, Present(message.kind, None))

    async def run(self) -> None:
        """Pass messages on until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Pass on what waits."""
        while self._updates or self._signals:
            while self._updates:
                await self._pass(*self._updates.popleft())
            signals, self._signals = self._signals, {}
            for (side, _, _), signal in signals.items():
                self._remember(side, signal)
                await self._pass(side, signal)

    def _remember(self, side: Side, signal: Signal) -> None:
        now = monotonic()
        self._passed.pop((side, signal), None)
        self._passed[side, signal] = now
        oldest = next(iter(self._passed))
        while self._passed[oldest] < now - ECHO or len(self._passed) > MAX_QUEUED:
            del self._passed[oldest]
            oldest = next(iter(self._passed))

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
