"""Links: LiveKit connections with the tasks that keep them and listen to them.

A room of the legacy profile has one, and two while its focus changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

from bot.errors import Transient
from bot.presence.hearing import Packet
from bot.rtc.membership import Focus
from bot.turns import AT_ONCE, Turns

SWITCH_AFTER = 1.5
"""Seconds a different focus must stay the right one before we move: it may flap (F18)."""


class Connection(Protocol):
    """One LiveKit room joined on one focus; reconnects by itself."""

    @property
    def connected(self) -> bool:
        """Whether it stands now."""

    @property
    def refused(self) -> bool:
        """Whether somebody wants us out: then it stays away for a minute."""

    async def run(self) -> None:
        """Connect, and reconnect, until closed."""

    async def packets(self) -> Sequence[Packet]:
        """Wait for packets and return them."""

    async def publish(self, data: bytes, *, reliable: bool, to: Sequence[str] = ()) -> None:
        """Send a packet."""

    async def close(self) -> None:
        """Disconnect."""


class Link:
    """A connection with its tasks.

    Args:
        focus: where it is.
        connection: not running yet.
        receive: takes packets.
        tasks: the group of whoever owns it.
    """

    def __init__(
        self,
        focus: Focus,
        connection: Connection,
        receive: Callable[[Sequence[Packet]], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.focus = focus
        self.connection = connection
        self._receive = receive
        self._running = [tasks.create_task(connection.run()), tasks.create_task(self._listen())]

    async def _listen(self) -> None:
        while True:
            packets, turns = await self.connection.packets(), Turns()
            for at in range(0, len(packets), AT_ONCE):
                self._receive(packets[at : at + AT_ONCE])
                await turns.next()
            await asyncio.sleep(0)  # a flood on one board leaves the others their turn

    async def drop(self) -> None:
        """Disconnect."""
        await self.connection.close()
        for task in self._running:
            task.cancel()


class Links:
    """Follows the focus of a room.

    Args:
        connect: makes a connection on a focus.
        receive: takes packets.
        tasks: the Presence's own group.
    """

    def __init__(
        self,
        connect: Callable[[Focus], Connection],
        receive: Callable[[Sequence[Packet]], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._connect = connect
        self._receive = receive
        self._tasks = tasks
        self._now: Link | None = None
        self._next: Link | None = None
        self._switch_at: float | None = None

    @property
    def focus(self) -> Focus | None:
        """The focus in use, connected or not; None while there is none."""
        return None if self._now is None else self._now.focus

    @property
    def connected(self) -> bool:
        """Whether a connection stands."""
        return self._now is not None and self._now.connection.connected

    @property
    def due(self) -> float | None:
        """When (monotonic) to call `follow` again by time."""
        return self._switch_at if self._next is None else None

    def follow(self, right: Focus) -> bool:
        """Be on a focus; the new connection stands before the old one closes (F19).

        Returns:
            Whether the focus in use has just changed from one to another.
        """
        if self._now is None:
            self._now = self._open(right)
            return False
        if right == self._now.focus:
            self._switch_at = None
            self._give_up_next()
        elif self._switch_at is None:
            self._switch_at = monotonic() + SWITCH_AFTER
        elif monotonic() >= self._switch_at and (self._next is None or self._next.focus != right):
            self._give_up_next()
            self._next = self._open(right)
        if self._next is None or not self._next.connection.connected:
            return False
        self._tasks.create_task(self._now.drop())
        self._now, self._next, self._switch_at = self._next, None, None
        return True

    def disconnect(self) -> None:
        """Be on none."""
        self._give_up_next()
        if self._now is not None:
            self._tasks.create_task(self._now.drop())
        self._now = self._switch_at = None

    async def publish(self, data: bytes, *, reliable: bool, to: Sequence[str] = ()) -> None:
        """Send a packet.

        Raises:
            Transient: there is no connection.
            UsageError: it is too large.
        """
        if self._now is None:
            raise Transient("not connected")
        await self._now.connection.publish(data, reliable=reliable, to=to)

    async def close(self) -> None:
        """Disconnect, and wait for it."""
        for link in (self._now, self._next):
            if link is not None:
                await link.drop()

    def _give_up_next(self) -> None:
        if self._next is not None:
            self._tasks.create_task(self._next.drop())
            self._next = None

    def _open(self, where: Focus) -> Link:
        return Link(where, self._connect(where), self._receive, self._tasks)
