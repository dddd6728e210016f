"""Nameless: what comes from somebody whom the SFU has not announced yet, where only members speak.

An SFU announces who publishes no track up to 3 s after he came (measured), and no client hears him
until then. What he drew meanwhile would be in nobody's document, and all he draws later wait for
it. So changes are kept apart until everybody who came lately has been announced: if they are all
members the change is one of theirs, whosever it is, and is heard without a name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from bot.whiteboard.message import Update

ANNOUNCED_WITHIN = 4.0
"""Seconds after which everybody has been announced who was there when a packet came."""
BEFORE = 1.0
"""Seconds by which somebody may have been announced before his packet is seen."""
MAX_KEPT = 500
"""Changes kept; of more the first are dropped, and come with a snapshot."""
MAX_CAME = 1_000
"""Announcements kept."""


class Packet(Protocol):
    """A packet as it came."""

    @property
    def at(self) -> float:
        """When it arrived, monotonic seconds."""


P = TypeVar("P", bound=Packet)


class Nameless(Generic[P]):
    """Keeps changes until it is known whether a member sent them; the time is an argument."""

    def __init__(self) -> None:
        self._kept: deque[tuple[P, Update]] = deque(maxlen=MAX_KEPT)
        self._came: deque[tuple[str, float]] = deque(maxlen=MAX_CAME)

    @property
    def due(self) -> float | None:
        """When to `take`, monotonic; None when nothing is kept."""
        return self._kept[0][0].at + ANNOUNCED_WITHIN if self._kept else None

    def came(self, identity: str, now: float) -> None:
        """Hear of somebody who is announced now."""
        self._came.append((identity, now))

    def keep(self, packet: P, update: Update) -> bool:
        """Keep a change; False when one that came before it has to go."""
        room = len(self._kept) < MAX_KEPT
        self._kept.append((packet, update))
        return room

    def take(
        self, now: float, is_member: Callable[[str], bool]
    ) -> tuple[list[tuple[P, Update]], int]:
        """Return the changes of members, in order, and how many others there were."""
        heard: list[tuple[P, Update]] = []
        strangers = 0
        while self._kept and self._kept[0][0].at + ANNOUNCED_WITHIN <= now:
            packet, update = self._kept.popleft()
            lately = {who for who, at in self._came if at >= packet.at - BEFORE}
            if lately and all(map(is_member, lately)):
                heard.append((packet, update))
            else:
                strangers += 1
        return heard, strangers
