"""How soon people see strokes: somebody who has just come, and somebody who loses packets.

Ours is with the bot in the room, the reference without it: there the author's own snapshot, 5 s
after the stroke, is what brings it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.results import Result
from tests.bench.scene import Scene
from tests.stack.client import elements
from tests.stack.client.habits import Habits
from tests.stack.client.link import Link
from tests.stack.neoboard import NeoBoard
from tests.system.people import QUICK
from tests.system.situations import drawn, situation

_HABITS = Habits(announces=True)
_EVERY = 0.5
"""Seconds between strokes of somebody who draws without haste."""
_LOSS = 0.2
_PATIENCE = 60.0
_POLL = 0.005


async def measure(scene: Scene, *, runs: int, strokes: int) -> list[Result]:
    """Everything, with and without the bot, one after the other."""
    newcomer = Result("newcomer_hears_to_sees", "s")
    freeze = Result("longest_wait_receiver_loses_20", "s")
    both = Result("longest_wait_both_lose_20", "s")
    for run in range(runs):
        for config, into in ((QUICK, "ours"), (None, "reference")):
            where = scene.folder / f"seeing-{run}-{into}"
            getattr(newcomer, into).append(await _newcomer(scene, where / "new", config))
            for result, lossy in ((freeze, False), (both, True)):
                link = Link(loss=_LOSS, seed=100 + run) if lossy else None
                waited = await _longest_wait(scene, where / result.name, config, run, link, strokes)
                getattr(result, into).append(waited)
    return [newcomer, freeze, both]


async def _newcomer(scene: Scene, folder: Path, config: Any) -> float:
    """Seconds from hearing anybody to seeing what the author drew just before."""
    async with situation(scene.stack, folder, config, author=_HABITS) as here:
        element = await here.draws(here.alice)
        bob = await here.invited("bob", _HABITS)
        opening = asyncio.create_task(bob.open(here.board))
        await _until(lambda: _hears_somebody(bob))
        began = time.monotonic()
        await _until(lambda: element in drawn(bob))
        took = time.monotonic() - began
        await opening
        return took


def _hears_somebody(who: NeoBoard) -> bool:
    """Whether what is sent to somebody now is not dropped."""
    meeting = getattr(who, "meeting", None)  # comes with the opening
    return meeting is not None and meeting.channel is not None and bool(meeting.channel.others)


async def _longest_wait(
    scene: Scene, folder: Path, config: Any, seed: int, link: Link | None, strokes: int
) -> float:
    """The longest that somebody who loses packets waits for any stroke, in seconds."""
    async with situation(scene.stack, folder, config, author=_HABITS, link=link) as here:
        bob = await here.comes("bob", _HABITS, hears=Link(loss=_LOSS, seed=1 + seed))
        await bob.hears(here.alice)
        seen: dict[str, float] = {}
        watching = asyncio.create_task(_watch(bob, seen))
        times: dict[str, float] = {}
        for _ in range(strokes):
            element = await here.alice.draw(elements.shape())
            times[element] = time.monotonic()
            await asyncio.sleep(_EVERY)
        await _until(lambda: times.keys() <= seen.keys())
        watching.cancel()
        await asyncio.wait([watching])
        return max(seen[element] - began for element, began in times.items())


async def _watch(bob: NeoBoard, seen: dict[str, float]) -> None:
    shown: Sequence[str] = ()
    while True:
        if (now := drawn(bob)) != shown:
            shown = now
            for element in now:
                seen.setdefault(element, time.monotonic())
        await asyncio.sleep(_POLL)


async def _until(check: Any) -> None:
    async with asyncio.timeout(_PATIENCE):
        while not check():
            await asyncio.sleep(_POLL)
