"""Which profiles the bot takes part in."""

from __future__ import annotations

import pytest

from bot.rtc.membership import LEGACY, STICKY
from bot.rtc.profile import AUTO, Device, choose

OLD, NEW, BRIDGE = ("@old:hs", "O"), ("@new:hs", "N"), ("@bridge:hs", "B")


def chosen(
    wish: str = AUTO,
    legacy: tuple[Device, ...] = (),
    sticky: tuple[Device, ...] = (),
    *,
    possible: bool = True,
    slot_open: bool = False,
    bridge: bool = True,
) -> set[str]:
    found = choose(
        wish,
        frozenset(legacy),
        frozenset(sticky),
        possible=possible,
        slot_open=slot_open,
        bridge=bridge,
    )
    return set(found)


def test_x09_people_of_both_profiles_are_bridged() -> None:
    assert chosen(legacy=(OLD,), sticky=(NEW,)) == {LEGACY, STICKY}


def test_x09_without_bridging_the_newer_one_is_followed() -> None:
    assert chosen(legacy=(OLD,), sticky=(NEW,), bridge=False) == {STICKY}


def test_people_of_one_profile_are_followed_whatever_the_slot_says() -> None:
    assert chosen(legacy=(OLD,), slot_open=True) == {LEGACY}
    assert chosen(sticky=(NEW,)) == {STICKY}


def test_where_nobody_is_the_slot_decides() -> None:
    assert chosen(slot_open=True) == {STICKY}
    assert chosen() == {LEGACY}


def test_another_bridge_is_no_reason_for_a_profile() -> None:
    assert chosen(legacy=(OLD, BRIDGE), sticky=(BRIDGE,)) == {LEGACY}
    assert chosen(legacy=(BRIDGE,), sticky=(NEW, BRIDGE)) == {STICKY}


@pytest.mark.parametrize("wish", [LEGACY, STICKY])
def test_what_the_operator_wants_is_not_decided_again(wish: str) -> None:
    assert chosen(wish, (OLD,), (NEW,)) == {wish}


def test_without_sticky_events_on_the_homeserver_there_is_no_sticky_profile() -> None:
    assert chosen(sticky=(NEW,), possible=False) == {LEGACY}
    assert chosen(STICKY, sticky=(NEW,), possible=False) == set()
