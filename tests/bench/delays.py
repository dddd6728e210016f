"""How soon the bot is there: invited to announced, somebody's membership to hearing him."""

from __future__ import annotations

import time

from tests.bench.packets import pointing
from tests.bench.results import Result
from tests.bench.scene import Scene, bot, committed, joined, livekit_room
from tests.stack.bot import Bot, until

_SEND_EVERY = 0.02
_SECONDS = 30


async def measure(scene: Scene, *, runs: int) -> list[Result]:
    """Both delays, each in rooms of their own."""
    announced = Result("invite_to_announced", "s")
    hearing = Result("membership_to_hearing", "s")
    async with bot(scene, "delays") as running:
        for _ in range(runs):
            announced.ours.append(await _announced(scene, running))
            hearing.ours.append(await _hearing(scene, running))
    return [announced, hearing]


async def _announced(scene: Scene, running: Bot) -> float:
    """Seconds from an invite to a board with somebody on it to our membership being there."""
    board = await scene.board()
    await scene.enter(board)
    began = time.time()
    await scene.user.membership(board.room_id, "invite", running.user_id)
    event = await until(lambda: scene.state_of(running, board), _SECONDS, "not announced", running)
    await scene.leave(board)
    # By the homeserver's clock, which is this machine's.
    return float(event["origin_server_ts"] / 1000 - began)


async def _hearing(scene: Scene, running: Bot) -> float:
    """Seconds from somebody's membership to his first packet being committed.

    He is in the LiveKit room before and sends all the time, so what counts is the bot.
    """
    board = await scene.board(running.user_id)
    await until(lambda: scene.greeted(running, board), _SECONDS, "not in", running)
    packets = pointing(int(_SECONDS / _SEND_EVERY))
    async with scene.sender(livekit_room(board), packets, _SEND_EVERY) as sender:
        sender.tell("go")
        await sender.heard(10)
        began = time.monotonic()
        await scene.enter(board)
        ended = await committed(running, board, 1, _SECONDS)
    await until(lambda: board.room_id in joined(running), _SECONDS, "not joined", running)
    await scene.leave(board)
    return ended - began
