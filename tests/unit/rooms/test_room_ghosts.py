"""Sticky memberships of ours that nothing of ours is about, taken out by the Room."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from bot.errors import Forbidden
from bot.rtc.life import Life
from tests.fakes.rooms import ALICE, BOT, DEVICE, NOW, board_event, on_sticky, until
from tests.unit.rooms.test_room import House, house

LIFE = Life("us-", NOW - 100)


def powers(needed: int) -> dict[str, Any]:
    return {
        "type": "m.room.power_levels",
        "state_key": "",
        "sender": ALICE,
        "content": {"users": {ALICE: 100}, "events_default": needed},
    }


def claim(member_id: str, ts: int = NOW) -> dict[str, Any]:
    return on_sticky(BOT, DEVICE, member_id=member_id, ts=ts)


def left(here: House) -> list[str]:
    contents = here.server.stickies
    assert all(one["member"]["membership"] == "leave" for one in contents)
    return [one["member"]["id"] for one in contents]


@pytest.mark.scenario("M45", "M57")
async def test_m45_m57_sticky_what_it_could_not_take_out_goes_when_it_may() -> None:
    """Nobody is on the board any more: no Presence is there."""
    async with house(life=LIFE) as here:
        await here.begin(board_event())
        await here.says(powers(50), claim("us-1"), claim("earlier", NOW - 500), claim("twin"))
        assert left(here) == []
        here.server.failures["send_sticky"] = [Forbidden("not yet")]
        await here.says(powers(0))
        await until(lambda: left(here) == ["earlier"])
        await here.says(powers(0))
        await until(lambda: left(here) == ["earlier", "us-1", "earlier"])


async def test_what_it_is_there_by_stays() -> None:
    async with house(life=LIFE) as here:
        await here.begin(board_event(), powers(0))
        await here.says(on_sticky(), claim("us-1"), claim("us-2"))
        (await here.presence()).member_ids = frozenset({"us-2"})
        await here.says(powers(0))
        await until(lambda: left(here) == ["us-1"])


@pytest.mark.scenario("M57")
async def test_m57_sticky_at_the_start_what_an_earlier_life_left_goes_but_no_twin(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with house(life=LIFE) as here:
        here.server.failures["send_sticky"] = [Forbidden("no power")]
        state = (board_event(),)
        earlier = [claim(one, NOW - 500) for one in ("refused", "earlier")]
        await here.says(state=state, sticky=(*earlier, claim("twin")))
        assert left(here) == ["earlier"]
    assert [
        (one.levelno, one.getMessage()) for one in caplog.records if "stale" in one.getMessage()
    ] == [(logging.WARNING, "a stale membership could not be cleared")]
