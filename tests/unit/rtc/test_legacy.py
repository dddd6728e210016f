"""What we write in the legacy profile, and what we read under our own key."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rtc.actions import Shown
from bot.rtc.legacy import LEAVE, join_content, member_key, read_shown
from bot.rtc.membership import Focus
from tests.unit.rtc.make import ANN, BEN, NOW, event, neoboard, read

BOARD = "!a3UEvPS4B7bXlWXyckTlsCrnH6oaPrLnBBEE8q8vLjc_whiteboard"


@pytest.mark.scenario("M02")
def test_m02_join_byte_for_byte() -> None:
    content = join_content(BOARD, "DEVICE", "!room", [Focus("https://sfu.hs")], 1743778636001)
    assert json.dumps(content, separators=(",", ":")) == (
        '{"application":"net.nordeck.whiteboard",'
        f'"call_id":"{BOARD}",'
        '"device_id":"DEVICE",'
        '"focus_active":{"type":"livekit","focus_selection":"oldest_membership"},'
        '"foci_preferred":[{"type":"livekit","livekit_service_url":"https://sfu.hs",'
        '"livekit_alias":"!room"}],'
        '"scope":"m.room",'
        '"expires":1743778636001}'
    )


@pytest.mark.scenario("M25")
def test_m25_renewal_says_when_it_began() -> None:
    assert join_content(BOARD, "DEVICE", "!room", [], NOW, created_ts=5)["created_ts"] == 5


@pytest.mark.scenario("M01")
def test_m01_leave_is_exactly_empty() -> None:
    assert json.dumps(LEAVE) == "{}"


@pytest.mark.scenario("M54")
def test_m54_keys() -> None:
    assert member_key(ANN, "DEV") == "_@ann:hs_DEV"
    assert member_key(ANN, "DEV", BOARD) == f"_@ann:hs_DEV_net.nordeck.whiteboard{BOARD}"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255))
def test_keys_fit_and_are_read_as_ours(whiteboard_id: str) -> None:
    key = member_key(ANN, "DEV", whiteboard_id)
    assert len(key.encode()) <= 255
    assert key == member_key(ANN, "DEV", whiteboard_id)
    assert read(neoboard(), state_key=key).user_id == ANN


def test_long_whiteboard_ids_keep_their_keys_apart() -> None:
    one, two = (member_key(ANN, "DEV", "x" * 250 + end) for end in "ab")
    assert one != two
    assert len(one) < 255


# -- what sync shows under our key -----------------------------------------------------------


def test_shown_join_of_ours() -> None:
    shown = read_shown(event(neoboard()), ANN, "DEV", "board")
    assert shown == Shown("$of-@ann:hs", by_us=True, created_ts=NOW)


def test_m38_shown_delayed_leave() -> None:
    unsigned = {"org.matrix.msc4140.delay_id": "syd_x", "replaces_state": "$join"}
    shown = read_shown(event({}, unsigned=unsigned), ANN, "DEV", "board")
    assert shown == Shown("$of-@ann:hs", True, None, delay_id="syd_x", replaces="$join")
    assert "syd_x" not in repr(shown)


def test_m37_shown_cleared_by_another() -> None:
    leave = event({}, BEN, state_key="_@ann:hs_DEV", replaces_state="$join")
    shown = read_shown(leave, ANN, "DEV", "board")
    assert shown == Shown("$of-@ben:hs", by_us=False, created_ts=None, replaces="$join")


def test_shown_anything_that_is_not_ours_counts_as_cleared() -> None:
    for other in (
        event(neoboard(call_id="other")),
        event(neoboard(application="m.call")),
        event(neoboard(device_id="OTHER")),
        event(neoboard(), BEN, state_key="_@ann:hs_DEV"),  # written by somebody else
        {"content": 5, "unsigned": [], "event_id": 7},
    ):
        assert read_shown(other, ANN, "DEV", "board").created_ts is None
