"""Respelling: when to say anew how we spell LiveKit among our transports (docs/matrixrtc.md, 1.4).

Who knows another spelling alone does not come to our focus, and hears nothing of us: matrix-js-sdk
takes `livekit` only. So when the spelling of the others turns out to be another one than was
written, the membership is renewed.
"""

from __future__ import annotations

import random
from math import inf

SOON = 1.0
"""Seconds to wait at least, and at random up to three times that: of two bots that would each take
the other's spelling one is first."""
APART = 60.0
"""Seconds between two respellings: whoever comes and goes, or writes now one and now the other, has
us send no more than that."""


class Respelling:
    """Follows how the others spell it.

    Attributes:
        written: how the membership in the room spells it; empty before there is one.
        due: when (monotonic) to look again; None while nothing is to be done.
    """

    def __init__(self) -> None:
        self.written = ""
        self.due: float | None = None
        self._last = -inf

    def look(self, right: str, now: float) -> bool:
        """Take how it should be spelled; return whether to renew now."""
        if self.written in ("", right):
            self.due = None
        elif self.due is None:
            wait = SOON * (1 + 2 * random.random())  # noqa: S311 - no secret
            self.due = max(now + wait, self._last + APART)
        elif now >= self.due:
            self.due, self._last = None, now
            self.written = right  # or it would be asked for again until it is sent
            return True
        return False
