"""A room's membership state: what stands under each state key, and since when.

Anybody may put memberships under as many keys as they like, so both their number and each
person's part of it are bounded.
"""

from __future__ import annotations

from collections import Counter

from bot.rtc.membership import Membership

MAX_MEMBERSHIPS = 10_000
"""State keys of memberships kept in one room; more are ignored."""
MAX_OF_ONE = 100
"""Of those of one person, who may fill a room with them; the oldest is given up."""

Where = tuple[str, str]
"""Event type and state key."""


class Keys:
    """The state keys of one room under which there are memberships.

    Attributes:
        memberships: by type and key.
    """

    def __init__(self) -> None:
        self.memberships: dict[Where, tuple[Membership, ...]] = {}
        self._held: Counter[str] = Counter()  # keys per person
        self._since: dict[str, int] = {}  # by event id, where it is not the event's created_ts

    def put(self, where: Where, memberships: tuple[Membership, ...]) -> bool:
        """Put memberships in the place of those before; none are a leave.

        Returns:
            False when they are one too many, or made an older one of the same person go.
        """
        full = len(self.memberships) >= MAX_MEMBERSHIPS
        if memberships and where not in self.memberships and full:
            return False
        self._hold(where, memberships)
        return not memberships or self._make_room(memberships[0].user_id)

    def redact(self, event_id: object) -> list[Where]:
        """Take out what a redacted event has put there; returns where that was."""
        gone = [
            where
            for where, memberships in self.memberships.items()
            if any(membership.event_id == event_id for membership in memberships)
        ]
        for where in gone:
            self._hold(where, ())
        return gone

    def since(self, membership: Membership) -> int:
        """Return since when (ms) its device has been there without a break, as far as we saw."""
        return self._since.get(membership.event_id, membership.created_ts)

    def _hold(self, where: Where, memberships: tuple[Membership, ...]) -> None:
        """Put memberships in the place of those before.

        NeoBoard renews without `created_ts` every three hours; what it renews goes on.
        """
        before = self.memberships.pop(where, ())
        began = {_claim(one): (self.since(one), one.expires_ts) for one in before}
        for one in before:
            self._since.pop(one.event_id, None)
        if before:
            self._count(before[0].user_id, -1)
        for one in memberships:
            since, until = began.get(_claim(one), (one.created_ts, 0))
            if since < one.created_ts <= until:
                self._since[one.event_id] = since
        if memberships:
            self.memberships[where] = memberships
            self._count(memberships[0].user_id, 1)

    def _count(self, user: str, more: int) -> None:
        self._held[user] += more
        if not self._held[user]:
            del self._held[user]

    def _make_room(self, user: str) -> bool:
        """Let nobody take the places of others, nor the memory for them."""
        if self._held[user] <= MAX_OF_ONE:
            return True
        its = (key for key, many in self.memberships.items() if many[0].user_id == user)
        self._hold(next(its), ())
        return False


def _claim(one: Membership) -> tuple[str, str, str, str]:
    return one.user_id, one.device_id, one.application, one.call_id
