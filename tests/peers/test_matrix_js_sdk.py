"""matrix-js-sdk sees the bot come and go."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.peers.matrix import Seen, watching
from tests.stack.stack import Stack
from tests.system.people import QUICK, meeting, name

READINGS = ("members", "sdk")


async def test_the_bot_is_a_live_member_until_sigterm(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, QUICK, opened=False) as here:
        login = await stack.user(name("bob"))
        await here.alice.user.membership(here.board.room_id, "invite", login.user_id)
        await stack.call(login, "POST", f"/_matrix/client/v3/join/{here.board.room_id}", {})
        bot = {"userId": here.bot.user_id, "deviceId": here.bot.device_id}

        def shows(seen: Seen) -> bool:
            return all(any(bot.items() <= one.items() for one in seen[by]) for by in READINGS)

        async with watching(stack, tmp_path / "peer", login, here.board) as bob:
            assert not bob.seen[-1]["members"]
            assert not bob.seen[-1]["sdk"]

            await here.alice.open(here.board)
            seen = await bob.until(shows, 10, "the bot as a member")
            assert len(seen["members"]) == len(seen["sdk"]) == 2
            [own] = [one for one in seen["sdk"] if bot.items() <= one.items()]
            assert own["slotId"] == f"net.nordeck.whiteboard#{here.board.whiteboard_id}"
            # The SDK derives whom to look for on LiveKit: there the bot must be of this name.
            assert own["identity"] == f"{here.bot.user_id}:{here.bot.device_id}"
            assert own["transports"] == [
                {
                    "type": "livekit",
                    "livekit_service_url": stack.jwt_url,
                    "livekit_alias": here.board.room_id,
                }
            ]

            ended_ts = int(time.time() * 1000)
            os.kill(here.bot.process.pid, signal.SIGTERM)
            seen = await bob.until(lambda seen: not shows(seen), 5, "the bot gone")
            assert 0 <= seen["left"][here.bot.state_key] - ended_ts < 30_000
            assert [one["userId"] for one in seen["members"]] == [here.alice.user_id]
            assert [one["userId"] for one in seen["sdk"]] == [here.alice.user_id]
