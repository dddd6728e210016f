from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot import roomstate
from bot.roomstate import STATE_TYPES, RoomState
from bot.rtc import keys, slots
from bot.rtc.membership import LEGACY, STICKY, WHITEBOARD
from bot.rtc.slots import SLOT_TYPE, Slot
from bot.rtc.sticky import STICKY_MS, STICKY_TYPE
from bot.whiteboard.board import BoardKey
from tests.fakes.rooms import (
    ALICE,
    BOT,
    DEVICE,
    KEY,
    NOW,
    OTHER,
    ROOM,
    board_event,
    member,
    off_board,
    on_board,
)
from tests.unit.rtc import seats

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
GOOD = [
    board_event(),
    board_event(content={}),
    member(ALICE),
    member(BOT, "leave"),
    on_board(),
    on_board(BOT, DEVICE),
    off_board(),
]
EVENTS = st.sampled_from(GOOD) | st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(sorted(STATE_TYPES)) | JSON,
        "state_key": st.just("") | JSON,
        "sender": st.just(ALICE) | JSON,
        "event_id": JSON,
        "origin_server_ts": JSON,
        "redacts": JSON,
        "content": JSON
        | st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                [
                    "membership",
                    "room_version",
                    "additional_creators",
                    "replacement_room",
                    "users",
                    "events",
                    "users_default",
                    "state_default",
                    "redacts",
                    "documentId",
                    "application",
                ],
                JSON,
            ),
        ),
    },
)


SLOT = {"status": "open", "application": {"type": WHITEBOARD}}


def sits(user: str = ALICE, device: str = "AD", **changes: Any) -> dict[str, Any]:
    who = {"id": "one", "membership": "join", "device_id": device}
    content = seats.join(slot_id=f"{WHITEBOARD}#w1", member=who) | changes.get("content", {})
    return seats.event(content, user, origin_server_ts=NOW)


def slot(**changes: Any) -> dict[str, Any]:
    return said(SLOT_TYPE, f"{WHITEBOARD}#w1", **SLOT | changes) | {"event_id": "$slot"}


def seated(*events: dict[str, Any], **settings: Any) -> RoomState:
    """A room in which Alice sits at w1, and whatever more is said."""
    room = RoomState(ROOM, BOT, **settings)
    for event in (member(ALICE), *events):
        room.apply(event)
    room.take_sticky(sits(), NOW)
    return room


def said(kind: str, key: str = "", **content: Any) -> dict[str, Any]:
    return {"type": kind, "state_key": key, "sender": ALICE, "content": content}


def state(*events: dict[str, Any]) -> RoomState:
    room = RoomState(ROOM, BOT)
    for event in events:
        room.apply(event)
    return room


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENTS, max_size=8))
def test_whatever_a_room_says_it_can_be_asked(events: list[dict[str, Any]]) -> None:
    room = RoomState(ROOM, BOT)
    for event in events:
        room.apply(event)
        room.take_sticky(event, NOW)
        room.redact(event)
        room.live(NOW)
        room.own_stickies(DEVICE, NOW)
        room.may_announce(STICKY)
        room.oldest_board()
        room.may_announce()
        room.own_keys(DEVICE)


def test_boards_come_change_and_go() -> None:
    room = state(board_event(OTHER, origin_server_ts=5), board_event())
    assert room.boards == {"w1": KEY, "w2": OTHER}
    assert room.oldest_board() == KEY
    room.apply(board_event(content={}))
    assert room.oldest_board() == OTHER
    assert state().oldest_board() is None
    assert state(board_event(origin_server_ts="x")).oldest_board() == KEY


def test_boards_and_memberships_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roomstate, "MAX_BOARDS", 1)
    monkeypatch.setattr(keys, "MAX_MEMBERSHIPS", 1)
    room = state(board_event(), board_event(OTHER), on_board(), on_board(device="A2"))
    assert (set(room.boards), len(room.memberships)) == ({"w1"}, 1)


def test_nobody_takes_the_places_of_others_with_memberships() -> None:
    room = state(on_board())
    mallory = "@mallory:here"
    for number in range(20_000):
        room.apply(on_board(mallory, f"D{number}"))
    assert len(room.memberships) == keys.MAX_OF_ONE + 1
    room.apply(member(ALICE))
    assert [one.user_id for one in room.live(NOW)] == [ALICE]
    room.apply(on_board(mallory, "D20000"))
    devices = {many[0].device_id for many in room.memberships.values()}
    assert {"AD", "D20000"} <= devices
    for number in range(20_001):
        room.apply(off_board(mallory, f"D{number}"))
    assert (len(room.memberships), set(room._keys._held)) == (1, {ALICE})


def test_boards_that_come_and_go_leave_nothing_behind_that_grows() -> None:
    room = state(board_event())
    for number in range(3 * roomstate.MAX_AGES):
        key = BoardKey(ROOM, f"x{number}", "$d")
        room.apply(board_event(key))
        room.apply(board_event(key, content={}))
    assert set(room.boards) == {"w1"}
    assert len(room._board_age) == roomstate.MAX_AGES
    assert len(room._board_event) == 1


def test_only_members_of_the_room_are_live() -> None:
    room = state(on_board())
    assert room.live(NOW) == []
    room.apply(member(ALICE))
    assert [one.user_id for one in room.live(NOW)] == [ALICE]
    room.apply(member(ALICE, "leave"))
    assert room.live(NOW) == []


def test_malformed_or_empty_memberships_are_leaves() -> None:
    broken = on_board()
    broken["content"] = {**broken["content"], "expires": "soon"}
    for event in (broken, off_board()):
        assert state(on_board(), event).memberships == {}


def test_a_redacted_membership_is_a_leave() -> None:
    for redaction in ({"redacts": "$m1"}, {"content": {"redacts": "$m1"}}):
        room = state(on_board())
        assert room.redact(redaction) == [f"_{ALICE}_AD"]
        assert room.memberships == {}
    assert state(on_board()).redact({"redacts": "$other", "content": 5}) == []


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("m.room.power_levels", {"users": {BOT: 100}}),
        ("m.room.encryption", {"algorithm": "x"}),
        ("m.room.tombstone", {"replacement_room": "!new"}),
        ("m.room.create", {"room_version": "12"}),
    ],
)
def test_what_holds_for_the_room_stands_under_the_empty_key(
    kind: str, content: dict[str, Any]
) -> None:
    def facts(room: RoomState) -> object:
        return room.power_levels, room.encrypted, room.replacement, room.creators

    assert facts(state(said(kind, "elsewhere", **content))) == facts(state())
    assert facts(state(said(kind, **content))) != facts(state())


def test_creators_of_version_12_stand_above_all() -> None:
    room = state(said("m.room.create", room_version="12", additional_creators=[BOT, 5]))
    assert room.creators == {ALICE, BOT}
    assert state(said("m.room.create", room_version="12", additional_creators=5)).creators == {
        ALICE
    }
    assert state(said("m.room.create", room_version="11")).creators == frozenset()


def test_our_own_membership_is_followed() -> None:
    assert state(member(BOT, "leave")).own_membership == "leave"
    assert state(said("m.room.member", BOT, membership=5)).own_membership == "leave"


def test_who_may_announce() -> None:
    event = "org.matrix.msc3401.call.member"
    assert state().may_announce()
    levels: list[tuple[dict[str, Any], bool]] = [
        ({"events": {event: 0}}, True),
        ({}, False),
        ({"state_default": 0}, True),
        ({"state_default": "x"}, False),
        ({"users": {BOT: 50}}, True),
    ]
    for content, may in levels:
        assert state(said("m.room.power_levels", other=1, **content)).may_announce() is may


def test_own_keys_hold_nothing_else() -> None:
    call = on_board(BOT, DEVICE)
    call["content"] = {**call["content"], "application": "m.call"}
    assert state(on_board(BOT, DEVICE), on_board()).own_keys(DEVICE) == [f"_{BOT}_{DEVICE}"]
    assert state(call).own_keys(DEVICE) == []


@pytest.mark.scenario("X09")
def test_x09_members_of_both_profiles_are_live() -> None:
    room = seated(member(BOT))
    room.apply(on_board(BOT, DEVICE))
    assert [one.profile for one in room.live(NOW)] == [LEGACY, STICKY]
    assert [one.user_id for one in room.live(NOW, LEGACY)] == [BOT]
    assert [one.user_id for one in room.live(NOW, STICKY)] == [ALICE]
    assert room.live(NOW + STICKY_MS, STICKY) == []
    room.apply(member(ALICE, "leave"))
    assert room.live(NOW, STICKY) == []


def test_what_is_no_sticky_event_is_not_taken_for_one() -> None:
    room = seated()
    room.take_sticky(sits(BOT) | {"state_key": "x"}, NOW)
    room.take_sticky(sits(BOT) | {"type": "m.room.message"}, NOW)
    room.take_sticky(sits(BOT) | {"content": {}}, NOW)
    assert [one.user_id for one in room.stickies.claims] == [ALICE]
    calls = sits(content={"slot_id": "m.call#x", "application": {"type": "m.call"}})
    room.take_sticky(calls | {"event_id": "$z"}, NOW)
    assert [one.application for one in room.live_of_all(NOW)] == ["m.call"]
    assert room.live(NOW) == []


@pytest.mark.scenario("S31")
def test_s31_members_of_a_closed_slot_are_not_there() -> None:
    room = seated()
    assert (room.slot("w1"), len(room.live(NOW))) == (Slot.ABSENT, 1)
    for event, state, many in (
        (slot(), Slot.OPEN, 1),
        (slot(status="closed"), Slot.CLOSED, 0),
        (slot(), Slot.OPEN, 1),
    ):
        room.apply(event)
        assert (room.slot("w1"), len(room.live(NOW))) == (state, many)
    room.apply(on_board(ALICE))
    room.redact({"redacts": "$slot"})
    assert room.slot("w1") is Slot.CLOSED
    assert [one.profile for one in room.live(NOW)] == [LEGACY]  # which knows no slots


@pytest.mark.scenario("S31")
def test_s31_an_open_slot_can_be_asked_for() -> None:
    room = seated(require_open_slot=True)
    assert room.live(NOW) == []
    room.apply(slot())
    assert len(room.live(NOW)) == 1
    assert len(seated(slot(), require_open_slot=True).live(NOW)) == 1


def test_slots_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "MAX_SLOTS", 0)
    assert seated(slot()).slot("w1") is Slot.ABSENT


@pytest.mark.scenario("S22")
def test_a_redacted_sticky_membership_has_left() -> None:
    room = seated()
    assert room.redact({"redacts": room.live(NOW)[0].event_id}) == []
    assert room.live(NOW) == []


def test_what_an_earlier_life_of_ours_left_behind() -> None:
    room = seated()
    assert room.own_stickies(DEVICE, NOW) == []
    room.take_sticky(sits(BOT, DEVICE), NOW)
    (ours,) = room.own_stickies(DEVICE, NOW)
    assert (ours.user_id, ours.device_id, ours.call_id) == (BOT, DEVICE, "w1")
    assert room.own_stickies("OTHER", NOW) == []
    assert room.own_stickies(DEVICE, NOW + STICKY_MS) == []


def test_sticky_events_need_the_power_of_messages() -> None:
    assert state().may_announce(STICKY)
    for content, may in (
        ({}, True),
        ({"events_default": 1}, False),
        ({"events": {STICKY_TYPE: 1}}, False),
        ({"events_default": 1, "events": {STICKY_TYPE: 0}}, True),
        ({"state_default": 100}, True),
    ):
        room = state(said("m.room.power_levels", other=1, **content))
        assert room.may_announce(STICKY) is may
