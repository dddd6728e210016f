"""The bot and matrix-js-sdk on a board of the sticky profile: each sees the other as a member."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.peers.matrix import Seen, watching
from tests.peers.test_sticky_members import guest
from tests.stack.bot import until
from tests.stack.client.members import pseudonym
from tests.stack.stack import Stack
from tests.system.people import Meeting
from tests.system.sticky_people import ends_with, member_ids, met, together


async def counted(here: Meeting) -> set[tuple[str, str]]:
    """User and device of everybody on the board, as the bot counts."""
    said = await asyncio.to_thread(here.bot.command, "sessions", "1", "--json")
    sessions: list[dict[str, Any]] = json.loads(said)["sessions"]
    return {(one["user_id"], one["device_id"]) for it in sessions for one in it["members"]}


@pytest.mark.scenario("X09")
async def test_x09_the_bot_and_the_sdk_see_each_other_come_and_go(
    stack: Stack, tmp_path: Path
) -> None:
    async with together(stack, tmp_path) as here:
        bob = await guest(stack, here.alice, here.board, "bob")
        own = (here.bot.user_id, here.bot.device_id)
        async with watching(
            stack, tmp_path / "bob", bob, here.board, publishes=stack.jwt_url, member="m1"
        ) as sdk:

            def bots(seen: Seen) -> list[dict[str, Any]]:
                return [one for one in seen["sdk"] if (one["userId"], one["deviceId"]) == own]

            seen = await sdk.until(bots, 30, "the bot as a member")
            (shown,) = bots(seen)
            [member_id] = await member_ids(here)
            assert shown["memberId"] == member_id
            assert shown["slotId"] == f"net.nordeck.whiteboard#{here.board.whiteboard_id}"
            # The SDK derives whom to look for on LiveKit: there the bot must be of this name.
            assert shown["identity"] == pseudonym(*own, member_id)
            assert shown["identity"] in here.alice.meeting.others
            assert shown["transports"] == [
                {"type": "livekit", "livekit_service_url": stack.jwt_url}
            ]

            someone = (bob.user_id, bob.device_id)

            async def there() -> bool:
                return someone in await counted(here)

            await until(there, 30, "the bot does not count the SDK's member", here.bot)
            # Whom it counts holds it on the board, and is heard of no more once he has left.
            await here.alice.leave()
            assert own in await counted(here)
            await here.alice.open(here.board)
            await met(here.alice, here)
            await sdk.process.stop()

            async def gone() -> bool:
                return someone not in await counted(here)

            await until(gone, 30, "the bot counts who has left", here.bot)


async def test_the_sdk_sees_the_bot_leave(stack: Stack, tmp_path: Path) -> None:
    async with together(stack, tmp_path) as here:
        bob = await guest(stack, here.alice, here.board, "bob")
        async with watching(stack, tmp_path / "bob", bob, here.board) as sdk:
            await sdk.until(lambda seen: seen["sdk"], 30, "the bot as a member")
            await here.bot.kill()
            await ends_with(here, "join", "delayed_leave")
            await sdk.until(lambda seen: not seen["sdk"], 30, "the bot gone")
            await here.bot.start()
            await sdk.until(lambda seen: seen["sdk"], 60, "the bot back")
            await here.bot.stop()
            await sdk.until(lambda seen: not seen["sdk"], 30, "the bot gone again")
