"""The simulated NeoBoard user of the sticky profile, on real servers."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from tests.stack.client import elements
from tests.stack.client.elements import FIRST_SLIDE
from tests.stack.client.events import LEAVE_AFTER_MS
from tests.stack.client.habits import Habits
from tests.stack.client.sticky import SLOT, STICKY, slot_content, slot_id, sticky_problems
from tests.stack.client.sticky_meeting import StickyMeeting
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.crowd import crowd

DELAYED = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"
HABITS = Habits(profile="sticky", announces=True)


async def written(person: NeoBoard, user_id: str) -> list[dict[str, Any]]:
    """Every member event that somebody has sent, oldest first."""
    path = f"/_matrix/client/v3/rooms/{quote(person.board.room_id)}/messages"
    only = json.dumps({"types": [STICKY], "senders": [user_id]})
    query = {"dir": "b", "limit": "100", "filter": only}
    return list(reversed((await person.user.request("GET", path, query=query))["chunk"]))


def memberships(events: list[dict[str, Any]]) -> list[str]:
    return [event["content"]["member"]["membership"] for event in events]


def people(person: NeoBoard) -> set[str]:
    return {member.user_id for member in person.members}


def active(person: NeoBoard) -> set[str]:
    assert isinstance(person.meeting, StickyMeeting)
    return {user_id for user_id, _ in person.meeting.active}


async def sees(person: NeoBoard, everybody: set[str]) -> None:
    """Waits until these are members, and all but oneself on LiveKit."""
    await person.until(lambda: people(person) == everybody, what="seeing everybody")
    await person.until(lambda: active(person) == everybody - {person.user_id}, what="hearing all")


async def armed(person: NeoBoard) -> list[str]:
    """The ids of the delayed leaves that wait for somebody on this board."""
    found = await person.user.request("GET", DELAYED)
    room_id = person.board.room_id
    return [one["delay_id"] for one in found["delayed_events"] if one["room_id"] == room_id]


def same(left: NeoBoard, right: NeoBoard) -> bool:
    return left.document.content() == right.document.content()


def reason(event: Mapping[str, Any]) -> str:
    return str(event["content"]["leave_reason"]["code"])


async def test_three_people_draw_and_see_each_other(stack: Stack) -> None:
    async with crowd(stack, "alice", "bob", "carol", habits=HABITS) as (alice, bob, carol):
        everybody = {alice.user_id, bob.user_id, carol.user_id}
        for one in (alice, bob, carol):
            await sees(one, everybody)
            await one.draw(elements.shape(text=one.user_id))
            (join,) = await written(alice, one.user_id)
            assert sticky_problems(join) == []
            assert join["msc4354_sticky"] == {"duration_ms": 3_600_000}
        await alice.until(lambda: len(alice.document.content()["slides"][0]["elements"]) == 3)
        await bob.until(lambda: same(alice, bob))
        await carol.until(lambda: same(alice, carol))
        assert len({alice.identity, bob.identity, carol.identity}) == 3

        await bob.move_cursor(7, 8)
        await alice.until(lambda: bob.user_id in alice.ears.cursors)
        await bob.present(FIRST_SLIDE)
        await alice.until(lambda: alice.ears.presentation)
        assert alice.ears.presentation is not None
        assert alice.ears.presentation.user_id == bob.user_id
        spent = bob.identity
        await bob.leave()
        await alice.until(lambda: people(alice) == everybody - {bob.user_id})
        await alice.until(lambda: alice.ears.presentation is None)
        join, leave = await written(alice, bob.user_id)
        assert sticky_problems(leave) == []
        assert reason(leave) == "leave"
        assert leave["msc4354_sticky"] == join["msc4354_sticky"]

        await bob.open(bob.board)
        await alice.until(lambda: people(alice) == everybody)
        await bob.until(lambda: people(bob) == everybody)
        assert bob.identity != spent


async def test_somebody_killed_vanishes_and_a_closed_slot_shows_everybody_out(
    stack: Stack,
) -> None:
    async with crowd(stack, "alice", "bob", habits=HABITS) as (alice, bob):
        board = alice.board
        await sees(alice, {alice.user_id, bob.user_id})
        killed = time.time() * 1000
        await bob.kill()
        await alice.until(lambda: people(alice) == {alice.user_id}, within=12)
        _, leave = await written(alice, bob.user_id)
        assert sticky_problems(leave) == []
        assert reason(leave) == "delayed_leave"
        assert 0 < leave["origin_server_ts"] - killed < LEAVE_AFTER_MS + 30_000

        closed = slot_content(is_open=False)
        await alice.user.put_state(board.room_id, SLOT, closed, slot_id(board))
        await alice.until(lambda: alice.meeting.channel is None)
        await alice.until(lambda: alice.members == [])
        _, leave = await written(alice, alice.user_id)
        assert reason(leave) == "slot_closed"
        await alice.user.put_state(board.room_id, SLOT, slot_content(), slot_id(board))
        await alice.until(lambda: alice.meeting.met)
        await alice.until(lambda: people(alice) == {alice.user_id})


async def test_a_membership_is_renewed_before_it_ends_and_its_leave_is_armed_anew(
    stack: Stack,
) -> None:
    short = replace(HABITS, sticky_ms=8000)
    async with crowd(stack, "alice", "bob", habits=short) as (alice, bob):
        identity = bob.identity
        first = await armed(bob)
        await alice.until(
            lambda: (
                sum(
                    event["type"] == STICKY and event["sender"] == bob.user_id
                    for event in alice.room.timeline
                )
                >= 3
            ),
            within=30,
            what="two renewals",
        )
        events = (await written(alice, bob.user_id))[:3]
        assert memberships(events) == ["join"] * 3
        assert len({event["content"]["member"]["id"] for event in events}) == 1
        assert bob.identity == identity
        await alice.until(lambda: people(alice) == {alice.user_id, bob.user_id})
        # While it is armed anew there is none for a moment.
        while not (now := await armed(bob)):
            pass
        assert len(now) == 1
        assert now != first
        await bob.kill()
        await alice.until(lambda: people(alice) == {alice.user_id}, within=12)


async def test_who_is_taken_out_by_his_own_delayed_leave_comes_back_as_somebody_new(
    stack: Stack,
) -> None:
    async with crowd(stack, "alice", "bob", habits=HABITS) as (alice, bob):
        spent = bob.identity
        (delay_id,) = await armed(bob)
        await bob.user.manage_delayed(delay_id, "send")
        await bob.until(lambda: bob.identity != spent and bob.meeting.met)
        await alice.until(lambda: bob.identity in {one.identity for one in alice.members})
        await alice.hears(bob)
        await bob.draw(elements.shape())
        await alice.until(lambda: same(alice, bob))
