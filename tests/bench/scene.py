"""Where measuring takes place: the stack, a person, boards, tokens, the bot."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from livekit import api

from bot.livekit.auth import room_name
from tests.bench.children import Child, ChildError, child
from tests.bench.packets import write
from tests.stack.bot import Bot
from tests.stack.client import events
from tests.stack.client.events import Board
from tests.stack.client.matrix import MatrixUser
from tests.stack.client.room import create_board
from tests.stack.stack import Login, Stack

POLL = 0.01
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Scene:
    """The stack and one person on it.

    Attributes:
        stack: the servers.
        folder: for files of a measurement.
        person: draws, invites.
        user: his requests to the homeserver.
    """

    stack: Stack
    folder: Path
    person: Login
    user: MatrixUser

    async def board(self, *invited: str) -> Board:
        """Make a room with an empty board and invite people."""
        board = await create_board(self.user, "http://127.0.0.1/", "bench", calls_allowed=True)
        for user_id in invited:
            await self.user.membership(board.room_id, "invite", user_id)
        return board

    async def enter(self, board: Board) -> None:
        """Write the person's membership."""
        device = self.person.device_id
        expires_ts = int(time.time() * 1000) + _DAY_MS
        content = events.member_content(board, device, [self.stack.jwt_url], expires_ts)
        key = events.member_key(self.person.user_id, device)
        await self.user.put_state(board.room_id, events.MEMBER, content, key)

    async def leave(self, board: Board) -> None:
        """Clear it."""
        key = events.member_key(self.person.user_id, self.person.device_id)
        await self.user.put_state(board.room_id, events.MEMBER, {}, key)

    async def state_of(self, bot: Bot, board: Board) -> dict[str, Any] | None:
        """The bot's membership event where it is announced."""
        for event in await self.user.state(board.room_id):
            if (event["type"], event["state_key"]) == (events.MEMBER, bot.state_key):
                return event if event["content"] else None
        return None

    async def greeted(self, bot: Bot, board: Board) -> bool:
        """Whether the bot has said hello: then it knows the room and its board."""
        path = f"/_matrix/client/v3/rooms/{quote(board.room_id, safe='')}/messages"
        found = await self.user.request("GET", path, query={"dir": "b", "limit": "20"})
        senders = {one["sender"] for one in found["chunk"] if one["type"] == "m.room.message"}
        return bot.user_id in senders

    def token(self, room: str, identity: str) -> str:
        """Leave to join a LiveKit room, which is made if need be."""
        grants = api.VideoGrants(
            room_join=True, room_create=True, room=room, can_update_own_metadata=True
        )
        token = api.AccessToken(self.stack.livekit_key, self.stack.livekit_secret)
        return token.with_identity(identity).with_grants(grants).to_jwt()

    @asynccontextmanager
    async def sender(
        self, room: str, packets: list[bytes], every: float = 0.0
    ) -> AsyncIterator[Child]:
        """Run the sender for the block: joined as the person, and waiting to be told to begin.

        Args:
            room: of LiveKit.
            packets: what to send.
            every: seconds between two; 0 sends as fast as it goes.
        """
        file = self.folder / "packets"
        await asyncio.to_thread(write, file, packets)
        identity = f"{self.person.user_id}:{self.person.device_id}"
        async with child(self.folder, "sender") as sender:
            sender.tell(
                {
                    "url": self.stack.livekit_url,
                    "token": self.token(room, identity),
                    "packets": str(file),
                    "every": every,
                }
            )
            await sender.heard(30)
            yield sender


@asynccontextmanager
async def scene(stack: Stack, folder: Path) -> AsyncIterator[Scene]:
    """Let a person in for the block."""
    folder.mkdir(parents=True, exist_ok=True)
    person = await stack.user("person")
    user = MatrixUser(stack.homeserver_url, person)
    await user.start()
    try:
        yield Scene(stack, folder, person, user)
    finally:
        await user.end()


@asynccontextmanager
async def bot(
    scene: Scene, name: str, config: Mapping[str, Any] | None = None
) -> AsyncIterator[Bot]:
    """Run a bot for the block, without rate limits, asked to end after it."""
    login = await scene.stack.user(name)
    await scene.stack.exempt(login.user_id)
    settings = {"invites": {"per_minute": 1000}, **(config or {})}
    running = Bot(scene.stack, scene.folder / name, login, settings)
    # Events of an earlier run of the same bot are none of ours.
    running.log.unlink(missing_ok=True)
    await running.start()
    try:
        yield running
        await running.stop()
    finally:
        await running.kill()


def joined(running: Bot, *, since: int = 0) -> set[str]:
    """The rooms where the bot has said of itself that it is announced, from a log line on."""
    return {
        event["room"]
        for event in running.events()[since:]
        if event.get("msg") == "own membership" and event.get("status") == "joined"
    }


async def committed(running: Bot, board: Board, count: int, within: float) -> float:
    """Wait until the archive holds so many entries of a board; return when that was.

    Raises:
        ChildError: it does not in time.
    """
    path = running.data / "boardkeeper.db"
    deadline = time.monotonic() + within
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as archive:
        while True:
            rows = archive.execute(
                "SELECT entries FROM boards WHERE room_id = ?", (board.room_id,)
            ).fetchall()
            now = time.monotonic()
            if rows and rows[0][0] >= count:
                return now
            if now > deadline:
                kept = rows[0][0] if rows else 0
                metrics = json.dumps(await running.metrics(), indent=1)
                raise ChildError(f"{kept} of {count} entries within {within:g} s\n{metrics}")
            await asyncio.sleep(POLL)


def livekit_room(board: Board) -> str:
    """The LiveKit room of a board."""
    return room_name(board.room_id)
