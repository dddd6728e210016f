"""Refused updates, kept apart: what their author does next builds on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from bot.errors import InvalidUpdate
from bot.whiteboard.item import Id
from bot.whiteboard.update import Range, read_update

MAX_COUNT = 100
MAX_BYTES = 1_000_000
"""Of all that are kept; beyond, the oldest go."""


class Refused:
    """The refused updates of a board that somebody may be blocked by. Bounded in count and bytes.

    Attributes:
        size: bytes that are kept.
    """

    def __init__(self) -> None:
        self.size = 0
        self._all: dict[bytes, tuple[Range, ...]] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._all)

    def add(self, data: bytes, version: str) -> None:
        """Keep an update, unless it could never be part of a board of this version."""
        try:
            update = read_update(data)
        except InvalidUpdate:
            return
        if data not in self._all and update.blocks and update.roots <= {version}:
            self._all[data] = tuple(
                (client, items[0].clock, items[-1].end) for client, items in update.blocks.items()
            )
            self.size += len(data)
        while len(self._all) > MAX_COUNT or self.size > MAX_BYTES:
            self._remove(next(iter(self._all)))

    def forget(self, clocks: Mapping[int, int]) -> None:
        """Forget those that are part of the document by now; `clocks` are those of its clients."""
        for data, brings in list(self._all.items()):
            if all(stop <= clocks.get(client, 0) for client, _, stop in brings):
                self._remove(data)

    def _remove(self, data: bytes) -> None:
        del self._all[data]
        self.size -= len(data)

    def behind(self, causes: Iterable[Id], clocks: Mapping[int, int]) -> dict[int, list[bytes]]:
        """Return the updates that are missing, per client in the order he made them.

        Args:
            causes: ids that something waits for.
            clocks: per client, the clock after the last that is there.
        """
        reach: dict[int, int] = {}
        for client, clock in causes:
            reach[client] = max(clock, reach.get(client, clock))
        found: dict[int, dict[bytes, int]] = {}
        for data, brings in self._all.items():
            for client, start, stop in brings:
                if clocks.get(client, 0) < stop and start <= reach.get(client, -1):
                    found.setdefault(client, {})[data] = start
        return {client: sorted(ones, key=ones.__getitem__) for client, ones in found.items()}


def of_clients(updates: Iterable[bytes], clients: Collection[int]) -> list[bytes]:
    """Return the updates that bring something of these clients and of nobody else."""
    return [one for one in updates if read_update(one).blocks.keys() <= set(clients)]
