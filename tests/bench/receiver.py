"""The reference for ingest: the bare SDK, as it comes, with a callback that counts.

Told `{"url", "token", "count"}`, it joins and says "joined", then when the last packet came.
"""

from __future__ import annotations

import asyncio
import time

from livekit import rtc

from tests.bench.talk import say, told


async def main() -> None:
    """Joins, counts, says when it has them all, and stays until it is killed."""
    job = await told()
    room = rtc.Room()
    seen = 0

    def received(_packet: rtc.DataPacket) -> None:
        nonlocal seen
        seen += 1
        if seen == job["count"]:
            say(time.monotonic())

    room.on("data_received", received)
    await room.connect(job["url"], job["token"])
    say("joined")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
