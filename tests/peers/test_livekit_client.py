"""livekit-client in a browser hears the bot."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from urllib.parse import quote

from tests.peers.browser import Listener, listening
from tests.peers.relaying import Relaying, relaying
from tests.peers.yjs import Yjs
from tests.stack.client import elements
from tests.stack.client.document import initial
from tests.stack.client.events import MEMBER, member_content, member_key
from tests.stack.client.habits import Habits
from tests.stack.stack import Stack
from tests.system.people import QUICK, meeting, name


async def test_it_knows_the_bot_and_hears_its_packets(
    stack: Stack, tmp_path: Path, yjs: Yjs
) -> None:
    async with relaying(stack, tmp_path) as here:
        bob = await stack.user(name("bob"))
        async with listening(stack, tmp_path / "peer", bob, here.target.room_id) as listener:
            assert listener.of("connected")[0]["others"] == []
            await here.carol.open(here.target)
            await listener.until(
                lambda: listener.of("participant", here.identity), 10, "the bot as participant"
            )
            await here.alice.open(here.source)
            drawn = await here.alice.draw(elements.note("from one room to the other"))
            await listener.until(
                lambda: drawn in seen(yjs, listener, here), 10, "what alice has drawn"
            )
            for packet in listener.of("data", here.identity):
                assert packet["topic"] == ""
        # A packet without a participant is dropped by every whiteboard: there must be none.
        assert all(packet.get("identity") for packet in listener.of("data"))


def seen(yjs: Yjs, listener: Listener, here: Relaying) -> set[str]:
    """The elements that a whiteboard with this connection would show."""
    updates = []
    for packet in listener.of("data", here.identity):
        message = json.loads(packet["payload"])
        if message["type"] == "net.nordeck.whiteboard.document_update":
            assert message["content"]["documentId"] == here.target.document_id
            updates.append(base64.b64decode(message["content"]["data"], validate=True))
    [slide] = yjs.read([initial("0"), *updates]).content["slides"]
    return {element["id"] for element in slide["elements"]}


async def test_it_hears_the_bot_as_soon_as_that_has_connected(stack: Stack, tmp_path: Path) -> None:
    """With the first thing it says: to whoever is there, what no snapshot in the room has."""
    config = {**QUICK, "boards": {"save_after": "5m"}}
    habits = Habits(announces=True, saves=False)
    async with meeting(stack, tmp_path, config, habits=habits) as here:
        bob = await stack.user(name("bob"))
        await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
        room = f"/_matrix/client/v3/rooms/{quote(here.board.room_id)}"
        await stack.call(bob, "POST", f"{room}/join", {})
        expires_ts = int(time.time() * 1000) + 3_600_000
        content = member_content(here.board, bob.device_id, [stack.jwt_url], expires_ts)
        key = quote(member_key(bob.user_id, bob.device_id))
        async with listening(stack, tmp_path / "peer", bob, here.board.room_id) as listener:
            await stack.call(bob, "PUT", f"{room}/state/{MEMBER}/{key}", content)
            await here.alice.draw(elements.shape())
            await here.recorded(1)
            await here.bot.kill()
            killed_ms = time.time() * 1000
            await here.bot.start()
            identity = f"{here.bot.user_id}:{here.bot.device_id}"
            [packet, *_] = await listener.until(
                lambda: [one for one in listener.of("data", identity) if one["at"] > killed_ms],
                30,
                "something of the bot",
            )
            assert packet["reliable"]  # what the bot says at once, and only then
