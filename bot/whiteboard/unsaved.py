"""What of a document no complete snapshot in the room holds, and since when.

A snapshot is written by one client and holds what that client had: strokes that never reached it
are missing, however old they are. So each accepted change is remembered by the ids it brought and
deleted, until a snapshot comes that has all of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from bot.errors import InvalidUpdate
from bot.whiteboard.update import (
    Range,
    read_state_vector,
    read_update,
    write_state_vector,
)

MAX_SHOWN = 64
"""Snapshots whose order is remembered: those of the last minutes."""
MAX_CHANGES = 1000
"""Changes told apart; further ones are counted to the last of them, which came before."""


@dataclass(slots=True)
class _Change:
    """Changes that came together.

    Attributes:
        since: when the first of them came.
        until: when the last of them did.
    """

    since: float
    until: float
    items: Cover
    deletes: Cover


class Cover:
    """A set of ids, as ranges of clocks per client."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: dict[int, list[int]] = {}
        self._stops: dict[int, list[int]] = {}
        self.add(ranges)

    def add(self, ranges: Iterable[Range]) -> None:
        """Add ids."""
        for client, start, stop in ranges:
            starts = self._starts.setdefault(client, [])
            stops = self._stops.setdefault(client, [])
            # All that touch or overlap become one.
            first = bisect_right(stops, start - 1)
            last = bisect_right(starts, stop)
            starts[first:last] = [min([start, *starts[first:last]])]
            stops[first:last] = [max([stop, *stops[first:last]])]

    def without(self, other: Cover) -> Cover:
        """Return the ids that are not in another set."""
        left = Cover()
        for client, start, stop in self.ranges():
            at = start
            for begin, end in zip(
                other._starts.get(client, ()), other._stops.get(client, ()), strict=True
            ):
                if begin >= stop:
                    break
                if at < begin:
                    left.add([(client, at, begin)])
                at = max(at, end)
            if at < stop:
                left.add([(client, at, stop)])
        return left

    def ranges(self) -> list[Range]:
        """Return the ids as the fewest ranges."""
        return [
            (client, start, stop)
            for client, starts in self._starts.items()
            for start, stop in zip(starts, self._stops[client], strict=True)
        ]

    def holds(self, other: Cover) -> bool:
        """Return whether all ids of another set are in this one."""
        return all(self._has(*one) for one in other.ranges())

    def _has(self, client: int, start: int, stop: int) -> bool:
        at = bisect_right(self._starts.get(client, ()), start) - 1
        return at >= 0 and stop <= self._stops[client][at]


Ids = tuple[Cover, Cover]
"""Those that an update brings, and those that it deletes."""


def read_ids(data: bytes) -> Ids:
    """Return the ids of what an update brings, and of what it deletes.

    Raises:
        InvalidUpdate: it is none.
    """
    update = read_update(data)
    items = (
        (client, item.clock, item.clock + item.length)
        for client, block in update.blocks.items()
        for item in block
    )
    return Cover(items), Cover(update.deletes)


class Unsaved:
    """The changes of a document that are not in the room. `now` is in seconds, monotonic."""

    def __init__(self) -> None:
        self._changes: deque[_Change] = deque()
        self._newest = Cover()
        self._deleted = Cover()  # by the newest snapshot
        self._newest_number = 0
        self._numbers: dict[str, int] = {}  # of the last snapshots by the room's order
        self._shown = 0

    @property
    def since(self) -> float | None:
        """When the oldest of them came; None when everything is in the room."""
        return self._changes[0].since if self._changes else None

    @property
    def count(self) -> int:
        """How many changes they are; beyond `MAX_CHANGES` they are not told apart."""
        return len(self._changes)

    @property
    def state_vector(self) -> bytes:
        """What the newest snapshot holds, as a Yjs state vector: what a newcomer begins with."""
        return write_state_vector(
            {client: stop for client, start, stop in self._newest.ranges() if start == 0}
        )

    def changed(self, update: bytes, now: float) -> None:
        """Note an accepted change (an encoded Yjs update)."""
        self._changed(now, *read_ids(update))

    def _changed(self, now: float, items: Cover, deletes: Cover) -> None:
        if len(self._changes) < MAX_CHANGES:
            self._changes.append(_Change(now, now, items, deletes))
        else:
            last = self._changes[-1]
            last.until = now
            last.items.add(items.ranges())
            last.deletes.add(deletes.ranges())

    def give_up(self, until: float) -> None:
        """Forget what came up to an instant: nothing more can be done about it now."""
        while self._changes and self._changes[0].until <= until:
            self._changes.popleft()

    @property
    def shown(self) -> int:
        """How many snapshots the room has shown."""
        return self._shown

    @property
    def newest(self) -> int:
        """The place in the room's order of the newest complete one; 0 when it was not shown."""
        return self._newest_number

    def number(self, event_id: str) -> int:
        """Return the place of a snapshot in the room's order; 0 when it was not shown lately."""
        return self._numbers.get(event_id, 0)

    def show(self, event_id: str) -> None:
        """Note that the room shows this snapshot now, complete or not: newer than those before."""
        self._shown += 1
        self._numbers[event_id] = self._shown
        if len(self._numbers) > MAX_SHOWN:
            del self._numbers[next(iter(self._numbers))]

    def saved(
        self,
        snapshot: bytes,
        event_id: str = "",
        after: int | None = None,
        ids: Ids | None = None,
    ) -> bool:
        """Forget what a complete snapshot in the room holds, if it is the newest of those.

        Whoever opens the board gets that one alone, whichever is complete first.

        Args:
            snapshot: its data.
            event_id: its id.
            after: how many were shown before it at least, should it not have been shown yet.
            ids: of the snapshot, read already.

        Returns:
            Whether it is the newest.
        """
        number = self._numbers.get(event_id, self._newest_number if after is None else after)
        if number < self._newest_number:
            return False
        try:
            items, deletes = ids or read_ids(snapshot)
        except InvalidUpdate:
            return False  # nobody can load it
        self._newest, self._deleted, self._newest_number = items, deletes, number
        self._changes = deque(
            change
            for change in self._changes
            if not (items.holds(change.items) and deletes.holds(change.deletes))
        )
        return True

    def compare(self, state_vector: bytes, deletes: bytes, now: float) -> None:
        """Note what a document holds that neither the newest snapshot nor a known change does.

        It came with an older snapshot. Whoever wrote the newest one did not have that, and whoever
        opens the board gets the newest one alone.

        Args:
            state_vector: of the document.
            deletes: an update with all that it deletes.
            now: seconds, monotonic.
        """
        items = Cover(
            (client, 0, stop) for client, stop in read_state_vector(state_vector).items() if stop
        )
        items, gone = items.without(self._newest), read_ids(deletes)[1].without(self._deleted)
        for change in self._changes:
            items, gone = items.without(change.items), gone.without(change.deletes)
        if items.ranges() or gone.ranges():
            self._changed(now, items, gone)
