"""Two processes of one account on a board of the sticky profile: one of them is enough."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.errors import Forbidden
from bot.rtc.life import Life
from tests.fakes.rooms import BOT, DEVICE, NOW, on_sticky, until
from tests.unit.presence.test_sticky import joined, world

LIFE = Life("us-", NOW - 100)
TEXT = "another process uses our account and device"


def theirs(ts: int, *, there: bool = True) -> dict[str, Any]:
    """Return what a twin sends."""
    return on_sticky(BOT, DEVICE, member_id="them-1", ts=ts, joined=there)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.levelname for one in caplog.records if one.getMessage() == TEXT]


async def test_a_twin_that_is_there_is_told_of_and_followed_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with world(on_sticky(), theirs(NOW - 50), life=LIFE) as here:
        await until(lambda: told(caplog) == ["ERROR"])
        here.presence.room_changed()
        await asyncio.sleep(0.1)
        assert here.wires == []
        assert not here.places.taken
        assert told(caplog) == ["ERROR"]
        here.says(theirs(NOW, there=False))
        await joined(here)
        assert here.memberships()[0][1].startswith("us-")


async def test_a_twin_that_comes_later_is_told_of_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with world(on_sticky(), life=LIFE) as here:
        await joined(here)
        here.shows(0)
        here.says(theirs(NOW + 50))
        await until(lambda: told(caplog) == ["ERROR"])
        await asyncio.sleep(0.1)
        assert len(here.server.stickies) == 1
        here.says(theirs(NOW + 60, there=False), on_sticky(BOT, DEVICE, member_id="b", ts=NOW + 70))
        await asyncio.sleep(0.1)
        assert told(caplog) == ["ERROR"]  # it is the same all along


async def test_of_two_who_come_at_once_the_later_one_leaves() -> None:
    async with world(on_sticky(), life=LIFE) as here:
        wire = await joined(here)
        here.says(theirs(NOW - 50))  # before our join is shown
        await until(lambda: here.memberships()[-1][0] == "leave")
        await until(lambda: wire.closed)
        here.shows(0)
        here.shows(1)
        await asyncio.sleep(0.1)
        assert len(here.wires) == 1
        assert not here.places.taken


async def test_what_an_earlier_life_left_behind_is_no_twin(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with world(on_sticky(), theirs(NOW - 500), life=LIFE) as here:
        await joined(here)
        assert told(caplog) == []


@pytest.mark.scenario("M45")
async def test_m45_sticky_where_it_could_not_leave_it_is_not_any_more() -> None:
    """It cannot do anything about it: the Room can, once it may (`bot.rooms.stale`)."""
    async with world(on_sticky()) as here:
        await joined(here)
        here.shows(0)
        assert here.presence.member_ids == {here.seats()[0].member_id}
        here.server.failures["send_sticky"] = [Forbidden("no power")]
        here.state.power_levels = {"events_default": 50}
        here.presence.permission_changed()
        await until(lambda: here.wires[0].closed)
        assert here.presence.member_ids == frozenset()
        here.state.power_levels = {}
        here.presence.permission_changed()
        await until(lambda: len(here.seats()) == 2)
        await until(lambda: here.memberships()[-1] == ("join", here.seats()[1].member_id))
