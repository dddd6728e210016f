"""Updates that wait for what they build on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush

from bot.whiteboard.item import Id

MAX_COUNT = 2_000
"""Updates that wait at once; beyond, the oldest are given up."""

MAX_WEIGHT = 20_000
"""Items and deleted ranges that wait at once: with those of a document they have to be readable."""


class Waiting:
    """An update that waits.

    Args:
        data: the update.
        partly: whether it is taken piece by piece (what a snapshot left) or as a whole.
        causes: ids it waits for; with one of them there it is worth another try.
        brings: the last id it brings of each client.
        weight: how many items and deleted ranges it has.
    """

    __slots__ = ("brings", "causes", "data", "partly", "weight")

    def __init__(
        self,
        data: bytes,
        *,
        partly: bool,
        causes: tuple[Id, ...],
        brings: tuple[Id, ...],
        weight: int = 1,
    ) -> None:
        self.data = data
        self.partly = partly
        self.causes = causes
        self.brings = brings
        self.weight = weight


class WaitingRoom:
    """Keeps updates until a cause of theirs is there. Bounded in count, bytes and weight.

    Args:
        max_bytes: that may wait at once.

    Attributes:
        size: bytes that wait.
        lost: updates given up so far.
        freed: how often one was taken out as its cause had come.
    """

    def __init__(self, max_bytes: int) -> None:
        self.size = 0
        self.lost = self.freed = 0
        self._max_bytes = max_bytes
        self._all: dict[bytes, Waiting] = {}  # oldest first
        self._blocked: dict[int, list[tuple[int, bytes]]] = {}  # per client waited for, a heap
        self._weight = 0
        self._entries = 0  # in those heaps, some of them of updates that wait no longer
        self._given_up: dict[int, int] = {}  # per client, the last clock of what is lost

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._all.values())

    def __contains__(self, data: bytes) -> bool:
        return data in self._all

    @property
    def has_gap(self) -> bool:
        """Whether anything waits, or was given up and has not come by another way."""
        return bool(self._all or self._given_up)

    @property
    def given_up(self) -> tuple[Id, ...]:
        """Per client, the last id of what was given up and has not come since."""
        return tuple(self._given_up.items())

    def copy(self) -> WaitingRoom:
        """Return another one that keeps and has lost the same."""
        other = WaitingRoom(self._max_bytes)
        for one in self:
            other.add(one)
        other.lost, other.freed = self.lost, self.freed
        other._given_up = dict(self._given_up)
        return other

    def add(self, one: Waiting) -> None:
        """Keep an update that is not kept yet."""
        self._all[one.data] = one
        self.size += len(one.data)
        self._weight += one.weight
        self._block(one)
        while self._is_full:
            oldest = next(iter(self._all.values()))
            self._remove(oldest)
            self.give_up(oldest.brings)
        if self._entries > 4 * MAX_COUNT:
            self._blocked.clear()
            self._entries = 0
            for other in self._all.values():
                self._block(other)

    @property
    def _is_full(self) -> bool:
        return (
            len(self._all) > MAX_COUNT or self.size > self._max_bytes or self._weight > MAX_WEIGHT
        )

    def _block(self, one: Waiting) -> None:
        for client, clock in one.causes:
            heappush(self._blocked.setdefault(client, []), (clock, one.data))
        self._entries += len(one.causes)

    def give_up(self, brings: Iterable[Id]) -> None:
        """Note that an update is lost: that is a gap until its items come by another way."""
        self.lost += 1
        for client, clock in brings:
            self._given_up[client] = max(clock, self._given_up.get(client, 0))
        while len(self._given_up) > MAX_COUNT:
            del self._given_up[next(iter(self._given_up))]

    def _remove(self, one: Waiting) -> None:
        del self._all[one.data]
        self.size -= len(one.data)
        self._weight -= one.weight

    def take_ready(self, clients: Iterable[int], clocks: Mapping[int, int]) -> list[Waiting]:
        """Take out what may go on.

        Args:
            clients: those that something new is there of.
            clocks: per client, the clock after the last there is.
        """
        ready: dict[bytes, Waiting] = {}
        for client in clients:
            there = clocks.get(client, 0)
            if self._given_up.get(client, there) < there:
                del self._given_up[client]
            blocked = self._blocked.get(client)
            while blocked and blocked[0][0] < there:
                self._entries -= 1
                one = self._all.get(heappop(blocked)[1])
                if one is not None:
                    ready[one.data] = one
        for one in ready.values():
            self._remove(one)
        self.freed += len(ready)
        return list(ready.values())
