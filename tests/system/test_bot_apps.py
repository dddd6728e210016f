"""Several applications and several boards in one room, with real servers (group X)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from livekit import api

from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.client.channel import Channel
from tests.stack.client.events import (
    BOARD,
    CREATE,
    MEMBER,
    Board,
    member_content,
    member_key,
    update_packet,
)
from tests.stack.client.habits import Habits
from tests.stack.client.matrix import MatrixUser
from tests.stack.client.meeting import now_ts
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Options, Stack
from tests.system.archive import count_entries
from tests.system.people import QUICK, Meeting, logged, meeting, name, person


@asynccontextmanager
async def twin(here: Meeting) -> AsyncIterator[MatrixUser]:
    """Another application of the bot's account."""
    login = await here.stack.user(here.bot.user_id.removeprefix("@").split(":")[0])
    user = MatrixUser(here.stack.homeserver_url, login)
    await user.start()
    try:
        yield user
    finally:
        await user.end()


def in_call(here: Meeting, device_id: str) -> dict[str, Any]:
    """What Element Call writes."""
    return {
        "application": "m.call",
        "call_id": "",
        "scope": "m.room",
        "device_id": device_id,
        "expires": 14_400_000,
        "m.call.intent": "video",
        "membershipID": "x",
        "focus_active": {"type": "livekit", "focus_selection": "oldest_membership"},
        "foci_preferred": [
            {
                "type": "livekit",
                "livekit_service_url": here.stack.jwt_url,
                "livekit_alias": here.board.room_id,
            }
        ],
    }


async def state(here: Meeting, key: str) -> dict[str, Any]:
    """The content under a key of memberships as the homeserver has it now."""
    event = await here.state_event(MEMBER, key)
    return dict(event["content"]) if event else {}


def suffixed(here: Meeting) -> str:
    return f"{here.bot.state_key}_{BOARD}{here.board.whiteboard_id}"


async def counted(here: Meeting) -> dict[str, float]:
    """How many sessions the bot sees, by what they are about."""
    metrics = await here.bot.metrics()
    kinds = ("board", "unknown_board", "other")
    return {kind: metrics.get(f'boardkeeper_sessions{{about="{kind}"}}', 0) for kind in kinds}


@pytest.mark.scenario("X05")
async def test_element_call_on_the_same_device_is_left_alone(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here, twin(here) as call:
        key = f"{here.bot.state_key}_m.call"
        content = in_call(here, here.bot.device_id)
        await call.put_state(here.board.room_id, MEMBER, content, key)
        await here.alice.user.put_state(
            here.board.room_id,
            MEMBER,
            in_call(here, here.alice.device_id),
            f"{member_key(here.alice.user_id, here.alice.device_id)}_m.call",
        )

        async def both() -> bool:
            return await counted(here) == {"board": 1, "unknown_board": 0, "other": 1}

        await until(both, 10, "the call is not seen", here.bot)
        assert (await here.membership())["application"] == BOARD
        await here.alice.draw(elements.shape())
        await here.recorded(1)
        await here.bot.stop()
        assert await here.membership() == {}
        assert await state(here, key) == content


@pytest.mark.scenario("X06")
async def test_what_another_application_has_under_our_key_stays(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, opened=False) as here, twin(here) as call:
        content = in_call(here, here.bot.device_id)
        await call.put_state(here.board.room_id, MEMBER, content, here.bot.state_key)
        await here.alice.open(here.board)

        async def announced() -> dict[str, Any]:
            return await state(here, suffixed(here))

        ours = await until(announced, 15, "the bot is not announced", here.bot)
        assert ours["call_id"] == here.board.whiteboard_id
        await here.alice.draw(elements.shape())
        await here.recorded(1)
        await here.bot.kill()
        await here.bot.start()  # what an earlier life left behind is cleared: this is not ours
        await until(announced, 15, "the bot is not announced again", here.bot)
        await here.bot.stop()
        assert await announced() == {}
        assert await state(here, here.bot.state_key) == content


@pytest.mark.scenario("X06")
async def test_a_key_taken_from_us_is_given_way_to(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here, twin(here) as call:
        content = in_call(here, here.bot.device_id)
        await call.put_state(here.board.room_id, MEMBER, content, here.bot.state_key)

        async def moved() -> dict[str, Any]:
            return await state(here, suffixed(here))

        await until(moved, 10, "the board is not announced under another key", here.bot)
        # The leave that was armed for the old key would have fired by now.
        taken = time.monotonic()
        await until(lambda: time.monotonic() > taken + 5, 6, "time to pass")
        assert await state(here, here.bot.state_key) == content
        assert await moved()
        await here.alice.draw(elements.shape())
        await here.recorded(1)
        os.kill(here.bot.process.pid, signal.SIGTERM)

        async def gone() -> bool:
            return not await moved()

        await until(gone, 5, "the bot is still announced", here.bot)
        assert await state(here, here.bot.state_key) == content


@asynccontextmanager
async def second_board(here: Meeting) -> AsyncIterator[tuple[Board, NeoBoard]]:
    """Another board in the same room, with Bob on it."""
    room_id = here.board.room_id
    document_id = await here.alice.user.send_event(room_id, CREATE, {})
    board = Board(room_id, "second", document_id)
    await here.alice.user.put_state(
        room_id, BOARD, {"documentId": document_id}, board.whiteboard_id
    )
    async with person(here.stack, "bob", Habits(announces=True)) as bob:
        await here.alice.user.membership(room_id, "invite", bob.user_id)
        await bob.join(board)
        await bob.open(board)
        yield board, bob


def updates(here: Meeting, board: Board) -> int:
    return count_entries(here.bot.data, board.whiteboard_id, kind="update")


@pytest.mark.scenario("X07")
async def test_two_boards_share_a_connection_and_nothing_else(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here, second_board(here) as (board, bob):
        second = f"{here.bot.state_key}_{BOARD}{board.whiteboard_id}"

        async def both() -> bool:
            one, other = await here.membership(), await state(here, second)
            ids = [one.get("call_id"), other.get("call_id")]
            return ids == [here.board.whiteboard_id, board.whiteboard_id]

        await until(both, 15, "the bot is not on both boards", here.bot)
        assert [line["state"] for line in logged(here.bot, "livekit")].count("connected") == 1
        channel = bob.meeting.channel
        assert channel is not None
        await bob.until(
            lambda: f"{here.bot.user_id}:{here.bot.device_id}" in channel.others, 10, "the bot"
        )
        await here.alice.draw(elements.shape())
        await bob.draw(elements.shape())
        await bob.draw(elements.shape())
        await here.recorded(1)
        await until(lambda: updates(here, board) >= 2, 10, "Bob's drawing is not there", here.bot)
        # A document that no board of the room has.
        await bob.send(update_packet("$nobodys", b"\x00\x00"), reliable=True)

        async def dropped() -> bool:
            name = 'boardkeeper_packets_dropped_total{reason="unknown_board"}'
            return (await here.bot.metrics()).get(name, 0) == 1

        await until(dropped, 10, "the strange document is not ignored", here.bot)
        first = await here.bot.export(here.board.whiteboard_id)
        other = await here.bot.export(board.whiteboard_id)
        counts = [
            sum(len(slide["elements"]) for slide in file["whiteboard"]["slides"])
            for file in (first, other)
        ]
        assert counts == [1, 2]


@pytest.mark.scenario("X08")
async def test_packets_of_element_call_are_ignored(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here:
        login = await stack.user(name("cara"))
        await here.alice.user.membership(here.board.room_id, "invite", login.user_id)
        user = MatrixUser(stack.homeserver_url, login)
        await user.start()
        channel = Channel(lambda: None)
        try:
            await user.membership(here.board.room_id, "join")
            key = f"{member_key(login.user_id, login.device_id)}_m.call"
            content = in_call(here, login.device_id)
            await user.put_state(here.board.room_id, MEMBER, content, key)
            await channel.connect(user, stack.jwt_url, here.board.room_id)
            await channel.announce()
            await until(
                lambda: f"{here.bot.user_id}:{here.bot.device_id}" in channel.others,
                10,
                "the bot is not heard",
            )
            for payload in (b'{"type":"io.element.call.reaction","emoji":"x"}', b"\x08\x01\xff"):
                assert await channel.send(payload, reliable=True)
                assert await channel.send(payload, topic="lk-chat")
            await here.alice.draw(elements.shape())
            await here.recorded(1)

            async def ignored() -> bool:
                name = 'boardkeeper_packets_dropped_total{reason="invalid"}'
                return (await here.bot.metrics()).get(name, 0) >= 2

            await until(ignored, 10, "the packets are not ignored", here.bot)
            bad = {"warning", "error", "critical"}
            assert not [line for line in here.bot.events() if line["level"].lower() in bad]

            async def both() -> bool:
                return await counted(here) == {"board": 1, "unknown_board": 0, "other": 1}

            await until(both, 10, "the call is not seen", here.bot)
            # Who only talks holds the bot on no board.
            await here.alice.leave()
            await here.gone()
        finally:
            await channel.close()
            await user.end()


async def test_a_session_of_no_board_is_reported_and_left_alone(
    stack: Stack, tmp_path: Path
) -> None:
    """QS12: a call id that is neither a board's nor a document's."""
    async with meeting(stack, tmp_path, QUICK, opened=False) as here:
        content = in_call(here, here.alice.device_id) | {"application": BOARD}
        key = member_key(here.alice.user_id, here.alice.device_id)

        async def says(call_id: str) -> None:
            await here.alice.user.put_state(
                here.board.room_id, MEMBER, content | {"call_id": call_id}, key
            )

        await says("nothing")

        async def reported() -> bool:
            return (await counted(here))["unknown_board"] == 1

        await until(reported, 10, "the session is not reported", here.bot)
        assert await here.membership() == {}
        await says(here.board.document_id)
        await here.announced()
        assert (await here.membership())["call_id"] == here.board.whiteboard_id


async def open_livekit_room(here: Meeting) -> None:
    """What the JWT service does for those of its own homeserver."""
    stack, user = here.stack, here.alice.user
    body = {
        "room": here.board.room_id,
        "openid_token": await user.openid_token(),
        "device_id": user.device_id,
    }
    answer = await user.fetch("POST", f"{stack.jwt_url}/sfu/get", body)
    claims = jwt.decode(answer["jwt"], stack.livekit_secret, algorithms=["HS256"])
    url = stack.livekit_url.replace("ws://", "http://")
    async with api.LiveKitAPI(url, stack.livekit_key, stack.livekit_secret) as sfu:
        await sfu.room.create_room(api.CreateRoomRequest(name=claims["video"]["room"]))


@pytest.mark.scenario("X02")
async def test_a_livekit_room_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """Strangers at a media server get a token, but no room: somebody local has to come first."""
    options = Options(full_access=("elsewhere.org",))
    async with (
        Stack.start(tmp_path / "stack", options) as stack,
        meeting(stack, tmp_path, opened=False) as here,
    ):
        user = here.alice.user
        content = member_content(here.board, user.device_id, [stack.jwt_url], now_ts() + 3_600_000)
        key = member_key(user.user_id, user.device_id)
        await user.put_state(here.board.room_id, MEMBER, content, key)

        def tried() -> bool:
            states = [line["state"] for line in logged(here.bot, "livekit")]
            return states.count("connecting") + states.count("reconnecting") > 1

        await until(tried, 20, "the bot does not try again", here.bot)
        assert await here.membership() == {}  # it is not there, and does not say so
        await open_livekit_room(here)
        await here.announced(within=30)


@pytest.mark.scenario("S16")
async def test_who_expires_without_an_event_is_gone_at_that_instant(
    stack: Stack, tmp_path: Path
) -> None:
    config = {**QUICK, "presence": {"linger": "100ms"}}
    async with meeting(stack, tmp_path, config, opened=False) as here:
        user = here.alice.user
        expires = now_ts() + 10_000
        content = member_content(here.board, user.device_id, [stack.jwt_url], expires)
        key = member_key(user.user_id, user.device_id)
        await user.put_state(here.board.room_id, MEMBER, content, key)
        await here.announced()
        await here.gone()
        event = await here.state_event(MEMBER, here.bot.state_key)
        assert event is not None
        assert expires <= event["origin_server_ts"] < expires + 20_000
        assert await state(here, key) == content  # nobody has said anything
        assert (await here.bot.metrics())["boardkeeper_participants"] == 0
