"""Ears: the connections on which we hear one board of the sticky profile.

    our own focus       where we publish, and hear who else publishes there
    each other focus    that a member publishes on: there we only listen

Who runs an SFU can have anybody speak on it: so what comes from a focus is taken from those members
alone who say that they publish there. Any member may name a focus: who comes and goes, or names
many, makes us open no more than a few connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from bot.commands.bucket import Bucket
from bot.presence.hearing import Hearing, Names, Packet
from bot.presence.links import Connection, Link
from bot.rtc.membership import Focus
from bot.services import Arrival, Origin

LINGER = 10.0
"""Seconds to stay where nobody publishes any more: what was sent last is still on its way, and who
has gone may come back."""
AT_ONCE = 4
"""Connections opened at once because of one person."""
EVERY = 10.0
"""Seconds in which one more becomes possible."""
MAX_KNOWN = 1_000
"""People of whom it is known how often they had us open one."""


class Ears:
    """Follows where a board's members publish.

    Args:
        own: our own focus; connected at once.
        connect: makes a connection on a focus, given what to call when somebody comes or goes.
        names: who may be heard on a focus.
        deliver: takes what was heard.
        now_ts: ms by the homeserver's clock.
        origin: what is told of what was heard.
        tasks: the group of whoever owns it.
        wake: set when there is something to look at.
    """

    def __init__(
        self,
        own: Focus,
        connect: Callable[[Focus, Callable[[str, bool], None]], Connection],
        names: Callable[[Focus], Names],
        deliver: Callable[[Sequence[Arrival]], None],
        now_ts: Callable[[], int],
        origin: Origin,
        *,
        tasks: asyncio.TaskGroup,
        wake: asyncio.Event,
    ) -> None:
        self._own = own
        self._connect = connect
        self._names = names
        self._deliver = deliver
        self._now_ts = now_ts
        self._origin = origin
        self._tasks = tasks
        self._wake = wake
        self._links: dict[Focus, Link] = {}
        self._hearings: dict[Focus, Hearing] = {}
        self._unneeded: dict[Focus, float] = {}  # since when, monotonic
        self._buckets: dict[str, Bucket] = {}  # by user id
        self._waiting = False  # whether one could not be opened yet
        self._open(own)

    @property
    def home(self) -> Connection | None:
        """The connection on our own focus; None once disconnected."""
        link = self._links.get(self._own)
        return None if link is None else link.connection

    @property
    def due(self) -> list[float]:
        """When (monotonic) there is something to look at by time."""
        times = [one.due for one in self._hearings.values()]
        if self.home is not None and self.home.connected:  # else nothing is followed
            times += [at + LINGER for at in self._unneeded.values()]
            times += [monotonic() + EVERY] if self._waiting else []
        return [one for one in times if one is not None]

    def memberships_changed(self) -> None:
        """Name senders anew from now on."""
        for hearing in self._hearings.values():
            hearing.memberships_changed()

    def settle(self) -> None:
        """Let packets go whose sender is known by now, or that have waited long enough."""
        for hearing in self._hearings.values():
            hearing.settle()

    def follow(self, foci: Mapping[Focus, str]) -> None:
        """Listen on these foci besides our own, each because of somebody (his user id)."""
        now = monotonic()
        self._waiting = False
        for focus, user_id in foci.items():
            self._unneeded.pop(focus, None)
            if focus in self._links:
                continue
            if self._may_open(user_id, now):
                self._open(focus)
            else:
                self._waiting = True
        for focus in self._links.keys() - {self._own, *foci}:
            if now - self._unneeded.setdefault(focus, now) >= LINGER:
                self._drop(focus)

    def _may_open(self, user_id: str, now: float) -> bool:
        """Whether somebody has not named another focus too often: he alone waits then."""
        bucket = self._buckets.pop(user_id, None) or Bucket(AT_ONCE, EVERY)
        self._buckets[user_id] = bucket
        while len(self._buckets) > MAX_KNOWN:
            del self._buckets[next(iter(self._buckets))]
        return bucket.take(now)

    async def disconnect(self) -> None:
        """Drop all connections."""
        links, self._links = self._links, {}
        self._hearings.clear()
        self._unneeded.clear()
        for link in links.values():
            await link.drop()

    def _open(self, focus: Focus) -> None:
        hearing = Hearing(
            lambda: self._names(focus), self._deliver, self._now_ts, self._origin, strangers=False
        )

        def hear(packets: Sequence[Packet]) -> None:
            hearing.take(packets)
            if hearing.due is not None:
                self._wake.set()

        self._hearings[focus] = hearing

        def participant(identity: str, here: bool) -> None:  # noqa: FBT001 - a callback
            if here:
                hearing.came(identity)

        connection = self._connect(focus, participant)
        self._links[focus] = Link(focus, connection, hear, self._tasks)

    def _drop(self, focus: Focus) -> None:
        self._tasks.create_task(self._links.pop(focus).drop())
        del self._hearings[focus], self._unneeded[focus]
