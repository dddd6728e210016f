"""People on a board, with the bot in the room or without it: for what NeoBoard loses alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.stack.bot import Bot, running_bot, until
from tests.stack.client import elements
from tests.stack.client.events import Board
from tests.stack.client.habits import Habits
from tests.stack.client.link import Link
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.people import QUICK, Meeting, logged, name

UNSAVED = Habits(announces=True, saves=False)
"""Somebody whose browser does not come to saving, or only when a test has it do so."""
LIVE: dict[str, Any] = {**QUICK, "boards": {"save_after": "10m"}}
"""A bot that has only the live connection to help with: its own snapshots would come too late."""


@dataclass(frozen=True, slots=True)
class Situation:
    """A board with its author on it.

    Attributes:
        bot: None where people are among themselves.
    """

    stack: Stack
    exits: AsyncExitStack
    alice: NeoBoard
    board: Board
    bot: Bot | None

    @property
    def meeting(self) -> Meeting:
        """The same, where there is a bot."""
        assert self.bot is not None
        return Meeting(self.stack, self.bot, self.alice, self.board)

    async def invited(
        self, who: str, habits: Habits = UNSAVED, hears: Link | None = None
    ) -> NeoBoard:
        """Have somebody come into the room who was never there; the board he has not opened."""
        login = await self.stack.user(name(who))
        someone = await self.exits.enter_async_context(
            NeoBoard(self.stack.homeserver_url, login, habits, hears=hears)
        )
        await self.alice.user.membership(self.board.room_id, "invite", someone.user_id)
        await someone.join(self.board)
        return someone

    async def comes(
        self, who: str, habits: Habits = UNSAVED, hears: Link | None = None
    ) -> NeoBoard:
        """Have somebody open the board who was never there."""
        someone = await self.invited(who, habits, hears)
        await someone.open(self.board)
        return someone

    async def draws(self, who: NeoBoard, *seen_by: NeoBoard) -> str:
        """Have somebody draw; wait until it has reached these people and the bot."""
        before = self.meeting.entries(kind="update") if self.bot else 0
        element = await who.draw(elements.shape())
        for other in seen_by:
            await sees(other, element)
        if self.bot:
            await self.meeting.recorded(before + 1, kind="update")
        return element

    async def only_the_room_is_left(self) -> None:
        """Have the bot end, whatever it still knows."""
        if self.bot:
            await self.bot.kill()


@asynccontextmanager
async def situation(
    stack: Stack,
    folder: Path,
    config: dict[str, Any] | None,
    *,
    author: Habits = UNSAVED,
    link: Link | None = None,
) -> AsyncIterator[Situation]:
    """Alice on a board of hers; with a bot if there is a configuration for it."""
    async with AsyncExitStack() as exits:
        bot = None
        if config is not None:
            running = running_bot(stack, folder / "bot", name("bot"), config)
            bot = await exits.enter_async_context(running)
        login = await stack.user(name("alice"))
        alice = await exits.enter_async_context(
            NeoBoard(stack.homeserver_url, login, author, link=link)
        )
        board = await alice.create_board(invite=[bot.user_id] if bot else [])
        if bot:
            await until(lambda: logged(bot, "board found"), 10, "the board is not found", bot)
        await alice.open(board)
        here = Situation(stack, exits, alice, board, bot)
        if bot:
            await here.meeting.heard()
        yield here


async def sees(who: NeoBoard, element: str) -> None:
    """Wait until somebody sees an element."""
    await who.until(lambda: element in drawn(who), 10, "others to see it")


def drawn(who: NeoBoard) -> list[str]:
    """Return the ids of what somebody sees on the first slide."""
    return [one["id"] for one in who.document.content()["slides"][0]["elements"]]


def updates_heard(who: NeoBoard, author: NeoBoard) -> int:
    """Return how many changes by an author have reached somebody, shown or not."""
    return who.ears.heard[author.user_id, "document_update"]
