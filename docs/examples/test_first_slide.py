"""Tests of the example.

In a checkout: `make setup`, then `.venv/bin/python -m pytest docs/examples`. Copied elsewhere,
beside an installed boardkeeper: `pip install pytest pytest-asyncio`, then
`python -m pytest -o asyncio_mode=auto`.
"""

from __future__ import annotations

import pytest
from first_slide import SAID, FirstSlide

from bot.testing import Person, SimulatedRoom

ALICE, BOB = "@alice:example.org", "@bob:example.org"


async def people(room: SimulatedRoom[FirstSlide]) -> tuple[Person, Person]:
    """Alice, who may, and Bob, who may not."""
    return await room.join(ALICE, power=50), await room.join(BOB)


def texts(person: Person, slide: int = 0) -> list[str]:
    """What is written on a slide."""
    return [one["text"] for one in person.slides[slide].elements]


async def test_what_others_draw_there_is_put_back_and_said_once() -> None:
    async with SimulatedRoom(FirstSlide) as room:
        alice, bob = await people(room)
        title = await alice.note("Title")
        await alice.add_slide()
        await room.settle()
        assert room.posts == []
        await bob.note("me too")
        await room.settle()
        await bob.write(title, "Other title")
        await room.settle()
        await bob.remove(title)
        await bob.note("elsewhere", slide=1)
        await room.settle()
        for person in (alice, bob):
            assert (texts(person), texts(person, 1)) == (["Title"], ["elsewhere"])
        assert [post.text for post in room.posts] == [SAID.format(power=50)]
        await room.crash_and_restart()
        await bob.note("again")
        await room.settle()
        assert texts(alice) == ["Title"]
        assert len(room.posts) == 1


async def test_who_has_the_power_may_do_everything() -> None:
    async with SimulatedRoom(FirstSlide, settings={"power": 30}) as room:
        alice = await room.join(ALICE, power=30)
        first = await alice.note("1")
        await alice.note("2")
        await alice.write(first, "one")
        await alice.lock(0)
        await alice.unlock(0)
        await alice.show([alice.slides[0].without(first)])
        await alice.add_slide()
        await alice.show(list(reversed(alice.slides)))
        await room.settle()
        assert texts(alice, 1) == ["2"]
        await alice.remove_slide(0)
        await room.settle()
        assert texts(alice) == ["2"]
        assert room.posts == []


async def test_order_lock_and_place_are_put_back_too() -> None:
    async with SimulatedRoom(FirstSlide) as room:
        alice, bob = await people(room)
        await alice.note("1")
        await alice.note("2")
        await alice.note("second", slide=await alice.add_slide())
        await room.settle()
        before = alice.content
        first, second = bob.slides
        elements = tuple(reversed(first.elements))
        await bob.show([type(first)(first.id, elements), second])
        await room.settle()
        assert alice.content == before
        await bob.lock(0)
        await room.settle()
        assert alice.content == before
        await bob.show([bob.slides[1], bob.slides[0]])
        await room.settle()
        assert alice.content == before


async def test_a_deleted_slide_comes_back_and_is_guarded_on() -> None:
    async with SimulatedRoom(FirstSlide) as room:
        alice, bob = await people(room)
        await alice.note("Title")
        await alice.add_slide()
        await bob.remove_slide(0)
        await room.settle()
        assert (texts(alice), texts(alice, 1)) == (["Title"], [])
        await bob.note("me too")
        await room.settle()
        assert texts(alice) == texts(bob) == ["Title"]


@pytest.mark.parametrize("seed", range(5))
async def test_both_at_once_each_keep_what_is_theirs(seed: int) -> None:
    async with SimulatedRoom(FirstSlide, seed=seed, duplication=0.3) as room:
        alice, bob = await people(room)
        await alice.add_slide()
        for number in range(4):
            await bob.note(f"b{number}")
            await alice.note(f"a{number}")
            await bob.note(f"ok{number}", slide=1)
        await room.settle()
        assert texts(alice) == texts(bob) == [f"a{number}" for number in range(4)]
        assert texts(alice, 1) == [f"ok{number}" for number in range(4)]


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_gets_lost_all_see_the_same(seed: int) -> None:
    async with SimulatedRoom(FirstSlide, seed=seed, loss=0.3, reordering=0.3) as room:
        alice, bob = await people(room)
        for number in range(4):
            await bob.note(f"b{number}")
            await alice.note(f"a{number}")
        await room.settle()
        assert alice.content == bob.content == room.content


async def test_a_power_level_that_changes_counts_at_once() -> None:
    async with SimulatedRoom(FirstSlide) as room:
        _, bob = await people(room)
        room.set_power(BOB, 50)
        await bob.note("now I may")
        await room.settle()
        assert texts(bob) == ["now I may"]


async def test_more_than_it_may_rewrite_is_waited_for() -> None:
    async with SimulatedRoom(FirstSlide) as room:
        _, bob = await people(room)
        for number in range(12):
            await bob.note(f"{number}")
            await room.settle()
        assert texts(bob) == []
