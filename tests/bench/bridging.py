"""What the bridge between the profiles costs: somebody draws in the legacy one.

bridge_delay      until somebody of the sticky profile sees a cursor, through the bot; the
                  reference: somebody of the legacy one at the same time, directly
bridge_updates    until he has what was sent as fast as it goes; the reference:
                  until a bare callback of the SDK has had as much
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from tests.bench.ingest import bare_callback
from tests.bench.packets import dragging, pointing
from tests.bench.results import Result
from tests.bench.scene import Scene, bot, joined, livekit_room
from tests.stack.bot import Bot, until
from tests.stack.client.habits import Habits
from tests.stack.neoboard import NeoBoard
from tests.system.people import QUICK, meeting, person

_OLD = Habits(announces=True, saves=False)
_NEW = Habits(profile="sticky", announces=True, saves=False)
_EVERY = 0.05
"""Seconds between two cursors."""
_POLL = 0.0005
_LOOK = 0.005
_WORD = {"msgtype": "m.text", "body": "no board"}
_CALM = 1.0
"""Seconds between everybody being there and the first packet."""
_PATIENCE = 120.0


async def measure(scene: Scene, *, packets: int, cursors: int, runs: int) -> list[Result]:
    """How many updates a second are passed on, and how late cursors are."""
    speed = Result("bridge_updates", "packets/s")
    delay = Result("bridge_delay", "ms")
    for run in range(runs):
        async with bot(scene, "bridge") as running:
            took = await _burst(scene, running, packets)
            speed.ours.append(packets / took)
        took, _ = await bare_callback(scene, packets)
        speed.reference.append(packets / took)
        for into, late in (await _late(scene, scene.folder / f"bridge-{run}", cursors)).items():
            getattr(delay, into).append(late * 1000)
    return [delay, speed]


async def _late(scene: Scene, folder: Path, count: int) -> dict[str, float]:
    """Return how late cursors are across the bridge, and directly."""
    async with (
        meeting(scene.stack, folder, QUICK, habits=_OLD) as here,
        person(scene.stack, "direct", _OLD) as direct,
        person(scene.stack, "across", _NEW) as across,
    ):
        for guest in (direct, across):
            await here.alice.user.membership(here.board.room_id, "invite", guest.user_id)
            await guest.join(here.board)
            await guest.open(here.board)
        bot_id, alice = here.bot.user_id, here.alice.user_id
        seen = {"ours": _cursor(across, bot_id), "reference": _cursor(direct, alice)}
        await _bridged(here.alice, seen["ours"])
        return await _delays(here.alice, seen, count)


def _cursor(who: NeoBoard, of: str) -> Callable[[], float]:
    """Return where somebody sees the cursor of somebody."""

    def where() -> float:
        cursor = who.ears.cursors.get(of)
        return -1.0 if cursor is None else cursor.x

    return where


async def _bridged(alice: NeoBoard, seen: Callable[[], float]) -> None:
    """Wait until a cursor comes across."""
    async with asyncio.timeout(_PATIENCE):
        while seen() < 0:
            await alice.send(pointing(1)[0])
            await asyncio.sleep(_EVERY)


async def _delays(
    alice: NeoBoard, seen: dict[str, Callable[[], float]], count: int
) -> dict[str, float]:
    """Return the median of the seconds until each side sees a cursor."""
    delays: dict[str, list[float]] = {into: [] for into in seen}
    for number, packet in enumerate(pointing(count)):
        began = time.monotonic()
        await alice.send(packet, reliable=True)
        missing = dict(seen)
        while missing and time.monotonic() - began < _PATIENCE:
            for into in [into for into, where in missing.items() if where() == number]:
                delays[into].append(time.monotonic() - began)
                del missing[into]
            await asyncio.sleep(_POLL)
        await asyncio.sleep(_EVERY)
    return {into: median(late) for into, late in delays.items()}


async def _burst(scene: Scene, running: Bot, count: int) -> float:
    """Return the seconds until many updates, sent as fast as it goes, are on the other side."""
    async with person(scene.stack, "across", _NEW) as across:
        board = await scene.board(running.user_id, across.user_id)
        await scene.enter(board)
        await across.join(board)
        # She only counts: with the board in this process, what is measured would be her.
        another = await across.user.send_event(board.room_id, "m.room.message", _WORD)
        await across.open(replace(board, document_id=another))
        bot_id = running.user_id
        await across.until(lambda: bot_id in {one.user_id for one in across.members}, _PATIENCE)
        await until(lambda: board.room_id in joined(running), 30, "the bot is not there", running)
        packets = dragging(board.document_id, count)
        async with scene.sender(livekit_room(board), packets) as sender:
            await asyncio.sleep(_CALM)
            sender.tell("go")
            began: float = await sender.heard(10)
            async with asyncio.timeout(_PATIENCE):
                while across.ears.dropped["another document"] < count:
                    await asyncio.sleep(_LOOK)
            ended = time.monotonic()
        await scene.leave(board)
        return ended - began
