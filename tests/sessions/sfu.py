"""An SFU in memory: packets are lost, doubled, late; whoever is new is not heard at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.sessions.script import Script

TRAVEL = (0.01, 0.08)
"""Seconds a packet takes."""
LATE = 0.6
"""Seconds at the most by which one comes late that others overtake."""


@dataclass(eq=False)
class Seat:
    """A participant.

    Attributes:
        hear: takes a packet; its sender is None while he is not announced.
        meet: hears of others who come (True) and go.
        known: the identities announced to him.
    """

    identity: str
    hear: Callable[[str | None, bytes], None]
    meet: Callable[[str, bool], None] = lambda _identity, _here: None
    known: set[str] = field(default_factory=set)


class Sfu:
    """One LiveKit room."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._seats: dict[str, Seat] = {}
        self._dice: dict[tuple[str, str], random.Random] = {}
        self._last: dict[tuple[str, str], float] = {}
        # Lost on the way up or on the way down.
        self._loss = 1 - (1 - script.loss) ** 0.5
        self._loop = asyncio.get_running_loop()

    def join(self, seat: Seat, announced: float) -> None:
        """Come in; the others hear of it after some seconds."""
        self._seats[seat.identity] = seat
        for other in self._seats.values():
            if other is not seat:
                seat.known.add(other.identity)
                seat.meet(other.identity, True)
        self._loop.call_later(announced, self._announce, seat)

    def leave(self, seat: Seat) -> None:
        """Go."""
        if self._seats.pop(seat.identity, None) is not None:
            for other in self._seats.values():
                other.known.discard(seat.identity)
                other.meet(seat.identity, False)

    def _announce(self, seat: Seat) -> None:
        if self._seats.get(seat.identity) is seat:
            for other in self._seats.values():
                if other is not seat and seat.identity not in other.known:
                    other.known.add(seat.identity)
                    other.meet(seat.identity, True)

    def send(self, seat: Seat, data: bytes, *, reliable: bool, to: Sequence[str] = ()) -> None:
        """Send a packet to all others, or to some."""
        lost = not reliable and self._rolls(seat.identity, "").random() < self._loss
        if lost:
            return
        for other in list(self._seats.values()):
            if other is not seat and (not to or other.identity in to):
                way = self._reliable if reliable else self._lossy
                way(seat.identity, other, data)

    def _reliable(self, sender: str, receiver: Seat, data: bytes) -> None:
        """In order; what is lost is sent again."""
        key = (sender, receiver.identity)
        dice = self._rolls(*key)
        at = self._loop.time() + dice.uniform(*TRAVEL)
        while dice.random() < self._loss:
            at += 0.2
        self._last[key] = at = max(at, self._last.get(key, 0.0))
        self._loop.call_at(at, self._arrive, sender, receiver, data)

    def _lossy(self, sender: str, receiver: Seat, data: bytes) -> None:
        dice, script = self._rolls(sender, receiver.identity), self._script
        if dice.random() < self._loss:
            return
        for _ in range(2 if dice.random() < script.duplicate else 1):
            delay = dice.uniform(*TRAVEL)
            if dice.random() < script.reorder:
                delay += dice.uniform(0.0, LATE)
            self._loop.call_later(delay, self._arrive, sender, receiver, data)

    def _arrive(self, sender: str, receiver: Seat, data: bytes) -> None:
        if self._seats.get(receiver.identity) is receiver:
            receiver.hear(sender if sender in receiver.known else None, data)

    def _rolls(self, sender: str, receiver: str) -> random.Random:
        """For each pair its own, so that people have the same losses with the bot and without."""
        key = (sender, receiver)
        if key not in self._dice:
            self._dice[key] = random.Random(f"way {self._script.seed} {key}")
        return self._dice[key]
