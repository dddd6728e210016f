"""`relay`: what is drawn on board A appears on board B in another room, live and for newcomers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.stack.bot import Bot, until
from tests.stack.client import elements
from tests.stack.client.events import SNAPSHOT, Board
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.drawing import BY_HAND
from tests.system.people import QUICK, logged, name, person

SAVED_AFTER = 5.0
"""Seconds after a change of its own in which the bot writes a snapshot."""


@dataclass(slots=True)
class Relayed:
    """Alice on board A, Bob on board B, and the bot that relays from A to B."""

    bot: Bot
    alice: NeoBoard
    bob: NeoBoard
    target: Board

    def texts(self, who: NeoBoard) -> list[str]:
        """Return the texts on somebody's board, in order."""
        return [one["text"] for one in who.document.content()["slides"][0]["elements"]]

    async def snapshots(self) -> int:
        """Return how many snapshots the bot has written to board B."""
        found = await self.bob.user.relations(
            self.target.room_id, self.target.document_id, SNAPSHOT
        )
        return len([event for event in found if event["sender"] == self.bot.user_id])

    async def saved(self, count: int) -> None:
        """Wait until the bot has written so many snapshots."""

        async def check() -> bool:
            return await self.snapshots() >= count

        await until(check, SAVED_AFTER + 5, f"{count} snapshots are not there", self.bot)

    async def all_saved(self) -> None:
        """Wait until nothing is left that the bot would save."""

        async def check() -> bool:
            return (await self.bot.metrics())["boardkeeper_boards_unsaved"] == 0

        await until(check, 2 * SAVED_AFTER, "not everything is saved", self.bot)

    async def seen(self, text: str, within: float) -> None:
        """Wait until Bob sees it."""
        await self.bob.until(lambda: text in self.texts(self.bob), within, f"bob to see {text}")

    async def both_heard(self) -> None:
        """Wait until Alice, Bob and the bot hear each other."""
        identity = f"{self.bot.user_id}:{self.bot.device_id}"
        for who in (self.alice, self.bob):
            await who.until(
                lambda who=who: (  # type: ignore[misc]
                    who.meeting.channel is not None and identity in who.meeting.channel.others
                ),
                20,
                "hearing the bot",
            )


@asynccontextmanager
async def relayed(stack: Stack, folder: Path) -> AsyncIterator[Relayed]:
    """Both rooms are needed before the configuration can be written: so the bot starts twice."""
    bot = Bot(stack, folder / "bot", await stack.user(name("bot")), QUICK)
    await bot.start()
    try:
        async with person(stack, "alice", BY_HAND) as alice, person(stack, "bob", BY_HAND) as bob:
            source = await alice.create_board(invite=[bot.user_id])
            target = await bob.create_board(invite=[bot.user_id])
            await until(lambda: len(logged(bot, "board found")) == 2, 10, "not found", bot)
            await bot.stop()
            settings = json.loads(bot.config.read_text())
            rooms = {"from_room": source.room_id, "to_room": target.room_id}
            relay = {"use": "relay", "settings": rooms}
            settings["handlers"] = [{"use": "record"}, {"use": "log"}, relay]
            bot.config.write_text(json.dumps(settings))
            await alice.open(source)
            await bob.open(target)
            await alice.draw(elements.shape(text="before the relay"))
            await alice.keeping.save()
            await bot.start()
            here = Relayed(bot, alice, bob, target)
            await here.both_heard()
            yield here
    finally:
        await bot.kill()


async def test_what_is_drawn_on_a_appears_on_b(stack: Stack, tmp_path: Path) -> None:
    async with relayed(stack, tmp_path) as here:
        # What was there already comes as a snapshot at the latest.
        await here.seen("before the relay", within=SAVED_AFTER + 5)
        await here.bob.draw(elements.shape(text="bob's own"))
        await here.alice.draw(elements.shape(text="live"))
        await here.seen("live", within=2)
        assert here.texts(here.alice) == ["before the relay", "live"]  # one way
        await here.saved(1)

        # Nobody of B has saved: what a newcomer sees is the bot's snapshot.
        async with person(stack, "carol", BY_HAND) as carol:
            await here.bob.user.membership(here.target.room_id, "invite", carol.user_id)
            await carol.join(here.target)
            await carol.open(here.target)
            assert carol.keeping.loaded
            await carol.until(
                lambda: sorted(here.texts(carol)) == ["before the relay", "bob's own", "live"],
                SAVED_AFTER + 5,
                "the snapshot with everything",
            )

        # After a restart nothing is sent twice.
        await here.all_saved()
        saved = await here.snapshots()
        await here.bot.stop()
        recorded = entries_of_the_bot(here)
        await here.bot.start()
        await here.both_heard()
        await asyncio.sleep(SAVED_AFTER + 2)
        assert await here.snapshots() == saved
        assert entries_of_the_bot(here) == recorded

        # What was drawn while it was away is made good, and Bob's own strokes stay.
        await here.bot.stop()
        await here.alice.draw(elements.shape(text="meanwhile"))
        await here.alice.keeping.save()
        await here.bot.start()
        await here.seen("meanwhile", within=20)
        assert sorted(here.texts(here.bob)) == [
            "before the relay",
            "bob's own",
            "live",
            "meanwhile",
        ]
        assert here.texts(here.alice) == ["before the relay", "live", "meanwhile"]


def entries_of_the_bot(here: Relayed) -> int:
    """Return how many changes of its own the bot has recorded on board B."""
    [[count]] = query(
        here.bot.data,
        "SELECT count(*) FROM entries e JOIN boards b ON b.id = e.board_id"
        " WHERE b.whiteboard_id = ? AND e.kind = 'update' AND e.sender IS NULL",
        here.target.whiteboard_id,
    )
    return int(str(count))
