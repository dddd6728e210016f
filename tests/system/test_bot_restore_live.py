"""Boards are restored, imported into, saved while two people draw; locked slides stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.stack.bot import until
from tests.stack.client import edits, elements
from tests.stack.client.elements import FIRST_SLIDE
from tests.stack.client.events import update_packet
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.situations import LIVE, Situation, drawn, situation
from tests.system.test_bot_restore import cli, rows

PACK = Path(__file__).parents[1] / "data" / "quickstart-pack.nwb"
PACK_SLIDES = 10


@asynccontextmanager
async def two_people(stack: Stack, folder: Path) -> AsyncIterator[tuple[Situation, NeoBoard]]:
    """Alice and Bob on a board, each hearing the other, and the bot."""
    async with situation(stack, folder, LIVE) as here:
        bob = await here.comes("bob")
        await bob.hears(here.alice)
        await here.alice.hears(bob)
        yield here, bob


@asynccontextmanager
async def drawing(*people: NeoBoard) -> AsyncIterator[list[str]]:
    """Have people draw on the first slide all the time; gives the ids of what they have drawn."""
    done: list[str] = []
    enough = asyncio.Event()

    async def draw(who: NeoBoard) -> None:
        while not enough.is_set():
            element = elements.new_id()
            edit = edits.add_element(FIRST_SLIDE, element, elements.shape())
            packet = update_packet(who.board.document_id, who.document.change(edit))
            await who.send(packet, reliable=True)  # lost by no busy SFU
            done.append(element)
            await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(draw(who)) for who in people]
    try:
        await people[0].until(lambda: len(done) > 2 * len(people), 10, "the first strokes")
        yield done
        count = len(done)
        await people[0].until(lambda: len(done) > count + 2 * len(people), 10, "a few more")
    finally:
        enough.set()  # a stroke that is begun is also in what they have drawn
        await asyncio.gather(*tasks)


async def by_people(here: Situation, count: int) -> None:
    """Wait until so many changes by people are recorded: the bot has heard them."""
    sql = "SELECT COUNT(*) FROM entries WHERE kind = 'update' AND sender IS NOT NULL"
    await until(lambda: rows(here.meeting, sql) == [(count,)], 20, f"not {count} changes", here.bot)


async def all_see_the_same(here: Situation, *people: NeoBoard) -> None:
    """Wait until people see the same board, and so does who reads it from the room alone."""
    first = people[0]
    for other in people[1:]:
        await other.until(
            lambda other=other: other.document.content() == first.document.content(),  # type: ignore[misc]
            20,
            "people to see the same",
        )
    assert here.bot is not None
    await cli(here.bot, "snapshot", "1")
    await here.bot.kill()
    reader = await here.comes("reader")
    assert reader.document.content() == first.document.content()


async def test_imported_behind_what_two_people_draw_meanwhile(stack: Stack, tmp_path: Path) -> None:
    async with two_people(stack, tmp_path) as (here, bob):
        assert here.bot is not None
        async with drawing(here.alice, bob) as done:
            await cli(here.bot, "import", "1", str(PACK), "--append")
            await cli(here.bot, "snapshot", "1")
        for who in (here.alice, bob):
            await who.until(lambda who=who: set(drawn(who)) == set(done), 20, "every stroke")  # type: ignore[misc]
            await who.until(
                lambda who=who: len(who.document.content()["slides"]) == 1 + PACK_SLIDES,  # type: ignore[misc]
                20,
                "every slide",
            )
        await by_people(here, len(done))
        await all_see_the_same(here, here.alice, bob)


async def test_restored_while_two_people_draw_nothing_on_its_way_is_lost(
    stack: Stack, tmp_path: Path
) -> None:
    async with two_people(stack, tmp_path) as (here, bob):
        assert here.bot is not None
        kept = [await here.draws(here.alice, bob)]
        [(at,)] = rows(here.meeting, "SELECT MAX(ts) FROM entries WHERE kind = 'update'")
        async with drawing(here.alice, bob) as done:
            said = await cli(here.bot, "restore", "1", "--at", str(at))
            assert "removed" in said
        await by_people(here, len(kept) + len(done))
        ours = "SELECT MIN(seq) FROM entries WHERE kind = 'update' AND sender IS NULL"
        [(later,)] = rows(
            here.meeting,
            "SELECT COUNT(*) FROM entries WHERE kind = 'update' AND sender IS NOT NULL"
            f" AND seq > ({ours})",
        )
        assert later
        for who in (here.alice, bob):
            await who.until(lambda who=who: len(drawn(who)) == len(kept) + later, 20, "all of it")  # type: ignore[misc]
            assert set(kept) <= set(drawn(who))
        await all_see_the_same(here, here.alice, bob)


async def test_a_locked_slide_is_left_alone(stack: Stack, tmp_path: Path) -> None:
    async with two_people(stack, tmp_path) as (here, bob):
        assert here.bot is not None
        kept = [await here.draws(here.alice, bob)]
        [(at,)] = rows(here.meeting, "SELECT MAX(ts) FROM entries WHERE kind = 'update'")
        kept.append(await here.draws(here.alice, bob))
        await here.alice.change(edits.lock_slide(FIRST_SLIDE, here.alice.user_id))
        await by_people(here, 3)
        said = await cli(here.bot, "restore", "1", "--at", str(at), code=1)
        assert "Locked slides would change (1)" in said
        assert drawn(bob) == kept
        assert drawn(here.alice) == kept
