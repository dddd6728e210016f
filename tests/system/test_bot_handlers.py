"""Durable handlers of the running bot: delivered across crashes, steered by the operator."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.people import QUICK, Meeting, meeting
from tests.system.receiver import SECRET, Receiver, receiving


def configuration(receiver: Receiver, **settings: Any) -> dict[str, Any]:
    """Record and tell the receiver."""
    webhook = {
        "use": "webhook",
        "settings": {
            "url": receiver.url,
            "secret": SECRET,
            "events": ["document_update"],
            "collect": "0s",
            "allow_private": True,
            **settings,
        },
    }
    return {**QUICK, "handlers": [{"use": "record"}, {"use": "log"}, webhook]}


async def cli(here: Meeting, *arguments: str, code: int = 0) -> str:
    """Run a command as an operator does."""
    return await asyncio.to_thread(here.bot.command, *arguments, code=code)


def committed(here: Meeting) -> list[int]:
    """Return the numbers of all changes in the archive."""
    kinds = "('update', 'snapshot', 'baseline')"
    sql = f"SELECT seq FROM entries WHERE kind IN {kinds} ORDER BY seq"
    return [int(str(row[0])) for row in query(here.bot.data, sql)]


async def told_all(here: Meeting, receiver: Receiver, count: int) -> None:
    """Wait until so many changes are recorded at least, and the receiver has all there are."""

    def all_of_them() -> bool:
        found = committed(here)
        return len(found) >= count and set(found) == set(receiver.seqs)

    await until(all_of_them, 30, "not all arrived", here.bot)


async def test_the_operator_sees_and_mends_what_does_not_arrive(
    stack: Stack, tmp_path: Path
) -> None:
    async with (
        receiving() as receiver,
        meeting(stack, tmp_path, configuration(receiver)) as here,
    ):
        await here.alice.draw(elements.shape(text="a"))
        await told_all(here, receiver, 1)
        await until_said(here, "up to date")
        assert "webhook" in await cli(here, "handlers", "status")

        receiver.status = 503
        await here.alice.draw(elements.shape(text="b"))
        await until(lambda: receiver.refused, 10, "nothing was tried", here.bot)
        await until_said(here, "waiting on 1 board, next try in")
        receiver.status = 204
        assert "webhook: 0 taken" in await cli(here, "handlers", "dead", "retry", "webhook")
        await told_all(here, receiver, 2)

        receiver.status = 422
        await here.alice.draw(elements.shape(text="c"))
        await until(lambda: dead(here), 60, "nothing was given up", here.bot)
        said = await cli(here, "handlers", "dead", "list")
        assert "ValueError at " in said
        assert "handlers dead retry webhook" in said
        listed = json.loads(await cli(here, "handlers", "dead", "list", "--json"))
        assert listed[0]["tries"] == 5
        number = str(listed[0]["seq"])
        said = await cli(here, "handlers", "dead", "show", "webhook", number)
        assert f"sender       {here.alice.user.user_id}" in said
        assert "kind         update" in said
        one = json.loads(await cli(here, "handlers", "dead", "show", "webhook", number, "--json"))
        assert (one["room"], one["tries"]) == (here.board.room_id, 5)
        said = await cli(here, "handlers", "dead", "show", "webhook", "999999", code=1)
        assert "has no such dead letter" in said
        receiver.status = 204
        said = await cli(here, "handlers", "dead", "retry", "webhook")
        assert "taken, failed again on 0" in said
        assert not dead(here)
        assert "has no such dead letter" in await cli(
            here, "handlers", "dead", "drop", "webhook", code=1
        )
        await told_all(here, receiver, 3)

        before = len(receiver.events)
        await cli(here, "handlers", "replay", "1", "--handler", "webhook")
        await until(
            lambda: len(receiver.events) == before + len(committed(here)), 20, "no replay", here.bot
        )
        assert all(event["replayed"] for event in receiver.events[before:])
        said = await cli(here, "handlers", "replay", "1", "--handler", "log", code=1)
        assert "There is no durable handler “log”; known: webhook." in said

        await until_said(here, "up to date")
        await here.bot.stop()
        said = await cli(here, "handlers", "status")
        assert "The bot does not run" in said
        assert "up to date" in said


def dead(here: Meeting) -> list[tuple[Any, ...]]:
    """Return the dead letters."""
    return query(here.bot.data, "SELECT seq FROM dead_letters")


async def until_said(here: Meeting, text: str) -> None:
    """Wait until the status says something."""

    async def says() -> bool:
        return text in await cli(here, "handlers", "status")

    await until(says, 20, f"the status does not say “{text}”", here.bot)
