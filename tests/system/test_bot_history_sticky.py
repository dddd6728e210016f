"""The history of a room in the sticky profile, and in both at once, on a real homeserver."""

from __future__ import annotations

import asyncio
import csv
import time
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.stack.bot import Bot, running_bot, until
from tests.stack.client.events import Board
from tests.stack.client.habits import Habits
from tests.stack.client.sticky import STICKY, STICKY_MS, join_content, leave_content
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.people import QUICK, logged, name, person
from tests.system.test_bot_history import Truth, Window, agreed, history, starts, within

STICKY_HABITS = Habits(announces=True, profile="sticky")


class Stickies:
    """What people write of themselves in the sticky profile, without a client around it."""

    def __init__(self, board: Board) -> None:
        self.board = board

    async def sits(self, one: NeoBoard, seat: str, sticky_ms: int = STICKY_MS) -> str:
        """Joins, or renews; returns the event's id."""
        content = join_content(self.board, one.user.device_id, seat, "http://nowhere.invalid")
        return await one.user.send_sticky(self.board.room_id, STICKY, content, sticky_ms)

    async def rises(self, one: NeoBoard, seat: str, code: str = "leave") -> str:
        """Leaves."""
        content = leave_content(self.board, one.user.device_id, seat, code)
        return await one.user.send_sticky(self.board.room_id, STICKY, content, STICKY_MS)

    async def redact(self, one: NeoBoard, event_id: str) -> None:
        """Takes an event back."""
        room, event = quote(self.board.room_id, safe=""), quote(event_id, safe="")
        path = f"/_matrix/client/v3/rooms/{room}/redact/{event}/{name('t')}"
        await one.user.request("PUT", path, {})


async def before_the_bot(truth: Truth, here: Stickies, people: list[NeoBoard]) -> None:
    """One with the real client's habits; one who does not leave, one who is kicked."""
    alice, ben, cleo, dan = people
    for one in people[1:]:
        await one.join(here.board)
    came = await within(ben.open(here.board))
    truth.was(ben, came, await within(ben.leave()))
    dan_came = await within(here.sits(dan, "d"))
    came = await within(here.sits(cleo, "c0", 1500))
    expires = (came[0] + 1500, came[1] + 1500)
    kicked = within(alice.user.membership(here.board.room_id, "kick", dan.user.user_id))
    truth.was(dan, dan_came, await kicked)
    truth.was(cleo, came, expires)
    await asyncio.sleep(max(0, expires[1] / 1000 - time.time()))


async def beside_the_bot(
    truth: Truth, here: Stickies, ben: NeoBoard, alice: NeoBoard, bot: Bot
) -> None:
    """One renews, leaves, and is not brought back; one takes back what she said; one is in both."""
    came = await within(here.sits(ben, "b1"))
    await here.sits(ben, "b1")
    left = await within(here.rises(ben, "b1"))
    await here.sits(ben, "b1")
    truth.was(ben, came, left)
    begun = time.time() * 1000
    event_id = await here.sits(alice, "a1")
    came = (begun - 5, time.time() * 1000 + 5)

    def seen() -> bool:
        return any(alice.user_id in one["users"] for one in logged(bot, "session changed"))

    # Who reads of it only when it is taken back cannot know what it was.
    await until(seen, 15, "alice is not seen", bot)
    truth.was(alice, came, await within(here.redact(alice, event_id)))
    came = await truth.comes(ben)  # in the legacy profile, and then in both
    await here.sits(ben, "b2")
    await truth.goes(ben)
    truth.was(ben, came, await within(here.rises(ben, "b2", "delayed_leave")))


def written(file: Path) -> list[tuple[str, float, float]]:
    """What `attendance` has written: who, from when to when (ms)."""
    if not file.exists():
        return []
    with file.open(newline="") as opened:
        rows = list(csv.reader(opened))[1:]
    return [(row[2].removeprefix("'"), milliseconds(row[4]), milliseconds(row[5])) for row in rows]


def milliseconds(text: str) -> float:
    """A time of the file."""
    return datetime.fromisoformat(text).timestamp() * 1000


def is_within(ts: float, window: Window) -> bool:
    """Whether a time in whole seconds is that of a window."""
    return window[0] - 1000 <= ts <= window[1]


@pytest.mark.scenario("H01", "H09", "H11", "H15", "H17", "H18", "H19", "H20")
async def test_the_history_of_sticky_members_is_what_happened(stack: Stack, tmp_path: Path) -> None:
    async with AsyncExitStack() as exits:
        people = [
            await exits.enter_async_context(person(stack, one, STICKY_HABITS))
            for one in ("alice", "ben", "cleo", "dan")
        ]
        alice, ben, cleo, _ = people
        ids = [one.user.user_id for one in people]
        for user_id in ids:
            await stack.exempt(user_id)
        board = await alice.create_board(invite=ids[1:])
        truth, here = Truth(board.room_id, board.whiteboard_id), Stickies(board)
        await before_the_bot(truth, here, people)
        expected = [{ids[1]}, {ids[2], ids[3]}]

        file = tmp_path / "attendance.csv"
        config = {
            **QUICK,
            "handlers": [
                {"use": "record"},
                {"use": "log"},
                {"use": "attendance", "settings": {"file": str(file)}},
            ],
        }
        bot = await exits.enter_async_context(
            running_bot(stack, tmp_path / "bot", name("bot"), config)
        )
        await alice.user.membership(board.room_id, "invite", bot.user_id)
        await until(lambda: logged(bot, "board found"), 15, "the board is not found", bot)
        await beside_the_bot(truth, here, ben, alice, bot)
        expected += [{ids[1]}, {ids[0]}, {ids[1]}]
        found = await agreed(bot, board.room_id, truth, expected)
        assert found["complete"]

        # Somebody is there when the bot dies; more happens than sync shows at once.
        came = await within(here.sits(alice, "a2"))
        sql = "SELECT COUNT(*) FROM meta WHERE name LIKE 'kept.attendance.%' AND value LIKE ?"
        await until(
            lambda: query(bot.data, sql, f"%{ids[0]}%") == [(1,)], 15, "alice is not seen", bot
        )
        await bot.kill()
        lines = len(written(file))
        left = await within(here.rises(alice, "a2"))
        truth.was(alice, came, left)
        expected.append({ids[0]})
        for number in range(20):
            cleo_came = await within(here.sits(cleo, f"c{number + 1}"))
            truth.was(cleo, cleo_came, await within(here.rises(cleo, f"c{number + 1}")))
            expected.append({ids[2]})
        await starts(bot)
        await until(lambda: len(written(file)) >= lines + 21, 30, "nothing is written", bot)
        gone = written(file)[lines:]
        assert [line[0] for line in gone] == [ids[0], *[ids[2]] * 20]
        assert is_within(gone[0][1], came)
        assert is_within(gone[0][2], left)

        running = await within(here.sits(ben, "b3"))
        truth.was(ben, running, None)
        expected.append({ids[1]})
        found = await agreed(bot, board.room_id, truth, expected)
        again = await history(bot, board.room_id, "--recompute")
        assert again["sessions"] == found["sessions"]
