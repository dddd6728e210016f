from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bot import metrics
from bot.errors import Forbidden
from bot.presence.forms import LegacyForm
from bot.presence.keeper import Keeper
from bot.rtc.own import OwnMembership, Status
from bot.rtc.timing import Timing
from tests.fakes.rooms import BOT, DEVICE, NOW, ROOM, Server, off_board, on_board, until

STATE_KEY = f"_{BOT}_{DEVICE}"


class Kept:
    def __init__(self, *, supported: bool = True) -> None:
        self.server = Server()
        self.seen: list[Status] = []
        self.supported = supported
        form = LegacyForm(
            self.server,
            ROOM,
            STATE_KEY,
            (BOT, DEVICE),
            "w1",
            content=lambda expires_ts, created_ts: {"expires": expires_ts},
            now_ts=lambda: NOW,
        )
        self.keeper = Keeper(
            form,
            OwnMembership(Timing()),
            supported=lambda: self.supported,
            changed=self.seen.append,
        )


@asynccontextmanager
async def kept(**values: Any) -> AsyncIterator[Kept]:
    here = Kept(**values)
    task = asyncio.create_task(here.keeper.run())
    try:
        yield here
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_it_joins_keeps_and_leaves() -> None:
    async with kept() as here:
        assert here.keeper.leaving
        here.keeper.join()
        await until(
            lambda: here.seen == [Status.JOINING, Status.JOINED] or Status.JOINED in here.seen
        )
        await until(lambda: here.server.calls["restart_delayed"])
        assert here.server.states == [(ROOM, STATE_KEY, {"expires": NOW + 14_400_000})]
        assert list(here.server.delayed.values()) == [STATE_KEY]
        here.keeper.leave()
        await asyncio.wait_for(here.keeper.left(), 15)
        assert here.server.states[-1] == (ROOM, STATE_KEY, {})
        assert here.server.delayed == {}


async def test_a_request_that_hangs_does_not_hold_up_leaving() -> None:
    async with kept() as here:
        here.server.slow.add("send_state")
        here.keeper.join()
        await until(lambda: here.server.calls["send_state"])
        here.server.slow.clear()
        here.keeper.leave()
        await asyncio.wait_for(here.keeper.left(), 15)


async def test_a_membership_on_its_way_lands_before_the_leave() -> None:
    """Abandoned, it might come after it, with nothing behind it that takes it out."""
    async with kept() as here:
        here.server.slow.add("send_state")
        here.keeper.join()
        await until(lambda: here.server.calls["send_state"])
        here.keeper.leave()
        await asyncio.sleep(0.05)
        assert here.server.states == []
        here.server.go.set()
        await asyncio.wait_for(here.keeper.left(), 15)
        assert here.server.calls["send_delayed"] == 1
        contents = [content for _, _, content in here.server.states]
        assert [bool(content) for content in contents] == [True, False]


async def test_without_delayed_events_none_is_scheduled() -> None:
    async with kept(supported=False) as here:
        here.keeper.join()
        await until(lambda: Status.DEGRADED in here.seen)
        assert here.server.calls["schedule_state"] == 0
        here.keeper.leave()
        await asyncio.wait_for(here.keeper.left(), 15)
        assert here.server.states[-1][2] == {}


async def test_once_there_are_delayed_events_the_next_renewal_arms_one() -> None:
    async with kept(supported=False) as here:
        here.keeper.join()
        await until(lambda: Status.DEGRADED in here.seen)
        here.supported = True
        here.keeper.renew()
        await until(lambda: here.seen[-1] is Status.JOINED)
        assert list(here.server.delayed.values()) == [STATE_KEY]


async def test_refused_it_waits_for_permission() -> None:
    async with kept() as here:
        here.server.failures["send_state"] = [Forbidden("no")]
        here.keeper.join()
        await until(lambda: Status.FORBIDDEN in here.seen)
        here.keeper.permission_changed()
        await until(lambda: Status.JOINED in here.seen)


async def test_cleared_by_somebody_it_joins_again() -> None:
    async with kept() as here:
        here.keeper.join()
        await until(lambda: Status.JOINED in here.seen)
        here.keeper.own_state(on_board(BOT, DEVICE, event_id="$state1"))
        here.keeper.own_state(off_board(BOT, DEVICE) | {"sender": "@admin:here"})
        await until(lambda: len(here.server.states) == 2)


@pytest.mark.scenario("M37", "M39")
@pytest.mark.parametrize(
    ("sender", "times", "level", "text"),
    [
        ("@admin:here", 4, "WARNING", "somebody clears our membership again and again"),
        (BOT, 1, "ERROR", "another process uses our account and device"),
    ],
)
async def test_whoever_clears_it_for_good_is_told_of(
    caplog: pytest.LogCaptureFixture, sender: str, times: int, level: str, text: str
) -> None:
    async with kept() as here:
        here.keeper.join()
        for number in range(1, times + 1):
            await until(lambda: here.seen[-1:] == [Status.JOINED])
            await until(lambda number=number: len(here.server.states) == number)
            here.keeper.own_state(on_board(BOT, DEVICE, event_id=f"$state{number}"))
            assert not caplog.records
            here.keeper.own_state(off_board(BOT, DEVICE) | {"sender": sender})
        await until(lambda: here.seen[-1] is Status.PAUSED)
        [told] = caplog.records
        assert (told.levelname, told.getMessage()) == (level, text)
        assert len(here.server.states) == times


async def test_it_gives_way_with_nothing_sent() -> None:
    async with kept() as here:
        before = metrics.REGISTRY.get_sample_value("boardkeeper_memberships") or 0
        here.keeper.join()
        await until(lambda: here.seen[-1:] == [Status.JOINED])
        assert metrics.REGISTRY.get_sample_value("boardkeeper_memberships") == before + 1
        here.keeper.give_way()
        assert here.keeper.leaving
        await asyncio.wait_for(here.keeper.left(), 15)
        await until(lambda: here.seen[-1] is Status.LEFT)
        assert len(here.server.states) == 1
        assert here.server.delayed == {}
        assert metrics.REGISTRY.get_sample_value("boardkeeper_memberships") == before


@pytest.mark.parametrize("call", ["delayed_events", "cancel_delayed"])
async def test_leftovers_are_cancelled_first(call: str) -> None:
    class Left:
        delay_id, room_id, type = "old", ROOM, "org.matrix.msc3401.call.member"
        state_key: str | None = STATE_KEY

    async with kept() as here:

        async def delayed_events(*, timeout: float) -> Any:
            here.server.calls["delayed_events"] += 1
            return [Left()]

        here.server.delayed_events = delayed_events  # type: ignore[method-assign]
        here.keeper.join()
        await until(lambda: Status.JOINED in here.seen)
        assert here.server.calls[call] == 1
