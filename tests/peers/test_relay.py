"""Real Yjs reads what the bot writes: the packets and the snapshots of a relayed board."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.peers.relaying import Relaying, relaying
from tests.peers.yjs import Yjs
from tests.stack.bot import until
from tests.stack.client import edits, elements
from tests.stack.client.channel import Channel
from tests.stack.client.document import initial
from tests.stack.client.events import CHUNK, CHUNK_BYTES, SNAPSHOT, Board
from tests.stack.client.matrix import MatrixUser
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.people import name


async def test_what_is_relayed_is_what_was_drawn(stack: Stack, tmp_path: Path, yjs: Yjs) -> None:
    async with relaying(stack, tmp_path) as here, overhearing(stack, here.target) as channel:
        await here.carol.open(here.target)
        await here.alice.open(here.source)
        await here.until_heard_by(here.alice)
        await draw_much(here.alice)
        drawn = here.alice.document.content()
        updates = [initial("0")]
        saved: list[bytes] = []

        def heard() -> bool:
            updates.extend(relayed(channel, here))
            return yjs.read(updates).content == drawn

        async def written() -> bool:
            saved[:] = await newest_snapshot(here)
            return bool(saved) and yjs.read([b"".join(saved)]).content == drawn

        await until(heard, 15, "the packets do not add up", here.bot)
        await until(written, 15, "the snapshot is not the same", here.bot)
        await here.carol.until(lambda: here.carol.document.content() == drawn, 15, "all of it")
        assert len(saved) > 1
        assert {len(chunk) for chunk in saved[:-1]} == {CHUNK_BYTES}
        for read in (yjs.read(updates), yjs.read([b"".join(saved)])):
            assert read.roots == ["0"]
            assert not read.waiting


async def draw_much(alice: NeoBoard) -> None:
    """Fills a board: more than one chunk of a snapshot holds, with all that NeoBoard stores."""
    for number in range(3):
        points = [(step / 7, number * step / 3) for step in range(700)]
        await alice.draw(elements.path(points))
    moved = await alice.draw(elements.note("Grüße 👩‍🎨", at=(300, 40)))
    gone = await alice.draw(elements.shape("ellipse", borderRadius=20, textBold=True))
    first = elements.FIRST_SLIDE
    await alice.change(edits.change_element(first, moved, {"position": {"x": 1.5, "y": -2}}))
    await alice.change(edits.reorder_element(first, moved, 0))
    await alice.change(edits.delete_element(first, gone))
    other = elements.new_id()
    await alice.change(edits.add_slide(other, [(elements.new_id(), elements.shape())]))
    await alice.change(edits.reorder_slide(other, 0))
    await alice.change(edits.lock_slide(first, alice.user_id))


def relayed(channel: Channel, here: Relaying) -> list[bytes]:
    """The bot's changes that have come since the last call."""
    updates = []
    while not channel.inbox.empty():
        heard = channel.inbox.get_nowait()
        assert heard is not None
        sender, payload, _ = heard
        message = json.loads(payload)
        if sender == here.identity and message["type"].endswith(".document_update"):
            assert message["content"]["documentId"] == here.target.document_id
            updates.append(base64.b64decode(message["content"]["data"], validate=True))
    return updates


async def newest_snapshot(here: Relaying) -> list[bytes]:
    """The chunks of the bot's newest snapshot of the target; none when they are not all there."""
    room_id, user = here.target.room_id, here.carol.user
    for event in await user.relations(room_id, here.target.document_id, SNAPSHOT):
        if event["sender"] == here.bot.user_id:
            chunks = await user.relations(room_id, event["event_id"], CHUNK)
            found = {one["content"]["sequenceNumber"]: one["content"]["data"] for one in chunks}
            complete = set(found) == set(range(event["content"]["chunkCount"]))
            numbers = sorted(found) if complete else []
            return [base64.b64decode(found[number], validate=True) for number in numbers]
    return []


@asynccontextmanager
async def overhearing(stack: Stack, board: Board) -> AsyncIterator[Channel]:
    """Somebody who keeps every packet of a room as it came."""
    user = MatrixUser(stack.homeserver_url, await stack.user(name("bob")))
    channel = Channel(lambda: None)
    await user.start()
    try:
        await channel.connect(user, stack.jwt_url, board.room_id)
        yield channel
    finally:
        await channel.close()
        await user.end()
