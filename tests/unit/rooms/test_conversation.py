from __future__ import annotations

import pytest

from bot.commands.parser import Command, Request
from bot.conversation import Conversation
from bot.errors import Forbidden, StoreError
from tests.fakes.rooms import ALICE, ROOM, Server


class Acts:
    def __init__(self) -> None:
        self.did: list[str] = []
        self.changes = True
        self.fails = False
        self.talk: Conversation

    async def _do(self, name: str) -> bool:
        self.did.append(name)
        if self.fails:
            raise StoreError("full")
        return self.changes

    async def pause(self) -> bool:
        return await self._do("pause")

    async def resume(self) -> bool:
        return await self._do("resume")

    async def leave(self, why: str) -> None:
        await self._do(why)

    async def say(self, name: str) -> None:
        await self.talk.say(name)

    def status(self) -> tuple[bool, int, bool]:
        return True, 3, False


async def asked(command: Command | None, acts: Acts, power: int = 50) -> list[str]:
    server = Server()
    acts.talk = talk = Conversation(server, ROOM, ("en",), "!board", 50)
    await talk.answer(Request(ALICE, command), power, acts)
    return server.notices


@pytest.mark.parametrize(
    ("command", "did", "says"),
    [
        (Command.PAUSE, ["pause"], "Recording is paused"),
        (Command.RESUME, ["resume"], "Recording goes on"),
        (Command.STATUS, [], "I am recording. Whiteboards here: 3. Taking part now: no."),
        (Command.HELP, [], "!board pause"),
        (None, [], "!board pause"),
    ],
)
async def test_it_does_what_it_is_told(command: Command | None, did: list[str], says: str) -> None:
    acts = Acts()
    [notice] = await asked(command, acts)
    assert says in notice
    assert acts.did == did


async def test_leaving_says_its_own_farewell() -> None:
    acts = Acts()
    assert await asked(Command.LEAVE, acts) == []
    assert acts.did == ["bye"]


async def test_who_has_no_power_is_told_so() -> None:
    acts = Acts()
    [notice] = await asked(Command.PAUSE, acts, power=49)
    assert "power 50" in notice
    assert acts.did == []


async def test_what_changes_nothing_and_what_cannot_be_kept_is_said() -> None:
    acts = Acts()
    acts.changes = False
    assert "Nothing to do" in (await asked(Command.PAUSE, acts))[0]
    acts.fails = True
    assert "cannot write to my archive" in (await asked(Command.PAUSE, acts))[0]


async def test_a_notice_that_cannot_be_sent_raises_nothing() -> None:
    server = Server()
    server.failures["send_notice"] = [Forbidden("no")]
    talk = Conversation(server, ROOM, ("en",), "!board", 50)
    assert not await talk.say("help")
    assert await talk.say("help")
