"""Packets a second: until committed in the archive, and until a bare callback saw them."""

from __future__ import annotations

import asyncio
import secrets

from tests.bench.children import child
from tests.bench.packets import dragging
from tests.bench.results import Result
from tests.bench.scene import Scene, bot, committed, joined, livekit_room
from tests.stack.bot import Bot, until

_PATIENCE = 60.0
_CALM = 1.0
"""Seconds between everybody being there and the first packet."""


async def measure(scene: Scene, *, packets: int, runs: int) -> list[Result]:
    """Send as fast as it goes, to the bare receiver and to the bot in turn."""
    result = Result("ingest", "packets/s", goal=0.85, at_least=True)
    async with bot(scene, "ingest") as running:
        for _ in range(runs):
            result.reference.append(await _bare(scene, packets))
            result.ours.append(await _ours(scene, running, packets))
    return [result]


async def _bare(scene: Scene, count: int) -> float:
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
            sender.tell("go")
            began: float = await sender.heard(10)
            ended: float = await receiver.heard(_PATIENCE)
    return count / (ended - began)


async def _ours(scene: Scene, running: Bot, count: int) -> float:
    board = await scene.board(running.user_id)
    await scene.enter(board)
    await until(lambda: board.room_id in joined(running), 30, "the bot is not there", running)
    async with scene.sender(livekit_room(board), dragging(board.document_id, count)) as sender:
        await asyncio.sleep(_CALM)
        sender.tell("go")
        began: float = await sender.heard(10)
        ended = await committed(running, board, count, _PATIENCE)
    await scene.leave(board)
    return count / (ended - began)
