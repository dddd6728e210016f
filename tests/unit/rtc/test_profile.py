"""Which profiles the bot takes part in."""

from __future__ import annotations

import pytest

from bot.rtc.membership import LEGACY, STICKY
from bot.rtc.profile import AUTO, Device, choose, is_bot

OLD, NEW, BOTH = ("@old:hs", "O"), ("@new:hs", "N"), ("@both:hs", "B")


def chosen(
    wish: str = AUTO,
    legacy: tuple[Device, ...] = (),
    sticky: tuple[Device, ...] = (),
    *,
    possible: bool = True,
    has_slot: bool = False,
    bridge: bool = True,
    since: int = 5,
) -> set[str]:
    found = choose(
        wish,
        dict.fromkeys(legacy, since),
        dict.fromkeys(sticky, 5),
        possible=possible,
        has_slot=has_slot,
        bridge=bridge,
    )
    return set(found)


def test_x09_people_of_both_profiles_are_bridged() -> None:
    assert chosen(legacy=(OLD,), sticky=(NEW,)) == {LEGACY, STICKY}


def test_x09_without_bridging_the_newer_one_is_followed() -> None:
    assert chosen(legacy=(OLD,), sticky=(NEW,), bridge=False) == {STICKY}


def test_people_of_one_profile_are_followed_whatever_the_slot_says() -> None:
    assert chosen(legacy=(OLD,), has_slot=True) == {LEGACY}
    assert chosen(sticky=(NEW,)) == {STICKY}


def test_where_nobody_is_the_slot_decides() -> None:
    assert chosen(has_slot=True) == {STICKY}
    assert chosen() == {LEGACY}


def test_a_device_in_both_counts_where_it_came_last() -> None:
    """As somebody with a newer NeoBoard whose older one has not been cleared."""
    assert chosen(legacy=(BOTH,), sticky=(BOTH,)) == {STICKY}
    assert chosen(legacy=(BOTH,), sticky=(BOTH,), since=6) == {LEGACY}
    assert chosen(legacy=(OLD, BOTH), sticky=(BOTH,)) == {LEGACY, STICKY}
    assert chosen(legacy=(BOTH,), sticky=(NEW, BOTH), since=6) == {LEGACY, STICKY}


@pytest.mark.parametrize("wish", [LEGACY, STICKY])
def test_what_the_operator_wants_is_not_decided_again(wish: str) -> None:
    assert chosen(wish, (OLD,), (NEW,)) == {wish}


def test_without_sticky_events_on_the_homeserver_there_is_no_sticky_profile() -> None:
    assert chosen(sticky=(NEW,), possible=False) == {LEGACY}
    assert chosen(STICKY, sticky=(NEW,), possible=False) == set()


def test_bots_know_each_other_by_their_devices() -> None:
    assert [is_bot(one) for one in ("BOARDKEEPER", "BOARDKEEPER2", "DEVICE")] == [True, True, False]
