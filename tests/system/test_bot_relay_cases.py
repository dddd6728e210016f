"""`relay` in single cases: a bot that is killed before it saved, and both directions at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.stack.bot import Bot, until
from tests.stack.client import elements
from tests.stack.client.events import SNAPSHOT, Board
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.drawing import BY_HAND
from tests.system.people import QUICK, logged, name, person

SLOW = {**QUICK, "boards": {"save_after": "8s"}}


@dataclass(slots=True)
class Two:
    """Alice on board A, Bob on board B; both save only when told to."""

    bot: Bot
    alice: NeoBoard
    bob: NeoBoard

    def entries(self, board: Board) -> int:
        """Return how many changes of its own the bot has recorded on a board."""
        [[count]] = query(
            self.bot.data,
            "SELECT count(*) FROM entries e JOIN boards b ON b.id = e.board_id"
            " WHERE b.whiteboard_id = ? AND e.kind = 'update' AND e.sender IS NULL",
            board.whiteboard_id,
        )
        return int(str(count))

    async def snapshots(self, board: Board) -> int:
        """Return how many snapshots the bot has written to a board."""
        user = (self.alice if board == self.alice.board else self.bob).user
        found = await user.relations(board.room_id, board.document_id, SNAPSHOT)
        return len([event for event in found if event["sender"] == self.bot.user_id])

    async def both_heard(self) -> None:
        """Wait until Alice, Bob and the bot hear each other."""
        identity = f"{self.bot.user_id}:{self.bot.device_id}"
        for who in (self.alice, self.bob):
            await until(partial(hears, who, identity), 20, "hearing the bot", self.bot)


def hears(who: NeoBoard, identity: str) -> bool:
    channel = who.meeting.channel
    return channel is not None and identity in channel.others


def texts(who: NeoBoard) -> list[str]:
    """Return the texts somebody sees, in order."""
    return [one["text"] for one in who.document.content()["slides"][0]["elements"]]


def relay(source: Board, target: Board, **settings: Any) -> dict[str, Any]:
    """Return the configuration of a relay."""
    rooms = {"from_room": source.room_id, "to_room": target.room_id, **settings}
    return {"use": "relay", "name": name("relay"), "settings": rooms}


@asynccontextmanager
async def two_boards(stack: Stack, folder: Path, *, back: bool) -> AsyncIterator[Two]:
    """Two boards, a relay from Alice's to Bob's, and `back` as well."""
    bot = Bot(stack, folder / "bot", await stack.user(name("bot")), SLOW)
    await bot.start()
    try:
        async with person(stack, "alice", BY_HAND) as alice, person(stack, "bob", BY_HAND) as bob:
            first = await alice.create_board(invite=[bot.user_id])
            second = await bob.create_board(invite=[bot.user_id])
            await until(lambda: len(logged(bot, "board found")) == 2, 10, "not found", bot)
            await bot.stop()
            relays: Sequence[dict[str, Any]] = [relay(first, second)]
            if back:
                relays = [*relays, relay(second, first)]
            settings = json.loads(bot.config.read_text())
            settings["handlers"] = [{"use": "record"}, {"use": "log"}, *relays]
            bot.config.write_text(json.dumps(settings))
            await alice.open(first)
            await bob.open(second)
            await bot.start()
            here = Two(bot, alice, bob)
            await here.both_heard()
            yield here
    finally:
        await bot.kill()


async def test_what_was_not_saved_when_the_bot_was_killed_is_saved_after(
    stack: Stack, tmp_path: Path
) -> None:
    async with two_boards(stack, tmp_path, back=False) as here:
        target = here.bob.board
        await here.alice.draw(elements.shape(text="relayed"))
        await here.bob.until(lambda: "relayed" in texts(here.bob), 10, "bob to see it")

        def marked() -> int:
            """How many archived marks say that Bob's board is not saved."""
            sql = (
                "SELECT count(*) FROM meta s JOIN boards b ON s.name = 'unsaved.' || b.id"
                " WHERE b.whiteboard_id = ? AND s.value = '1'"
            )
            return int(str(query(here.bot.data, sql, target.whiteboard_id)[0][0]))

        await until(lambda: marked() == 1 and here.entries(target) == 1, 3, "no mark", here.bot)
        assert await here.snapshots(target) == 0
        await here.bot.kill()
        # Nobody else has it: Bob's client and Alice's are gone, neither saved.
        await here.bob.kill()
        await here.alice.kill()
        await here.bot.start()

        async def saved() -> bool:
            return await here.snapshots(target) >= 1

        await until(saved, 30, "not saved", here.bot)
        await until(lambda: marked() == 0, 10, "the mark stays", here.bot)
        async with person(stack, "carol", BY_HAND) as carol:
            await here.bob.user.membership(target.room_id, "invite", carol.user_id)
            await carol.join(target)
            await carol.open(target)
            assert texts(carol) == ["relayed"]
        assert await here.snapshots(target) == 1


async def test_both_directions_at_once_are_the_same_board_and_come_to_rest(
    stack: Stack, tmp_path: Path
) -> None:
    async with two_boards(stack, tmp_path, back=True) as here:
        for number in range(3):
            await here.alice.draw(elements.shape(text=f"a{number}"))
            await here.bob.draw(elements.shape(text=f"b{number}"))
        wanted = [f"{who}{number}" for who in "ab" for number in range(3)]

        def whole() -> bool:
            return sorted(texts(here.alice)) == sorted(texts(here.bob)) == wanted

        await until(whole, 15, "not everything is on both boards", here.bot)
        assert texts(here.alice) == texts(here.bob)

        def sent() -> list[int]:
            return [here.entries(who.board) for who in (here.alice, here.bob)]

        async def at_rest() -> bool:
            before = sent()
            await asyncio.sleep(5)  # a loop would make hundreds
            return sent() == before

        await until(lambda: all(sent()), 20, "nothing of it is recorded", here.bot)
        await until(at_rest, 30, "it does not come to rest", here.bot)
        assert all(count <= 3 for count in sent())
