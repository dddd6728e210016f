"""The history of a room's sessions is what happened there: before the bot came, and since."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.stack.bot import Bot, running_bot, until
from tests.stack.client.events import MEMBER, Board
from tests.stack.client.habits import Habits
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.people import QUICK, logged, meeting, name, person

Window = tuple[float, float]
"""From when to when something happened: the homeserver says when within that."""


async def within(work: Awaitable[object]) -> Window:
    begun = time.time() * 1000
    await work
    return begun - 5, time.time() * 1000 + 5


@dataclass
class Truth:
    """What people do in a room, and when."""

    room_id: str
    whiteboard_id: str
    stays: list[tuple[str, str, Window, Window | None]] = field(default_factory=list)

    async def comes(self, user: NeoBoard, expires_after: float = 14_400_000) -> Window:
        content = {
            "application": "net.nordeck.whiteboard",
            "call_id": self.whiteboard_id,
            "device_id": user.user.device_id,
            "focus_active": {"type": "livekit", "focus_selection": "oldest_membership"},
            "foci_preferred": [],
            "scope": "m.room",
            "expires": int(time.time() * 1000 + expires_after),
        }
        return await within(user.user.put_state(self.room_id, MEMBER, content, self.key(user)))

    async def goes(self, user: NeoBoard) -> Window:
        return await within(user.user.put_state(self.room_id, MEMBER, {}, self.key(user)))

    def key(self, user: NeoBoard) -> str:
        return f"_{user.user.user_id}_{user.user.device_id}"

    def was(self, user: NeoBoard, came: Window, left: Window | None) -> None:
        self.stays.append((user.user.user_id, user.user.device_id, came, left))

    def check(self, sessions: list[dict[str, Any]], people: list[set[str]]) -> None:
        """Compare what is said with what happened."""
        stays = [stay for session in sessions for stay in session["spans"]]
        assert len(stays) == len(self.stays), stays
        for stay, (user, device, came, left) in zip(
            sorted(stays, key=lambda one: one["start_ts"]),
            sorted(self.stays, key=lambda one: one[2]),
            strict=True,
        ):
            assert (stay["user_id"], stay["device_id"]) == (user, device)
            assert came[0] <= stay["start_ts"] <= came[1]
            if left is None:
                assert stay["end_ts"] is None
            else:
                assert left[0] <= stay["end_ts"] <= left[1]
        assert [set(session["people"]) for session in sessions] == people


async def cli(bot: Bot, *arguments: str, code: int = 0) -> str:
    return await asyncio.to_thread(bot.command, *arguments, code=code)


async def history(bot: Bot, room: str, *more: str) -> dict[str, Any]:
    text = await cli(bot, "sessions", room, "--history", "--json", *more)
    if bot.running:
        assert "This is what was read before" not in text
    found: dict[str, Any] = json.JSONDecoder().raw_decode(text)[0]  # what it warns of comes behind
    return found


async def agreed(
    bot: Bot, room: str, truth: Truth, people: list[set[str]], *more: str
) -> dict[str, Any]:
    """Ask for the history until it has all that happened (sync brings the last); compare."""
    wanted = len(truth.stays), sum(left is not None for *_, left in truth.stays)

    async def whole() -> dict[str, Any] | None:
        found = await history(bot, room, *more)
        ends = [stay["end_ts"] for session in found["sessions"] for stay in session["spans"]]
        return found if (len(ends), len([one for one in ends if one])) == wanted else None

    found: dict[str, Any] = await until(whole, 20, f"not {wanted} stays and ends", bot)
    truth.check(found["sessions"], people)
    return found


async def starts(bot: Bot) -> None:
    """Start the bot again; wait until it is back in the room: then it reads what sync left out."""
    before = len(logged(bot, "board found"))
    await bot.start()
    await until(lambda: len(logged(bot, "board found")) > before, 30, "the bot is not back", bot)


async def seen(bot: Bot, number: int) -> None:
    """Wait until the archive has so many membership events of people."""
    sql = "SELECT COUNT(*) >= ? FROM memberships WHERE type = ? AND sender <> ?"
    await until(
        lambda: query(bot.data, sql, number, MEMBER, bot.user_id) == [(1,)],
        15,
        "not all is seen",
        bot,
    )


async def people_of(stack: Stack, exits: AsyncExitStack, *names: str) -> list[NeoBoard]:
    return [
        await exits.enter_async_context(person(stack, one, Habits(announces=True))) for one in names
    ]


async def before_the_bot(truth: Truth, board: Board, people: list[NeoBoard]) -> None:
    """Two sessions: people with the real client's habits; one who expires, one who is kicked."""
    alice, ben, cleo, dan = people
    for one in people[1:]:
        await one.join(board)
    # As the client does it, LiveKit and all.
    for one in (alice, ben):
        came = await within(one.open(board))
        left = await within(one.leave())
        truth.was(one, came, left)
    dan_came = await truth.comes(dan)
    came = await truth.comes(cleo, expires_after=1500)
    expires = (came[0] + 1500, came[1] + 1500)
    left = await within(alice.user.membership(board.room_id, "kick", dan.user.user_id))
    truth.was(dan, dan_came, left)
    truth.was(cleo, came, expires)
    await asyncio.sleep(max(0, expires[1] / 1000 - time.time()))


@pytest.mark.scenario("H02", "H11", "H15", "H18", "H19", "H20")
async def test_the_history_is_what_happened(stack: Stack, tmp_path: Path) -> None:
    async with AsyncExitStack() as exits:
        people = await people_of(stack, exits, "alice", "ben", "cleo", "dan")
        alice, ben, cleo, _ = people
        ids = [one.user.user_id for one in people]
        for user_id in ids:
            await stack.exempt(user_id)
        board = await alice.create_board(invite=ids[1:])
        truth = Truth(board.room_id, board.whiteboard_id)
        await before_the_bot(truth, board, people)
        expected = [{ids[0]}, {ids[1]}, {ids[2], ids[3]}]

        bot = await exits.enter_async_context(
            running_bot(stack, tmp_path / "bot", name("bot"), QUICK)
        )
        await alice.user.membership(board.room_id, "invite", bot.user_id)
        await until(lambda: logged(bot, "board found"), 15, "the board is not found", bot)
        came = await truth.comes(ben)
        truth.was(ben, came, await truth.goes(ben))
        expected.append({ids[1]})
        found = await agreed(bot, board.room_id, truth, expected)
        assert found["complete"]

        # Sync brings more than it shows at once while the bot is down.
        await seen(bot, 8)
        await bot.kill()
        for _ in range(20):
            came = await truth.comes(cleo)
            truth.was(cleo, came, await truth.goes(cleo))
            expected.append({ids[2]})
        running = await truth.comes(alice)
        truth.was(alice, running, None)
        expected.append({ids[0]})
        await starts(bot)
        found = await agreed(bot, board.room_id, truth, expected)
        again = await history(bot, board.room_id, "--recompute")
        assert again["sessions"] == found["sessions"]
        some = await history(bot, board.room_id, "--since", str(int(running[0])), "--board", "1")
        assert [one["people"] for one in some["sessions"]] == [[ids[0]]]

        # Without the bot: what it has; what sync brought last is in it.
        truth.stays[-1] = (*truth.stays[-1][:3], await truth.goes(alice))
        await seen(bot, 8 + 40 + 2)
        await bot.kill()
        assert "does not run" in await cli(bot, "sessions", "1", "--history")
        found = await history(bot, board.room_id)
        truth.check(found["sessions"], expected)
        text = await cli(bot, "sessions", "1", "--history", "--csv")
        lines = list(csv.reader(io.StringIO(text[text.index("session,room") :])))
        users = [line[5].removeprefix("'") for line in lines if len(line) == len(lines[0])][1:]
        assert users == [one[0] for one in sorted(truth.stays, key=lambda one: one[2])]


async def test_what_happened_in_a_pause_is_in_no_history(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, opened=False) as here, person(stack, "ben") as ben:
        bot, room_id = here.bot, here.board.room_id
        truth = Truth(room_id, here.board.whiteboard_id)
        await here.alice.user.membership(room_id, "invite", ben.user.user_id)
        await ben.join(here.board)
        for one in (here.alice, ben):
            await stack.exempt(one.user.user_id)
        came = await truth.comes(here.alice)
        await seen(bot, 1)
        paused = await within(cli(bot, "pause", "1"))
        truth.was(here.alice, came, paused)
        await truth.comes(ben)
        await truth.goes(ben)
        await truth.goes(here.alice)
        assert "Nothing is recorded" in await cli(bot, "sessions", "1", "--history")
        await cli(bot, "resume", "1")
        came = await truth.comes(ben)
        truth.was(ben, came, None)
        both = [{here.alice.user.user_id}, {ben.user.user_id}]
        found = await agreed(bot, room_id, truth, both, "--recompute")
        assert len(found["pauses"]) == 1
        text = await cli(bot, "sessions", "1", "--history")
        assert "Recording was paused from" in text
        assert "running" in text
