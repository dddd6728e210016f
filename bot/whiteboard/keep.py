"""When the bot saves a board to the room: only where nobody else does.

NeoBoard's author writes a snapshot 5 s after his change, best effort; nobody else does (measured:
9 of 9 strokes were lost whose author died within a second while others watched). So the bot waits
for as long as somebody else may still do it, and writes when he did not. Pure: `now` is in seconds,
monotonic.

A snapshot that stays incomplete hides nothing but itself: newcomers get an older one, and nobody
tells them. So the bot follows it with a complete one, also when all it knows is in the room.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_OPEN = 16
"""Incomplete snapshots of others that are waited for at a time."""
APART = 3.0
"""Seconds between bots of neighbouring ranks: time to see that the one before has begun."""
MAX_RANK = 3
"""Anybody may claim to be a bot, and must not keep us from saving for long."""
LONGEST_WAIT = 300.0
"""Seconds at the most between two tries."""
MEND_AGAIN = 600.0
"""Seconds after a snapshot that only followed incomplete ones until the next such; then doubled."""
MEND_RARELY = 86_400.0
"""Seconds which that wait does not exceed, and after which it begins anew: 8 a day at the most."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient and how sparing to be.

    Attributes:
        grace: seconds others have to save a change.
        own_grace: seconds in which further changes of our own join the first one.
        patience: seconds a snapshot somebody else has begun may take to be complete.
        spacing: seconds between two snapshots of ours of one board, at the least.
        own_spacing: the same where we have changed it ourselves: as often as an author would.
        per_megabyte: seconds more for each 10^6 bytes of the last one.
        offset: seconds on top, by which bots differ that do not know each other.
    """

    grace: float = 8.0
    own_grace: float = 3.0
    patience: float = 15.0
    spacing: float = 30.0
    own_spacing: float = 5.0
    per_megabyte: float = 60.0
    offset: float = 0.0


class Keep:
    """Says when one board is due.

    Args:
        pace: how patient to be.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._since: float | None = None
        self._ours_since: float | None = None
        self._alone_since: float | None = None
        self._wanted_at: float | None = None
        self._begun: dict[str, float] = {}
        self._broken: dict[str, float] = {}  # when they should have been complete, oldest first
        self._complete = float("-inf")  # when the newest complete one was begun
        self._mended = float("-inf")
        self._mends = 0
        self._written = float("-inf")
        self._not_before = float("-inf")
        self._failures = 0
        self._held = False
        self._anew = float("-inf")  # when it was let go on
        self._offset = pace.offset

    def rank(self, rank: int) -> None:
        """Hear how many bots on the board come before us: who begins first keeps the others off."""
        self._offset = self._pace.offset + APART * min(rank, MAX_RANK)

    def hold(self) -> None:
        """Hear that the room's newest snapshot is none that we take in: ours would hide it."""
        self._held = True

    def go_on(self, now: float) -> None:
        """Hear that people go on in what we take in: they get the time to save it."""
        if self._held:
            self._held, self._anew = False, now

    @property
    def held(self) -> bool:
        """Whether nothing is to be written, because of such a snapshot."""
        return self._held

    def unsaved(self, since: float | None) -> None:
        """Hear since when something is not in the room; None: everything is."""
        self._since = since
        if since is None:
            self._ours_since = self._wanted_at = None

    def wanted(self, now: float) -> None:
        """Hear that somebody needs the snapshot: he has come, and cannot be sent what he lacks."""
        if self._wanted_at is None:
            self._wanted_at = now

    def ours(self, now: float) -> None:
        """Hear that we have changed the board ourselves: nobody else will save that."""
        if self._ours_since is None:
            self._ours_since = now

    def begun(self, event_id: str, now: float) -> None:
        """Hear that somebody else has begun to write a snapshot."""
        if len(self._begun) < MAX_OPEN:
            self._begun.setdefault(event_id, now)

    def ended(self, event_id: str) -> None:
        """Hear that this one is complete."""
        if event_id in self._begun:
            self._complete = self._begun.pop(event_id)
            self._broken.clear()  # all older
        elif event_id in self._broken:  # late
            while event_id in self._broken:
                del self._broken[next(iter(self._broken))]

    def broken(self, now: float) -> bool:
        """Return whether somebody's snapshot stayed incomplete and no complete one is newer."""
        for event_id, begun in list(self._begun.items()):
            if now >= begun + self._pace.patience:
                del self._begun[event_id]  # its writer is gone
                if begun > self._complete and len(self._broken) < MAX_OPEN:
                    self._broken[event_id] = begun + self._pace.patience
        return bool(self._broken)

    @property
    def others_write(self) -> bool:
        """Whether a snapshot of somebody else is on its way."""
        return bool(self._begun)

    def alone(self, now: float | None) -> None:
        """Hear when the last person has left; None: somebody is there."""
        self._alone_since = now

    def wrote(self, size: int, now: float, taken: float | None = None) -> None:
        """Hear that we have written a snapshot of so many bytes, as the board was when `taken`."""
        if self._since is None and self._broken:
            self._mends = 1 if now - self._mended >= MEND_RARELY else self._mends + 1
            self._mended = now
        self._complete = now if taken is None else taken
        self._broken.clear()
        self._written = now + size / 1e6 * self._pace.per_megabyte
        self._not_before = float("-inf")
        self._failures = 0

    def failed(self, now: float, retry_after: float | None) -> None:
        """Hear that we could not; the homeserver may have said when to come back (s)."""
        self._failures += 1
        wait = min(LONGEST_WAIT, self._pace.spacing * 2 ** min(self._failures - 1, 8))
        self._not_before = now + (wait if retry_after is None else retry_after)

    def again(self) -> None:
        """Hear that what made us fail may be over."""
        self._not_before = float("-inf")
        self._failures = 0

    def due(self, now: float) -> float | None:
        """Return when a snapshot has to be written; None while there is nothing to save."""
        if self._held:
            return None
        self.broken(now)
        dues = (self._due_unsaved(), self._due_broken())
        return min((due for due in dues if due is not None), default=None)

    def _due_unsaved(self) -> float | None:
        if self._since is None:
            return None
        pace, since = self._pace, max(self._since, self._anew)
        at, spacing = since + pace.grace, pace.spacing
        if self._alone_since is not None:
            at = min(at, max(self._alone_since, since))
        if self._wanted_at is not None:
            at = min(at, self._wanted_at)
        if self._ours_since is not None:
            at, spacing = min(at, self._ours_since + pace.own_grace), pace.own_spacing
        return self._after(at, spacing)

    def _due_broken(self) -> float | None:
        wait = min(MEND_AGAIN * 2 ** (self._mends - 1), MEND_RARELY) if self._mends else 0.0
        # Those that are still open may become so.
        opened = [begun for begun in self._begun.values() if begun > self._complete]
        late = [*self._broken.values(), *(begun + self._pace.patience for begun in opened)]
        if not late:
            return None
        return max(self._after(late[0], self._pace.spacing), self._mended + wait)

    def _after(self, at: float, spacing: float) -> float:
        """Return when to write what is due at an instant: not while somebody else does it."""
        # Whoever begins snapshots all the time and ends none does not keep us from it for ever.
        patience = self._pace.patience
        latest = at + 2 * patience
        for begun in self._begun.values():
            at = min(max(at, begun + patience), latest)
        return max(at + self._offset, self._written + spacing, self._not_before)
