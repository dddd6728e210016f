"""What the tests of the bot have in common: people with a board, and the bot among them."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.stack.bot import Bot, running_bot, until
from tests.stack.client.elements import Element
from tests.stack.client.events import MEMBER, Board
from tests.stack.client.habits import Habits
from tests.stack.client.link import Link
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.archive import count_entries

QUICK: Mapping[str, Any] = {"rtc": {"refresh": "1s", "delay": "4s"}}
"""Times of the membership that make tests short."""


@dataclass(slots=True)
class Meeting:
    """A board with the bot in its room."""

    stack: Stack
    bot: Bot
    alice: NeoBoard
    board: Board

    async def membership(self) -> dict[str, Any]:
        """Return the content of the bot's membership as the homeserver has it now."""
        event = await self.state_event(MEMBER, self.bot.state_key)
        return dict(event["content"]) if event else {}

    async def state_event(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return a state event as the homeserver has it now."""
        for event in await self.alice.user.state(self.board.room_id):
            if (event["type"], event["state_key"]) == (kind, key):
                return dict(event)
        return None

    async def history(self) -> list[dict[str, Any]]:
        """Return all that ever stood under the bot's key, oldest first."""
        path = f"/_matrix/client/v3/rooms/{quote(self.board.room_id)}/messages"
        about = json.dumps({"types": [MEMBER]})
        found = await self.alice.user.request(
            "GET", path, query={"dir": "b", "limit": "100", "filter": about}
        )
        events = [one for one in found["chunk"] if one.get("state_key") == self.bot.state_key]
        return list(reversed(events))

    async def announced(self, within: float = 15) -> None:
        """Wait until the bot is a member of the session."""
        await until(self.membership, within, "the bot is not announced", self.bot)

    async def gone(self, within: float = 10) -> None:
        """Wait until it is not."""

        async def check() -> bool:
            return not await self.membership()

        await until(check, within, "the bot is still announced", self.bot)

    async def heard(self) -> None:
        """Wait until people and bot hear each other."""
        await self.announced()
        await self.alice.until(
            lambda: (
                self.alice.meeting.channel is not None
                and f"{self.bot.user_id}:{self.bot.device_id}" in self.alice.meeting.channel.others
            ),
            15,
            "alice to hear the bot",
        )

    async def said(self) -> list[str]:
        """Return what the bot has written into the room, oldest first."""
        path = f"/_matrix/client/v3/rooms/{quote(self.board.room_id)}/messages"
        only = {"senders": [self.bot.user_id], "types": ["m.room.message"]}
        query = {"dir": "b", "limit": "100", "filter": json.dumps(only)}
        found = await self.alice.user.request("GET", path, query=query)
        return [event["content"].get("body", "") for event in reversed(found["chunk"])]

    async def recorded(self, count: int, within: float = 10, **where: object) -> None:
        """Wait until the archive holds so many entries of this board, or of those that fit."""
        await until(
            lambda: self.entries(**where) >= count,
            within,
            f"{count} entries {where or ''} are not there",
            self.bot,
        )

    async def drawn(self, who: NeoBoard, element: Element) -> str:
        """Have somebody draw; return the element's id once the archive has the stroke.

        Only changes count: a snapshot that comes meanwhile is an entry too.
        """
        before = self.entries(kind="update")
        drawn = await who.draw(element)
        await self.recorded(before + 1, kind="update")
        return drawn

    def entries(self, **where: object) -> int:
        """Return how many entries the archive holds of this board."""
        return count_entries(self.bot.data, self.board.whiteboard_id, **where)


def name(what: str = "u") -> str:
    """Return a localpart nobody has yet."""
    return f"{what}{secrets.token_hex(4)}"


@asynccontextmanager
async def person(
    stack: Stack, what: str = "alice", habits: Habits | None = None, link: Link | None = None
) -> AsyncIterator[NeoBoard]:
    """Somebody with an account."""
    device = await stack.user(name(what))
    async with NeoBoard(stack.homeserver_url, device, habits, link=link) as someone:
        yield someone


@asynccontextmanager
async def meeting(
    stack: Stack,
    folder: Path,
    config: Mapping[str, Any] | None = None,
    *,
    habits: Habits | None = None,
    link: Link | None = None,
    opened: bool = True,
    calls_allowed: bool = True,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Meeting]:
    """Alice with a board, the bot invited; both on the board if `opened`."""
    async with AsyncExitStack() as exits:
        bot = await exits.enter_async_context(
            running_bot(stack, folder / "bot", name("bot"), config or QUICK, environment)
        )
        alice = await exits.enter_async_context(
            person(stack, "alice", habits or Habits(announces=True), link)
        )
        board = await alice.create_board(invite=[bot.user_id], calls_allowed=calls_allowed)
        here = Meeting(stack, bot, alice, board)
        await until(lambda: logged(bot, "board found"), 10, "the board is not found", bot)
        if opened:
            await alice.open(board)
            await here.heard()
        yield here


def there(contents: Iterable[Mapping[str, Any]]) -> list[bool]:
    """Return whether somebody was there, turn by turn, after what his memberships said.

    One that is said again, as by a bot that got no answer in time, is no turn.
    """
    return [one for one, _ in groupby(bool(content) for content in contents)]


def logged(bot: Bot, text: str) -> list[dict[str, Any]]:
    """Return the log lines that say this."""
    return [event for event in bot.events() if event["msg"] == text]
