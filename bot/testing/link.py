"""The way of packets from a person to somebody else: in order and whole, or as bad as one wants."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quality:
    """How bad the way is; probabilities from 0 to 1, for each packet.

    Attributes:
        loss: it never comes.
        duplication: it comes twice.
        reordering: it comes after the next one.
    """

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0


class Link:
    """One way.

    Args:
        quality: how bad it is.
        dice: decide.
        arrive: takes what comes out at the other end.
    """

    def __init__(
        self, quality: Quality, dice: random.Random, arrive: Callable[[bytes], None]
    ) -> None:
        self._quality = quality
        self._dice = dice
        self._arrive = arrive
        self._late: list[bytes] = []

    def send(self, packet: bytes) -> None:
        """Take a packet."""
        late, self._late = self._late, []
        if self._dice.random() >= self._quality.loss:
            copies = 2 if self._dice.random() < self._quality.duplication else 1
            if self._dice.random() < self._quality.reordering:
                self._late = [packet] * copies
            else:
                late = [packet] * copies + late
        self._deliver(late)

    def flush(self) -> None:
        """Let arrive what is late."""
        late, self._late = self._late, []
        self._deliver(late)

    def _deliver(self, packets: list[bytes]) -> None:
        for packet in packets:
            self._arrive(packet)
