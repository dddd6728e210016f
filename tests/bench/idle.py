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
from tests.stack.client.events import Board

GOAL = 0.25
_CONNECT = 180.0
_AT_ONCE = 8
_RARELY = {"rtc": {"refresh": "2h", "delay": "6h", "expires": "12h"}}
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
        split: measure a bot without refresh as well.
    """
    name = f"idle{rooms}"
    login = await scene.stack.user(name)
    boards = await _boards(scene, login.user_id, rooms)
    # The bot itself accepts the invites, in its first run; what is measured comes after a restart.
    async with bot(scene, name, _config()) as running:
        await until(lambda: len(joined(running)) == rooms, _CONNECT, "not all joined", running)
    results = [
        Result(f"idle_memory_{rooms}", "MB", GOAL if rooms == 200 else None),
        Result(f"idle_fds_{rooms}", "files", GOAL if rooms == 200 else None),
        Result(f"idle_cpu_{rooms}", "% of a core", GOAL if rooms == 200 else None),
    ]
    for _ in range(runs):
        bare = await _bare(scene, rooms, settle, window)
        ours = await _ours(scene, name, len(boards), settle, window)
        for result, reference, own in zip(results, _values(bare), _values(ours), strict=True):
            result.reference.append(reference)
            result.ours.append(own)
    if split:
        quiet = Result(f"idle_cpu_{rooms}_without_refresh", "% of a core")
        quiet.ours.append((await _ours(scene, name, rooms, settle, window, _RARELY)).cpu)
        quiet.reference = list(results[2].reference)
        results.append(quiet)
    return results


def _config(more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"presence": {"when": "always"}, **(more or {})}


def _values(one: Usage) -> tuple[float, float, float]:
    return one.memory, float(one.fds), one.cpu


async def _boards(scene: Scene, user_id: str, count: int) -> Sequence[Board]:
    """Make so many boards, each in a room of its own, and invite the bot."""
    few = asyncio.Semaphore(_AT_ONCE)

    async def make() -> Board:
        async with few:
            return await scene.board(user_id)

    return await asyncio.gather(*(make() for _ in range(count)))


async def _bare(scene: Scene, rooms: int, settle: float, window: float) -> Usage:
    run = secrets.token_hex(4)
    tokens = [scene.token(f"{run}-{number}", "idle") for number in range(rooms)]
    async with child(scene.folder, "rooms") as idle:
        idle.tell({"url": scene.stack.livekit_url, "tokens": tokens})
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
