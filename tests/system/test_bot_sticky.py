"""The bot among people whose NeoBoard speaks the sticky profile, on real servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.client.habits import Habits
from tests.stack.client.sticky import STICKY, sticky_problems
from tests.stack.stack import Stack
from tests.system.people import QUICK, Meeting, logged, meeting, person
from tests.system.test_bot_keep import newcomer_sees, saved_by_bot

NEW = Habits(profile="sticky", announces=True)
ONLY_LIVE = Habits(profile="sticky", announces=True, saves=False)


async def written(here: Meeting) -> list[dict[str, Any]]:
    """Every sticky member event of the bot, oldest first."""
    path = f"/_matrix/client/v3/rooms/{quote(here.board.room_id)}/messages"
    only = json.dumps({"types": [STICKY], "senders": [here.bot.user_id]})
    query = {"dir": "b", "limit": "100", "filter": only}
    return list(reversed((await here.alice.user.request("GET", path, query=query))["chunk"]))


async def shown(here: Meeting, *, there: bool = True) -> None:
    """Wait until Alice sees the bot among the members, or no longer."""
    await here.alice.until(
        lambda: (here.bot.user_id in {one.user_id for one in here.alice.members}) is there,
        30,
        "the bot among the members",
    )


async def test_it_takes_part_records_and_saves(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, habits=ONLY_LIVE, opened=False) as here:
        await here.alice.open(here.board)
        await shown(here)
        (join,) = await written(here)
        assert sticky_problems(join) == []
        assert join["msc4354_sticky"] == {"duration_ms": 3_600_000}
        assert await here.membership() == {}  # not in the other profile
        element = await here.alice.draw(elements.shape(text="seen"))
        await here.recorded(1)
        await until(lambda: saved_by_bot(here), 40, "it is not saved", here.bot)
        assert await newcomer_sees(here, stack, element)
        await here.alice.leave()
        await until(lambda: left(here), 30, "the bot stays", here.bot)


async def left(here: Meeting) -> bool:
    """Whether its last event is a leave."""
    events = await written(here)
    return bool(events[-1]["content"]["member"]["membership"] == "leave")


async def test_a_newcomer_sees_at_once_what_is_not_saved_yet(stack: Stack, tmp_path: Path) -> None:
    patient = {**QUICK, "boards": {"save_after": "60s"}}
    async with meeting(stack, tmp_path, patient, habits=ONLY_LIVE, opened=False) as here:
        await here.alice.open(here.board)
        await shown(here)
        await here.alice.hears()
        element = await here.alice.draw(elements.shape(text="fresh"))
        await here.recorded(1)
        async with person(stack, "bob", ONLY_LIVE) as bob:
            await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
            await bob.join(here.board)
            await bob.open(here.board)
            await bob.until(lambda: element in str(bob.document.content()), 30, "the stroke")


async def test_killed_it_vanishes_and_comes_back_without_a_ghost(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, habits=NEW, opened=False) as here:
        await here.alice.open(here.board)
        await shown(here)
        await here.bot.kill()
        await shown(here, there=False)
        (join, leave) = await written(here)
        assert leave["content"]["leave_reason"]["code"] == "delayed_leave"
        assert leave["content"]["member"]["id"] == join["content"]["member"]["id"]
        await here.bot.start()
        await shown(here)
        await here.bot.kill()
        await here.bot.start()  # before the leave has fired
        await until(lambda: ids(here, 3), 30, "the third join", here.bot)
        third = (await written(here))[-1]["content"]["member"]["id"]
        await here.alice.until(
            lambda: (
                [one.member_id for one in here.alice.members if one.user_id == here.bot.user_id]
                == [third]
            ),
            30,
            "the third one alone",
        )
        await here.drawn(here.alice, elements.shape())


async def ids(here: Meeting, number: int) -> bool:
    """Whether so many joinings are there, the last one not left."""
    events = [one["content"]["member"] for one in await written(here)]
    joins = {one["id"] for one in events if one["membership"] == "join"}
    return len(joins) >= number and events[-1]["membership"] == "join"


async def test_stopped_it_leaves_with_a_reason(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, habits=NEW, opened=False) as here:
        await here.alice.open(here.board)
        await shown(here)
        await here.bot.stop()
        await shown(here, there=False)
        leave = (await written(here))[-1]
        assert leave["content"]["leave_reason"]["code"] == "leave"
        assert logged(here.bot, "boardkeeper has ended")
