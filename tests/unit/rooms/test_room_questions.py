from __future__ import annotations

import asyncio

import pytest

from bot.commands.bucket import BURST
from tests.fakes.rooms import ALICE, board_event, on_board, until
from tests.unit.rooms.test_room import ended, house, said


@pytest.mark.parametrize("asks", [ALICE, "@bob:here"])
async def test_a_flood_of_questions_holds_nothing_up_and_gets_few_answers(asks: str) -> None:
    async with house() as here:
        await here.begin(board_event())
        await until(lambda: here.server.notices)  # the greeting
        here.server.slow.add("send_notice")
        async with asyncio.timeout(15):
            await here.says(*[said("!board status", asks)] * 50, on_board())
        await here.presence()
        here.server.slow.clear()
        here.server.go.set()
        async with asyncio.timeout(15):
            await here.says(*[said("!board leave"), said("!board leave")])
        await ended(here)
        assert len(here.server.left) == 1
        assert len(here.server.notices) <= 1 + BURST + 1
        assert len([notice for notice in here.server.notices if "Goodbye" in notice]) == 1


async def test_questions_are_answered_beside() -> None:
    async with house() as here:
        await here.begin(board_event())
        await here.says(said("!board status"), said("!board pause", "@bob:here"))
        await until(lambda: len(here.server.notices) == 3)
        assert [notice.split()[0] for notice in here.server.notices[1:]] == ["I", "Only"]
