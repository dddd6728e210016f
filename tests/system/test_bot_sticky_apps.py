"""Several applications and several boards in one room, by the sticky profile (group X)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.client.events import BOARD, CREATE, Board
from tests.stack.client.matrix import MatrixUser
from tests.stack.client.sticky import SLOT, STICKY, slot_content, slot_id
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.people import QUICK, Meeting, person
from tests.system.sticky_people import (
    NEW,
    armed,
    ends_with,
    login,
    member_ids,
    met,
    of_account,
    sees,
    states,
    stays,
    together,
    written,
)

HOUR_MS = 3_600_000


def key(event: dict[str, Any]) -> object:
    return event["content"]["msc4354_sticky_key"]


def in_call(member_id: str, device_id: str, jwt_url: str) -> dict[str, Any]:
    """What Element Call writes."""
    return {
        "slot_id": "m.call#ROOM",
        "member": {"id": member_id, "membership": "join", "device_id": device_id},
        "application": {"type": "m.call"},
        "transports": {
            "published": [{"type": "livekit", "livekit_service_url": jwt_url}],
            "can_subscribe": ["livekit"],
        },
        "msc4354_sticky_key": member_id,
    }


@pytest.mark.scenario("X05", "X08")
async def test_x05_x08_sticky_a_call_of_our_own_device_is_left_alone(
    stack: Stack, tmp_path: Path
) -> None:
    async with together(stack, tmp_path, QUICK) as here:
        room_id, alice = here.board.room_id, here.alice.user
        call = MatrixUser(stack.homeserver_url, await login(here))
        await call.start()
        try:
            content = in_call("call", here.bot.device_id, stack.jwt_url)
            await call.send_sticky(room_id, STICKY, content, HOUR_MS)
            gone = {
                "slot_id": "m.call#ROOM",
                "member": {"id": "call", "membership": "leave", "device_id": here.bot.device_id},
                "leave_reason": {"code": "delayed_leave"},
                "msc4354_sticky_key": "call",
            }
            await call.send_sticky_later(room_id, STICKY, gone, HOUR_MS, 600_000)
            await alice.send_sticky(
                room_id, STICKY, in_call("talks", alice.device_id, stack.jwt_url), HOUR_MS
            )

            async def seen() -> bool:
                metrics = await here.bot.metrics()
                sessions = [
                    metrics.get(f'boardkeeper_sessions{{about="{kind}"}}', 0)
                    for kind in ("board", "unknown_board", "other")
                ]
                return sessions == [1, 0, 1]

            await until(seen, 20, "the call is not seen", here.bot)
            await here.bot.kill()
            await here.bot.start()  # what an earlier life left is sent: this is not ours
            await until(seen, 40, "the call is not seen any more", here.bot)
            await until(lambda: stays(here, 2), 60, "it does not join again", here.bot)
            await met(here.alice, here)
            # Who only talks holds the bot on no board.
            await here.alice.leave()
            await ends_with(here, "join", "leave")
            await here.bot.stop()
            assert [key(one) for one in await armed(stack, await login(here))] == ["call"]
            assert [key(one) for one in await of_account(here)].count("call") == 1
        finally:
            await call.end()


@asynccontextmanager
async def second_board(here: Meeting) -> AsyncIterator[tuple[Board, NeoBoard]]:
    """Another board in the same room, with Bob on it."""
    room_id, user = here.board.room_id, here.alice.user
    document_id = await user.send_event(room_id, CREATE, {})
    board = Board(room_id, "second", document_id)
    await user.put_state(room_id, BOARD, {"documentId": document_id}, board.whiteboard_id)
    await user.put_state(room_id, SLOT, slot_content(), slot_id(board))
    async with person(here.stack, "bob", NEW) as bob:
        await user.membership(room_id, "invite", bob.user_id)
        await bob.join(board)
        await bob.open(board)
        yield board, bob


@pytest.mark.scenario("X07")
async def test_x07_sticky_two_boards_of_a_room_have_nothing_to_do_with_each_other(
    stack: Stack, tmp_path: Path
) -> None:
    async with together(stack, tmp_path, QUICK) as here, second_board(here) as (board, bob):
        await met(bob, here)
        slots = [one["content"]["slot_id"] for one in await written(here)]
        assert slots == [slot_id(here.board), slot_id(board)]
        await until(lambda: states(here).count("connected") == 2, 20, "not on both", here.bot)
        await here.alice.draw(elements.shape())
        await bob.draw(elements.shape())
        await bob.draw(elements.shape())
        await here.recorded(1)

        async def counts() -> bool:
            files = [await here.bot.export(one.whiteboard_id) for one in (here.board, board)]
            found = [
                sum(len(slide["elements"]) for slide in file["whiteboard"]["slides"])
                for file in files
            ]
            return found == [1, 2]

        await until(counts, 30, "not one and two strokes", here.bot)
        await bob.leave()
        await ends_with(here, "leave", within=90)
        assert sees(here.alice, here) == 1


@pytest.mark.scenario("S32")
async def test_s32_it_names_the_transport_as_the_others_do(stack: Stack, tmp_path: Path) -> None:
    newest = replace(NEW, spelling="m.livekit")
    async with together(stack, tmp_path, habits=newest) as here:
        [join] = await written(here)
        assert join["content"]["transports"] == {
            "published": [{"type": "m.livekit", "livekit_service_url": stack.jwt_url}],
            "can_subscribe": ["livekit"],
        }
        await here.alice.draw(elements.shape())
        await here.recorded(1)


@pytest.mark.scenario("S32")
async def test_s32_whoever_comes_later_knows_the_transport_too(
    stack: Stack, tmp_path: Path
) -> None:
    newest = replace(NEW, spelling="m.livekit")

    def spelled(events: list[dict[str, Any]]) -> list[str]:
        contents = [one["content"] for one in events if "transports" in one["content"]]
        return [one["transports"]["published"][0]["type"] for one in contents]

    async with (
        together(stack, tmp_path, habits=newest) as here,
        person(stack, "bob", NEW) as bob,
    ):
        await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
        await bob.join(here.board)
        await bob.open(here.board)

        async def said_anew() -> bool:
            return spelled(await written(here)) == ["m.livekit", "livekit"]

        await until(said_anew, 30, "it is not spelled anew", here.bot)
        assert len(await member_ids(here)) == 1
        await met(bob, here)
        assert sees(here.alice, here) == 1
