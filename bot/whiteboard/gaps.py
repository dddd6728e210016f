"""What a document lacks: the ids that something of it builds on and that have not come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bot.whiteboard.item import Id
from bot.whiteboard.unsaved import Cover
from bot.whiteboard.update import Range, read_update
from bot.whiteboard.waiting import WaitingRoom


def gaps(waiting: WaitingRoom, clocks: Mapping[int, int]) -> tuple[Range, ...]:
    """Return the ids that are missing, as ranges.

    Args:
        waiting: what waits for them.
        clocks: per client, the clock after the last that is there.
    """
    needed = {client: clock + 1 for client, clock in waiting.given_up}
    brought = Cover()
    for one in waiting:
        update = read_update(one.data)
        for client, items in update.blocks.items():
            brought.add((client, item.clock, item.end) for item in items)
            _reach(needed, client, items[-1].end)
        for client, stop in update.needs.items():
            _reach(needed, client, stop)
        for client, _, stop in update.deletes:
            _reach(needed, client, stop)
    brought.add((client, 0, clocks[client]) for client in needed if clocks.get(client))
    return tuple(_between(brought, needed))


def _between(brought: Cover, needed: Mapping[int, int]) -> Iterator[Range]:
    reached = dict.fromkeys(needed, 0)
    for client, start, stop in brought.ranges():
        if start > reached[client]:
            yield client, reached[client], start
        reached[client] = stop
    for client, stop in needed.items():
        if stop > reached[client]:
            yield client, reached[client], stop


def _reach(needed: dict[int, int], client: int, stop: int) -> None:
    needed[client] = max(stop, needed.get(client, 0))


class Since:
    """Since when gaps are there. `now` is in seconds, monotonic."""

    def __init__(self) -> None:
        self._since: dict[Id, float] = {}

    def look(self, found: Iterable[Range], now: float) -> list[tuple[int, int, int, float]]:
        """Take the gaps there are now; return each with the time it came up."""
        dated = [(*one, self._since.get(one[:2], now)) for one in found]
        self._since = {(client, start): since for client, start, _, since in dated}
        return dated
