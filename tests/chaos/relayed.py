"""Two boards with people, a relay between them, and a receiver who is told of both."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.chaos.crew import LEGACY, PROFILES, STICKY_PROFILE
from tests.stack.bot import Bot, until
from tests.stack.client.habits import Habits
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.people import logged, name, person
from tests.system.receiver import SECRET, Receiver, receiving

CONFIG = {"rtc": {"refresh": "1s", "delay": "4s"}, "boards": {"save_after": "2s"}}

HABITS = {
    LEGACY: Habits(announces=True),
    STICKY_PROFILE: Habits(announces=True, profile="sticky"),
}


@asynccontextmanager
async def relayed(
    stack: Stack, folder: Path, profile: str = LEGACY
) -> AsyncIterator[tuple[Bot, Receiver, tuple[NeoBoard, NeoBoard], NeoBoard]]:
    """Two boards and their people; the bot, not running, is to relay between and tell of both."""
    habits = itertools.cycle(HABITS[one] for one in PROFILES[profile])
    async with AsyncExitStack() as exits:
        receiver = await exits.enter_async_context(receiving())
        alice, carol, bob = [
            await exits.enter_async_context(person(stack, who, next(habits)))
            for who in ("alice", "carol", "bob")
        ]
        bot = Bot(stack, folder / "bot", await stack.user(name("bot")), CONFIG)
        exits.push_async_callback(bot.kill)
        await bot.start()
        source = await alice.create_board(invite=[bot.user_id, carol.user_id])
        target = await bob.create_board(invite=[bot.user_id])
        await until(lambda: len(logged(bot, "board found")) == 2, 20, "not found", bot)
        await bot.stop()
        settings = json.loads(bot.config.read_text())
        rooms = {"from_room": source.room_id, "to_room": target.room_id}
        hook = {"url": receiver.url, "secret": SECRET, "collect": "0s", "allow_private": True}
        settings["handlers"] = [
            {"use": "record"},
            {"use": "relay", "settings": rooms},
            {"use": "webhook", "settings": {**hook, "events": ["document_update"]}},
        ]
        bot.config.write_text(json.dumps(settings))
        await carol.join(source)
        for someone, board in ((alice, source), (carol, source), (bob, target)):
            await someone.open(board)
        yield bot, receiver, (alice, carol), bob
