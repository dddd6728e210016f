"""The same rooms read by matrix-js-sdk 43 and by us."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bot.roomstate import RoomState
from bot.rtc.membership import identity
from bot.rtc.session import Slot, sessions
from tests.peers.sdk_rooms import DIFFERENCES, SLOTS, USERS, Difference, State, in_room, room
from tests.peers.sdk_sessions import Member, ask, member
from tests.unit.rtc.make import NOW, ROOM

ROOMS = [room(seed) for seed in range(400)]

Found = Mapping[Slot, list[Any]]


@pytest.fixture(scope="module")
def asked() -> list[dict[Slot, list[Any]]]:
    """What the SDK makes of all rooms: first the generated ones, then the differences."""
    questions = [(one, SLOTS) for one in ROOMS]
    questions += [(_with_people(one), [one.slot]) for one in DIFFERENCES.values()]
    return ask(NOW, questions)


def _with_people(difference: Difference) -> State:
    return [*map(in_room, USERS), *difference.state]


def ours(state: State) -> dict[Slot, list[Member]]:
    read = RoomState(ROOM, "@bot:hs")
    for event in state:
        read.apply(event)
    found = sessions(read.live_of_all(NOW), NOW, read.joined.__contains__)
    return {
        slot: [
            Member(
                one.created_ts,
                one.user_id,
                one.device_id,
                identity(one),
                one.expires_ts,
                one.event_id,
            )
            for one in session.members
        ]
        for slot, session in found.items()
    }


def theirs(found: Found) -> dict[Slot, list[Member]]:
    """The SDK's answer, without what it takes from other applications ("another application")."""
    return {
        slot: [member(one) for one in members if one["application"] == slot.application]
        for slot, members in found.items()
        if any(one["application"] == slot.application for one in members)
    }


@pytest.mark.scenario("S10", "S11", "S12", "S13", "S17", "S23")
def test_members_expiry_and_oldest_are_the_same(asked: list[Found]) -> None:
    counts = []
    for seed, (state, found) in enumerate(zip(ROOMS, asked, strict=False)):
        mine, other = ours(state), theirs(found)
        assert {slot: sorted(members) for slot, members in mine.items()} == {
            slot: sorted(members) for slot, members in other.items()
        }, f"room {seed}"
        for slot, members in mine.items():
            # Of equally old ones either may be first ("as old as another").
            assert members[0].created_ts == other[slot][0].created_ts, f"room {seed}"
            counts.append(len(members))
    # Rooms that hold nobody would agree too: these do hold people.
    assert len(counts) > 500
    assert max(counts) > 3


@pytest.mark.parametrize("name", DIFFERENCES)
def test_known_differences_are_as_written(name: str, asked: list[Found]) -> None:
    difference = DIFFERENCES[name]
    found = asked[len(ROOMS) + list(DIFFERENCES).index(name)][difference.slot]
    assert [(one["event"], one["expires"]) for one in found] == difference.sdk
    mine = ours(_with_people(difference)).get(difference.slot, [])
    assert [(one.event_id, one.expires_ts) for one in mine] == difference.ours
    assert difference.sdk != difference.ours
    assert difference.reason
