"""The sessions of a room as they are now (docs/matrixrtc.md, section 5, groups S and X)."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bot import metrics
from bot.handlers.base import Event, Participant, SessionChanged
from bot.rooms.attendance import Attendance
from bot.rooms.overview import MemberView, SessionView, overview
from bot.roomstate import RoomState
from bot.rtc.membership import LEGACY, Focus
from bot.rtc.membership import STICKY as STICKY_PROFILE
from bot.rtc.session import next_change
from bot.rtc.sticky import STICKY_MS, STICKY_TYPE, join_content
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

BOB = "@bob:here"
SFU = "https://sfu.here"
HOUR = 3_600_000
LATER = NOW + HOUR
"""When what `on_board` writes expires."""


def in_call(user: str = ALICE, device: str = "AD", **content: Any) -> dict[str, Any]:
    """A membership as Element Call writes it, under a key of its own."""
    event = on_board(user, device, event_id=f"$call-{user}-{device}")
    event["state_key"] += "_m.call"
    event["content"] |= {"application": "m.call", "call_id": "", "expires": 4 * HOUR, **content}
    return event


def sticky(user: str, device: str) -> dict[str, Any]:
    """A membership as newer NeoBoards write it."""
    content = join_content(
        call_id="w1", whose=(user, device), member_id=user, foci=[Focus(SFU)], spelling="livekit"
    )
    return {
        "type": STICKY_TYPE,
        "sender": user,
        "event_id": f"$s-{user}",
        "origin_server_ts": NOW,
        "msc4354_sticky": {"duration_ms": STICKY_MS},
        "content": content,
    }


def room(*events: dict[str, Any]) -> RoomState:
    state = RoomState(ROOM, BOT)
    for event in (board_event(), board_event(OTHER), *map(member, (ALICE, BOB, BOT)), *events):
        state.apply(event)
    return state


def who(views: tuple[SessionView, ...]) -> dict[str, list[str]]:
    return {
        f"{view.application}#{view.call_id}": [
            f"{one.user_id}:{one.device_id}" for one in view.members
        ]
        for view in views
    }


def test_who_since_when_where_and_until_when() -> None:
    ours = on_board(BOT, DEVICE, expires=LATER + 5, url="https://ours.here", event_id="$m9")
    ours["content"]["created_ts"] = NOW - 500
    here, there = "https://sfu.here", "https://ours.here"
    assert overview(room(on_board(), ours), NOW) == (
        SessionView(
            "net.nordeck.whiteboard",
            "w1",
            KEY,
            (
                MemberView(ALICE, "AD", NOW - 1000, LATER, here, False, False, LEGACY),
                MemberView(BOT, DEVICE, NOW - 500, LATER + 5, there, False, True, LEGACY),
            ),
            LATER,
            bridged=False,
        ),
    )
    (view,) = overview(room(on_board(), ours), NOW)
    assert [one.user_id for one in view.people] == [ALICE]
    assert overview(room(off_board()), NOW) == ()


def test_whom_we_bridge() -> None:
    """One device counts once, by its sticky claim; that it speaks both profiles is said."""
    state = room(on_board(), on_board(BOT, DEVICE, event_id="$m9"))
    assert not overview(state, NOW)[0].bridged
    state.take_sticky(sticky(BOB, "BD"), NOW)
    assert not overview(state, NOW)[0].bridged
    state.take_sticky(sticky(BOT, DEVICE), NOW)
    (view,) = overview(state, NOW)
    assert view.bridged
    assert {one.user_id: one.profile for one in view.members} == {
        ALICE: LEGACY,
        BOB: STICKY_PROFILE,
        BOT: STICKY_PROFILE,
    }


def test_since_when_survives_what_neoboard_renews() -> None:
    state = room(on_board())
    again = on_board(expires=LATER + 3 * HOUR, event_id="$m2")
    again["origin_server_ts"] = LATER - HOUR // 2
    for _ in range(2):  # the homeserver may say it twice
        state.apply(again)
        (view,) = overview(state, LATER)
        assert view.members[0].since_ts == NOW - 1000
    elsewhere = on_board(call_id="w2", event_id="$m3")
    elsewhere["origin_server_ts"] = LATER - HOUR // 2
    state.apply(elsewhere)
    assert overview(state, NOW)[0].members[0].since_ts == LATER - HOUR // 2


@pytest.mark.parametrize("between", [off_board(), None])
def test_since_when_begins_anew_after_a_break(between: dict[str, Any] | None) -> None:
    state = room(on_board())
    if between is not None:
        state.apply(between)
    again = on_board(expires=LATER + 3 * HOUR, event_id="$m3")
    again["origin_server_ts"] = LATER if between is not None else LATER + 1  # it had expired
    state.apply(again)
    (view,) = overview(state, LATER + 1)
    assert view.members[0].since_ts == again["origin_server_ts"]


@pytest.mark.scenario("S02", "S04", "X05")
def test_every_application_has_its_own_sessions() -> None:
    """Element Call and a whiteboard on one device, under two keys."""
    state = room(on_board(), in_call(), in_call(BOB, "BD", application="org.example", call_id="w1"))
    assert who(overview(state, NOW)) == {
        "m.call#ROOM": [f"{ALICE}:AD"],
        "net.nordeck.whiteboard#w1": [f"{ALICE}:AD"],
        "org.example#w1": [f"{BOB}:BD"],
    }
    assert [view.board for view in overview(state, NOW)] == [None, KEY, None]


def test_a_call_id_may_name_the_document() -> None:
    """QS12: the whiteboard's id links them; failing that the document's, else nothing."""
    tricky = BoardKey(ROOM, "$d1", "$d9")  # a whiteboard named as another's document
    state = room(
        on_board(call_id="$d2"),
        on_board(BOB, "BD", "nothing", event_id="$m2"),
        board_event(BoardKey(ROOM, "w3", "$d2"), origin_server_ts=2),  # shows the same document
    )
    found = {view.call_id: view.board for view in overview(state, NOW)}
    assert found == {"$d2": OTHER, "nothing": None}
    state.apply(board_event(tricky))
    state.apply(on_board(call_id="$d1"))
    assert overview(state, NOW)[0].board == tricky


def test_the_same_key_of_another_type_is_another_place() -> None:
    renamed = {**on_board(event_id="$m2"), "type": "m.rtc.member"}
    renamed["content"] = {**renamed["content"], "device_id": "A2"}
    state = room(on_board(), renamed)
    assert who(overview(state, NOW)) == {
        "net.nordeck.whiteboard#w1": [f"{ALICE}:AD", f"{ALICE}:A2"]
    }
    state.apply({**renamed, "content": {}})
    assert who(overview(state, NOW)) == {"net.nordeck.whiteboard#w1": [f"{ALICE}:AD"]}
    assert [one.event_id for one in state.under(f"_{ALICE}_AD")] == ["$m1"]
    # Of what stands elsewhere, the Presence is told nothing: it is not under our key.
    assert room(on_board(), renamed).redact({"redacts": "$m2"}) == []


STICKY: dict[str, dict[str, Any]] = {
    "R1": {
        "slot_id": "net.nordeck.whiteboard#w1",
        "member": {"id": "x", "membership": "join", "device_id": "AD"},
        "application": {"type": "net.nordeck.whiteboard", "whiteboard_id": "w1"},
        "transports": {"published": [{"type": "livekit"}], "can_subscribe": ["livekit"]},
        "msc4354_sticky_key": "x",
    },
    "R3": {
        "slot_id": "m.call#ROOM",
        "member": {"id": "x", "user_id": ALICE, "device_id": "AD"},
        "application": {"type": "m.call"},
        "rtc_transports": [{"type": "livekit"}],
        "versions": [],
        "msc4354_sticky_key": "x",
    },
    "R4": {
        "slot_id": "m.call#ROOM",
        "member": {"id": "x", "claimed_user_id": ALICE, "claimed_device_id": "AD"},
        "application": {"type": "m.call"},
        "rtc_transports": [],
        "versions": [],
    },
    "left": {"slot_id": "m.call#ROOM", "msc4354_sticky_key": "x"},
    "R9": {"m.calls": [{"m.call_id": "x", "m.devices": [{"device_id": "AD", "feeds": []}]}]},
    "R10": {"status": "open", "application": {"type": "net.nordeck.whiteboard"}},
}
TYPES = [
    "org.matrix.msc3401.call.member",
    "m.call.member",
    "m.rtc.member",
    "org.matrix.msc4143.rtc.member",
    "m.rtc.slot",
    "org.matrix.msc4143.rtc.slot",
]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("content", STICKY)
def test_what_other_profiles_write_does_no_harm(content: str, kind: str) -> None:
    """R1 to R4 are sticky events, with no state key; R9 and R10 state of which we use nothing."""
    before = overview(room(on_board()), NOW)
    sticky = {"type": kind, "sender": ALICE, "event_id": "$x", "content": STICKY[content]}
    for where in ({}, {"state_key": ALICE}, {"state_key": "net.nordeck.whiteboard#w1"}):
        event = sticky | {"origin_server_ts": NOW} | where
        assert overview(room(on_board(), event), NOW) == before


@pytest.mark.scenario("S17", "S18")
def test_only_who_is_in_the_room_counts() -> None:
    state = room(member(ALICE, "leave"), on_board())
    assert overview(state, NOW) == ()
    state.apply(member(ALICE))
    assert len(overview(state, NOW)) == 1
    state.apply(member(ALICE, "ban"))
    assert overview(state, NOW) == ()


@pytest.mark.scenario("S20", "S21")
def test_others_can_end_a_membership_but_not_take_it_over() -> None:
    contents: list[dict[str, Any]] = [{}, on_board()["content"]]
    for content in contents:
        state = room(on_board(), {**on_board(BOB), "state_key": f"_{ALICE}_AD", "content": content})
        assert overview(state, NOW) == ()  # hers was replaced in the room all the same


@pytest.mark.scenario("S22")
def test_a_redacted_membership_has_left() -> None:
    state = room(on_board())
    assert state.redact({"redacts": "$m1"}) == [f"_{ALICE}_AD"]
    assert overview(state, NOW) == ()


@pytest.mark.scenario("S33")
def test_ids_of_version_12_have_no_server_part() -> None:
    ids = ("!a3UEvPS4B7bXlWXyckTlsCrnH6oaPrLnBBEE8q8vLjc", "!a3UEvPS4B7bXlWXyckTlsCrnH_whiteboard")
    key = BoardKey(*ids, "$d1")
    state = RoomState(key.room_id, BOT)
    for event in (board_event(key), member(ALICE), on_board(call_id=key.whiteboard_id)):
        state.apply(event)
    assert [view.board for view in overview(state, NOW)] == [key]


@pytest.mark.scenario("X03")
def test_a_leave_that_comes_late_closes_what_the_expiry_has_not() -> None:
    early = room(on_board(), off_board())
    late = room(on_board())
    assert overview(early, NOW) == overview(late, LATER) == ()
    late.apply(off_board())
    assert overview(late, LATER) == ()
    assert late.memberships == {}


@pytest.mark.scenario("X04")
def test_a_state_reset_brings_nobody_back_who_has_expired() -> None:
    old = on_board(expires=NOW)
    state = room(old, on_board(event_id="$m2"), off_board())
    state.apply(old)
    assert overview(state, NOW) == ()
    state.apply(on_board(event_id="$m2"))  # what comes later stands
    assert len(overview(state, NOW)) == 1


def calls(work: Callable[[], object]) -> int:
    """How many functions are called, ours and those of Python."""
    count = 0

    def one(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(one)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.scenario("S34")
def test_ten_thousand_who_left_cost_next_to_nothing() -> None:
    """Work is counted, not timed: 100 ms are about a million calls."""
    state = room(on_board())
    left = [off_board(f"@u{number}:here", "D") for number in range(10_000)]

    def take() -> None:
        for event in left:
            state.apply(event)

    assert calls(take) < 25 * len(left)
    assert calls(lambda: overview(state, NOW)) < 100
    assert len(state.memberships) == 1


# -- who is on the boards: what is told ------------------------------------------------------


class Watched:
    """A room's attendance, what it told, and a clock."""

    def __init__(self) -> None:
        self.state = room()
        self.told: list[Event] = []
        self.attendance = Attendance(ROOM, self.told.append)
        self.now = NOW
        self.boards = [KEY, OTHER]

    def look(self, *events: dict[str, Any]) -> list[Event]:
        """Let the room say something; return what handlers are told."""
        for event in events:
            self.state.apply(event)
        self.told.clear()
        self.attendance.look(overview(self.state, self.now), self.boards, self.now)
        return list(self.told)


@pytest.fixture
def here() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.attendance.forget()


def changed(board: BoardKey, *people: tuple[str, str], ts: int = NOW) -> SessionChanged:
    return SessionChanged(board, ts, tuple(Participant(*one) for one in people))


@pytest.mark.scenario("S16")
def test_an_expiry_is_told_at_its_instant_without_an_event(here: Watched) -> None:
    assert here.look(on_board()) == [changed(KEY, (ALICE, "AD"))]
    due = next_change(here.state.live_of_all(here.now), here.now)
    assert due == LATER
    here.now = due - 1
    assert here.look() == []
    here.now = due
    assert here.look() == [changed(KEY, ts=due)]
    assert here.look() == []


@pytest.mark.scenario("S19", "S24")
def test_a_change_is_told_once_and_nothing_else_is(here: Watched) -> None:
    assert here.look() == []
    people = ((ALICE, "A2"), (ALICE, "AD"))
    assert here.look(on_board(), on_board(device="A2", event_id="$m2")) == [changed(KEY, *people)]
    assert here.look(on_board()) == []
    assert here.look(on_board(BOT, DEVICE)) == []  # the bot itself is nobody
    assert here.look(in_call(BOB, "BD")) == []  # nor is who only talks
    assert here.look(on_board(expires=LATER + 1, event_id="$m3")) == []  # a renewal
    assert here.look(on_board(call_id="$d1", event_id="$m4")) == []  # the same board, other name
    assert here.look(on_board(call_id="w2", event_id="$m5")) == [
        changed(KEY, (ALICE, "A2")),
        changed(OTHER, (ALICE, "AD")),
    ]


def test_another_document_is_another_board(here: Watched) -> None:
    here.look(on_board())
    renewed = BoardKey(ROOM, "w1", "$d3")
    here.boards = [OTHER]  # while the new one is being found
    assert here.look(board_event(renewed)) == []
    here.boards = [renewed, OTHER]
    assert here.look() == [changed(renewed, (ALICE, "AD"))]


def test_what_is_not_for_the_bot_is_reported_as_numbers(
    here: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """QS6, QS7: unknown boards, applications and media servers."""
    caplog.set_level("INFO")

    def counted() -> dict[str, float | None]:
        kinds = ("board", "unknown_board", "other")
        read = metrics.REGISTRY.get_sample_value
        return {kind: read("boardkeeper_sessions", {"about": kind}) for kind in kinds}

    before = {kind: number or 0 for kind, number in counted().items()}
    mesh = on_board(BOB, "BD", "strange", event_id="$m2")
    mesh["content"]["foci_preferred"] = [{"type": "full_mesh"}]
    here.look(on_board(), in_call(), mesh)
    [line] = caplog.records
    said = {"unknown_boards": 1, "other_applications": 1, "unknown_foci": 1}
    assert said.items() <= line.__dict__.items()
    assert counted() == {kind: before[kind] + 1 for kind in before}
    caplog.clear()
    here.look(on_board(event_id="$m7"))
    assert not caplog.records
    assert "strange" not in caplog.text
    here.attendance.forget()
    assert counted() == before


def test_any_order_of_events_gives_the_same_sessions() -> None:
    events = [
        *(on_board(f"@u{one}:here", event_id=f"$u{one}") for one in range(5)),
        *(in_call(f"@u{one}:here") for one in range(5)),
        *(member(f"@u{one}:here") for one in range(5)),
    ]
    expected = overview(room(*events), NOW)
    assert len(expected[1].members) == 5
    for seed in range(20):
        random.Random(seed).shuffle(events)
        assert overview(room(*events), NOW) == expected
