from __future__ import annotations

import asyncio

import pytest

from bot.commands.bucket import BURST, EVERY
from bot.commands.parser import Command, Request
from bot.errors import Forbidden, StoreError, Transient
from bot.rooms.conversation import RESUME_EVERY, Conversation, Status
from tests.fakes.rooms import ALICE, ROOM, Server, until


class Acts:
    def __init__(self) -> None:
        self.did: list[str] = []
        self.changes = True
        self.fails = False
        self.recording = True
        self.saves = True
        self.unsaved_ts: int | None = None
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

    def status(self) -> Status:
        return Status(
            self.recording, 3, present=False, saves=self.saves, unsaved_ts=self.unsaved_ts
        )


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


async def test_status_says_what_is_saved_in_the_room() -> None:
    acts = Acts()
    [said] = await asked(Command.STATUS, acts)
    assert said.endswith("Everything that reached me is saved in the room.")
    acts.unsaved_ts = 1_795_218_261_000
    [said] = await asked(Command.STATUS, acts)
    assert said.endswith("Saved in the room up to 2026-11-20 23:44:21 UTC.")
    acts.saves = False
    [said] = await asked(Command.STATUS, acts)
    assert said.endswith("Taking part now: no.")


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


async def test_answers_get_few_when_many_are_asked_for_but_every_order_is_obeyed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, acts = Server(), Acts()
    acts.talk = talk = Conversation(server, ROOM, ("en",), "!board", 50)
    monkeypatch.setattr("bot.rooms.conversation.monotonic", lambda: 7.0)
    acts.changes = False
    for _ in range(50):
        await talk.answer(Request(ALICE, Command.PAUSE), 50, acts)
    assert acts.did == ["pause"] * 50
    assert len(server.notices) == BURST
    assert not talk.may_answer()
    acts.changes = True
    await talk.answer(Request(ALICE, Command.RESUME), 50, acts)
    assert server.notices[BURST:] == ["Recording goes on."]  # people always know whether it does
    monkeypatch.setattr("bot.rooms.conversation.monotonic", lambda: 7.0 + EVERY)
    assert [talk.may_answer() for _ in range(2)] == [True, False]


async def test_orders_to_resume_are_obeyed_a_few_times_a_minute_to_pause_always(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, acts, now = Server(), Acts(), 7.0
    acts.talk = talk = Conversation(server, ROOM, ("en",), "!board", 50)
    monkeypatch.setattr("bot.rooms.conversation.monotonic", lambda: now)

    async def flip() -> None:
        acts.recording = True
        await talk.answer(Request(ALICE, Command.PAUSE), 50, acts)
        acts.recording = False
        await talk.answer(Request(ALICE, Command.RESUME), 50, acts)

    for _ in range(100):
        await flip()
    assert (acts.did.count("pause"), acts.did.count("resume")) == (100, BURST)
    assert sum("stays paused" in notice for notice in server.notices) == BURST
    now += RESUME_EVERY
    await flip()
    await flip()
    assert acts.did.count("resume") == BURST + 1
    assert "stays paused" in server.notices[-1]


async def test_where_it_may_not_write_it_greets_when_powers_have_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.rooms.conversation.GREET_AGAIN", 0.0)
    server, power = Server(), asyncio.Event()

    def change() -> None:
        nonlocal power
        power.set()
        power = asyncio.Event()

    talk = Conversation(server, ROOM, ("en",), "!board", 50)
    server.failures["send_notice"] = [Transient("down"), Forbidden("no"), Forbidden("no")]
    greeting = asyncio.create_task(talk.greet("hello", lambda: power))
    await until(lambda: server.calls["send_notice"] == 2)
    for _ in range(50):
        await asyncio.sleep(0)
    assert server.calls["send_notice"] == 2
    change()
    await until(lambda: server.calls["send_notice"] == 3)
    for _ in range(50):
        await asyncio.sleep(0)
    assert (server.calls["send_notice"], server.notices) == (3, [])
    change()
    await greeting
    assert len(server.notices) == 1


async def test_answers_come_in_the_order_of_the_questions() -> None:
    server, acts = Server(), Acts()
    talk = Conversation(server, ROOM, ("en",), "!board", 50)
    server.slow.add("send_notice")
    asked = [Command.STATUS, Command.PAUSE, Command.HELP]
    async with asyncio.TaskGroup() as tasks:
        for command in asked:
            tasks.create_task(talk.answer_in_turn(Request(ALICE, command), 0, acts))
        await until(lambda: server.calls["send_notice"])
        for _ in range(50):
            await asyncio.sleep(0)
        assert server.calls["send_notice"] == 1
        server.go.set()
    assert [notice.split()[0] for notice in server.notices] == ["I", "Only", "“!board"]
    assert acts.did == []


@pytest.mark.parametrize(
    ("command", "power", "order"),
    [
        (Command.PAUSE, 50, True),
        (Command.RESUME, 100, True),
        (Command.LEAVE, 50, True),
        (Command.LEAVE, 49, False),
        (Command.STATUS, 100, False),
        (None, 100, False),
    ],
)
def test_an_order_is_what_changes_something_and_may(
    command: Command | None, power: int, *, order: bool
) -> None:
    talk = Conversation(Server(), ROOM, ("en",), "!board", 50)
    assert talk.is_order(Request(ALICE, command), power) is order
