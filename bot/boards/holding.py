"""Holding: what comes for a board while a large snapshot is merged, bounded."""

from __future__ import annotations

from collections.abc import Sequence

from bot import metrics
from bot.services import Arrival
from bot.whiteboard.message import CursorMove, Update

MAX_COUNT = 4_000
"""Messages held: of ten people who draw, those of several seconds."""
MAX_BYTES = 8_000_000
"""Bytes of packets held."""


class Holding:
    """Messages in the order they came.

    Cursors are given up first, as the next one says it all; then the latest messages.

    Attributes:
        messages: what is held.
        lost: whether changes were given up: the document lacks something from here on.
    """

    def __init__(self) -> None:
        self.messages: list[Arrival] = []
        self.lost = False
        self._bytes = 0

    def add(self, arrivals: Sequence[Arrival]) -> None:
        """Hold more messages."""
        self.messages += arrivals
        self._bytes += sum(len(arrival.raw) for arrival in arrivals)
        if self._is_full:
            self._give_up_cursors()
        while self._is_full:
            last = self.messages.pop()
            self._bytes -= len(last.raw)
            self.lost |= isinstance(last.message, Update)
            metrics.PACKETS.labels("too_many").inc()

    @property
    def _is_full(self) -> bool:
        return len(self.messages) > MAX_COUNT or self._bytes > MAX_BYTES

    def _give_up_cursors(self) -> None:
        kept = [one for one in self.messages if not isinstance(one.message, CursorMove)]
        metrics.PACKETS.labels("too_many").inc(len(self.messages) - len(kept))
        self.messages = kept
        self._bytes = sum(len(arrival.raw) for arrival in kept)
