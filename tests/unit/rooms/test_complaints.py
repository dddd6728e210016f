"""What keeps the bot from its work is said once, and once that boards can be saved again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bot.permission import Refusal
from bot.rooms.complaints import Complaints
from tests.fakes.rooms import BOT, ROOM, MemoryArchive, until

WHY = Refusal(BOT, {"x.chunk": 50}, 0, 100)


class Talk:
    """Notes what is said, unless nothing can be."""

    room_id = ROOM

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, object]]] = []
        self.tries = 0
        self.mute = False

    async def say(self, name: str, **values: object) -> bool:
        self.tries += 1
        await asyncio.sleep(0)
        if not self.mute:
            self.said.append((name, values))
        return not self.mute

    async def greet(self, name: str, powers: Callable[[], asyncio.Event]) -> None:
        while not await self.say(name):
            await powers().wait()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.said]


class Life:
    """One life of the bot, in the same room with the same archive."""

    def __init__(self, archive: MemoryArchive, tasks: asyncio.TaskGroup) -> None:
        self.archive = archive
        self.talk = Talk()
        self.why: Refusal | None = WHY
        self.complaints = Complaints(archive, self.talk, lambda: self.why, tasks)

    async def hears(self, *refused: bool) -> list[str]:
        """Hear one after the other; return what is said of it."""
        for yes in refused:
            before = self.talk.said[:]
            self.complaints.saving_refused(yes)
            await until(lambda: not self.complaints._busy)
            assert len(self.talk.said) - len(before) <= 1
        return self.talk.names


@asynccontextmanager
async def life(archive: MemoryArchive) -> AsyncIterator[Life]:
    async with asyncio.TaskGroup() as tasks:
        yield Life(archive, tasks)


async def test_it_says_once_who_may_allow_what() -> None:
    async with life(MemoryArchive()) as here:
        assert await here.hears(True, True, True) == ["unsaved_power"]
        [(_, values)] = here.talk.said
        assert values == {
            "user": BOT,
            "own": 0,
            "kinds": "x.chunk (50)",
            "needed": 50,
            "mends": 100,
        }


async def test_where_power_is_not_the_cause_it_does_not_say_so() -> None:
    async with life(MemoryArchive()) as here:
        here.why = None
        assert await here.hears(True) == ["unsaved"]


async def test_where_nothing_was_wrong_nothing_is_said() -> None:
    async with life(MemoryArchive()) as here:
        assert await here.hears(False) == []


async def test_a_restart_repeats_nothing() -> None:
    archive = MemoryArchive()
    async with life(archive) as here:
        await here.hears(True)
    async with life(archive) as here:
        assert await here.hears(True) == []
        assert await here.hears(False, False) == ["saved_again"]
    async with life(archive) as here:
        assert await here.hears(False, True) == ["unsaved_power"]


async def test_what_changes_while_it_speaks_is_said_too() -> None:
    async with life(MemoryArchive()) as here:
        here.complaints.saving_refused(True)
        await until(lambda: here.talk.tries == 1)
        here.complaints.saving_refused(False)
        await until(lambda: here.talk.names == ["unsaved_power", "saved_again"])


async def test_what_could_not_be_said_is_said_next_time() -> None:
    async with life(MemoryArchive()) as here:
        here.talk.mute = True
        assert await here.hears(True) == []
        assert here.talk.tries == 1
        here.talk.mute = False
        assert await here.hears(True) == ["unsaved_power"]


async def test_an_archive_that_fails_makes_it_repeat_nothing_in_this_life() -> None:
    archive = MemoryArchive()
    archive.broken = {"get", "set"}
    async with life(archive) as here:
        assert await here.hears(True, True) == ["unsaved_power"]


async def test_who_invites_it_again_is_told_again() -> None:
    async with life(MemoryArchive()) as here:
        await here.hears(True)
        await here.complaints.forget()
        assert await here.hears(True) == ["unsaved_power", "unsaved_power"]


async def test_what_is_said_for_good_no_restart_repeats() -> None:
    archive = MemoryArchive()
    async with life(archive) as here:
        for _ in range(3):
            here.complaints.for_good("bridged", asyncio.Event)
    assert here.talk.names == ["bridged"]
    async with life(archive) as here:
        here.complaints.for_good("bridged", asyncio.Event)
    assert here.talk.names == []
    await here.complaints.forget()  # who invites it again is told again
    async with life(archive) as here:
        here.complaints.for_good("bridged", asyncio.Event)
    assert here.talk.names == ["bridged"]


async def test_where_it_may_not_speak_what_is_said_for_good_waits_for_power() -> None:
    archive, power = MemoryArchive(), asyncio.Event()
    async with life(archive) as here:
        here.talk.mute = True
        here.complaints.for_good("bridged", lambda: power)
        await until(lambda: here.talk.tries == 1)
        assert not archive.texts
        here.talk.mute = False
        power.set()
    assert here.talk.names == ["bridged"]


async def test_with_an_archive_that_fails_it_is_said_in_each_life() -> None:
    archive = MemoryArchive()
    archive.broken = {"get", "set"}
    for _ in range(2):
        async with life(archive) as here:
            here.complaints.for_good("bridged", asyncio.Event)
        assert here.talk.names == ["bridged"]


async def test_other_sentences_are_said_once_until_they_are_over() -> None:
    async with life(MemoryArchive()) as here:
        assert here.complaints.once("full")
        assert not here.complaints.once("full")
        assert here.complaints.once("forbidden", needed=50)
        here.complaints.over("full")
        here.complaints.over("nothing")
        assert here.complaints.once("full")
        await until(lambda: here.talk.names == ["full", "forbidden", "full"])
