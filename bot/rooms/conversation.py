"""Conversation: what the bot says in a room and does when told to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from bot import metrics
from bot.actions import actions
from bot.commands.bucket import Bucket
from bot.commands.parser import Command, Request, allowed, is_question
from bot.commands.texts import say
from bot.errors import Forbidden, ServerError, StoreError

SAY_WITHIN = 5.0
"""Seconds the homeserver gets to take a notice."""
GREET_AGAIN = 30.0
"""Seconds until the bot says again what it does, when it could not."""
RESUME_EVERY = 60.0
"""Seconds after which one more order to resume is obeyed, of those beyond the first few: each has
all boards of the room written to the archive. To pause is never refused."""

_log = logging.getLogger(__name__)


class Homeserver(Protocol):
    """The call needed here."""

    async def send_notice(self, room_id: str, body: str) -> str:
        """Say something."""


class Acts(actions.Acts, Protocol):
    """What a Room does when told to, and tells."""

    def status(self) -> Status:
        """Return how it is."""


@dataclass(frozen=True, slots=True)
class Status:
    """How the bot is in a room.

    Attributes:
        recording: whether it records.
        boards: how many it knows.
        present: whether it takes part.
        saves: whether it sees to it that boards are saved in the room.
        unsaved_ts: when the oldest change came that is not saved there, ms; None: all are.
    """

    recording: bool
    boards: int
    present: bool
    saves: bool
    unsaved_ts: int | None

    @property
    def saved(self) -> str:
        """What to say about saving."""
        if not (self.saves and self.boards):
            return "status"
        return "status_saved" if self.unsaved_ts is None else "status_until"


@dataclass(frozen=True, slots=True)
class Conversation:
    """Talks in one room.

    Attributes:
        languages: each sentence is said in each of them.
        prefix: what commands begin with.
        power: who may give them.
        answers: how many more it gives now, whoever asks; what it says of itself is not counted.
        turn: held while it answers, so that answers come in the order of the questions.
        resumes: how often it lets itself be told to go on recording.
    """

    homeserver: Homeserver
    room_id: str
    languages: Sequence[str]
    prefix: str
    power: int
    answers: Bucket = field(default_factory=Bucket)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    resumes: Bucket = field(default_factory=lambda: Bucket(every=RESUME_EVERY))

    def is_order(self, request: Request, power: int) -> bool:
        """Return whether somebody with this power wants something changed and may have it."""
        return allowed(request, power, self.power) and not is_question(request)

    def may_answer(self) -> bool:
        """Take one of the answers that are left; what finds none is counted."""
        if self.answers.take(monotonic()):
            return True
        metrics.REFUSED_EVENTS.labels("command").inc()
        return False

    async def say(self, name: str, **values: object) -> bool:
        """Say a sentence of `commands.texts`; a failure is logged, never raised.

        Returns:
            Whether it is in the room.
        """
        try:
            await self._send(name, **values)
        except (ServerError, TimeoutError):
            _log.warning("a notice could not be sent", extra={"room": self.room_id})
            return False
        return True

    async def _send(self, name: str, **values: object) -> None:
        text = say(name, self.languages, prefix=self.prefix, power=self.power, **values)
        # Briefly: whoever fills the room with requests must not keep the bot from its work.
        async with asyncio.timeout(SAY_WITHIN):
            await self.homeserver.send_notice(self.room_id, text)

    async def greet(self, name: str, powers: Callable[[], asyncio.Event]) -> None:
        """Say a sentence until it is in the room; where that is forbidden, when powers change.

        Args:
            name: of the sentence.
            powers: returns what is set when the room's power levels change the next time.
        """
        while True:
            changed = powers()
            try:
                await self._send(name)
            except Forbidden:
                _log.warning("the bot may not write here", extra={"room": self.room_id})
                await asyncio.sleep(GREET_AGAIN)  # whoever changes them again and again
                await changed.wait()
            except (ServerError, TimeoutError):
                _log.warning("a notice could not be sent", extra={"room": self.room_id})
                await asyncio.sleep(GREET_AGAIN)
            else:
                return

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

    async def answer_in_turn(self, request: Request, power: int, room: Acts) -> None:
        """Answer after what was asked before."""
        async with self.turn:
            await self.answer(request, power, room)

    async def _obey(self, request: Request, room: Acts) -> None:
        match request.command:
            case Command.PAUSE:
                await self._done(changed=await actions.pause(room))
            case Command.RESUME:
                if room.status().recording or self.resumes.take(monotonic()):
                    await self._done(changed=await actions.resume(room))
                elif self.may_answer():
                    await self.say("too_often")
            case Command.LEAVE:
                await actions.leave(room)
            case Command.STATUS:
                status = room.status()
                await self.say(
                    status.saved,
                    recording="recording" if status.recording else "not_recording",
                    boards=status.boards,
                    present="yes" if status.present else "no",
                    time=actions.show_time(status.unsaved_ts or 0),
                )
            case _:
                await self.say("help")

    async def _done(self, *, changed: bool) -> None:
        """What has changed people have been told (rule 8); that nothing has is an answer."""
        if not changed and self.may_answer():
            await self.say("unchanged")
