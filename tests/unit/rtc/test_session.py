"""Sessions as computed from memberships."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rtc.focus import choose
from bot.rtc.membership import ARRAY, STICKY, WHITEBOARD, Focus, Membership
from bot.rtc.session import Slot, live, next_change, sessions, slot_of
from tests.unit.rtc.make import ANN, BEN, NOW, element_call, member, read


def everybody(_user: str) -> bool:
    return True


@pytest.mark.scenario("S01")
def test_s01_one_member() -> None:
    one = member()
    (session,) = sessions([one], NOW, everybody).values()
    assert session.slot == Slot(WHITEBOARD, "board")
    assert session.members == (one,)


@pytest.mark.scenario("S02", "S03", "S04")
def test_s02_s03_s04_slots_are_application_and_id() -> None:
    found = sessions(
        [
            member(),
            member(BEN, call_id="other"),
            member("@c:hs", application="m.call"),
            member("@d:hs"),
        ],
        NOW,
        everybody,
    )
    assert {str(slot): len(session.members) for slot, session in found.items()} == {
        "net.nordeck.whiteboard#board": 2,
        "net.nordeck.whiteboard#other": 1,
        "m.call#board": 1,
    }


@pytest.mark.scenario("S14")
def test_s14_expiry_is_sharp() -> None:
    for offset, count in ((1, 1), (0, 0), (-1, 0)):
        assert len(live([member(expires=NOW + offset)], NOW, everybody)) == count


@pytest.mark.scenario("S13")
def test_s13_default_span() -> None:
    one = read(element_call(expires=None), origin_server_ts=NOW)
    assert live([one], NOW + 14_400_000 - 1, everybody) == [one]
    assert live([one], NOW + 14_400_000 + 1, everybody) == []


@pytest.mark.scenario("S16")
def test_s16_next_change() -> None:
    members = [
        member(expires=NOW + 9),
        member(BEN, expires=NOW + 5),
        member("@gone:hs", expires=NOW),
        member("@old:hs", expires=NOW + 1, profile=ARRAY),
    ]
    assert next_change(members, NOW) == NOW + 5
    assert next_change(members, NOW + 5) == NOW + 9
    assert next_change(members, NOW + 9) is None


@pytest.mark.scenario("S17", "S18")
def test_s17_s18_only_people_in_the_room() -> None:
    here = {BEN}
    members = [member(), member(BEN)]
    assert [one.user_id for one in live(members, NOW, here.__contains__)] == [BEN]
    here.add(ANN)
    assert len(live(members, NOW, here.__contains__)) == 2
    here.clear()
    assert sessions(members, NOW, here.__contains__) == {}


def test_r8_is_never_live() -> None:
    assert live([member(profile=ARRAY)], NOW, everybody) == []


@pytest.mark.scenario("S19")
def test_s19_devices_count_each_once() -> None:
    phone = member(device_id="PHONE", state_key="_@ann:hs_PHONE", created_ts=NOW + 1)
    again = member(state_key="_@ann:hs_DEV_suffix", created_ts=NOW + 2)
    (session,) = sessions([again, phone, member()], NOW, everybody).values()
    assert session.members == (member(), phone)


def seat(member_id: str, user: str = ANN, **changes: Any) -> Membership:
    return member(user, profile=STICKY, member_id=member_id, state_key=member_id, **changes)


@pytest.mark.scenario("S26")
def test_s26_a_device_in_both_profiles_is_one_member_and_sticky() -> None:
    sticky = seat("one", created_ts=NOW + 5)
    for both in ([sticky, member()], [member(), sticky]):
        (session,) = sessions(both, NOW, everybody).values()
        assert session.members == (sticky,)
    (session,) = sessions([sticky, member(BEN)], NOW, everybody).values()
    assert session.members == (member(BEN), sticky)  # oldest first, whatever the profile


@pytest.mark.scenario("S26")
def test_s26_who_is_gone_in_one_profile_is_there_in_the_other() -> None:
    gone = seat("one", expires_ts=NOW)
    (session,) = sessions([gone, member()], NOW, everybody).values()
    assert session.members == (member(),)
    elsewhere = seat("one", call_id="other")
    assert len(sessions([elsewhere, member()], NOW, everybody)) == 2


def test_of_the_sticky_claims_of_a_device_the_newest_stands() -> None:
    """What it did not end after a crash is not where it can be reached."""
    old, new = seat("b"), seat("a", created_ts=NOW + 1)
    for both in ([old, new], [new, old]):
        (session,) = sessions(both, NOW, everybody).values()
        assert session.members == (new,)


@pytest.mark.scenario("S23")
def test_s23_empty_call_id() -> None:
    assert str(slot_of(member(application="m.call", call_id=""))) == "m.call#ROOM"
    assert str(slot_of(member(application="m.call", call_id="custom"))) == "m.call#custom"
    assert str(slot_of(member(application="app", call_id=""))) == "app#"


@pytest.mark.scenario("S24")
@given(st.permutations([member(f"@{name}:hs", created_ts=NOW + name % 2) for name in range(4)]))
def test_s24_equal_rooms_give_equal_sessions(members: list[Membership]) -> None:
    expected = sessions(sorted(members, key=lambda one: one.user_id), NOW, everybody)
    assert sessions(members, NOW, everybody) == expected
    changed = [replace(members[0], call_id="other"), *members[1:]]
    assert sessions(changed, NOW, everybody) != expected


def test_qs6_unknown_applications_are_reported() -> None:
    assert Slot("org.example", "x") in sessions(
        [member(application="org.example", call_id="x", foci=())], NOW, everybody
    )


@pytest.mark.scenario("X01")
def test_x01_two_homeservers_meet_at_the_oldest() -> None:
    """Each follows the same rule over the same memberships, whatever its own homeserver offers."""
    here, there = Focus("https://sfu.here"), Focus("https://sfu.there")
    ann = member("@ann:here", foci=(here,), expires=NOW + 1)
    ben = member("@ben:there", foci=(there,), expires=NOW + 2)
    for members in ([ann, ben], [ben, ann]):
        assert choose(members, "@ann:here:DEV", [here])[0] == here
        assert choose(members, "@ben:there:DEV", [there])[0] == here
    assert choose([ben], "@ben:there:DEV", [there])[0] == there  # once Ann has left
