"""How soon the bot is well again after each kind of fault, twenty times each.

Well: every board has its membership and its connection, and the bot says so itself. Counted from
the moment the fault ends; what nobody noticed takes no time.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bot.livekit.connection import STEADY
from tests.chaos.checks import gaps, middle_and_worst
from tests.chaos.crew import LEGACY, crew
from tests.chaos.kills import CONFIG
from tests.chaos.wellness import well
from tests.stack.bot import Bot, until
from tests.stack.processes import StackError
from tests.stack.stack import Stack

WELL_WITHIN = 90.0
BETWEEN = STEADY + 1
"""Seconds that all is well before the next fault: it is not the same one going on."""


async def synapse_restarts(stack: Stack) -> None:
    """A second away, more than a refresh (1 s)."""
    await stack.synapse.kill()
    await asyncio.sleep(1)
    await stack.synapse.start()


async def synapse_away_beyond_the_delay(stack: Stack) -> None:
    """Its start clears all memberships, as their delay (4 s) is over."""
    await stack.synapse.kill()
    await asyncio.sleep(5)
    await stack.synapse.start()


async def synapse_hangs(stack: Stack) -> None:
    """Connections stay open, nothing is answered for 3 s."""
    await stack.proxies.synapse.pause()
    await asyncio.sleep(3)
    await stack.proxies.synapse.restore()


async def synapse_connections_break(stack: Stack) -> None:
    """All at once; new ones are taken."""
    await stack.proxies.synapse.drop()


async def livekit_restarts(stack: Stack) -> None:
    """It has forgotten everybody and every room."""
    await stack.livekit.kill()
    await asyncio.sleep(1)
    await stack.livekit.start()


async def livekit_and_jwt_restart(stack: Stack) -> None:
    """Whoever comes back gets no token at first."""
    await asyncio.gather(stack.jwt.kill(), stack.livekit.restart())
    await asyncio.sleep(2)
    await stack.jwt.start()


FAULTS = (
    synapse_restarts,
    synapse_away_beyond_the_delay,
    synapse_hangs,
    synapse_connections_break,
    livekit_restarts,
    livekit_and_jwt_restart,
)


async def recovery(
    folder: Path, *, times: int, boards: int, profile: str = LEGACY
) -> dict[str, Any]:
    """Break everything so often on as many boards; return the report."""
    async with Stack.start(folder / "stack") as stack, crew(stack, profile=profile) as people:
        bot = Bot(stack, folder / "bot", await stack.user("bot"), CONFIG)
        await people.make_boards(bot, boards)
        await people.enter()
        await bot.start()
        try:
            await people.bot_on(people.places, 60, bot)

            async def healthy() -> bool:
                return await well(people, bot)

            found = {fault.__name__: await _each(fault, stack, healthy, times) for fault in FAULTS}
            await bot.stop()
        finally:
            await bot.kill()
        await people.caught_up()
        missing = [gap.length for marks in people.marks.values() for gap in gaps(marks)]
        return {
            "profile": profile,
            "boards": boards,
            "times_each": times,
            "well_again_seconds": {
                name: middle_and_worst(seconds) for name, seconds in found.items()
            },
            "memberships_missing_seconds": middle_and_worst(one for one in missing if one < 1e6),
            "left_behind": people.present(),
        }


async def _each(
    fault: Callable[[Stack], Awaitable[None]],
    stack: Stack,
    healthy: Callable[[], Awaitable[bool]],
    times: int,
) -> list[float]:
    seconds = []
    for _ in range(times):
        await fault(stack)
        mended = time.monotonic()
        with suppress(StackError):  # the report says so
            await until(healthy, WELL_WITHIN, f"not well after {fault.__name__}")
        seconds.append(time.monotonic() - mended)
        print(f"{fault.__name__} {len(seconds)}/{times}: {seconds[-1]:.1f} s", file=sys.stderr)
        await asyncio.sleep(BETWEEN)
    return seconds


def problems(report: dict[str, Any]) -> list[str]:
    """Return what in a report is not as it must be."""
    found = ["memberships are left behind"] if report["left_behind"] else []
    slow = {name: one["worst"] for name, one in report["well_again_seconds"].items()}
    return found + [f"not well again after {name}" for name in slow if slow[name] >= WELL_WITHIN]
