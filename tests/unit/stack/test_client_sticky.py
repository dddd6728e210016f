"""What a NeoBoard client of the sticky profile takes for a membership, and what it ignores."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.stack.client.events import Board
from tests.stack.client.members import pseudonym, service_urls
from tests.stack.client.sticky import (
    STICKY,
    STICKY_MS,
    Stickies,
    join_content,
    leave_content,
    sticky_problems,
)

ALICE = "@alice:hs"
BOARD = Board("!room", "wb1", "$doc")
NOW = 1_800_000_000_000


def join(**more: Any) -> dict[str, Any]:
    return {**event(join_content(BOARD, "DEV", "m1", "https://a")), **more}


def leave(**more: Any) -> dict[str, Any]:
    return event(leave_content(BOARD, "DEV", "m1", "delayed_leave"), **more)


def event(content: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": STICKY,
        "sender": ALICE,
        "event_id": "$1",
        "origin_server_ts": NOW,
        "content": content,
        "msc4354_sticky": {"duration_ms": STICKY_MS},
        **more,
    }


def read(*events: dict[str, Any], now_ts: int = NOW) -> list[str]:
    room = Stickies()
    for one in events:
        room.take(one, NOW)
    return [member.member_id for member in room.members(now_ts)]


def changed(path: str, value: object) -> dict[str, Any]:
    """A join with one field set, or taken away by None."""
    content: dict[str, Any] = copy.deepcopy(join()["content"])
    *way, last = path.split("/")
    inner = content
    for step in way:
        inner = inner[step]
    inner[last] = value
    if value is None:
        del inner[last]
    return event(content)


def test_a_join_and_a_leave_are_good_and_read() -> None:
    assert sticky_problems(join()) == sticky_problems(leave()) == []
    room = Stickies()
    room.take(join(), NOW)
    (member,) = room.members(NOW)
    assert (member.user_id, member.device_id, member.call_id) == (ALICE, "DEV", "wb1")
    assert member.focus_urls == ("https://a",)
    assert member.identity == pseudonym(ALICE, "DEV", "m1")
    room.redact("$1")
    assert room.members(NOW) == []


@pytest.mark.parametrize("more", [{}, {"extra": 1}])
def test_extra_fields_and_both_spellings_are_fine(more: dict[str, Any]) -> None:
    content = {**join_content(BOARD, "DEV", "m1", "https://a", "m.livekit"), **more}
    assert sticky_problems(event(content)) == []
    assert service_urls(content["transports"]["published"]) == ["https://a"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("slot_id", None),
        ("slot_id", "net.nordeck.whiteboard#other"),
        ("msc4354_sticky_key", None),
        ("msc4354_sticky_key", "another"),
        ("member", None),
        ("member/id", None),
        ("member/membership", None),
        ("member/device_id", None),
        ("member/device_id", 5),
        ("application/type", "m.call"),
        ("application/whiteboard_id", None),
        ("transports", []),
        ("transports/published", None),
        ("transports/published", [{}]),
        ("transports/published", [{"type": "livekit"}]),
        ("transports/can_subscribe", None),
        ("transports/can_subscribe", ["m.livekit"]),
        ("transports/can_subscribe", ["livekit", "other"]),
    ],
)
def test_one_wrong_field_and_it_is_no_join(path: str, value: object) -> None:
    bad = changed(path, value)
    assert len(sticky_problems(bad)) >= 1
    assert read(bad) == []


@pytest.mark.parametrize(
    "more",
    [
        {"type": "m.room.message"},
        {"state_key": ""},
        {"msc4354_sticky": {}},
        {"msc4354_sticky": {"duration_ms": STICKY_MS + 1}},
        {"content": None},
    ],
)
def test_the_event_around_it_is_judged_too(more: dict[str, Any]) -> None:
    assert sticky_problems(join(**more)) != []


def test_a_leave_needs_a_known_reason() -> None:
    assert sticky_problems(event(leave_content(BOARD, "DEV", "m1", "tired"))) != []


def test_a_leave_beats_the_join_in_any_order_and_for_this_member_only() -> None:
    late = join(event_id="$2", origin_server_ts=NOW + 10)
    assert read(join(), leave()) == read(leave(), join()) == read(leave(), late) == []
    other = event(join_content(BOARD, "DEV", "m2", "https://a"), event_id="$3")
    assert read(leave(), other) == ["m2"]
    assert read(join(), leave(sender="@eve:hs")) == ["m1"]


def test_the_one_that_ends_last_counts_and_then_the_higher_id() -> None:
    def url(*events: dict[str, Any]) -> tuple[str, ...]:
        room = Stickies()
        for one in events:
            room.take(one, NOW)
        return room.members(NOW)[0].focus_urls

    old = join()
    new = event(join_content(BOARD, "DEV", "m1", "https://b"), event_id="$0")
    later = {**new, "origin_server_ts": NOW + 1}
    assert url(old, later) == url(later, old) == ("https://b",)
    assert url(old, new) == url(new, old) == ("https://a",)


def test_it_ends_as_the_homeserver_counts_and_never_later_than_an_hour() -> None:
    counted = join(origin_server_ts=NOW - 10**9, unsigned={"msc4354_sticky_duration_ttl_ms": 500})
    assert read(counted, now_ts=NOW + 499) == ["m1"]
    assert read(counted, now_ts=NOW + 500) == []
    long = join(origin_server_ts=NOW + 5000, msc4354_sticky={"duration_ms": 2 * STICKY_MS})
    assert read(long, now_ts=NOW + STICKY_MS - 1) == ["m1"]
    assert read(long, now_ts=NOW + STICKY_MS) == []
