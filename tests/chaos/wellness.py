"""Whether the bot is on all boards and connected, as others and as itself say."""

from __future__ import annotations

import aiohttp

from tests.chaos.crew import Crew
from tests.stack.bot import Bot

CONNECTED = 'boardkeeper_connections{state="connected"}'


async def well(crew: Crew, bot: Bot) -> bool:
    """Whether every board has its membership and its connection, and the bot says it is ready."""
    count = len(crew.boards)
    if crew.present() < crew.places:
        return False
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{bot.url}/ready") as response:
            found = await response.json()
        metrics = await bot.metrics()
    except aiohttp.ClientError:
        return False
    connected = str(found["components"]["livekit"]["detail"])
    return (
        bool(found["ready"])
        and f"{count} of {count} connected" in connected
        and metrics[CONNECTED] >= crew.places
    )
