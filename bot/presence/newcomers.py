"""Newcomers: who has just come onto a board gets what its room does not have yet.

A client that opens a board reads the room's newest snapshot, and hears what is sent from then on.
What was drawn in between is in neither: real newcomers saw strokes only with the author's next
snapshot, up to 6 s later. The bot sends it to them alone, as soon as they can hear and be heard.
Pure: `now` is in seconds, monotonic.
"""

from __future__ import annotations

from collections.abc import Collection

SETTLE = 0.2
"""Seconds from hearing of somebody to the first packet: sent at once, it may be lost."""
AGAIN = 3.0
"""Seconds until the second one, for what was drawn before he was heard by everybody."""
AT_MOST_EVERY = 4.0
"""Seconds between two times that somebody is new: he may come and go to have us send."""
KNOWN_WITHIN = 30.0
"""Seconds to wait for the membership that says which board he is on."""
MAX_WAITING = 1_000
"""Newcomers at a time; more get what they lack from the next snapshot."""


class Newcomers:
    """Who is to be sent what he lacks, and when. LiveKit identities name them."""

    def __init__(self) -> None:
        self._due: dict[str, list[float]] = {}
        self._met: dict[str, float] = {}
        self._until: dict[str, float] = {}

    def came(self, identity: str, now: float) -> None:
        """Somebody is in the LiveKit room now."""
        if identity in self._due or len(self._due) >= MAX_WAITING:
            return
        begin = max(now, self._met.pop(identity, now - AT_MOST_EVERY) + AT_MOST_EVERY)
        self._met[identity] = begin
        while len(self._met) > MAX_WAITING:
            del self._met[next(iter(self._met))]
        self._due[identity] = [begin + SETTLE, begin + AGAIN]
        self._until[identity] = begin + KNOWN_WITHIN

    def went(self, identity: str) -> None:
        """He is gone again."""
        self._due.pop(identity, None)
        self._until.pop(identity, None)

    def take(self, known: Collection[str], now: float) -> list[str]:
        """Return whom to send to now: of those who are due, who is known to be on a board.

        Args:
            known: the identities of the room's memberships.
            now: seconds, monotonic.
        """
        ready = []
        for identity, times in list(self._due.items()):
            if times[0] > now:
                continue
            if identity in known:
                ready.append(identity)
                del times[: sum(time <= now for time in times)]
            if not times or now >= self._until[identity]:
                self.went(identity)
        return ready

    def due(self, known: Collection[str]) -> float | None:
        """Return when to look again by time; a change of memberships is another reason."""
        times = [
            times[0] if identity in known else self._until[identity]
            for identity, times in self._due.items()
        ]
        return min(times, default=None)
