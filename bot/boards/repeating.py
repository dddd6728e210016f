"""Repeating: what one person drew reaches all others, however many packets they lose.

NeoBoard sends changes on a lossy channel, and a client that lost one shows nothing its author draws
afterwards until his next snapshot: up to 5 s (measured). So the bot sends what reached it once
more, on the reliable channel, a moment later and as few packets. Whoever has it already takes no
notice: applying an update twice changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence

from bot.errors import Transient
from bot.whiteboard.update import merge_updates

AFTER = 0.6
"""Seconds over which updates are collected: with the time they travel nobody waits for a second."""
MAX_BYTES = 40_000
"""Of updates in one packet, which holds 47,000."""
MAX_PENDING = 400_000
"""Bytes collected at the most; who floods the board is not repeated, the next snapshot has it."""

_log = logging.getLogger(__name__)


class Repeating:
    """Repeats the updates of one board.

    Args:
        publish: sends an update to everybody.
        needed: whether there is anybody besides its author.
        tasks: the Room's own group.
    """

    def __init__(
        self,
        publish: Callable[[bytes], Awaitable[None]],
        needed: Callable[[], bool],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._publish = publish
        self._needed = needed
        self._tasks = tasks
        self._updates: list[bytes] = []
        self._size = 0
        self._busy = False  # one task at a time, also while the connection takes nothing

    def took(self, update: bytes) -> None:
        """Take an accepted update of a person; it may wait for a cause that others have."""
        if not self._needed() or self._size + len(update) > MAX_PENDING:
            return
        self._updates.append(update)
        self._size += len(update)
        if not self._busy:
            self._busy = True
            self._tasks.create_task(self._repeat())

    async def _repeat(self) -> None:
        try:
            while self._updates:
                await asyncio.sleep(AFTER)
                updates, self._updates, self._size = self._updates, [], 0
                await self._send(updates)
        finally:
            self._busy = False

    async def _send(self, updates: Sequence[bytes]) -> None:
        try:
            for packet in _packets(updates):
                await self._publish(packet)
        except Transient:
            # Nobody is connected: who lost something gets it with the next snapshot.
            _log.debug("updates could not be repeated")


def _packets(updates: Sequence[bytes]) -> Iterator[bytes]:
    """Merge updates, in order, into as few as fit into packets."""
    group: list[bytes] = []
    size = 0
    for update in updates:
        if group and size + len(update) > MAX_BYTES:
            yield merge_updates(group)
            group, size = [], 0
        group.append(update)
        size += len(update)
    yield merge_updates(group)
