"""Handlers that burn, sleep, raise and work, each in its place, in the running bot."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.people import QUICK, Meeting, logged, meeting

HANDLERS = """
import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

from bot.handlers.base import DocumentUpdate, Handler


@dataclass(frozen=True)
class Settings:
    file: Path


class Noting(Handler):
    settings_type = Settings

    def note(self, text):
        with self.settings.file.open("a") as file:
            file.write(f"{text}\\n")


class Burns(Noting):
    async def on_document_update(self, event: DocumentUpdate) -> None:
        self.note(os.getpid())
        while True:
            pass


class Sleeps(Noting):
    async def on_document_update(self, event: DocumentUpdate) -> None:
        self.note("asleep")
        time.sleep(3600)


class Raises(Noting):
    async def on_document_update(self, event: DocumentUpdate) -> None:
        raise RuntimeError("secret words")


class Works(Noting):
    durable = True

    async def on_document_update(self, event: DocumentUpdate) -> None:
        self.note(event.seq)


class Counts(Noting):
    async def on_document_update(self, event: DocumentUpdate) -> None:
        board = await self.context.board(event.board)
        self.note(sum(len(slide["elements"]) for slide in board.content()["slides"]))
"""


def notes(folder: Path, name: str) -> list[str]:
    """Return what a handler has written down."""
    file = folder / name
    return file.read_text().split() if file.exists() else []


def committed(here: Meeting) -> list[str]:
    """Return the numbers of all changes in the archive."""
    kinds = "('update', 'snapshot', 'baseline')"
    return [
        str(row[0])
        for row in query(
            here.bot.data, f"SELECT seq FROM entries WHERE kind IN {kinds} ORDER BY seq"
        )
    ]


def left(pid: str) -> bool:
    """Return whether a process is still there."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_what_burns_sleeps_or_raises_harms_nobody_and_ends_with_the_bot(
    stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "own.py").write_text(HANDLERS)
    places = {
        "Burns": "process",
        "Sleeps": "thread",
        "Raises": "none",
        "Works": "none",
        "Counts": "process",
    }
    entries: list[dict[str, Any]] = [
        {
            "use": f"own.py:{name}",
            "isolation": place,
            "settings": {"file": str(tmp_path / name)},
        }
        for name, place in places.items()
    ]
    config = {**QUICK, "handlers": [*entries, {"use": "record"}, {"use": "log"}]}
    async with meeting(stack, tmp_path, config) as here:
        for number in range(8):
            await here.alice.draw(elements.shape(text=f"stroke {number}"))
        await here.recorded(8)
        await until(
            lambda: len(committed(here)) >= 8 and notes(tmp_path, "Works") == committed(here),
            30,
            "the healthy one was not told everything in order",
            here.bot,
        )
        await until(
            lambda: notes(tmp_path, "Counts")[-1:] == ["8"],
            30,
            "what is on the board did not get to the process",
            here.bot,
        )
        await until(lambda: notes(tmp_path, "Burns"), 30, "it does not burn", here.bot)
        await until(lambda: notes(tmp_path, "Sleeps"), 30, "it does not sleep", here.bot)

        async def raised() -> dict[str, Any] | None:
            said = await asyncio.to_thread(here.bot.command, "handlers", "status", "--json")
            found: dict[str, Any] = json.loads(said)["handlers"]
            return found if found["Raises"]["failures"] >= 5 else None

        status = await until(raised, 30, "it has not been told as often", here.bot)
        assert {
            name: one.get("isolation", "none") for name, one in status.items() if name in places
        } == places
        assert status["Raises"]["last_error"].startswith("RuntimeError at ")
        stalls = logged(here.bot, "the event loop stands still: all boards wait")
        assert not [one for one in stalls if one["handler"]]  # a busy machine is nobody's fault
        assert "secret words" not in here.bot.log.read_text()

        [burning] = notes(tmp_path, "Burns")
        assert left(burning)
        await here.bot.kill()
        await until(lambda: not left(burning), 30, "the process outlived the bot")
        await here.bot.start()
        await here.announced()
        await here.alice.draw(elements.shape(text="after"))
        await until(lambda: len(notes(tmp_path, "Burns")) > 1, 30, "it is not told", here.bot)
        again = notes(tmp_path, "Burns")[-1]

        def told() -> bool:
            kept = committed(here)
            return len(kept) >= 9 and list(dict.fromkeys(notes(tmp_path, "Works"))) == kept

        await until(told, 30, "the healthy one was not told of what came after", here.bot)
        await here.bot.stop()
        assert not left(again)
