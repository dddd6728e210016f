"""People who draw while servers fail, and whether the bot's board is theirs in the end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp

from tests.stack.bot import Bot, until
from tests.stack.client import edits, elements
from tests.stack.client.elements import FIRST_SLIDE
from tests.stack.client.events import update_packet
from tests.stack.client.habits import Habits
from tests.stack.client.nwb import comparable, exported
from tests.stack.neoboard import NeoBoard
from tests.system.people import Meeting

BY_HAND = Habits(saves=False, announces=True)
"""Somebody who is heard at once, and saves when the test says so."""


class Pen:
    """Somebody's stream of strokes, numbered, whatever happens to them on their way.

    `reliable` ones are lost by no busy SFU either.
    """

    def __init__(self, person: NeoBoard, label: str = "stroke", *, reliable: bool = False) -> None:
        self._person = person
        self._label = label
        self._reliable = reliable
        self._numbers: Iterator[int] = itertools.count(1)
        self.drawn: list[str] = []

    async def draw(self) -> None:
        """Draw one stroke."""
        text = f"{self._label} {next(self._numbers)}"
        person, element = self._person, elements.shape(text=text)
        if self._reliable:
            edit = edits.add_element(FIRST_SLIDE, elements.new_id(), element)
            packet = update_packet(person.board.document_id, person.document.change(edit))
            await person.send(packet, reliable=True)
        else:
            await person.draw(element)
        self.drawn.append(text)


@asynccontextmanager
async def drawing(
    person: NeoBoard, every: float = 0.15, label: str = "stroke", *, reliable: bool = False
) -> AsyncIterator[Pen]:
    """Let somebody draw for the block, one stroke after the other."""
    pen = Pen(person, label, reliable=reliable)

    enough = asyncio.Event()

    async def draw() -> None:
        while not enough.is_set():
            await pen.draw()
            await asyncio.sleep(every)

    task = asyncio.create_task(draw())
    try:
        yield pen
    finally:
        enough.set()  # a stroke that is begun is also sent
        await task


async def readiness(bot: Bot) -> tuple[int, dict[str, bool]]:
    """Return the status of `/ready` and what it says of each component; 0 without an answer."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{bot.url}/ready") as response:
            found = await response.json()
            return response.status, {k: v["ok"] for k, v in found["components"].items()}
    except aiohttp.ClientError:
        return 0, {}


async def ready(bot: Bot, within: float) -> None:
    """Wait until the bot says that everything works."""

    async def check() -> bool:
        return (await readiness(bot))[0] == 200

    await until(check, within, "the bot is not ready", bot)


async def unready(bot: Bot, component: str, within: float) -> None:
    """Wait until the bot says that a component does not work."""

    async def check() -> bool:
        status, components = await readiness(bot)
        return status == 503 and not components[component]

    await until(check, within, f"the bot does not say that {component} fails", bot)


async def well_again(here: Meeting, within: float) -> None:
    """Wait until everything stands again by itself: ready, announced, heard by Alice."""
    await ready(here.bot, within)
    await here.announced()
    await here.alice.until(lambda: here.alice.meeting.met, 15, "alice to be back")
    await here.heard()


async def same_after_next_snapshot(here: Meeting, within: float = 5) -> None:
    """Let Alice save; then the bot's export has to become what she sees."""
    await here.alice.keeping.save()

    async def same() -> bool:
        export = await here.bot.export(here.board.whiteboard_id)
        seen = exported(here.alice.document.content(), here.alice.document.version, {})
        return comparable(export) == comparable(seen)

    await until(same, within, "the export is not what Alice sees", here.bot)
