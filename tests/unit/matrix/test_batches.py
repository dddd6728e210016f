from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.matrix import batches
from bot.matrix.batches import (
    MESSAGE_TYPES,
    SNAPSHOT_TYPES,
    STATE_TYPES,
    STICKY_TYPES,
    Before,
    RoomBatch,
    Section,
    gap_filter,
    read_sticky,
    read_sync,
    sync_filter,
)

ME = "@bot:example.org"
ROOM = "!room:example.org"
FIRST = Before(ME, None, full=True, rooms=())
AGAIN = Before(ME, "s1", full=True, rooms=())
LATER = Before(ME, "s2", full=False, rooms=(ROOM,))


def member(user: str, membership: str, was: str | None = None) -> dict[str, Any]:
    unsigned = {} if was is None else {"prev_content": {"membership": was}}
    return {
        "type": "m.room.member",
        "state_key": user,
        "content": {"membership": membership},
        "unsigned": unsigned,
    }


def said(body: str) -> dict[str, Any]:
    return {"type": "m.room.message", "content": {"body": body}}


def joined(
    *timeline: dict[str, Any], state: tuple[dict[str, Any], ...] = (), limited: bool = False
) -> dict[str, Any]:
    return {
        "rooms": {
            "join": {
                ROOM: {
                    "state": {"events": list(state)},
                    "timeline": {
                        "events": list(timeline),
                        "limited": limited,
                        "prev_batch": "p1",
                    },
                }
            }
        }
    }


def only(reply: dict[str, Any], before: Before) -> Section:
    (section,) = read_sync(reply, before)
    return section


def test_later_responses_say_what_changed() -> None:
    section = only(joined(said("a"), state=(member("@a:b", "join"),)), LATER)
    assert section == Section(
        RoomBatch(ROOM, "join", (member("@a:b", "join"),), (said("a"),), False, False)
    )


def test_a_limited_timeline_has_a_gap_before_it() -> None:
    section = only(joined(said("z"), limited=True), LATER)
    assert section.batch.limited
    assert section.batch.gap
    assert section.missing_before == "p1"


def test_after_a_restart_the_gap_reaches_back_to_the_stored_position() -> None:
    section = only(joined(said("z"), limited=True), AGAIN)
    assert section.batch.full_state
    assert section.batch.timeline == (said("z"),)
    assert section.missing_before == "p1"


def test_without_a_position_nothing_said_is_for_us() -> None:
    old = (said("!board leave"), member(ME, "join"), said("hello"), member("@a:b", "join"))
    section = only(joined(*old, limited=True), FIRST)
    assert section.batch.timeline == (member(ME, "join"), member("@a:b", "join"))
    assert section.batch.full_state
    assert not section.batch.limited
    assert section.missing_before is None


@pytest.mark.parametrize("before", [AGAIN, Before(ME, "s2", full=False, rooms=())])
def test_a_new_room_begins_with_our_join(before: Before) -> None:
    came = (member(ME, "join", was="invite"), said("hello"))
    section = only(joined(said("!board leave"), *came, limited=True), before)
    assert section.batch.timeline == came
    assert section.batch.full_state
    assert section.batch.gap  # we may have been there before
    assert not section.batch.limited
    assert section.missing_before is None


@pytest.mark.scenario("X04")
def test_state_of_old_does_not_put_us_out_of_a_room_that_we_are_in() -> None:
    """Synapse tells the state as the first sender of the timeline knew it: we were invited only."""
    state = member(ME, "invite"), member("@ann:example.org", "invite"), member(ME, "join")
    (section,) = read_sync(joined(said("from afar"), state=state), LATER)
    assert section.batch.state == state[1:]


def test_a_new_name_of_ours_is_no_join() -> None:
    renamed = member(ME, "join", was="join")
    section = only(joined(said("a"), renamed), AGAIN)
    assert section.batch.timeline == (said("a"), renamed)


def test_a_room_that_is_new_without_our_join_in_sight_keeps_what_was_said() -> None:
    section = only(joined(said("a"), limited=True), Before(ME, "s2", full=False, rooms=("!other",)))
    assert section.batch.timeline == (said("a"),)
    assert section.missing_before is None


def test_starting_anew_in_the_middle_leaves_known_rooms_incomplete() -> None:
    section = only(joined(said("a")), Before(ME, None, full=True, rooms=(ROOM,)))
    assert section.batch.limited
    assert section.missing_before is None


def test_invites_and_leaves() -> None:
    reply = {
        "rooms": {
            "invite": {"!i": {"invite_state": {"events": [member(ME, "invite")]}}},
            "leave": {"!l": {"timeline": {"events": [member(ME, "leave")]}}},
            "knock": {"!k": {}},
        }
    }
    assert [section.batch for section in read_sync(reply, LATER)] == [
        RoomBatch("!i", "invite", (member(ME, "invite"),), ()),
        RoomBatch("!l", "leave", (), (member(ME, "leave"),)),
    ]


def test_rooms_without_news_are_left_out_except_at_first() -> None:
    assert read_sync(joined(), LATER) == []
    assert only(joined(), AGAIN).batch == RoomBatch(ROOM, "join", (), (), False, True, True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("rooms", "join", "invite", "leave", "state", "timeline", "events", "limited"),
                    *(
                        "invite_state",
                        "prev_batch",
                        "type",
                        "state_key",
                        "content",
                        "unsigned",
                        ROOM,
                    ),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from(["rooms", "next_batch"]), JSON), st.sampled_from([0, 1, 2]))
def test_no_response_is_too_odd(reply: dict[str, Any], which: int) -> None:
    for section in read_sync(reply, (FIRST, AGAIN, LATER)[which]):
        assert isinstance(section.batch.room_id, str)
        assert all(isinstance(event, dict) for event in section.batch.timeline)


def test_the_filter_asks_for_what_is_needed_only() -> None:
    live = sync_filter(catching_up=False)["room"]
    assert len(live["timeline"]["types"]) == len(set(live["timeline"]["types"]))
    assert set(live["timeline"]["types"]) == {
        *STATE_TYPES,
        *STICKY_TYPES,
        *MESSAGE_TYPES,
        *SNAPSHOT_TYPES,
    }
    assert set(live["state"]["types"]) == set(STATE_TYPES)
    first = sync_filter(catching_up=True)["room"]
    assert not set(first["timeline"]["types"]) & set(SNAPSHOT_TYPES)
    assert not set(gap_filter(catching_up=False)["types"]) & set(STATE_TYPES)
    assert set(gap_filter(catching_up=True)["types"]) == set(MESSAGE_TYPES)


def sits(sender: Any = "@a:b", number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "type": "org.matrix.msc4143.rtc.member",
        "sender": sender,
        "event_id": f"${number}",
        "content": {},
    } | changes


def apart(reply: dict[str, Any], *events: Any, name: str = "msc4354_sticky") -> dict[str, Any]:
    reply["rooms"]["join"][ROOM][name] = {"events": list(events)}
    return reply


def test_sticky_events_come_apart_from_the_timeline() -> None:
    one, two = sits(), sits(type="m.rtc.member")
    reply = apart(apart(joined(), one, said("x"), 7), two, name="sticky")
    assert only(reply, LATER).batch.sticky == (two, one)
    assert only(joined(said("x")), LATER).batch.sticky == ()
    assert read_sticky(reply) == {ROOM: (two, one)}
    assert read_sticky(apart(joined(), said("x"))) == {ROOM: ()}  # there may be more behind it
    assert read_sticky(joined(one)) == read_sticky({}) == {}


def test_what_is_no_sticky_event_of_a_member_is_left_out() -> None:
    as_state = sits(state_key="@a:b", type="m.rtc.member")
    others = [said("x"), as_state, sits(sender=None), sits(type=["m.rtc.member"])]
    assert read_sync(apart(joined(), *others), LATER) == []


def test_nobodys_many_sticky_events_take_the_places_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "MAX_STICKY_OF_ONE", 2)
    flood = [sits("@m:x", number) for number in range(5)]
    reply = apart(joined(), sits(), *flood)
    assert only(reply, LATER).batch.sticky == (sits(), *flood[-2:])
    monkeypatch.setattr(batches, "MAX_STICKY", 1)
    assert only(reply, LATER).batch.sticky == (flood[-1],)


def test_who_is_there_was_said_to_us_too() -> None:
    """A leave out of the timeline that we first see ends a join out of the sticky section."""
    section = only(joined(said("before"), sits()), FIRST)
    assert section.batch.timeline == (sits(),)
