"""What NeoBoard loses alone, and with the bot in the room does not.

Each test is a row of the table of strokes that real clients lost, replayed by simulated ones:
without the bot they lose the same. How soon something is seen the benchmark measures; here counts
who sees it before anybody could have had it from a snapshot.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.client.events import CHUNK, SNAPSHOT
from tests.stack.client.habits import Habits
from tests.stack.client.link import Link
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.people import QUICK, logged
from tests.system.situations import LIVE, Situation, drawn, situation, updates_heard

SAVING: dict[str, Any] = {**QUICK, "boards": {"save_after": "1s"}}
STROKES = 40

bot_saves = pytest.mark.parametrize("config", [None, SAVING], ids=["alone", "bot"])
bot_is_there = pytest.mark.parametrize("config", [None, LIVE], ids=["alone", "bot"])

Config = dict[str, Any] | None


async def saved(here: Situation) -> None:
    """Wait until the bot, if there is one, has saved everything."""
    if here.bot is None:
        return
    bot = here.bot

    async def check() -> bool:
        return (await bot.metrics())["boardkeeper_boards_unsaved"] == 0

    await until(check, 30, "the bot has not saved", bot)


@bot_saves
async def test_the_author_dies_and_somebody_else_only_watches(
    stack: Stack, tmp_path: Path, config: Config
) -> None:
    async with situation(stack, tmp_path, config) as here:
        bob = await here.comes("bob", Habits(announces=True))
        await bob.hears(here.alice)
        element = await here.draws(here.alice, bob)
        await here.alice.kill()
        await saved(here)
        assert element in drawn(bob)
        await bob.leave()
        assert bob.keeping.saved == []
        await here.only_the_room_is_left()
        reader = await here.comes("reader")
        assert (element in drawn(reader)) == bool(config)


@bot_saves
async def test_the_author_dies_and_somebody_else_draws_too(
    stack: Stack, tmp_path: Path, config: Config
) -> None:
    async with situation(stack, tmp_path, config) as here:
        bob = await here.comes("bob", Habits(announces=True))
        await bob.hears(here.alice)
        element = await here.draws(here.alice, bob)
        await here.alice.kill()
        another = await here.draws(bob)
        await bob.until(lambda: bob.keeping.saved, 20, "bob to save")
        await bob.leave()
        await saved(here)
        await here.only_the_room_is_left()
        assert drawn(await here.comes("reader")) == [element, another]


@bot_saves
async def test_the_author_dies_alone(stack: Stack, tmp_path: Path, config: Config) -> None:
    async with situation(stack, tmp_path, config) as here:
        element = await here.draws(here.alice)
        await here.alice.kill()
        await saved(here)
        await here.only_the_room_is_left()
        assert drawn(await here.comes("reader")) == ([element] if config else [])


@bot_is_there
async def test_somebody_comes_after_a_stroke(stack: Stack, tmp_path: Path, config: Config) -> None:
    async with situation(stack, tmp_path, config) as here:
        element = await here.draws(here.alice)
        bob = await here.comes("bob")
        await bob.hears(here.alice)
        if config is None:
            await hears_cursor(bob, here.alice)
            assert drawn(bob) == []  # nobody tells him
            await here.alice.keeping.save()
        await bob.until(lambda: drawn(bob) == [element], 10, "bob to see it")
        assert bool(bob.keeping.loaded) == (config is None)


@bot_is_there
async def test_strokes_before_and_after_somebody_came(
    stack: Stack, tmp_path: Path, config: Config
) -> None:
    async with situation(stack, tmp_path, config) as here:
        before = await here.draws(here.alice)
        bob = await here.comes("bob")
        await bob.hears(here.alice)
        after = await here.draws(here.alice)
        await bob.until(lambda: updates_heard(bob, here.alice), 10, "the later one to arrive")
        if config is None:
            assert drawn(bob) == []  # it waits for the one before
            await here.alice.keeping.save()
        await bob.until(lambda: drawn(bob) == [before, after], 10, "bob to see both")
        assert bool(bob.keeping.loaded) == (config is None)


async def hears_cursor(bob: NeoBoard, author: NeoBoard) -> None:
    """Wait until a packet of the author has reached somebody."""
    for place in range(100):
        await author.move_cursor(place, place)
        try:
            await bob.until(lambda: author.user_id in bob.ears.cursors, 0.2, "a packet to arrive")
        except TimeoutError:
            continue
        return
    raise TimeoutError("no packet arrives")


@bot_is_there
async def test_a_receiver_loses_a_fifth_of_all_packets(
    stack: Stack, tmp_path: Path, config: Config
) -> None:
    bad = Link(loss=0.2, seed=2)  # the first it loses is the second
    async with situation(stack, tmp_path, config) as here:
        bob = await here.comes("bob", hears=bad)
        await bob.hears(here.alice)
        wanted = [await here.alice.draw(elements.shape()) for _ in range(STROKES)]
        await bob.until(lambda: updates_heard(bob, here.alice) > STROKES / 2, 20, "packets")
        assert bad.counts["lost"]
        if config is None:
            assert len(drawn(bob)) < updates_heard(bob, here.alice)  # frozen
            await here.alice.keeping.save()
        # With the bot nobody has written a snapshot: he is not frozen until there is one.
        await bob.until(lambda: drawn(bob) == wanted, 20, "bob to see all")
        assert bool(bob.keeping.loaded) == (config is None)


@bot_is_there
async def test_sender_and_receiver_lose_a_fifth_of_all_packets(
    stack: Stack, tmp_path: Path, config: Config
) -> None:
    """What never left its author's machine nobody else can have: his snapshot brings it."""
    bad = Link(loss=0.2, seed=2)
    async with situation(stack, tmp_path, config, link=bad) as here:
        bob = await here.comes("bob", hears=Link(loss=0.2, seed=3))
        await bob.hears(here.alice)
        wanted = [await here.alice.draw(elements.shape()) for _ in range(STROKES)]
        assert bad.counts["lost"]
        assert len(drawn(bob)) < STROKES
        await here.alice.keeping.save()
        await bob.until(lambda: drawn(bob) == wanted, 20, "bob to see all")
        await here.alice.kill()
        await bob.leave()
        await here.only_the_room_is_left()
        assert drawn(await here.comes("reader")) == wanted


@bot_saves
async def test_chunks_are_refused(stack: Stack, tmp_path: Path, config: Config) -> None:
    async with situation(stack, tmp_path, config) as here:
        bob = await here.comes("bob")
        await bob.hears(here.alice)
        old = await here.draws(here.alice, bob)
        await here.alice.keeping.save()
        await saved(here)
        allowed = await chunks_need(here, 40)
        await here.alice.leave()
        new = await here.draws(bob)
        await bob.keeping.save()  # the chunk is refused, and nobody says so
        if here.bot:
            await told(here, "is not being saved")
        await bob.leave()
        reader = await here.comes("reader")
        if config is None:
            assert drawn(reader) == [old]
            return
        await reader.until(lambda: drawn(reader) == [old, new], 10, "what no snapshot has")
        await reader.leave()
        await said_once_across_restarts(here, allowed)
        await here.only_the_room_is_left()
        assert drawn(await here.comes("another")) == [old, new]


async def chunks_need(here: Situation, level: int) -> dict[str, Any]:
    """Have chunks need a power level; return the power levels before."""
    room_id = here.board.room_id
    state = await here.alice.user.state(room_id)
    [before] = [dict(one["content"]) for one in state if one["type"] == "m.room.power_levels"]
    after = {**before, "events": {**before["events"], CHUNK: level}}
    await here.alice.user.put_state(room_id, "m.room.power_levels", after)
    return before


async def told(here: Situation, what: str) -> list[str]:
    """Wait until the bot has said something in the room; return all of it."""

    async def check() -> list[str]:
        return [text for text in await here.meeting.said() if what in text]

    found: list[str] = await until(check, 60, f"the room is not told: {what}", here.bot)
    return found


async def said_once_across_restarts(here: Situation, allowed: dict[str, Any]) -> None:
    """See who is told what, that a restart and a further try repeat nothing, and how it ends."""
    assert here.bot is not None
    [text] = await told(here, "is not being saved")
    english, german = text.split("\n")
    for sentence in (english, german):
        assert f"{CHUNK} (40)" in sentence
        assert SNAPSHOT not in sentence
        assert here.bot.user_id in sentence
        assert "50" in sentence  # who may set power levels, in this room
    tries = len(refusals(here))
    await here.bot.kill()
    await here.bot.start()
    await until(lambda: len(refusals(here)) > tries, 60, "it does not try again", here.bot)
    await here.alice.user.put_state(here.board.room_id, "m.room.power_levels", allowed)
    await saved(here)
    await told(here, "is being saved again")
    for sentence in ("is not being saved", "is being saved again"):
        assert len(await told(here, sentence)) == 1


def refusals(here: Situation) -> list[dict[str, Any]]:
    assert here.bot is not None
    return logged(here.bot, "the room does not take snapshots of ours")


def test_the_links_lose_early() -> None:
    """What the tests above rest on: somebody is frozen after the first few strokes."""
    for seed in (2, 3):
        link = Link(loss=0.2, seed=seed)
        assert not all(link.offer(number) for number in range(STROKES // 4))
