"""Two processes with one account and device on a board of the sticky profile."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.stack.bot import Bot, until
from tests.stack.http import answers
from tests.stack.stack import Login, Stack
from tests.system.people import Meeting, logged
from tests.system.sticky_people import PATIENT, met, said, together

TEXT = "another process uses our account and device"


def twin(stack: Stack, folder: Path, here: Meeting) -> Bot:
    """Return another installation with the same account."""
    config = json.loads(here.bot.config.read_text())
    password = config["homeserver"]["password"]
    login = Login(here.bot.user_id, here.bot.device_id, "", password)
    return Bot(stack, folder / "twin", login, PATIENT)


def counts_when_it_lives(bot: Bot) -> None:
    """Have its start wait for that only: one of two stays out of the board, and is not ready."""
    program = bot.process.program
    bot.process.program = replace(program, ready=lambda: answers(f"{bot.url}/live"))


def joining(bot: Bot) -> list[dict[str, Any]]:
    """Return what it has logged of its memberships."""
    return logged(bot, "own membership")


def on_it(bot: Bot) -> bool:
    """Return whether it has joined the board."""
    return [one["status"] for one in joining(bot)][-1:] == ["joined"]


def alone_on_it(bots: list[Bot]) -> list[Bot]:
    """Return who has joined, if that is one: who was there before may not know that it is out."""
    found = [*filter(on_it, bots)]
    return found if len(found) == 1 else []


async def told(*bots: Bot, before: int = 0) -> int:
    """Wait until it was said once more that a twin runs; return how often it was."""

    def count() -> int:
        return sum(len(logged(bot, TEXT)) for bot in bots)

    await until(lambda: count() > before, 60, "nobody says that a twin runs", bots[0])
    return count()


async def test_one_of_two_processes_is_on_the_board_and_the_other_one_says_why(
    stack: Stack, tmp_path: Path
) -> None:
    """Each that starts sends the leaves it finds armed: who was there comes back, once."""
    async with together(stack, tmp_path) as here:
        both = [here.bot, twin(stack, tmp_path, here)]
        for one in both:
            counts_when_it_lives(one)
        await both[1].start()
        try:
            before = await told(*both)
            await met(here.alice, here)
            [serving] = await until(lambda: alone_on_it(both), 40, "not just one serves", both[0])
            [waiting] = {*both} - {serving}
            await asyncio.sleep(5)  # nobody fights
            assert (await said(here)).count("join") <= 3
            await serving.kill()
            await until(lambda: on_it(waiting), 60, "it stays away", waiting)
            await met(here.alice, here)
            await serving.start()
            await told(*both, before=before)
            await met(here.alice, here)
            await asyncio.sleep(5)
            assert (await said(here)).count("join") <= 6
        finally:
            await both[1].kill()
