"""What the bot promises, proven in the bytes: what it recorded, after kills and over bad links."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from tests.stack.bot import until
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.drawing import BY_HAND, drawing, same_after_next_snapshot
from tests.system.people import Meeting, logged, meeting

Row = tuple[object, ...]
REAL_TIMES = {"presence": {"linger": "2s"}}
"""The real delay of 18 s: shorter than the time the new membership is watched."""


def rows(here: Meeting) -> list[Row]:
    """Return every entry of the archive, with its raw bytes."""
    return query(here.bot.data, "SELECT seq, sender, kind, data FROM entries ORDER BY seq")


def joined(here: Meeting) -> int:
    """Return how many lives of the bot have joined the session so far."""
    return sum(line["status"] == "joined" for line in logged(here.bot, "own membership"))


async def killed_and_started(here: Meeting) -> None:
    """Kill the bot while people draw; what it had committed is there, unchanged, once."""
    before, lives = rows(here), joined(here)
    await here.bot.kill()
    assert rows(here)[: len(before)] == before
    await here.bot.start()
    await until(lambda: joined(here) > lives, 30, "the bot has not joined again", here.bot)
    await until(lambda: len(rows(here)) > len(before) + 5, 20, "nothing new is there", here.bot)
    after = rows(here)
    assert after[: len(before)] == before
    assert [row[0] for row in after] == list(range(1, len(after) + 1))
    assert set(Counter(row[1:] for row in after).values()) == {1}  # Alice repeats nothing


async def test_killed_while_people_draw_nothing_committed_is_missing_or_there_twice(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, REAL_TIMES, habits=BY_HAND) as here:
        async with drawing(here.alice, 0.1):
            for count in (20, 60):
                await here.recorded(count, within=30)
                await killed_and_started(here)
            for _ in range(20):
                assert await here.membership()
                await asyncio.sleep(1)
        before = rows(here)
        await same_after_next_snapshot(here)
        assert rows(here)[: len(before)] == before
        assert here.entries(kind="refused") == 0
