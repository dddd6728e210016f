"""What waits: updates that build on something which has not come yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bot.whiteboard.cut import cut
from bot.whiteboard.live import Live
from bot.whiteboard.update import Id, Structure, read_update

MAX_WAITING = 2_000
"""Updates that wait at the most; beyond, the oldest are dropped (`lost` counts)."""


@dataclass(slots=True, eq=False)
class Held:
    """An update, read.

    Attributes:
        wants: ids; none of it can be applied until one of them is there. None: not known.
    """

    data: bytes
    structure: Structure
    wants: tuple[Id, ...] | None = None

    @property
    def divisible(self) -> bool:
        """Whether it may pay to apply a part of it: it is more than one person's one change."""
        return self.structure.skips or len(self.structure.blocks) > 1

    def hopeless(self, clocks: Mapping[int, int]) -> bool:
        """Return whether it is plain that nothing of it can be applied."""
        if self.wants is None:
            return False
        for who, clock in self.wants:  # noqa: SIM110 - runs for all that wait, for each update
            if clocks.get(who, 0) > clock:
                return False
        return True


class Waiting:
    """Updates in the order they came, of which whatever waits no longer is taken out.

    Attributes:
        size: bytes of all.
        lost: how many were dropped.
    """

    def __init__(self, held: Iterable[Held] = (), lost: int = 0) -> None:
        self._held = list(held)
        self.size = sum(len(one.data) for one in self._held)
        self.lost = lost

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held)

    def copy(self) -> Waiting:
        """Return the same, to go back to."""
        return Waiting(self._held, self.lost)

    def bytes_with(self, *more: bytes) -> list[bytes]:
        """Return the bytes of others and of all that wait, to be merged."""
        return [*more, *(one.data for one in self._held)]

    def add(self, one: Held) -> bool:
        """Let it wait; returns False if it does already."""
        if any(one.data == other.data for other in self._held):
            return False
        self._held.append(one)
        self.size += len(one.data)
        if len(self._held) > MAX_WAITING:
            self.size -= len(self._held.pop(0).data)
            self.lost += 1
        return True

    def free(self, live: Live) -> Held | None:
        """Take out the first update, or part of one, that waits no longer."""
        for one in list(self._held):
            if one.hopeless(live.clocks):
                continue
            missing = live.missing(one.structure)
            if missing is None and not one.structure.skips:
                self._held.remove(one)
                self.size -= len(one.data)
                return one
            if not one.divisible:
                assert missing is not None
                one.wants = (missing,)
                continue
            part = self._part(one, live)
            if part is not None:
                return part
        return None

    def _part(self, one: Held, live: Live) -> Held | None:
        """Cut off what can be applied of an update that waits; the rest goes on waiting."""
        parts = cut(one.data, live.clocks)
        place = self._held.index(one)
        rest = Held(parts.rest, read_update(parts.rest), parts.wants) if parts.rest else None
        self._held[place : place + 1] = [rest] if rest else []
        self.size -= len(one.data) - len(parts.rest)
        return Held(parts.head, read_update(parts.head)) if parts.head else None
