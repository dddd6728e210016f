"""A room's sticky map: whose sticky membership stands (docs/matrixrtc.md, 1.1 and 1.4).

Events come in any order: out of a limited sync a superseded join comes apart from, and maybe after,
the leave that followed it. So nothing depends on the order in which they come:

    of one sender and key   the last to expire stands, then the one with the highest event id
    a leave                 ends the joins of its member id, whenever either was sent

The senders' own servers say when and for how long; when an event ends is counted from when it came,
so that nobody claims the future.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.errors import InvalidMembership
from bot.rtc.membership import Membership
from bot.rtc.stickyevent import StickyEvent, read_sticky

MAX_KEYS = 10_000
"""Sticky keys kept of one room; more are ignored."""
MAX_OF_ONE = 100
"""Of those of one person, who may fill a room with them; the first to end is given up."""

LOOK_EVERY_MS = 60_000
"""Between two looks at what has expired."""

_Key = tuple[str, str]  # user id and sticky key


@dataclass(slots=True)
class _Place:
    """What stands under a key.

    Attributes:
        event: what stands there.
        until: when that ends to be sticky, ms.
        ends: until when anything of the key matters, ms.
        left: whether a leave of the key was seen.
        left_ts: when the newest of them was sent.
        began_ts: when the first join after that was.
        claim: the outcome.
    """

    event: StickyEvent
    until: int
    ends: int = 0
    left: bool = False
    left_ts: int = -1
    began_ts: int | None = None
    claim: Membership | None = None

    def take(self, event: StickyEvent, now_ts: int) -> None:
        until = event.expires_ts(now_ts)
        if event.event_id == self.event.event_id:
            self.until = min(self.until, until)  # the same once more
        elif event.order > self.event.order:
            self.event, self.until = event, until
        self.ends = max(self.ends, event.forgotten_ts(now_ts))
        self._note(event)
        self._conclude()

    def clear(self) -> None:
        self.event = replace(self.event, member=None)
        self._conclude()

    def _note(self, event: StickyEvent) -> None:
        """Keep of an event what outlives its being replaced."""
        if event.is_leave:
            self.left, self.left_ts = True, max(self.left_ts, event.sent_ts)
            if self.began_ts is not None and self.began_ts <= self.left_ts:
                self.began_ts = None
        elif event.member is not None and event.sent_ts > self.left_ts:
            began = event.sent_ts if self.began_ts is None else self.began_ts
            self.began_ts = min(event.sent_ts, began)

    def _conclude(self) -> None:
        member = self.event.member
        if member is None or (self.event.once and self.left):
            self.claim = None
        else:
            began = member.created_ts if self.began_ts is None else self.began_ts
            self.claim = replace(member, created_ts=began, expires_ts=self.until)


class Stickies:
    """The sticky map of one room."""

    def __init__(self) -> None:
        self._places: dict[_Key, _Place] = {}
        self._held: Counter[str] = Counter()  # keys per person
        self._next_look = 0

    @property
    def claims(self) -> list[Membership]:
        """Those joined; one that has expired is there until something comes after a minute."""
        return [place.claim for place in self._places.values() if place.claim is not None]

    def take(self, event: Mapping[str, Any], now_ts: int) -> bool:
        """Take a sticky event of a member.

        Args:
            event: one for which `is_sticky` holds.
            now_ts: when it came, ms by the homeserver's clock.

        Returns:
            False when it is not to be read, or one too many.
        """
        self._forget(now_ts)
        try:
            read = read_sticky(event)
        except InvalidMembership:
            return False
        if read.forgotten_ts(now_ts) <= now_ts:
            return True  # it is over
        key = (read.user_id, read.key)
        room = key in self._places or self._make_room(read.user_id)
        if room:
            if key not in self._places:
                self._places[key] = _Place(read, read.expires_ts(now_ts))
                self._held[read.user_id] += 1
            self._places[key].take(read, now_ts)
        return room

    def redact(self, event_id: object) -> None:
        """Take out an event that was redacted: the member it announced has left."""
        for place in self._places.values():
            if place.event.event_id == event_id:
                place.clear()

    def _make_room(self, user_id: str) -> bool:
        """Let nobody take the places of others, nor the memory for them."""
        if self._held[user_id] < MAX_OF_ONE:
            return len(self._places) < MAX_KEYS
        its = [key for key in self._places if key[0] == user_id]
        # What has been left goes first: a device that comes and goes takes nobody else's place.
        self._drop(min(its, key=self._worth))
        return True

    def _worth(self, key: _Key) -> tuple[bool, int, _Key]:
        place = self._places[key]
        return place.claim is not None, place.ends, key

    def _drop(self, key: _Key) -> None:
        del self._places[key]
        self._held[key[0]] -= 1
        if not self._held[key[0]]:
            del self._held[key[0]]

    def _forget(self, now_ts: int) -> None:
        if now_ts < self._next_look:
            return
        self._next_look = now_ts + LOOK_EVERY_MS
        for key, place in list(self._places.items()):
            if place.ends <= now_ts:
                self._drop(key)
