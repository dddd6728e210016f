"""Draws strokes that say when they were sent: `python -m tests.bench.pen`, with the bare SDK.

Told `{"url", "token", "document", "count", "every"}`, it joins and says "joined". Told anything
more, it draws, says "drawn" and stays.
"""

from __future__ import annotations

import asyncio
import time

from livekit import rtc

from tests.bench.talk import say, told
from tests.stack.client import edits, elements, events
from tests.stack.client.document import BoardDocument


async def main() -> None:
    """Joins, draws, stays until it is killed."""
    job = await told()
    document = BoardDocument()
    room = rtc.Room()
    await room.connect(job["url"], job["token"])
    await room.local_participant.set_attributes({"bench": "1"})
    say("joined")
    await told()
    for _ in range(job["count"]):
        stroke = elements.shape(text=f"sent {time.monotonic():.6f}!")
        edit = edits.add_element(elements.FIRST_SLIDE, elements.new_id(), stroke)
        packet = events.update_packet(job["document"], document.change(edit))
        await room.local_participant.publish_data(packet, reliable=True)
        await asyncio.sleep(job["every"])
    say("drawn")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
