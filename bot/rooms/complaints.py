"""Complaints: what keeps the bot from its work in a room, or is unusual, people are told once.

That boards cannot be saved matters most: real clients say nothing, and whoever comes next silently
gets an older board. Whether it was said is kept, so that a bot that is started again does not say
it again, and people are told once when it is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from bot.errors import StoreError
from bot.permission import Refusal
from bot.rtc.membership import MEMBER_TYPE, STICKY
from bot.rtc.sticky import STICKY_TYPE

FOR_GOOD = ("bridged",)
"""Sentences that are said once as long as the bot is in a room."""

_log = logging.getLogger(__name__)


class Archive(Protocol):
    """Remembers across restarts."""

    async def get(self, name: str) -> str | None:
        """Return a small text kept under a name."""

    async def set(self, name: str, value: str) -> None:
        """Keep a small text under a name."""


class Says(Protocol):
    """Talks in the room (`conversation.Conversation`)."""

    @property
    def room_id(self) -> str:
        """Which room."""

    async def say(self, name: str, **values: object) -> bool:
        """Say a sentence; return whether it is in the room."""

    async def greet(self, name: str, powers: Callable[[], asyncio.Event]) -> None:
        """Say a sentence until it is in the room."""


class Complaints:
    """What people in one room have been told.

    Args:
        archive: remembers it.
        talk: says it.
        why: what the room's power levels refuse, at the moment.
        tasks: the Room's own group.
    """

    def __init__(
        self,
        archive: Archive,
        talk: Says,
        why: Callable[[], Refusal | None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._archive = archive
        self._talk = talk
        self._why = why
        self._tasks = tasks
        self._refused = False
        self._said: bool | None = None  # None: not read yet
        self._busy = False
        self._open: set[str] = set()
        self._for_good: set[str] = set()

    def once(self, name: str, **values: object) -> bool:
        """Say a sentence unless it was said; return whether it is the first time.

        It concerns what people see anyhow: a restart repeats it.
        """
        if name in self._open:
            return False
        self._open.add(name)
        self._tasks.create_task(self._talk.say(name, **values))
        return True

    def for_good(self, name: str, powers: Callable[[], asyncio.Event]) -> None:
        """Say a sentence once as long as the bot is in the room, restarts included.

        Args:
            name: of the sentence.
            powers: returns what is set when the room's power levels change the next time.
        """
        if name not in self._for_good:
            self._for_good.add(name)
            self._tasks.create_task(self._tell_for_good(name, powers))

    async def _tell_for_good(self, name: str, powers: Callable[[], asyncio.Event]) -> None:
        try:
            if await self._kept(name):
                return
        except StoreError:
            pass  # rather said twice than never
        await self._talk.greet(name, powers)
        await self._keep_told(name, "1")

    def not_announced(self, user: str, profile: str, needed: int) -> None:
        """Say that a membership of ours is refused, and how to mend it."""
        kind = STICKY_TYPE if profile == STICKY else MEMBER_TYPE
        if self.once("forbidden", user=user, needed=needed, type=kind):
            _log.warning(
                "no permission to announce a membership", extra={"room": self._talk.room_id}
            )

    def over(self, name: str) -> None:
        """Hear that what a sentence said may hold no longer: then it is said again."""
        self._open.discard(name)

    def saving_refused(self, yes: bool) -> None:  # noqa: FBT001 - a callback of Saving
        """Hear whether the room takes what we save; what has been said already is not repeated."""
        self._refused = yes
        if not self._busy:
            self._busy = True
            self._tasks.create_task(self._tell())

    async def forget(self) -> None:
        """The bot goes: who invites it again is told again."""
        self._refused = False
        await self._keep(said=False)
        for name in FOR_GOOD:
            await self._keep_told(name, "")

    async def _tell(self) -> None:
        try:
            # What could not be said is tried with the next save.
            while (refused := self._refused) != await self._told() and await self._say(refused):
                await self._keep(said=refused)
        finally:
            self._busy = False

    async def _told(self) -> bool:
        if self._said is None:
            try:
                self._said = await self._kept("unsaved")
            except StoreError:
                return False
        return self._said

    async def _kept(self, name: str) -> bool:
        return bool(await self._archive.get(f"told.{name}.{self._talk.room_id}"))

    async def _say(self, refused: bool) -> bool:  # noqa: FBT001 - which of the two it is
        if not refused:
            return await self._talk.say("saved_again")
        why = self._why()
        if why is None:
            return await self._talk.say("unsaved")
        return await self._talk.say(
            "unsaved_power",
            user=why.user,
            own=why.own,
            kinds=", ".join(f"{kind} ({level})" for kind, level in why.needed.items()),
            needed=max(why.needed.values()),
            mends=why.mends,
        )

    async def _keep(self, *, said: bool) -> None:
        if said == self._said:
            return
        self._said = said
        await self._keep_told("unsaved", "1" if said else "")

    async def _keep_told(self, name: str, value: str) -> None:
        room_id = self._talk.room_id
        try:
            await self._archive.set(f"told.{name}.{room_id}", value)
        except StoreError:
            _log.warning(
                "what people were told could not be kept", extra={"room": room_id, "what": name}
            )
