"""What the tests of the bot among people of two homeservers have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.stack.bot import running_bot, until
from tests.stack.client import elements
from tests.stack.client.events import MEMBER, member_key
from tests.stack.client.habits import Habits
from tests.stack.federation import Federation
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.people import QUICK, Meeting, logged, name

OLD = Habits(announces=True)
NEW = Habits(profile="sticky", announces=True)
CONFIG: Mapping[str, Any] = {
    "rtc": {**QUICK["rtc"], "sfu_grace": "3s"},
    "invites": {"allow": ["*"]},
}


@dataclass(slots=True)
class Two(Meeting):
    """A board with people of two homeservers: the bot and Alice are of A, Bob is of B."""

    federation: Federation
    bob: NeoBoard
    host: NeoBoard
    exits: AsyncExitStack

    async def guest(self, stack: Stack, what: str, habits: Habits) -> NeoBoard:
        """Somebody more in the room, whose board is still closed."""
        device = await stack.user(name(what))
        someone = NeoBoard(stack.homeserver_url, device, habits)
        await self.exits.enter_async_context(someone)
        await self.host.user.membership(self.board.room_id, "invite", someone.user_id)
        await someone.join(self.board)
        someone.board = self.board
        return someone

    async def focus(self) -> str:
        """The JWT service that the bot's legacy membership names first; empty without one."""
        foci = (await self.membership()).get("foci_preferred")
        return str(foci[0]["livekit_service_url"]) if foci else ""

    async def moved(self, jwt_url: str, within: float = 20) -> None:
        """Wait until the bot is announced on a focus."""

        async def check() -> bool:
            return await self.focus() == jwt_url

        await until(check, within, f"the bot is not on {jwt_url}", self.bot)

    async def says(self, who: NeoBoard, text: str) -> str:
        """Have somebody draw; wait until it is recorded as his. Returns the element."""
        before = self.entries(sender=who.user_id)
        element = await who.draw(elements.shape(text=text))
        await until(
            lambda: self.entries(sender=who.user_id) > before,
            15,
            f"{text} is not recorded as {who.user_id}'s",
            self.bot,
        )
        return element

    def nameless(self) -> int:
        """How many changes are recorded of which nobody knows who made them."""
        sql = "SELECT count(*) FROM entries WHERE kind = 'update' AND sender IS NULL"
        return int(str(query(self.bot.data, sql)[0][0]))

    def tries(self) -> int:
        """How often the bot has begun to connect to an SFU."""
        return len([one for one in logged(self.bot, "livekit") if one["state"] == "connecting"])


def bot_among(here: Two, someone: NeoBoard) -> bool:
    """Whether somebody sees the bot among the members."""
    return here.bot.user_id in {one.user_id for one in someone.members}


async def meet(here: Two, *people: NeoBoard) -> None:
    """Wait until these see the bot as a member, and the bot hears them."""
    for someone in people:
        await someone.until(partial(bot_among, here, someone), 40, "the bot")
        await someone.until(partial(bot_hears, here, someone), 40, "being heard")
    for someone in people:
        await until(partial(draws_by_name, here, someone), 15, "he is not known by name", here.bot)


async def draws_by_name(here: Two, someone: NeoBoard) -> bool:
    """Draw; return whether that is recorded as his: who has just come may have no name yet."""
    before = here.entries(sender=someone.user_id)
    await someone.draw(elements.shape(text="first"))
    await asyncio.sleep(1)
    return here.entries(sender=someone.user_id) > before


def bot_hears(here: Two, someone: NeoBoard) -> bool:
    """Whether the bot is on the SFU on which somebody publishes."""
    names = {one.identity for one in someone.members if one.user_id == here.bot.user_id}
    channel = someone.meeting.channel
    return channel is not None and bool(names & channel.others)


def has(someone: NeoBoard, element: str) -> bool:
    """Whether somebody sees an element."""
    return element in str(someone.document.content())


async def sees(someone: NeoBoard, element: str, within: float = 15) -> None:
    """Wait until somebody sees an element."""
    await someone.until(partial(has, someone, element), within, "the stroke")


async def membership_at(someone: NeoBoard, of: NeoBoard) -> Mapping[str, Any]:
    """The content of a legacy membership as somebody's homeserver has it now."""
    key = member_key(of.user_id, of.device_id)
    for event in await someone.user.state(someone.board.room_id):
        if (event["type"], event["state_key"]) == (MEMBER, key):
            return dict(event["content"])
    return {}


async def crossed(someone: NeoBoard, of: NeoBoard) -> None:
    """Wait until somebody's homeserver knows a legacy membership.

    Who opens the board before begins on his own server's SFU, as the real client does.
    """
    await until(lambda: membership_at(someone, of), 20, "the membership has not crossed")


@asynccontextmanager
async def two(
    federation: Federation,
    folder: Path,
    *,
    alice: Habits = OLD,
    bob: Habits = OLD,
    host: str = "a",
    config: Mapping[str, Any] = CONFIG,
) -> AsyncIterator[Two]:
    """A board made by Alice (host "a") or Bob; both and the bot are in its room."""
    async with AsyncExitStack() as exits:
        a, b = federation.a, federation.b
        bot = await exits.enter_async_context(running_bot(a, folder / "bot", name("bot"), config))
        one, other = [
            await exits.enter_async_context(
                NeoBoard(stack.homeserver_url, await stack.user(name(who)), habits)
            )
            for stack, who, habits in ((a, "alice", alice), (b, "bob", bob))
        ]
        maker, guest = (one, other) if host == "a" else (other, one)
        board = one.board = other.board = await maker.create_board(invite=[bot.user_id])
        here = Two(a, bot, one, board, federation, other, maker, exits)
        await until(lambda: logged(bot, "board found"), 30, "the board is not found", bot)
        # Not at the same time: a homeserver that comes while somebody joins may not be told of his
        # joining by Synapse, and what he says is rejected there for good (seen in 1 of 10 tries).
        await maker.user.membership(board.room_id, "invite", guest.user_id)
        await guest.join(board)
        yield here
