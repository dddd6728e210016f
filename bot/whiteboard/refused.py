"""Refused updates, kept apart: what their author does next builds on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from bot.errors import InvalidUpdate
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

    def behind(self, gaps: Iterable[Range]) -> dict[int, list[bytes]]:
        """Return per client the updates that fill its gaps, in order of their clocks."""
        found: dict[int, dict[bytes, int]] = {}
        for gap in gaps:
            for data, brings in self._all.items():
                for one in brings:
                    if one[0] == gap[0] and one[1] < gap[2] and gap[1] < one[2]:
                        found.setdefault(gap[0], {})[data] = one[1]
        return {client: sorted(ones, key=ones.__getitem__) for client, ones in found.items()}


def of_clients(updates: Iterable[bytes], clients: Collection[int]) -> list[bytes]:
    """Return the updates that bring something of these clients and of nobody else."""
    return [one for one in updates if read_update(one).blocks.keys() <= set(clients)]
