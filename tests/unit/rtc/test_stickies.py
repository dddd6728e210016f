"""A room's sticky map."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.rtc import stickies
from bot.rtc.membership import WHITEBOARD, Membership, identity
from bot.rtc.stickies import Stickies
from bot.rtc.sticky import STICKY_MS
from tests.unit.rtc.make import ANN, BEN, NOW
from tests.unit.rtc.seats import event, join, leave, sdk
from tests.unit.rtc.test_sticky_read import EVENTS

MINUTE = 60_000
RECORDED = json.loads((Path(__file__).parents[2] / "data" / "sticky-synapse.json").read_text())


def taken(*events: Mapping[str, Any], now_ts: int = NOW) -> Stickies:
    room = Stickies()
    for one in events:
        room.take(one, now_ts)
    return room


def ids(room: Stickies) -> list[str]:
    return sorted(claim.member_id for claim in room.claims)


def only(room: Stickies) -> Membership:
    (claim,) = room.claims
    return claim


@pytest.mark.scenario("S28")
def test_s28_who_joins_is_there_until_they_leave() -> None:
    room = taken(event(join(), ago=2000), event(join("two"), BEN))
    assert ids(room) == ["one", "two"]
    assert room.take(event({"sticky_key": "two"}, BEN, ago=-1), NOW)
    assert ids(room) == ["one"]
    room.take(event(leave(), ago=1000), NOW)
    assert room.claims == []


@pytest.mark.scenario("S29")
def test_s29_an_hour_is_the_longest() -> None:
    room = taken(event(join(), msc4354_sticky={"duration_ms": 99 * STICKY_MS}))
    assert only(room).expires_ts == NOW + STICKY_MS
    room.take(event(join("two"), BEN, ago=-STICKY_MS), NOW + STICKY_MS)
    assert ids(room) == ["two"]  # the other is forgotten
    assert taken(event(join(), ago=STICKY_MS)).claims == []
    ttl = {"msc4354_sticky_duration_ttl_ms": 5000}
    assert only(taken(event(join(), ago=10, unsigned=ttl))).expires_ts == NOW + 5000


def test_what_expires_is_looked_for_once_a_minute() -> None:
    room = taken(event(join(), msc4354_sticky={"duration_ms": 5}))
    room.take(event({}), NOW + MINUTE - 1)
    assert ids(room) == ["one"]  # its `expires_ts` says that it does not count
    room.take(event({}), NOW + MINUTE)
    assert ids(room) == []


@pytest.mark.scenario("S30")
def test_s30_the_last_to_expire_wins() -> None:
    short = event(sdk(slot_id="m.call#x", application={"type": "m.call"}), event_id="$short")
    short["msc4354_sticky"] = {"duration_ms": MINUTE}
    long = event(sdk(), ago=MINUTE, event_id="$long")
    for order in ([short, long], [long, short]):
        assert only(taken(*order)).event_id == "$long"


@pytest.mark.scenario("S30")
def test_s30_of_those_that_expire_together_the_highest_id_wins() -> None:
    low, high = event(join(), event_id="$a"), event(join(), event_id="$b")
    for order in ([low, high], [high, low]):
        assert only(taken(*order)).event_id == "$b"


def test_a_key_is_one_persons() -> None:
    room = taken(event(join()), event(join(), BEN), event(leave(), BEN, ago=-5))
    assert [claim.user_id for claim in room.claims] == [ANN]


def test_a_leave_ends_its_member_id_for_good() -> None:
    renewed = event(join(), ago=-MINUTE)
    for order in ([event(leave()), renewed], [renewed, event(leave())]):
        assert taken(*order).claims == []
    # However shortly it is sticky itself, and although nothing else would remember it so long.
    quick = event(leave(), ago=10, msc4354_sticky={"duration_ms": 1})
    assert taken(quick, event(join(), ago=20)).claims == []
    room = taken(quick, event(join(), ago=20))
    room.take(event(join("two"), BEN), NOW + 2 * MINUTE)
    room.take(event(join(), ago=20), NOW + 2 * MINUTE)
    assert ids(room) == ["two"]


def test_a_leave_is_remembered_while_a_join_of_before_may_come() -> None:
    """Beside it a limited sync has shown only a join that was nearly over."""
    over = event(join(), ago=20, msc4354_sticky={"duration_ms": MINUTE})
    room = taken(event(leave(), ago=10), over)
    room.take(event(join("two"), BEN), NOW + 2 * MINUTE)  # now what has ended is looked for
    room.take(event(join(), ago=15), NOW + 2 * MINUTE)
    assert ids(room) == ["two"]


def test_who_sends_from_the_future_stays_no_longer_for_coming_twice() -> None:
    ahead = event(join(), ago=-30 * MINUTE)
    room = taken(ahead)
    room.take(ahead, NOW + 20 * MINUTE)
    assert only(room).expires_ts == NOW + STICKY_MS


def test_who_uses_an_id_again_can_come_back() -> None:
    """matrix-js-sdk's events do not say that an id is fresh: order decides."""
    left = {"msc4354_sticky_key": "one"}
    room = taken(event(sdk(), ago=30), event(left, ago=20), event(sdk(), ago=10))
    assert only(room).created_ts == NOW - 10
    room.take(event(sdk(), ago=5), NOW)
    assert only(room).created_ts == NOW - 10
    room.take(event(left, ago=7), NOW)  # came late
    assert only(room).created_ts == NOW - 5
    room.take(event(left, ago=20), NOW)
    assert only(room).created_ts == NOW - 5


def test_renewals_keep_the_beginning() -> None:
    room = taken(event(join(), ago=MINUTE), event(join(), ago=0), event(join(), ago=5))
    assert only(room).created_ts == NOW - MINUTE
    assert only(room).expires_ts == NOW + STICKY_MS


def test_a_malformed_join_leaves_the_place_empty() -> None:
    room = taken(event(join(), ago=10), event(join(slot_id="bad"), ago=5))
    assert room.claims == []
    room.take(event(join()), NOW)
    assert ids(room) == ["one"]


def test_what_has_nobodys_place_changes_nothing() -> None:
    room = taken(event(join()))
    assert not room.take(event(join(), msc4354_sticky=None), NOW)
    assert not room.take(event({}), NOW)
    assert ids(room) == ["one"]


def test_what_was_left_gives_way_before_what_stands() -> None:
    room = taken(event(join("steady"), ago=5000))
    for number in range(2 * stickies.MAX_OF_ONE):
        room.take(event(join(f"f{number}"), ago=4000 - 2 * number), NOW)
        room.take(event(leave(f"f{number}"), ago=3999 - 2 * number), NOW)
    assert ids(room) == ["steady"]


@pytest.mark.scenario("S22")
def test_s22_a_redacted_join_has_left() -> None:
    room = taken(event(join(), event_id="$one"), event(join("two"), event_id="$two"))
    room.redact("$one")
    assert ids(room) == ["two"]
    room.redact(None)
    assert ids(room) == ["two"]
    room.take(event(join(), event_id="$one"), NOW)
    assert ids(room) == ["two"]


def test_nobody_fills_the_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    room = taken(event(join("mine")))
    for number in range(5_000):
        one = event(join(f"k{number:05}"), "@mallory:hs", ago=5000 - number)
        assert room.take(one, NOW)
    assert len(room.claims) == stickies.MAX_OF_ONE + 1
    assert {"mine", "k04999", "k04900"} <= set(ids(room))
    monkeypatch.setattr(stickies, "MAX_KEYS", len(room.claims))
    assert not room.take(event(join("late"), BEN), NOW)
    assert room.take(event(join("k04999"), "@mallory:hs", ago=-1), NOW)
    assert room.take(event(join("more"), "@mallory:hs", ago=-1), NOW)  # a place of its own
    assert room.take(event(join("late"), BEN, ago=-2 * STICKY_MS), NOW + 2 * STICKY_MS)
    assert (ids(room), len(room._held)) == (["late"], 1)


HISTORY = st.lists(
    st.builds(
        lambda kind, key, ago, number, span: event(
            {"join": join, "leave": leave, "sdk": sdk}.get(
                kind, lambda key: {"msc4354_sticky_key": key}
            )(key),
            ago=ago,
            event_id=f"${number}",
            msc4354_sticky={"duration_ms": span},
        ),
        st.sampled_from(["join", "leave", "sdk", "left", "join"]),
        st.sampled_from(["one", "two"]),
        st.integers(-10, 10),
        st.integers(),
        st.sampled_from([STICKY_MS, STICKY_MS, 50]),
    ),
    max_size=6,
    unique_by=lambda one: one["event_id"],
)


def standing(events: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    claims = taken(*events).claims
    return sorted((one.member_id, one.event_id, one.expires_ts) for one in claims)


@pytest.mark.scenario("X04", "S30")
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(HISTORY.flatmap(lambda events: st.tuples(st.just(events), st.permutations(events))))
def test_any_order_of_delivery_gives_the_same_map(
    both: tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]],
) -> None:
    assert standing(both[0]) == standing(both[1])
    assert standing([*both[0], *both[1]]) == standing(both[0])  # each twice


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(EVENTS, st.integers(0, 2 * STICKY_MS)), max_size=10))
def test_any_json_leaves_a_map_that_can_be_asked(events: list[tuple[dict[str, Any], int]]) -> None:
    room = Stickies()
    for one, later in events:
        room.take(one, NOW + later)
        room.redact(one.get("event_id"))
        for claim in room.claims:
            assert identity(claim)


def responses() -> Iterator[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]]:
    for name, body in RECORDED.items():
        if name.startswith("sync_"):
            yield name, body.get("msc4354_sticky", {}).get("events", []), body["timeline"]["events"]


@pytest.mark.parametrize("order", ["section first", "timeline first"])
def test_what_synapse_was_seen_to_send(order: str) -> None:
    """Recorded: a limited sync holds the superseded join apart from the leave behind it."""
    found = {}
    for name, section, timeline in responses():
        now_ts = max(one["origin_server_ts"] for one in [*section, *timeline])
        events = [*section, *timeline] if order == "section first" else [*timeline, *section]
        members = [one for one in events if one["type"].endswith("rtc.member")]
        found[name] = taken(*members, now_ts=now_ts).claims
    there = {name for name, claims in found.items() if claims}
    assert found.keys() - there == {
        "sync_after_delayed_leave_fired",
        "sync_sender_initial_after_leave",
    }
    for name in there:
        (claim,) = found[name]
        assert (claim.application, claim.call_id) == (WHITEBOARD, "wb1")
        assert identity(claim) == RECORDED["get_token"]["claims"]["identity"]
