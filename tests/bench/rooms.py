"""The reference for idle costs: the bare SDK, as it comes, in many rooms.

Told `{"url", "tokens", "at_once"}`, it joins one room per token, so many at once, says how
many it is in and stays.
"""

from __future__ import annotations

import asyncio
import contextlib

from livekit import rtc

from bot.livekit.lean import raise_file_limit
from tests.bench.talk import say, told

_TRIES = 5


async def main() -> None:
    """Joins all rooms and stays until it is killed."""
    raise_file_limit()  # 60 files a room would not fit
    job = await told()
    few = asyncio.Semaphore(job["at_once"])

    async def join(token: str) -> rtc.Room:
        async with few:
            return await _join(job["url"], token)

    rooms = await asyncio.gather(*(join(token) for token in job["tokens"]))
    say(len(rooms))
    await asyncio.Event().wait()


async def _join(url: str, token: str) -> rtc.Room:
    for _ in range(_TRIES - 1):
        room = rtc.Room()
        with contextlib.suppress(rtc.ConnectError):  # with many at once it happens
            await room.connect(url, token)
            return room
    room = rtc.Room()
    await room.connect(url, token)
    return room


if __name__ == "__main__":
    asyncio.run(main())
