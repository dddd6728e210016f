"""Two homeservers that federate, and people of both on one board."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from livekit import rtc

from tests.stack.client import elements
from tests.stack.client.events import MEMBER
from tests.stack.client.habits import Habits
from tests.stack.client.matrix import MatrixUser
from tests.stack.client.sticky import STICKY, join_content
from tests.stack.client.sticky_meeting import StickyMeeting
from tests.stack.federation import Federation
from tests.stack.http import request
from tests.stack.neoboard import NeoBoard
from tests.system.people import name
from tests.system.test_neoboard_sticky import DELAYED, people, same, sees

STICKY_HABITS = Habits(profile="sticky", announces=True)


@asynccontextmanager
async def pair(
    federation: Federation, habits: Habits | None = None
) -> AsyncIterator[tuple[NeoBoard, NeoBoard]]:
    """Alice of A with a board, and Bob of B whom she has invited and who has come."""
    async with AsyncExitStack() as ends:
        alice, bob = [
            await ends.enter_async_context(
                NeoBoard(stack.homeserver_url, await stack.user(name(who)), habits)
            )
            for stack, who in ((federation.a, "alice"), (federation.b, "bob"))
        ]
        board = alice.board = bob.board = await alice.create_board(invite=[bob.user_id])
        await bob.join(board)
        yield alice, bob


async def found(user: MatrixUser, room_id: str, event_id: str) -> dict[str, Any]:
    """Waits until an event has come to somebody's homeserver; returns it from a sync."""
    while True:
        _, events = await user.begin_sync(room_id)
        for event in events:
            if event["event_id"] == event_id:
                return event


async def meets(person: NeoBoard, *, at: str, visits: str) -> None:
    """Waits until somebody publishes at one JWT service's SFU and only listens at the other's."""

    def check() -> bool:
        meeting = person.meeting
        assert isinstance(meeting, StickyMeeting)
        return meeting.focus == at and set(meeting.abroad) == {visits}

    await person.until(check, what="being on both SFUs")


async def test_memberships_of_both_profiles_cross_and_a_cut_heals(federation: Federation) -> None:
    async with pair(federation) as (alice, bob):
        room_id = alice.board.room_id
        assert alice.user_id.endswith(federation.a.server_name)
        assert bob.user_id.endswith(federation.b.server_name)
        state = await alice.user.put_state(room_id, MEMBER, {"x": 1}, "_key")
        assert (await found(bob.user, room_id, state))["content"] == {"x": 1}
        content = join_content(bob.board, "DEV", "m1", "https://b")
        sticky = await bob.user.send_sticky(room_id, STICKY, content, 60_000)
        crossed = await found(alice.user, room_id, sticky)
        assert crossed["content"] == content
        assert crossed["msc4354_sticky"] == {"duration_ms": 60_000}
        assert 0 < crossed["unsigned"]["msc4354_sticky_duration_ttl_ms"] <= 60_000

        await federation.cut()
        late = await alice.say("during the cut")
        own = await alice.user.begin_sync(room_id)
        assert late in [event["event_id"] for event in own[1]]
        _, there = await bob.user.begin_sync(room_id)
        assert late not in [event["event_id"] for event in there]
        leave = await bob.user.send_sticky(room_id, STICKY, {**content, "n": 2}, 60_000)
        await federation.restore()
        await found(bob.user, room_id, late)
        await found(alice.user, room_id, leave)


async def test_people_of_two_servers_draw_in_the_sticky_profile(federation: Federation) -> None:
    async with pair(federation, STICKY_HABITS) as (alice, bob):
        both = {alice.user_id, bob.user_id}
        await alice.open(alice.board)
        await bob.open(bob.board)
        await sees(alice, both)
        await sees(bob, both)
        await meets(alice, at=federation.a.jwt_url, visits=federation.b.jwt_url)
        await meets(bob, at=federation.b.jwt_url, visits=federation.a.jwt_url)
        await alice.draw(elements.shape(text="a"))
        await bob.draw(elements.shape(text="b"))
        await alice.until(lambda: len(alice.document.content()["slides"][0]["elements"]) == 2)
        await bob.until(lambda: same(alice, bob))

        await federation.cut()
        await bob.kill()
        left = time.monotonic()
        # The homeserver of B takes him out, and A does not hear of it.
        await alice.until(lambda: alice.meeting.others == set())
        assert people(alice) == both
        while await bob.user.request("GET", DELAYED) != {"delayed_events": []}:
            assert time.monotonic() - left < 100
        assert people(alice) == both
        await federation.restore()
        await alice.until(lambda: people(alice) == {alice.user_id}, within=20)


async def test_people_of_two_servers_meet_on_one_sfu_in_the_legacy_profile(
    federation: Federation,
) -> None:
    async with pair(federation, Habits(announces=True)) as (alice, bob):
        await alice.open(alice.board)
        # Who opens the board before her membership has crossed begins on his own server's SFU, and
        # stays there until somebody leaves.
        while MEMBER not in {event["type"] for event in await bob.user.state(bob.board.room_id)}:
            pass
        await bob.open(bob.board)
        assert bob.meeting.focus == federation.a.jwt_url
        await bob.hears(alice)
        await alice.hears(bob)
        await bob.draw(elements.shape(text="b"))
        await alice.until(lambda: same(alice, bob))


async def test_users_of_the_other_server_are_verified_and_restricted(
    federation: Federation,
) -> None:
    async with pair(federation) as (alice, _):

        async def asked() -> Any:
            member = {"id": "m", "claimed_user_id": alice.user_id, "claimed_device_id": "D"}
            body = {"room_id": "!r", "slot_id": "s", "member": member}
            body["openid_token"] = await alice.user.openid_token()
            return await request("POST", f"{federation.b.jwt_url}/get_token", body=body)

        answer = await asked()
        assert answer.status == 200
        with pytest.raises(rtc.ConnectError):
            await rtc.Room().connect(answer.body["url"], answer.body["jwt"])
        await federation.cut()
        assert (await asked()).status == 401
