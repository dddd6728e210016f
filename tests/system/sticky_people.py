"""What the tests of the sticky profile with the whole bot have in common."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.stack.bot import until
from tests.stack.client.events import BOARD
from tests.stack.client.habits import Habits
from tests.stack.client.sticky import STICKY, sticky_problems
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Login, Stack
from tests.system.people import QUICK, Meeting, logged, meeting

DELAYED = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"
NEW = Habits(profile="sticky", announces=True)
BY_HAND = Habits(profile="sticky", announces=True, saves=False)
"""Somebody who saves when the test says so."""
PATIENT: Mapping[str, Any] = {**QUICK, "presence": {"linger": "60s"}}
"""The bot waits for people who lose their connection as it does."""


async def of_account(here: Meeting) -> list[dict[str, Any]]:
    """Every sticky member event of the bot's account as the room has it, oldest first."""
    path = f"/_matrix/client/v3/rooms/{quote(here.board.room_id)}/messages"
    only = json.dumps({"types": [STICKY], "senders": [here.bot.user_id]})
    query = {"dir": "b", "limit": "100", "filter": only}
    found = await here.alice.user.request("GET", path, query=query)
    return list(reversed(found["chunk"]))


async def written(here: Meeting) -> list[dict[str, Any]]:
    """The same of boards alone: those of the bot; all are right."""
    found = await of_account(here)
    events = [one for one in found if one["content"]["slot_id"].startswith(BOARD)]
    assert [problem for one in events for problem in sticky_problems(one)] == []
    return events


async def said(here: Meeting) -> list[str]:
    """Of each of these events `join` or the reason of the leave."""
    contents = [one["content"] for one in await written(here)]
    return [one.get("leave_reason", {"code": "join"})["code"] for one in contents]


async def member_ids(here: Meeting) -> list[str]:
    """The member ids under which it has joined, in order."""
    members = [one["content"]["member"] for one in await written(here)]
    return list(dict.fromkeys(one["id"] for one in members if one["membership"] == "join"))


async def stays(here: Meeting, count: int) -> bool:
    """Whether it has joined so often, each time under an id of its own."""
    return len(await member_ids(here)) == count == (await said(here)).count("join")


async def ends_with(here: Meeting, *codes: str, within: float = 40) -> None:
    """Wait until its last events are these."""

    async def check() -> bool:
        return (await said(here))[-len(codes) :] == [*codes]

    await until(check, within, f"not {codes}", here.bot)


def sees(someone: NeoBoard, here: Meeting) -> int:
    """Return how often somebody sees the bot among the members."""
    return [one.user_id for one in someone.members].count(here.bot.user_id)


async def met(someone: NeoBoard, here: Meeting, within: float = 40) -> None:
    """Wait until somebody sees the bot once, and it is on LiveKit under that membership."""
    bot = here.bot.user_id, here.bot.device_id
    await someone.until(
        lambda: (
            sees(someone, here) == 1
            and someone.meeting.met
            and bot in getattr(someone.meeting, "active", ())
        ),
        within,
        "meeting the bot",
    )


async def unseen(here: Meeting, within: float = 40) -> None:
    """Wait until Alice sees the bot no longer."""
    await here.alice.until(lambda: sees(here.alice, here) == 0, within, "the bot gone")


def states(here: Meeting) -> list[str]:
    """Return the states of its LiveKit connections, in order."""
    return [event["state"] for event in logged(here.bot, "livekit")]


async def armed(stack: Stack, login: Login) -> list[dict[str, Any]]:
    """Return the sticky events that the homeserver holds back for an account."""
    answer = await stack.call(login, "GET", DELAYED)
    assert answer.status == 200
    return [one for one in answer.body["delayed_events"] if one["type"] == STICKY]


async def login(here: Meeting) -> Login:
    """Return another login of the bot's account."""
    return await here.stack.user(here.bot.user_id[1:].partition(":")[0])


@asynccontextmanager
async def together(
    stack: Stack,
    folder: Path,
    config: Mapping[str, Any] | None = None,
    habits: Habits = NEW,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Meeting]:
    """Alice and the bot on a board of the sticky profile; they hear each other."""
    async with meeting(
        stack, folder, config or PATIENT, habits=habits, opened=False, environment=environment
    ) as here:
        await here.alice.open(here.board)
        await met(here.alice, here)
        yield here
