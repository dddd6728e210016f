"""Turns: long work on the event loop in slices, so that everything else has its turn.

Leaves that the homeserver holds for us fire when nobody has restarted them for seconds: what holds
up the loop for longer withdraws us from all boards.
"""

from __future__ import annotations

import asyncio
from time import monotonic

SLICE = 0.05
"""Seconds of work after which others have their turn."""
AT_ONCE = 16
"""Messages taken without looking at the time."""


class Turns:
    """One piece of work in slices; begins with the first."""

    def __init__(self) -> None:
        self._since = monotonic()

    async def next(self) -> None:
        """Let others have their turn if this slice is over."""
        if monotonic() - self._since >= SLICE:
            await asyncio.sleep(0)
            self._since = monotonic()
