"""The sticky profile while servers fail: the SFU and the room are one truth (groups C and M)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from livekit import api, rtc

from bot.livekit.auth import room_name
from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.client.members import pseudonym
from tests.stack.client.sticky import slot_id
from tests.stack.stack import Options, Stack
from tests.system.drawing import drawing, ready, same_after_next_snapshot
from tests.system.people import QUICK, Meeting, logged
from tests.system.sticky_people import (
    BY_HAND,
    PATIENT,
    armed,
    ends_with,
    login,
    member_ids,
    met,
    said,
    states,
    stays,
    together,
    unseen,
    written,
)

SHORT: dict[str, Any] = {**PATIENT, "rtc": {**QUICK["rtc"], "sfu_grace": "3s"}}


async def identity(here: Meeting) -> str:
    """Return the bot's name on LiveKit under its newest membership."""
    return pseudonym(here.bot.user_id, here.bot.device_id, (await member_ids(here))[-1])


def livekit_room(here: Meeting) -> str:
    return room_name(here.board.room_id, slot_id(here.board))


@pytest.mark.scenario("C01", "C02")
async def test_c01_c02_sticky_a_short_loss_of_the_sfu_changes_nothing_in_the_room(
    stack: Stack, tmp_path: Path
) -> None:
    config = {**PATIENT, "rtc": {**QUICK["rtc"], "sfu_grace": "60s"}}
    async with together(stack, tmp_path, config) as here:
        await stack.proxies.livekit.drop()  # the SDK repairs it itself
        await asyncio.sleep(2)
        await met(here.alice, here)
        await stack.livekit.kill()
        await until(lambda: "lost" in states(here), 20, "the loss is not noticed", here.bot)
        await asyncio.sleep(1)
        await stack.livekit.start()
        await until(lambda: states(here)[-1] == "connected", 40, "not connected again", here.bot)
        await asyncio.sleep(5)  # longer than the delay: it was restarted all the time
        assert await said(here) == ["join"]
        await met(here.alice, here)
        before = here.entries(kind="update")
        await here.alice.draw(elements.shape())
        await here.recorded(before + 1)


@pytest.mark.scenario("C03", "C05")
async def test_c03_c05_sticky_after_a_long_loss_it_is_somebody_new(
    stack: Stack, tmp_path: Path
) -> None:
    async with together(stack, tmp_path, SHORT, BY_HAND) as here:
        first = await identity(here)
        async with drawing(here.alice):
            await here.recorded(5)
            await stack.livekit.kill()
            await ends_with(here, "join", "leave")
            await unseen(here)
            await stack.livekit.start()
            await met(here.alice, here, within=60)
            recorded = here.entries(kind="update")
            await here.recorded(recorded + 5, within=20)
        assert await said(here) == ["join", "leave", "join"]
        assert len(set(await member_ids(here))) == 2
        assert first not in here.alice.meeting.others
        assert await identity(here) in here.alice.meeting.others
        await same_after_next_snapshot(here, within=20)


@pytest.mark.scenario("C04")
async def test_c04_sticky_a_twin_on_the_sfu_is_not_fought(stack: Stack, tmp_path: Path) -> None:
    async with together(stack, tmp_path, SHORT) as here:
        grants = api.VideoGrants(room_join=True, room=livekit_room(here))
        token = api.AccessToken(stack.livekit_key, stack.livekit_secret)
        token = token.with_identity(await identity(here)).with_grants(grants)
        twin = rtc.Room()
        await twin.connect(stack.livekit_url, token.to_jwt())
        await until(lambda: "refused" in states(here), 20, "not noticed", here.bot)
        await ends_with(here, "join", "leave")
        await asyncio.sleep(4)
        assert states(here).count("connected") == 1
        assert twin.isconnected()
        assert await said(here) == ["join", "leave"]
        await twin.disconnect()


@pytest.mark.scenario("C11")
async def test_c11_sticky_removed_by_an_operator_it_stays_away(
    stack: Stack, tmp_path: Path
) -> None:
    async with together(stack, tmp_path, SHORT) as here:
        url = stack.livekit_url.replace("ws://", "http://")
        who = api.RoomParticipantIdentity(room=livekit_room(here), identity=await identity(here))
        async with api.LiveKitAPI(url, stack.livekit_key, stack.livekit_secret) as sfu:
            await sfu.room.remove_participant(who)
        await ends_with(here, "join", "leave")
        await unseen(here)
        await asyncio.sleep(4)
        assert states(here).count("connected") == 1
        assert await said(here) == ["join", "leave"]


@pytest.mark.scenario("C06", "M50")
async def test_c06_m50_sticky_synapse_down_for_less_than_the_delay_nobody_notices(
    stack: Stack, tmp_path: Path
) -> None:
    config = {**PATIENT, "rtc": {"refresh": "1s", "delay": "60s"}}
    async with together(stack, tmp_path, config, BY_HAND) as here:
        async with drawing(here.alice):
            await here.recorded(5)
            await stack.synapse.kill()
            recorded = here.entries(kind="update")
            await here.recorded(recorded + 10)
            await stack.synapse.start()
            await ready(here.bot, 40)
        await met(here.alice, here)
        assert await said(here) == ["join"]
        assert states(here).count("connected") == 1
        await same_after_next_snapshot(here, within=20)


@pytest.mark.scenario("C06", "M21", "M51")
async def test_c06_m51_sticky_synapse_down_for_longer_than_the_delay(
    stack: Stack, tmp_path: Path
) -> None:
    """Taken out at the instant it was due; the next one stands before the old one falls silent."""
    async with together(stack, tmp_path, PATIENT, BY_HAND) as here:
        async with drawing(here.alice) as pen:
            await here.recorded(5)
            killed = time.time() * 1000
            await stack.synapse.kill()
            await asyncio.sleep(7)
            # LiveKit knows nothing of it: what is drawn meanwhile is recorded.
            recorded = here.entries(kind="update")
            await here.recorded(recorded + 5)
            back = time.time() * 1000
            await stack.synapse.start()
            await until(lambda: stays(here, 2), 60, "it does not join again", here.bot)
            await met(here.alice, here, within=60)
            recorded = here.entries(kind="update")
            await here.recorded(recorded + 5)
        assert len(pen.drawn) > 20
        fired = await until(lambda: _left(here, "delayed_leave"), 30, "it has not fired", here.bot)
        assert killed < fired[0]["origin_server_ts"] < back
        # Ours is sent to be sure, when we learn of it in another way than by sync.
        left = [*fired, *await _left(here, "leave")]
        assert {one["content"]["member"]["id"] for one in left} == {(await member_ids(here))[0]}
        assert len(await member_ids(here)) == 2
        assert "lost" not in states(here)
        assert logged(here.bot, "our membership was taken out: joining again")
        await same_after_next_snapshot(here, within=20)


async def _left(here: Meeting, code: str) -> list[dict[str, Any]]:
    """Return the leaves of a reason."""
    contents = [(one, one["content"].get("leave_reason")) for one in await written(here)]
    return [one for one, reason in contents if reason == {"code": code}]


@pytest.mark.scenario("C07")
async def test_c07_sticky_both_lost_the_room_is_true_again_at_once(
    stack: Stack, tmp_path: Path
) -> None:
    async with together(stack, tmp_path, SHORT) as here:
        await stack.livekit.kill()
        await stack.proxies.synapse.cut()
        cut = time.time() * 1000
        await asyncio.sleep(12)  # three times the delay: a busy homeserver sends it late
        restored = time.time() * 1000
        await stack.proxies.synapse.restore()
        await stack.livekit.start()
        await until(lambda: stays(here, 2), 60, "it does not join again", here.bot)
        await met(here.alice, here, within=60)
        fired = await until(lambda: _left(here, "delayed_leave"), 30, "it has not fired", here.bot)
        assert cut < fired[0]["origin_server_ts"] < restored
        assert len(await member_ids(here)) == 2


@pytest.mark.scenario("C08", "M42")
async def test_c08_m42_sticky_killed_it_is_gone_and_comes_back_without_a_ghost(
    stack: Stack, tmp_path: Path
) -> None:
    async with together(stack, tmp_path) as here:
        await here.bot.kill()
        await unseen(here)
        leave = (await written(here))[-1]
        assert leave["content"]["leave_reason"]["code"] == "delayed_leave"
        await here.bot.start()
        await met(here.alice, here)
        await here.bot.kill()
        await here.bot.start()  # before the leave has fired
        await until(lambda: stays(here, 3), 40, "three stays, the last not over", here.bot)
        await asyncio.sleep(5)  # nothing of the former lives takes the new one out
        await met(here.alice, here)
        assert (await said(here))[-1] == "join"


@pytest.mark.scenario("C09")
async def test_c09_sticky_sigterm_takes_it_out_at_once(stack: Stack, tmp_path: Path) -> None:
    config = {**PATIENT, "rtc": {"refresh": "1s", "delay": "60s"}}
    async with together(stack, tmp_path, config) as here:
        begun = time.time() * 1000
        await here.bot.stop()
        leave = (await written(here))[-1]
        assert leave["content"]["leave_reason"]["code"] == "leave"
        assert leave["origin_server_ts"] - begun < 50_000  # the delayed leave would come later
        await unseen(here)


@pytest.mark.scenario("M57")
async def test_m57_sticky_a_leave_that_the_homeserver_lost_is_made_up_for_at_the_next_start(
    tmp_path: Path,
) -> None:
    """Synapse drops a delayed event that falls due while its sender is over the rate limit."""
    async with (
        Stack.start(tmp_path / "stack", Options(default_limits=True)) as stack,
        together(stack, tmp_path) as here,
    ):
        account = await login(here)
        path = f"/_matrix/client/v3/rooms/{quote(here.board.room_id)}/send/m.room.message"
        await here.bot.kill()
        killed = time.monotonic()
        refusals = number = 0
        while time.monotonic() < killed + 6:
            number += 1
            body = {"msgtype": "m.text", "body": "x"}
            answer = await stack.call(account, "PUT", f"{path}/{number}", body)
            refusals += answer.status == 429
        assert refusals
        assert await armed(stack, account) == []
        assert await said(here) == ["join"], "the leave was not lost"
        await here.bot.start()
        await until(lambda: stays(here, 2), 60, "it does not join again", here.bot)
        await met(here.alice, here, within=60)  # once
        leaves = [one for one in await written(here) if "leave_reason" in one["content"]]
        assert {one["content"]["member"]["id"] for one in leaves} == {(await member_ids(here))[0]}
