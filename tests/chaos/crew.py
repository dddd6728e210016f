"""People on many boards, who also watch what the bot says of itself there."""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any

from tests.chaos.checks import Mark, standing
from tests.stack.bot import Bot, until
from tests.stack.client import events
from tests.stack.client.events import MEMBER, Board
from tests.stack.client.matrix import UNREACHABLE, V3, MatrixUser
from tests.stack.client.room import create_board
from tests.stack.client.sticky import STICKY, STICKY_MS, join_content, leave_content
from tests.stack.processes import StackError
from tests.stack.stack import Login, Stack

_DAY_MS = 86_400_000
_POLL_MS = 10_000
_MAKERS = 4
LEGACY = "legacy"
STICKY_PROFILE = "sticky"
PROFILES = {
    LEGACY: (LEGACY,),
    STICKY_PROFILE: (STICKY_PROFILE,),
    "both": (LEGACY, STICKY_PROFILE),
}
"""What the person speaks, by what may be chosen."""


@dataclass(slots=True)
class Crew:
    """One person on all boards, by state events only: the bot goes where a membership is.

    Attributes:
        profiles: that the person speaks, in each with a device of its own.
        boards: all of them, each in a room of its own.
        marks: of the bot, by room and profile, in the order of the room.
        away: when the person was on no board.
    """

    stack: Stack
    person: Login
    user: MatrixUser
    profiles: tuple[str, ...] = (LEGACY,)
    bot: Bot | None = None
    boards: list[Board] = field(default_factory=list)
    marks: dict[tuple[str, str], list[Mark]] = field(default_factory=dict)
    away: list[tuple[float, float]] = field(default_factory=list)
    _ids: set[str] = field(default_factory=set)
    _member_ids: dict[str, str] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def make_boards(self, bot: Bot, count: int) -> None:
        """Make boards and invite the bot."""
        self.bot = bot
        few = asyncio.Semaphore(_MAKERS)

        async def make() -> None:
            async with few:
                board = await create_board(
                    self.user,
                    "http://127.0.0.1/",
                    "chaos",
                    calls_allowed=True,
                    slot=self.profiles != (LEGACY,),
                )
                await self.user.membership(board.room_id, "invite", bot.user_id)
                self.boards.append(board)
                self.marks |= {(board.room_id, profile): [] for profile in self.profiles}

        await asyncio.gather(*(make() for _ in range(count)))

    async def enter(self, urls: Sequence[str] | None = None) -> None:
        """Be on all boards, naming these foci."""
        expires_ts = int(time.time() * 1000) + _DAY_MS
        device, foci = self.person.device_id, urls or [self.stack.jwt_url]

        async def one(board: Board) -> None:
            if LEGACY in self.profiles:
                await self._put(board, events.member_content(board, device, foci, expires_ts))
            if STICKY_PROFILE in self.profiles:
                member = self._member_ids.setdefault(board.room_id, secrets.token_hex(8))
                await self._send(board, join_content(board, self._new_device, member, foci[0]))

        await asyncio.gather(*map(one, self.boards))
        if self.away and self.away[-1][1] == inf:
            self.away[-1] = (self.away[-1][0], time.time())

    async def go(self) -> None:
        """Be on no board."""
        self.away.append((time.time(), inf))

        async def one(board: Board) -> None:
            if LEGACY in self.profiles:
                await self._put(board, {})
            member = self._member_ids.pop(board.room_id, None)
            if member is not None:
                await self._send(board, leave_content(board, self._new_device, member, "leave"))

        await asyncio.gather(*map(one, self.boards))

    async def _put(self, board: Board, content: Mapping[str, Any]) -> None:
        key = events.member_key(self.person.user_id, self.person.device_id)
        await self.user.put_state(board.room_id, MEMBER, content, key)

    async def _send(self, board: Board, content: Mapping[str, Any]) -> None:
        await self.user.send_sticky(board.room_id, STICKY, content, STICKY_MS)

    @property
    def _new_device(self) -> str:
        return f"{self.person.device_id}NEW"

    @property
    def places(self) -> int:
        """On how many boards the bot is to be, each profile counted."""
        return len(self.boards) * len(self.profiles)

    def present(self) -> int:
        """Return how many memberships the bot has, as far as seen."""
        return sum(len(standing(marks)) for marks in self.marks.values())

    async def bot_on(self, count: int, seconds: float, bot: Bot) -> None:
        """Wait until the bot has so many memberships."""
        await until(lambda: self.present() == count, seconds, f"not on {count} boards", bot)

    async def bot_gone(self, seconds: float, bot: Bot) -> None:
        """Wait until the bot is on no board.

        Raises:
            StackError: it still is; the text says what was seen of it, and what the state is.
        """
        try:
            await self.bot_on(0, seconds, bot)
        except StackError as error:
            now, lines = time.time(), []
            for (room_id, profile), marks in self.marks.items():
                if standing(marks):
                    state = [
                        (bool(event["content"]), event["origin_server_ts"] / 1000 - now)
                        for event in await self.user.state(room_id)
                        if event["type"] == MEMBER and event["state_key"].startswith(bot.state_key)
                    ]
                    seen = [(mark.joined, round(mark.ts - now, 2)) for mark in marks[-5:]]
                    lines.append(f"{room_id} {profile}: seen {seen}, state {state}")
            waiting = delayed_by_room(self.stack, bot.user_id)
            raise StackError("\n".join([str(error), *lines, f"delayed: {waiting}"])) from None

    async def caught_up(self) -> None:
        """Wait until all that has happened so far was seen."""
        room_id = self.boards[0].room_id
        content = {"application": "none", "n": time.time_ns() // 1000}
        key = f"_{self.person.user_id}_MARK"
        event_id = await self.user.put_state(room_id, MEMBER, content, key)
        async with asyncio.timeout(30):
            while event_id not in self._ids:
                self._news.clear()
                await self._news.wait()

    async def watch(self) -> None:
        """Follow the rooms without end, also when the homeserver is away."""
        query = {"filter": json.dumps(_FILTER), "timeout": "0"}
        while True:
            try:
                answer = await self.user.request("GET", f"{V3}/sync", query=query)
            except UNREACHABLE:
                await asyncio.sleep(0.3)
                continue
            for room_id, room in answer.get("rooms", {}).get("join", {}).items():
                for section in ("state", "timeline"):
                    for event in room.get(section, {}).get("events", []):
                        self._take(room_id, event)
            self._news.set()
            query |= {"since": answer["next_batch"], "timeout": str(_POLL_MS)}

    def _take(self, room_id: str, event: Mapping[str, Any]) -> None:
        if event["event_id"] in self._ids:
            return
        self._ids.add(event["event_id"])
        if self.bot is None or event["sender"] != self.bot.user_id:
            return
        content, ts = event["content"], event["origin_server_ts"] / 1000
        if event["type"] == STICKY:
            member = content["member"]
            joined, member_id = member["membership"] == "join", member["id"]
            self._mark(room_id, STICKY_PROFILE, Mark(ts, joined, member=member_id))
        # Its own keys: the plain one; a suffixed one would be a second membership of one board.
        elif event["state_key"].startswith(self.bot.state_key):
            foci = content.get("foci_preferred") or [{}]
            focus = str(foci[0].get("livekit_service_url", ""))
            self._mark(room_id, LEGACY, Mark(ts, bool(content), focus))

    def _mark(self, room_id: str, profile: str, mark: Mark) -> None:
        self.marks.setdefault((room_id, profile), []).append(mark)


_FILTER = {
    "presence": {"types": []},
    "account_data": {"types": []},
    "room": {
        "account_data": {"types": []},
        "ephemeral": {"types": []},
        "state": {"types": [MEMBER]},
        "timeline": {"types": [MEMBER, STICKY], "limit": 500},
    },
}


@asynccontextmanager
async def crew(stack: Stack, name: str = "person", profile: str = LEGACY) -> AsyncIterator[Crew]:
    """Let a person in for the block, and watch; the profile is one of PROFILES."""
    person = await stack.user(name)
    user = MatrixUser(stack.homeserver_url, person)
    await user.start()
    here = Crew(stack, person, user, PROFILES[profile])
    watching = asyncio.create_task(here.watch())
    try:
        yield here
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await user.end()


def delayed_by_room(stack: Stack, user_id: str) -> dict[str, int]:
    """Return how many delayed events of a user wait, by room, as the homeserver's database has it.

    Not asked for over HTTP: that counts as the bot's own request and would eat its allowance.
    """
    localpart = user_id[1:].partition(":")[0]
    path = stack.folder / "homeserver.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
        rows = database.execute(
            "SELECT room_id, count(*) FROM delayed_events"
            " WHERE user_localpart = ? AND NOT is_processed GROUP BY room_id",
            (localpart,),
        ).fetchall()
    return {str(room_id): int(count) for room_id, count in rows}


def delayed_events(stack: Stack, user_id: str) -> int:
    """Return how many delayed events of a user wait."""
    return sum(delayed_by_room(stack, user_id).values())
