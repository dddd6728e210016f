"""Packets a second: until committed in the archive, and until a bare callback saw them."""

from __future__ import annotations

import asyncio
import secrets

from tests.bench.children import child
from tests.bench.packets import dragging
from tests.bench.results import Result
from tests.bench.scene import Scene, bot, committed, joined, livekit_room
from tests.bench.usage import cpu_seconds
from tests.stack.bot import Bot, until

_PATIENCE = 60.0
_CALM = 1.0
"""Seconds between everybody being there and the first packet."""


async def measure(scene: Scene, *, packets: int, runs: int) -> list[Result]:
    """Send as fast as it goes, to the bare receiver and to the bot in turn."""
    speed = Result("ingest", "packets/s", goal=0.85, at_least=True)
    cpu = Result("ingest_cpu", "ms of CPU per 1,000 packets")
    async with bot(scene, "ingest") as running:
        for run in range(runs):
            # Each begins every other time: what the machine does besides hits both alike.
            for bare in (True, False) if run % 2 else (False, True):
                took, spent = await (
                    bare_callback(scene, packets) if bare else _ours(scene, running, packets)
                )
                (speed.reference if bare else speed.ours).append(packets / took)
                (cpu.reference if bare else cpu.ours).append(spent * 1e6 / packets)
    return [speed, cpu]


async def bare_callback(scene: Scene, count: int) -> tuple[float, float]:
    """Seconds that the packets took, and processor seconds of the receiver."""
    room = f"bare-{secrets.token_hex(4)}"
    async with child(scene.folder, "receiver") as receiver:
        receiver.tell(
            {
                "url": scene.stack.livekit_url,
                "token": scene.token(room, "receiver"),
                "count": count,
            }
        )
        await receiver.heard(30)
        async with scene.sender(room, dragging("$" + "d" * 43, count)) as sender:
            await asyncio.sleep(_CALM)
            before = cpu_seconds(receiver.pid)
            sender.tell("go")
            began: float = await sender.heard(10)
            ended: float = await receiver.heard(_PATIENCE)
            return ended - began, cpu_seconds(receiver.pid) - before


async def _ours(scene: Scene, running: Bot, count: int) -> tuple[float, float]:
    """Seconds that the packets took, and processor seconds of the bot."""
    board = await scene.board(running.user_id)
    await scene.enter(board)
    await until(lambda: board.room_id in joined(running), 30, "the bot is not there", running)
    async with scene.sender(livekit_room(board), dragging(board.document_id, count)) as sender:
        await asyncio.sleep(_CALM)
        before = cpu_seconds(running.process.pid)
        sender.tell("go")
        began: float = await sender.heard(10)
        ended = await committed(running, board, count, _PATIENCE)
        spent = cpu_seconds(running.process.pid) - before
    await scene.leave(board)
    return ended - began, spent
