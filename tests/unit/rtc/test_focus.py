"""Focus selection: NeoBoard's legacy rule."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rtc.focus import choose, read_transports, read_well_known
from bot.rtc.membership import MAX_FOCI, Focus, Membership
from bot.rtc.session import live
from tests.unit.rtc.make import ANN, BEN, HOUR, NOW, foci, member

ME = "@bot:hs:DEV"
OWN, THEIRS, OTHER, LAST = (Focus(f"https://{name}") for name in ("own", "theirs", "other", "last"))


def at(user: str, hours: int, *foci: Focus, **changes: Any) -> Membership:
    return member(user, expires=NOW + hours * HOUR, foci=foci, **changes)


@pytest.mark.scenario("F01")
def test_f01_alone() -> None:
    assert choose([], ME, [OWN]) == [OWN]


@pytest.mark.scenario("F03")
def test_f03_order() -> None:
    assert choose([at(ANN, 3, THEIRS, OTHER)], ME, [OWN], [LAST]) == [THEIRS, OWN, LAST]


@pytest.mark.scenario("F04")
def test_f04_each_once() -> None:
    assert choose([at(ANN, 3, OWN)], ME, [OWN, THEIRS], [THEIRS]) == [OWN, THEIRS]


@pytest.mark.scenario("F05")
def test_f05_nothing() -> None:
    assert choose([at(ANN, 3)], ME, []) == []


@pytest.mark.scenario("F06", "F07", "F12")
def test_f06_f07_f12_smallest_expires_leads() -> None:
    ours, theirs = at("@bot:hs", 2, OTHER), at(ANN, 3, THEIRS)
    assert choose([theirs, ours], ME, [OWN]) == [OWN]
    renewed = at("@bot:hs", 4, OTHER)
    assert choose([theirs, renewed], ME, [OWN]) == [THEIRS, OWN]


@pytest.mark.scenario("F09", "X01")
def test_x01_become_the_oldest_we_stay_where_somebody_else_is() -> None:
    ours, theirs = at("@bot:hs", 2, THEIRS), at(ANN, 3, THEIRS, OTHER)
    assert choose([ours, theirs], ME, [OWN], used=THEIRS) == [THEIRS, OWN]
    assert choose([ours, at(ANN, 3, OTHER, THEIRS)], ME, [OWN], used=THEIRS) == [OWN]
    assert choose([ours, at(ANN, 3)], ME, [OWN], used=THEIRS) == [OWN]
    another_board = at("@bot:hs", 3, THEIRS)
    assert choose([ours, another_board], ME, [OWN], used=THEIRS) == [OWN]
    assert choose([ours, theirs], ME, [], used=THEIRS) == [THEIRS]


def test_ourselves_without_a_list_of_our_own() -> None:
    members = [at("@bot:hs", 2, OTHER), at(ANN, 3, THEIRS)]
    assert choose(members, ME, [], [LAST]) == [LAST]
    assert choose(members, ME, []) == [THEIRS]


@pytest.mark.scenario("F08", "F09")
def test_f08_f09_leaves() -> None:
    old, young = at(ANN, 1, THEIRS), at(BEN, 2, OTHER)
    assert choose([old, young], ME, [OWN])[0] == THEIRS
    assert choose([old], ME, [OWN])[0] == THEIRS
    assert choose([young], ME, [OWN])[0] == OTHER


@pytest.mark.scenario("F11")
@given(st.permutations([at("@c:hs", 3, OTHER), at(ANN, 3, THEIRS), at(BEN, 3, LAST)]))
def test_f11_ties_do_not_depend_on_order(members: list[Membership]) -> None:
    assert choose(members, ME, [OWN]) == [THEIRS, OWN]


@pytest.mark.scenario("F13")
def test_f13_expired_or_not_in_the_room() -> None:
    """The rule is given live members only; who is not live is another test's (S16 to S18)."""
    expired, gone = at(ANN, -1, THEIRS), at("@gone:hs", 1, THEIRS)
    members = live([expired, gone, at(BEN, 2, OTHER)], NOW, lambda user: user != "@gone:hs")
    assert choose(members, ME, [OWN]) == [OTHER, OWN]


@pytest.mark.scenario("F14")
def test_f14_oldest_without_foci() -> None:
    assert choose([at(ANN, 1), at(BEN, 2, OTHER)], ME, [OWN]) == [OTHER, OWN]


@pytest.mark.scenario("F15")
@pytest.mark.parametrize("selection", ["", "multi_sfu", "newest"])
def test_f15_unknown_selection(selection: str) -> None:
    members = [at(ANN, 1, THEIRS, focus_selection=selection), at(BEN, 2, OTHER)]
    assert choose(members, ME, [OWN]) == [OWN]


@pytest.mark.scenario("F16")
def test_f16_focus_we_cannot_use() -> None:
    assert choose([at(ANN, 1, THEIRS, foreign_focus=True)], ME, [OWN], [LAST]) == []


def test_whole_application_but_only_that() -> None:
    members = [
        at(ANN, 1, THEIRS, application="m.call"),
        at(BEN, 2, OTHER, call_id="another board"),
    ]
    assert choose(members, ME, [OWN])[0] == OTHER


def test_spans_do_not_count_as_neoboard_hides_them() -> None:
    hidden = member(expires=4 * HOUR, expires_ts=NOW + HOUR, foci=(THEIRS,))
    assert choose([hidden], ME, [OWN]) == [OWN]


@pytest.mark.scenario("F02")
def test_f02_well_known() -> None:
    document = {
        "m.homeserver": {"base_url": "https://hs"},
        "org.matrix.msc4158.rtc_foci": foci("https://last"),
        "m.rtc_foci": foci("https://theirs", "https://own/"),
        "org.matrix.msc4143.rtc_foci": [*foci("https://own"), {"type": "mesh"}, 5],
    }
    assert read_well_known(document) == [OWN, THEIRS, LAST]
    assert read_well_known([document]) == []


@pytest.mark.scenario("F21")
def test_f21_transports() -> None:
    assert read_transports({"rtc_transports": foci("https://own")}) == [OWN]
    assert read_transports("https://own") == []


def test_lists_are_bounded() -> None:
    many = [Focus(f"https://sfu{number}") for number in range(100)]
    assert len(choose([], ME, many)) == MAX_FOCI
    document = {
        key: foci(*(f"https://{key}{number}" for number in range(20)))
        for key in ("m.rtc_foci", "org.matrix.msc4143.rtc_foci")
    }
    assert len(read_well_known(document)) == MAX_FOCI


_KEYS = ["rtc_transports", "m.rtc_foci"]


@pytest.mark.scenario("F02")
@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.sampled_from(["livekit", "https://own"]),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from([*_KEYS, "type", "livekit_service_url"]), inner)
        ),
        max_leaves=10,
    )
)
def test_f02_any_document(document: Any) -> None:
    for read in (read_well_known, read_transports):
        assert all(isinstance(focus, Focus) for focus in read(document))
