"""The SFU and the room are one truth: losses of LiveKit, a twin there, another focus."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from livekit import api, rtc

from bot.livekit.auth import room_name
from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.client.events import MEMBER, member_content, member_key
from tests.stack.jwt import JwtProcess
from tests.stack.jwt_service import ServiceSettings
from tests.stack.livekit import LiveKitSettings, livekit_program
from tests.stack.ports import HOST, free_port
from tests.stack.processes import Process
from tests.stack.stack import Options, Stack
from tests.system.people import QUICK, Meeting, logged, meeting, there

HOUR_MS = 3_600_000
SHORT = {"rtc": {"refresh": "1s", "delay": "4s", "sfu_grace": "3s"}}


def states(here: Meeting) -> list[str]:
    """Return the states of its LiveKit connections, in order."""
    return [event["state"] for event in logged(here.bot, "livekit")]


# -- one focus -----------------------------------------------------------------------------------


@pytest.mark.scenario("C01", "C02")
async def test_a_short_loss_of_the_sfu_changes_nothing_in_the_room(
    stack: Stack, tmp_path: Path
) -> None:
    patient = {"rtc": {**QUICK["rtc"], "sfu_grace": "60s"}}  # a busy machine starts it slowly
    async with meeting(stack, tmp_path, patient) as here:
        await stack.proxies.livekit.drop()  # the SDK repairs it itself
        await asyncio.sleep(2)
        await stack.livekit.kill()
        await until(lambda: "lost" in states(here), 10, "the loss is not noticed", here.bot)
        await stack.livekit.start()
        await until(lambda: states(here)[-1] == "connected", 20, "not connected again", here.bot)
        await asyncio.sleep(5)  # longer than the delay: it was restarted all the time
        assert len(await here.history()) == 1


@pytest.mark.scenario("C03", "C05")
async def test_a_long_loss_clears_the_membership_until_it_is_back(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, SHORT) as here:
        await stack.livekit.kill()
        await here.gone(within=20)
        await stack.livekit.start()
        await here.announced(within=40)
        events = await here.history()
        assert there(event["content"] for event in events) == [True, False, True]
        assert "created_ts" not in events[2]["content"]
        await asyncio.sleep(5)
        assert await here.membership()


@pytest.mark.scenario("C04")
async def test_a_twin_on_the_sfu_is_not_fought(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, SHORT) as here:
        twin = rtc.Room()
        await twin.connect(stack.livekit_url, _token(stack, here))
        await until(lambda: states(here)[-1] == "refused", 10, "not noticed", here.bot)
        await here.gone(within=15)
        await asyncio.sleep(3)
        assert states(here).count("connected") == 1
        assert twin.isconnected()
        await twin.disconnect()


@pytest.mark.scenario("C11")
async def test_removed_by_an_operator_it_withdraws(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, SHORT) as here:
        url = stack.livekit_url.replace("ws://", "http://")
        async with api.LiveKitAPI(url, stack.livekit_key, stack.livekit_secret) as sfu:
            room = room_name(here.board.room_id)
            who = f"{here.bot.user_id}:{here.bot.device_id}"
            await sfu.room.remove_participant(api.RoomParticipantIdentity(room=room, identity=who))
        await here.gone(within=15)
        assert states(here)[-1] == "refused"


@pytest.mark.scenario("C06", "C07")
async def test_both_lost_the_room_is_true_again_at_once(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here:
        await stack.livekit.kill()
        await stack.proxies.synapse.cut()
        cut = time.time() * 1000
        await asyncio.sleep(12)  # three times the delay: a busy homeserver sends it late
        restored = time.time() * 1000
        await stack.proxies.synapse.restore()
        await stack.livekit.start()
        await here.announced(within=60)
        left = [event for event in await here.history() if not event["content"]]
        assert left
        assert cut < left[0]["origin_server_ts"] < restored


# -- several foci --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sfu:
    """Another LiveKit with a JWT service of its own."""

    jwt_url: str
    livekit: Process


@asynccontextmanager
async def another_sfu(stack: Stack, folder: Path) -> AsyncIterator[Sfu]:
    """Run another focus for the block."""
    folder.mkdir()
    settings = LiveKitSettings(folder)
    usual = json.loads((stack.folder / "jwt.json").read_text())
    service = ServiceSettings(
        port=free_port(),
        sfu_url=settings.url.replace("http://", "ws://"),
        sfu_api=settings.url,
        key=settings.key,
        secret=settings.secret,
        homeservers=usual["homeservers"],
    )
    livekit, jwt = Process(livekit_program(settings)), JwtProcess(folder, service)
    await livekit.start()
    try:
        await jwt.start()
        try:
            yield Sfu(f"http://{HOST}:{service.port}", livekit)
        finally:
            await jwt.stop()
    finally:
        await livekit.stop()


async def says(here: Meeting, device: str, focus: str, expires_in_ms: int) -> None:
    """Have Alice write a membership of another device of hers; none with an expiry of 0."""
    expires_ts = int(time.time() * 1000) + expires_in_ms
    content = member_content(here.board, device, [focus], expires_ts) if expires_in_ms else {}
    key = member_key(here.alice.user_id, device)
    await here.alice.user.put_state(here.board.room_id, MEMBER, content, key)


async def focus(here: Meeting) -> str:
    """Return the focus the bot says it is on."""
    content = await here.membership()
    return str(content["foci_preferred"][0]["livekit_service_url"]) if content else ""


@pytest.mark.scenario("F06", "F07", "F08", "F09", "F10", "F18", "F19")
async def test_the_oldest_members_focus_is_followed(stack: Stack, tmp_path: Path) -> None:
    async with (
        another_sfu(stack, tmp_path / "sfu") as other,
        meeting(stack, tmp_path, opened=False) as here,
    ):

        async def on(url: str) -> bool:
            return await focus(here) == url

        await says(here, "OLD", other.jwt_url, 1 * HOUR_MS)
        await until(lambda: on(other.jwt_url), 20, "not on the oldest's focus", here.bot)
        await says(here, "MIDDLE", stack.jwt_url, 2 * HOUR_MS)
        await says(here, "YOUNG", other.jwt_url, 3 * HOUR_MS)
        await says(here, "YOUNG", "", 0)  # a younger one leaves: nothing happens
        for _ in range(5):  # the oldest flaps: no switch
            await says(here, "OLD", other.jwt_url, 4 * HOUR_MS)
            await says(here, "OLD", other.jwt_url, 1 * HOUR_MS)
        await asyncio.sleep(3)
        assert len(await here.history()) == 1
        assert states(here) == ["connecting", "connected"]

        await says(here, "OLD", "", 0)
        await until(lambda: on(stack.jwt_url), 20, "not on the next oldest's focus", here.bot)
        await until(lambda: states(here)[-1] == "closed", 5, "the old one stays", here.bot)
        # The new connection stood before the old one was closed.
        assert states(here) == ["connecting", "connected", "connecting", "connected", "closed"]
        first, second = await here.history()
        assert second["content"]["created_ts"] == first["origin_server_ts"]


@pytest.mark.scenario("F20")
async def test_a_focus_that_cannot_be_reached_is_no_reason_to_leave(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path) as here:
        dead = f"http://{HOST}:{free_port()}"
        await says(here, "OLD", dead, 1 * HOUR_MS)
        await until(lambda: "lost" in states(here), 20, "it does not try", here.bot)
        await asyncio.sleep(3)
        assert await focus(here) == stack.jwt_url
        assert len(await here.history()) == 1
        await here.alice.draw(elements.shape())
        await here.recorded(1)


@pytest.mark.scenario("F02", "F05")
async def test_without_any_focus_it_waits_for_one_and_then_uses_the_configured(
    tmp_path: Path,
) -> None:
    # Synapse must not name one either, at its transports endpoint.
    silent = Options(synapse={"matrix_rtc": {"transports": []}})
    async with Stack.start(tmp_path / "stack", silent) as stack:
        await _without_any_focus(stack, tmp_path)


async def _without_any_focus(stack: Stack, tmp_path: Path) -> None:
    config = {**QUICK, "presence": {"when": "always"}}
    nowhere = {"homeserver": {"well_known": f"{stack.homeserver_url}/nowhere"}}
    async with meeting(stack, tmp_path, {**config, **nowhere}, opened=False) as here:
        await until(
            lambda: logged(here.bot, "no focus is known that may be used"),
            10,
            "not reported",
            here.bot,
        )
        await asyncio.sleep(3)
        assert await here.history() == []
        assert len(logged(here.bot, "no focus is known that may be used")) == 1
    foci = {"rtc": {**QUICK["rtc"], "foci": [stack.jwt_url]}}
    async with meeting(
        stack, tmp_path / "with", {**config, **nowhere, **foci}, opened=False
    ) as here:
        await here.announced()
        assert await focus(here) == stack.jwt_url


def _token(stack: Stack, here: Meeting) -> str:
    """Leave to join the board's LiveKit room as the bot."""
    grants = api.VideoGrants(room_join=True, room=room_name(here.board.room_id))
    token = api.AccessToken(stack.livekit_key, stack.livekit_secret)
    identity = f"{here.bot.user_id}:{here.bot.device_id}"
    return token.with_identity(identity).with_grants(grants).to_jwt()


async def test_a_member_sends_it_nowhere_that_is_not_allowed(stack: Stack, tmp_path: Path) -> None:
    config = {**QUICK, "rtc": {**QUICK["rtc"], "allowed_foci": ["https://*.example.org/*"]}}
    async with (
        another_sfu(stack, tmp_path / "sfu") as other,
        meeting(stack, tmp_path, config, opened=False) as here,
    ):
        await says(here, "OLD", other.jwt_url, 1 * HOUR_MS)
        text = "no focus is known that may be used"
        await until(lambda: logged(here.bot, text), 10, "not reported", here.bot)
        await asyncio.sleep(2)
        assert (states(here), await here.history()) == ([], [])
        await says(here, "OLD", "", 0)
        await says(here, "OTHER", stack.jwt_url, 1 * HOUR_MS)  # the homeserver's own always is
        await here.announced()
