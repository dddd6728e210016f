"""The reference for idle costs: the bare SDK, as it comes, in many rooms.

Told `{"url", "tokens"}`, it joins one room per token, says "joined" and stays.
"""

from __future__ import annotations

import asyncio

from livekit import rtc

from bot.livekit.lean import raise_file_limit
from tests.bench.talk import say, told


async def main() -> None:
    """Joins all rooms and stays until it is killed."""
    raise_file_limit()  # 60 files a room would not fit
    job = await told()
    rooms = []
    for token in job["tokens"]:
        room = rtc.Room()
        await room.connect(job["url"], token)
        rooms.append(room)
    say("joined")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
