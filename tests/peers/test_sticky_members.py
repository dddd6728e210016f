"""matrix-js-sdk and sticky memberships: what it writes, and whose it takes for members."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.peers.matrix import Seen, watching
from tests.stack.client.events import Board
from tests.stack.client.habits import Habits
from tests.stack.client.matrix import MatrixUser
from tests.stack.client.members import pseudonym
from tests.stack.client.sticky import STICKY, join_content, leave_content, sticky_problems
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Login, Stack
from tests.system.people import name, person

STICKY_HABITS = Habits(profile="sticky", announces=True)
ANY_MS = 600_000


async def newest(user: MatrixUser, board: Board, sender: str) -> dict[str, Any] | None:
    """The last member event that somebody has sent."""
    path = f"/_matrix/client/v3/rooms/{quote(board.room_id)}/messages"
    only = json.dumps({"types": [STICKY], "senders": [sender]})
    found = await user.request("GET", path, query={"dir": "b", "limit": "1", "filter": only})
    return found["chunk"][0] if found["chunk"] else None


async def guest(stack: Stack, owner: NeoBoard, board: Board, who: str) -> Login:
    """Somebody whom the owner has invited and who has come into the room."""
    login = await stack.user(name(who))
    await owner.user.membership(board.room_id, "invite", login.user_id)
    await stack.call(login, "POST", f"/_matrix/client/v3/join/{board.room_id}", {})
    return login


def ids(seen: Seen) -> set[str]:
    return {one["memberId"] for one in seen["sdk"]}


async def test_the_sdk_joins_is_seen_by_another_and_leaves(stack: Stack, tmp_path: Path) -> None:
    async with person(stack, "alice", STICKY_HABITS) as alice:
        board = await alice.create_board()
        bob = await guest(stack, alice, board, "bob")
        carol = await guest(stack, alice, board, "carol")
        async with (
            watching(stack, tmp_path / "carol", carol, board) as watcher,
            watching(
                stack, tmp_path / "bob", bob, board, publishes=stack.jwt_url, member="m1"
            ) as joined,
        ):
            seen = await watcher.until(lambda seen: ids(seen) == {"m1"}, 20, "bob")
            (shown,) = seen["sdk"]
            assert (shown["userId"], shown["deviceId"]) == (bob.user_id, bob.device_id)
            assert shown["slotId"] == f"net.nordeck.whiteboard#{board.whiteboard_id}"
            assert shown["identity"] == pseudonym(bob.user_id, bob.device_id, "m1")
            assert shown["transports"] == [
                {"type": "livekit", "livekit_service_url": stack.jwt_url}
            ]
            event = await newest(alice.user, board, bob.user_id)
            assert event is not None
            # It speaks an older text than NeoBoard, which does not see it.
            assert sticky_problems(event) == ["member.membership"]
            assert event["content"]["versions"] == []

            await joined.process.stop()
            await watcher.until(lambda seen: not seen["sdk"], 20, "bob gone")
            event = await newest(alice.user, board, bob.user_id)
            assert event is not None
            assert event["content"].keys() == {"slot_id", "msc4354_sticky_key"}


async def test_the_sdk_sees_a_newer_client_that_also_writes_what_older_texts_demand(
    stack: Stack, tmp_path: Path
) -> None:
    async with person(stack, "alice", STICKY_HABITS) as alice:
        board = await alice.create_board()
        bob = await guest(stack, alice, board, "bob")

        async def joins(member_id: str, *, both: bool) -> None:
            content = join_content(board, "DEV", member_id, "https://a")
            if both:
                content["member"]["user_id"] = alice.user_id
                content["versions"] = []
            event_id = await alice.user.send_sticky(board.room_id, STICKY, content, ANY_MS)
            event = await newest(alice.user, board, alice.user_id)
            assert event is not None
            assert event["event_id"] == event_id
            assert sticky_problems(event) == []

        await joins("only-new", both=False)
        await joins("both", both=True)
        async with watching(stack, tmp_path / "bob", bob, board) as watcher:
            seen = await watcher.until(lambda seen: seen["sdk"], 20, "alice")
            assert ids(seen) == {"both"}
            # It has no idea of a leave with words: that is no membership to it, either.
            left = leave_content(board, "DEV", "both", "leave")
            await alice.user.send_sticky(board.room_id, STICKY, left, ANY_MS)
            await watcher.until(lambda seen: not seen["sdk"], 20, "alice gone")
