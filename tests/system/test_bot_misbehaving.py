"""Handlers that sleep, fail and burn cost only themselves."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.stack.bot import until
from tests.stack.client import edits, elements
from tests.stack.client.events import update_packet
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.drawing import BY_HAND
from tests.system.people import QUICK, Meeting, meeting
from tests.system.receiver import SECRET, Receiver, in_order, receiving
from tests.system.test_bot_garbage import memory

MORE_THAN_A_QUEUE = 1300
"""Changes; a live lane holds 1,000 events."""
MAX_GROWTH = 150 * 2**20
"""Bytes; the queue that fills up and everything else."""
AUTHORED = '''
import asyncio, hashlib
from bot.handlers.base import Handler


class Notes(Handler):
    """Is healthy: writes down what it is told of, in its order."""

    async def on_document_update(self, event):
        with open({file!r}, "a") as file:
            print(hashlib.sha256(event.update).hexdigest(), file=file)


class Sleeps(Handler):
    async def on_document_update(self, event):
        await asyncio.Event().wait()


class Raises(Handler):
    async def on_document_update(self, event):
        raise RuntimeError


class RaisesDurably(Raises):
    durable = True


class Burns(Handler):
    async def on_document_update(self, event):
        while True:
            pass
'''
"""What an author wrote."""


@asynccontextmanager
async def misbehaving(
    stack: Stack, folder: Path, told: Path
) -> AsyncIterator[tuple[Meeting, Receiver]]:
    """A board, and handlers of all kinds; those that misbehave are asked first."""
    file = folder / "authored.py"
    file.write_text(AUTHORED.format(file=str(told)))
    bad = [{"use": f"{file}:{one}", "name": one} for one in ("Sleeps", "Raises", "RaisesDurably")]
    burns = {"use": f"{file}:Burns", "name": "Burns", "isolation": "process"}
    async with receiving() as receiver:
        hook = {"url": receiver.url, "secret": SECRET, "collect": "0s", "allow_private": True}
        good = [
            {"use": f"{file}:Notes", "name": "Notes"},
            {"use": "webhook", "settings": {**hook, "events": ["document_update"]}},
        ]
        config = {**QUICK, "handlers": [{"use": "record"}, {"use": "log"}, *bad, burns, *good]}
        async with meeting(stack, folder, config, habits=BY_HAND) as here:
            yield here, receiver


async def move(here: Meeting, element: str, number: int) -> str:
    """Let Alice move an element, without losing the packet; return the hash of the update."""
    edit = edits.change_element(
        elements.FIRST_SLIDE, element, {"position": {"x": number, "y": number}}
    )
    update = here.alice.document.change(edit)
    await here.alice.send(update_packet(here.board.document_id, update), reliable=True)
    return hashlib.sha256(update).hexdigest()


async def test_handlers_that_sleep_fail_and_burn_cost_the_others_nothing(
    stack: Stack, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    told.touch()
    async with misbehaving(stack, tmp_path, told) as (here, receiver):
        element = await here.alice.draw(elements.shape())
        await here.recorded(1)
        before = memory(here)
        sent = [await move(here, element, number) for number in range(MORE_THAN_A_QUEUE)]

        def all_noted() -> bool:
            return told.read_text().split()[-len(sent) :] == sent  # each of them, in order

        await until(all_noted, 60, "a healthy handler was not told of everything", here.bot)

        def all_told() -> bool:
            kept = changes(here)  # what the live lane tells at once is in here a moment later
            return len(kept) > MORE_THAN_A_QUEUE and set(receiver.seqs) == set(kept)

        await until(all_told, 60, "the archive or the webhook lacks changes", here.bot)
        assert in_order(receiver.seqs, changes(here))

        found = await status(here)
        for name in ("Sleeps", "Raises", "Burns"):
            assert found[name]["queued"] <= 1000, found
        assert found["Sleeps"]["condensed"] > 0, found
        assert found["Raises"]["failures"] > 0, found
        assert found["RaisesDurably"]["behind"] > 0, found
        assert found["Notes"]["failures"] == found["Notes"]["queued"] == 0, found
        assert memory(here) - before < MAX_GROWTH
        await here.bot.stop()  # none of them holds it up for good


async def status(here: Meeting) -> dict[str, Any]:
    """Return what `handlers status` says of each."""
    said = await asyncio.to_thread(here.bot.command, "handlers", "status", "--json")
    found: dict[str, Any] = json.loads(said)["handlers"]
    return found


def changes(here: Meeting) -> list[int]:
    """Return the numbers of all changes in the archive, ascending."""
    kinds = "('update', 'snapshot', 'baseline')"
    sql = f"SELECT seq FROM entries WHERE kind IN {kinds} ORDER BY seq"
    return [int(str(row[0])) for row in query(here.bot.data, sql)]
