"""Sends packets into a LiveKit room: `python -m tests.bench.sender`, with the bare SDK.

Told `{"url", "token", "packets", "every"}`, it joins and says "joined". Told anything more, it
sends, says when it began (`time.monotonic()`, the same clock in all processes) and stays.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from livekit import rtc

from tests.bench.packets import read
from tests.bench.talk import say, told


async def main() -> None:
    """Joins, sends, stays until it is killed: what is queued has to get out."""
    job = await told()
    packets = read(Path(job["packets"]))
    room = rtc.Room()
    await room.connect(job["url"], job["token"])
    # So that others hear us at once, not after up to 4 s.
    await room.local_participant.set_attributes({"bench": "1"})
    say("joined")
    await told()
    say(time.monotonic())
    for packet in packets:
        # Reliably, so that both contestants get the same number.
        await room.local_participant.publish_data(packet, reliable=True)
        if job["every"]:
            await asyncio.sleep(job["every"])
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
