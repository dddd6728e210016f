"""A bad connection: loses, doubles and reorders packets, the same ones for the same seed."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, TypeVar

Packet = TypeVar("Packet")


class Link:
    """What happens to packets on their way.

    Args:
        loss: share of packets that never arrive.
        duplicate: share that arrives twice.
        reorder: share that is held back until one to three later packets have passed.
        seed: decides which ones.
    """

    def __init__(
        self, loss: float = 0.0, duplicate: float = 0.0, reorder: float = 0.0, seed: int = 0
    ) -> None:
        self._loss, self._duplicate, self._reorder = loss, duplicate, reorder
        self._random = random.Random(seed)
        self._held: list[tuple[int, Any]] = []
        self.counts: Counter[str] = Counter()
        """How many were `lost`, `duplicated`, `reordered`."""

    @property
    def holds(self) -> bool:
        """Whether packets are held back."""
        return bool(self._held)

    def offer(self, packet: Packet) -> list[Packet]:
        """Hands in a packet; returns what arrives now, in this order."""
        self._held = [(left - 1, held) for left, held in self._held]
        arriving = self._arriving(packet)
        due = [held for left, held in self._held if left <= 0]
        self._held = [(left, held) for left, held in self._held if left > 0]
        return arriving + due

    def flush(self) -> list[Any]:
        """Returns what is still held back: nothing more comes."""
        held = [packet for _, packet in self._held]
        self._held = []
        return held

    def _arriving(self, packet: Packet) -> list[Packet]:
        if self._random.random() < self._loss:
            self.counts["lost"] += 1
            return []
        if self._random.random() < self._reorder:
            self.counts["reordered"] += 1
            self._held.append((self._random.randint(1, 3), packet))
            return []
        if self._random.random() < self._duplicate:
            self.counts["duplicated"] += 1
            return [packet, packet]
        return [packet]
