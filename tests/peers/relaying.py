"""Two rooms with a board each, somebody on both, and the bot that relays one to the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.stack.bot import Bot, until
from tests.stack.client.events import Board
from tests.stack.client.habits import Habits
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.people import QUICK, logged, name, person


@dataclass(frozen=True, slots=True)
class Relaying:
    """Alice draws in room A; what she draws appears in room B, where carol is.

    Nobody has a board open yet.
    """

    bot: Bot
    alice: NeoBoard
    source: Board
    carol: NeoBoard
    target: Board

    @property
    def identity(self) -> str:
        """The bot's name on LiveKit."""
        return f"{self.bot.user_id}:{self.bot.device_id}"

    async def until_heard_by(self, someone: NeoBoard) -> None:
        """Waits until the bot is connected to the room where this person is."""
        channel = someone.meeting.channel
        assert channel is not None
        await someone.until(lambda: self.identity in channel.others, 10, "the bot")


@asynccontextmanager
async def relaying(stack: Stack, folder: Path) -> AsyncIterator[Relaying]:
    """Makes the rooms and runs the bot for the block; it knows both boards when it begins."""
    async with AsyncExitStack() as exits:
        account = await stack.user(name("bot"))
        quick = Habits(announces=True)
        alice = await exits.enter_async_context(person(stack, "alice", quick))
        carol = await exits.enter_async_context(person(stack, "carol", quick))
        source = await alice.create_board("A", invite=[account.user_id])
        target = await carol.create_board("B", invite=[account.user_id])
        rooms = {"from_room": source.room_id, "to_room": target.room_id}
        handlers = [{"use": "record"}, {"use": "log"}, {"use": "relay", "settings": rooms}]
        bot = Bot(stack, folder / "bot", account, {**QUICK, "handlers": handlers})
        await bot.start()
        exits.push_async_callback(bot.kill)
        await until(lambda: len(logged(bot, "board found")) == 2, 10, "both boards", bot)
        yield Relaying(bot, alice, source, carol, target)
