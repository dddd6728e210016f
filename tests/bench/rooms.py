"""The reference for idle costs: the bare SDK, as it comes, in many rooms.

Told `{"url", "tokens", "at_once"}`, it joins one room per token, all at once or one after the
other, says "joined" and stays.
"""

from __future__ import annotations

import asyncio

from livekit import rtc

from bot.livekit.lean import raise_file_limit
from tests.bench.talk import say, told


async def main() -> None:
    """Joins all rooms and stays until it is killed."""
    raise_file_limit()  # 110 files a room would not fit
    job = await told()
    rooms = [rtc.Room() for _ in job["tokens"]]
    joining = (
        room.connect(job["url"], token) for room, token in zip(rooms, job["tokens"], strict=True)
    )
    if job["at_once"]:
        await asyncio.gather(*joining)
    else:
        for one in joining:
            await one
    say("joined")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
