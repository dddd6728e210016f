"""`relay` between three rooms in a ring, both ways, whatever is lost: equal, and then silent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.stack.bot import Bot, until
from tests.stack.client.events import SNAPSHOT
from tests.stack.client.habits import Habits
from tests.stack.client.link import Link
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.drawing import drawing
from tests.system.people import QUICK, logged, name, person
from tests.system.test_bot_relay_cases import relay, texts

REST = 10.0
"""Seconds after the last stroke; clients save what they drew in the first half of them."""


@asynccontextmanager
async def ring(stack: Stack, folder: Path) -> AsyncIterator[tuple[Bot, list[NeoBoard]]]:
    """Three people with bad connections, each on a board of his own, relayed in a ring."""
    bot = Bot(stack, folder / "bot", await stack.user(name("bot")), QUICK)
    await bot.start()
    async with AsyncExitStack() as exits:
        exits.push_async_callback(bot.kill)
        people = []
        for seed, who in enumerate(("alice", "bob", "carol")):
            link = Link(loss=0.2, duplicate=0.1, reorder=0.1, seed=seed)
            one = await exits.enter_async_context(person(stack, who, Habits(announces=True), link))
            people.append(one)
        boards = [await one.create_board(invite=[bot.user_id]) for one in people]
        await until(lambda: len(logged(bot, "board found")) == 3, 20, "not found", bot)
        await bot.stop()
        around = [relay(boards[at - 1], boards[at], both_ways=True) for at in range(3)]
        settings = json.loads(bot.config.read_text())
        settings["handlers"] = [{"use": "record"}, {"use": "log"}, *around]
        bot.config.write_text(json.dumps(settings))
        for one, board in zip(people, boards, strict=True):
            await one.open(board)
        await bot.start()
        yield bot, people


async def traffic(bot: Bot, people: list[NeoBoard]) -> list[int]:
    """Return what the bot sent on each board, packets and snapshots, and what it recorded."""
    counts = []
    for one in people:
        packets = sum(
            count for (sender, _), count in one.ears.heard.items() if sender == bot.user_id
        )
        saved = await one.user.relations(one.board.room_id, one.board.document_id, SNAPSHOT)
        counts += [packets, len([event for event in saved if event["sender"] == bot.user_id])]
    kinds = "('update', 'snapshot')"
    [[recorded]] = query(bot.data, f"SELECT count(*) FROM entries WHERE kind IN {kinds}")
    return [*counts, int(str(recorded))]


async def test_three_rooms_in_a_ring_agree_whatever_is_lost_and_come_to_rest(
    stack: Stack, tmp_path: Path
) -> None:
    async with ring(stack, tmp_path) as (bot, people):
        async with AsyncExitStack() as exits:
            pens = [
                await exits.enter_async_context(drawing(one, 0.3, str(at)))
                for at, one in enumerate(people)
            ]
            for killed in (True, False, True):
                await asyncio.sleep(2)
                await (bot.kill() if killed else bot.stop())
                await asyncio.sleep(1)  # what is drawn now, it does not hear
                await bot.start()
            await asyncio.sleep(2)
        wanted = {text for pen in pens for text in pen.drawn}
        assert len(wanted) > 30

        def agree() -> bool:
            first, second, third = (one.document.content() for one in people)
            return first == second == third and set(texts(people[0])) == wanted

        await until(agree, 40, "they do not agree", bot)
        await asyncio.sleep(REST)

        async def at_rest() -> bool:
            before = await traffic(bot, people)
            await asyncio.sleep(REST / 2)  # a cycle would make hundreds
            return await traffic(bot, people) == before

        await until(at_rest, 30, "it does not come to rest", bot)
        assert min(await traffic(bot, people)) > 0
