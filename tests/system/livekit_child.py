"""The LiveKit shell in a process of its own: what it does to a process, and prints.

`python -m tests.system.livekit_child MODE URL KEY SECRET`
"""

from __future__ import annotations

import asyncio
import sys

from bot.livekit import lean
from bot.livekit.auth import Grant, api_key_grant
from bot.livekit.connection import Connection, State


def connection(grant: Grant, states: list[State]) -> Connection:
    async def give() -> Grant:
        return grant

    return Connection(
        give, on_state=lambda state, _: states.append(state), attributes={"test": "yes"}
    )


async def cancel(url: str, key: str, secret: str) -> None:
    """Cancels a run in the middle of connecting, and lives on until the SDK would have panicked."""
    for number, delay in enumerate((0.01, 0.03, 0.06, 0.1)):
        grant = api_key_grant(key, secret, url, f"!cancel{number}:test", "@bot:test", "DEV")
        task = asyncio.create_task(connection(grant, []).run())
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.wait({task})
    await asyncio.sleep(17)


async def exchange(url: str, key: str, secret: str) -> None:
    """Sends a packet from one connection to another."""
    states: list[State] = []
    left, right = (
        connection(api_key_grant(key, secret, url, "!exchange:test", user, "DEV"), states)
        for user in ("@left:test", "@right:test")
    )
    tasks = [asyncio.create_task(one.run()) for one in (left, right)]
    while not (left.connected and right.connected):
        await asyncio.sleep(0.01)
    await left.publish(b"hello", reliable=True)
    for packet in await right.packets():
        print(packet.identity, packet.data, packet.reliable)
    await asyncio.gather(left.close(), right.close())
    await asyncio.gather(*tasks)


async def refuse(url: str, key: str, _: str) -> None:
    """Has its token refused, which the native library would print, token and all."""
    states: list[State] = []
    refused = connection(api_key_grant(key, "wrong" * 8, url, "!r:test", "@bot:test", "D"), states)
    task = asyncio.create_task(refused.run())
    while State.LOST not in states:
        await asyncio.sleep(0.01)
    await refused.close()
    await task


if __name__ == "__main__":
    mode, *server = sys.argv[1:]
    if mode.startswith("stock-"):
        lean.VERSION = "another"
    print("adapted" if lean.apply() else "stock")
    asyncio.run(globals()[mode.removeprefix("stock-")](*server))
    print("done")
