"""What boards cost on which nobody is: memory, open files, processor time."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from tests.bench.children import child
from tests.bench.results import Result
from tests.bench.scene import Scene, bot, joined
from tests.bench.usage import Usage, usage
from tests.stack.bot import until

GOAL = 0.25
_CONNECT = 180.0
_MAKERS = 8
_AT_ONCE = 20
"""Rooms the bare SDK joins at the same time, as a program does that waits for none.

What it costs depends on that: 200 rooms took 1.2 GB with 8 at once, 1.5 GB with 16, 1.8 GB with 25.
With 20 it has the 12,300 files that the goal was set by; all at once, 200 would not fit into what a
process may open. One by one is measured too (`split`).
"""
_RARELY = {"rtc": {"refresh": "10m", "delay": "40m"}}
"""Of a bot that does not tell the homeserver that it lives: what the refresh costs is the rest."""


async def measure(
    scene: Scene, *, rooms: int, runs: int, settle: float, window: float, split: bool = False
) -> list[Result]:
    """Measure the bare SDK in so many rooms and the bot on so many idle boards, in turn.

    Args:
        scene: where.
        rooms: how many.
        runs: of each.
        settle: seconds between the last connection and the window.
        window: seconds in which processor time is counted.
        split: measure as well the bare SDK joining one room after the other, and the bot without
            refresh.
    """
    name = f"idle{rooms}"
    login = await scene.stack.user(name)
    await _invite(scene, login.user_id, rooms)
    # The bot itself accepts the invites, in its first run; what is measured comes after a restart.
    async with bot(scene, name, _config()) as running:
        await until(lambda: len(joined(running)) == rooms, _CONNECT, "not all joined", running)
    results = [
        Result(f"idle_memory_{rooms}", "MB", GOAL if rooms == 200 else None),
        Result(f"idle_fds_{rooms}", "files", GOAL if rooms == 200 else None),
        Result(f"idle_cpu_{rooms}", "% of a core", GOAL if rooms == 200 else None),
    ]
    for _ in range(runs):
        _add(results, reference=await _bare(scene, rooms, settle, window))
        _add(results, ours=await _ours(scene, name, rooms, settle, window))
    if split:
        # How many files and how much memory a room takes depends on how many others are joined at
        # the same time: the bare SDK is much cheaper in a program that joins one after the other.
        gentle = [Result(f"{one.name}_one_by_one", one.unit, ours=one.ours) for one in results]
        _add(gentle, reference=await _bare(scene, rooms, settle, window, at_once=1))
        quiet = Result(f"idle_cpu_{rooms}_without_refresh", "% of a core")
        quiet.ours.append((await _ours(scene, name, rooms, settle, window, _RARELY)).cpu)
        quiet.reference = results[2].reference
        results += [*gentle, quiet]
    return results


def _add(
    results: Sequence[Result], *, reference: Usage | None = None, ours: Usage | None = None
) -> None:
    for used, lists in (
        (reference, [one.reference for one in results]),
        (ours, [one.ours for one in results]),
    ):
        if used is not None:
            for values, value in zip(lists, _values(used), strict=True):
                values.append(value)


def _config(more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"presence": {"when": "always"}, **(more or {})}


def _values(one: Usage) -> tuple[float, float, float]:
    return one.memory, float(one.fds), one.cpu


async def _invite(scene: Scene, user_id: str, count: int) -> None:
    """Make so many boards, each in a room of its own, and invite the bot."""
    few = asyncio.Semaphore(_MAKERS)

    async def make() -> None:
        async with few:
            await scene.board(user_id)

    await asyncio.gather(*(make() for _ in range(count)))


async def _bare(
    scene: Scene, rooms: int, settle: float, window: float, *, at_once: int = _AT_ONCE
) -> Usage:
    run = secrets.token_hex(4)
    tokens = [scene.token(f"{run}-{number}", "idle") for number in range(rooms)]
    async with child(scene.folder, "rooms") as idle:
        idle.tell({"url": scene.stack.livekit_url, "tokens": tokens, "at_once": at_once})
        await idle.heard(_CONNECT)
        await asyncio.sleep(settle)
        return await usage(idle.pid, window)


async def _ours(
    scene: Scene,
    name: str,
    rooms: int,
    settle: float,
    window: float,
    more: Mapping[str, Any] | None = None,
) -> Usage:
    async with bot(scene, name, _config(more)) as running:
        await until(lambda: len(joined(running)) == rooms, _CONNECT, "not all joined", running)
        await asyncio.sleep(settle)
        return await usage(running.process.pid, window)
