"""Conversation: what the bot says in a room and does when told to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bot import actions
from bot.commands.parser import Command, Request, allowed
from bot.commands.texts import say
from bot.errors import ServerError, StoreError

SAY_WITHIN = 5.0
"""Seconds the homeserver gets to take a notice."""

_log = logging.getLogger(__name__)


class Homeserver(Protocol):
    """The call needed here."""

    async def send_notice(self, room_id: str, body: str) -> str:
        """Say something."""


class Acts(actions.Acts, Protocol):
    """What a Room does when told to, and tells."""

    def status(self) -> tuple[bool, int, bool]:
        """Return whether it records, how many boards there are, whether it takes part."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Talks in one room.

    Attributes:
        languages: each sentence is said in each of them.
        prefix: what commands begin with.
        power: who may give them.
    """

    homeserver: Homeserver
    room_id: str
    languages: Sequence[str]
    prefix: str
    power: int

    async def say(self, name: str, **values: object) -> bool:
        """Say a sentence of `commands.texts`; a failure is logged, never raised.

        Returns:
            Whether it is in the room.
        """
        text = say(name, self.languages, prefix=self.prefix, power=self.power, **values)
        try:
            # Briefly: whoever fills the room with requests must not keep the bot from its work.
            async with asyncio.timeout(SAY_WITHIN):
                await self.homeserver.send_notice(self.room_id, text)
        except (ServerError, TimeoutError):
            _log.warning("a notice could not be sent", extra={"room": self.room_id})
            return False
        return True

    async def answer(self, request: Request, power: int, room: Acts) -> None:
        """Carry out what somebody with this power asks for, and say so."""
        if not allowed(request, power, self.power):
            await self.say("no_power")
            return
        try:
            await self._obey(request, room)
        except StoreError:
            # It holds until the next start: whoever asked has to know.
            await self.say("archive_failing")

    async def _obey(self, request: Request, room: Acts) -> None:
        match request.command:
            case Command.PAUSE:
                if not await actions.pause(room):
                    await self.say("unchanged")
            case Command.RESUME:
                if not await actions.resume(room):
                    await self.say("unchanged")
            case Command.LEAVE:
                await actions.leave(room)
            case Command.STATUS:
                recording, boards, present = room.status()
                await self.say(
                    "status",
                    recording="recording" if recording else "not_recording",
                    boards=boards,
                    present="yes" if present else "no",
                )
            case _:
                await self.say("help")
