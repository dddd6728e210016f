from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InvalidMembership
from bot.rtc.history import MAX_TS, Pause, Row, is_kept, read_rows
from bot.rtc.membership import Membership, read_memberships
from bot.rtc.stickyevent import StickyEvent, read_sticky

EVENT: dict[str, Any] = {
    "type": "org.matrix.msc3401.call.member",
    "state_key": "_@alice:here_AD",
    "event_id": "$m1",
    "sender": "@alice:here",
    "origin_server_ts": 5,
    "content": {"m.application": "a", "call_id": "c", "foci_preferred": [1], "x": 1},
}
KEPT = Row(
    "org.matrix.msc3401.call.member",
    "_@alice:here_AD",
    "$m1",
    "@alice:here",
    5,
    {"m.application": "a", "call_id": "c"},
)
OUT = {"type": "m.room.member", "state_key": "@bob:here", "content": {"membership": "ban"}}
REDACTION: dict[str, Any] = {
    "type": "m.room.redaction",
    "event_id": "$r1",
    "sender": "@bob:here",
    "origin_server_ts": 9,
    "redacts": "$m1",
    "content": {"reason": "x"},
}
REDACTED = Row("m.room.redaction", "$m1", "$r1", "@bob:here", 9, {})


def test_what_is_kept() -> None:
    assert read_rows(EVENT) == [KEPT]
    assert read_rows({**EVENT, "origin_server_ts": MAX_TS}) != []
    assert read_rows({**EVENT, "content": None}) == [KEPT._replace(content={})]
    [out] = read_rows({**EVENT, **OUT})
    assert (out.state_key, out.content) == ("@bob:here", {"membership": "ban"})


STICKY: dict[str, Any] = {
    "type": "m.rtc.member",
    "event_id": "$s1",
    "sender": "@alice:here",
    "origin_server_ts": 5,
    "sticky": {"duration_ms": 7, "x": 1},
    "content": {"slot_id": "a#c", "member": {"id": "k"}, "sticky_key": "k", "transports": {}},
}


def test_what_is_kept_of_a_sticky_member() -> None:
    content = {"slot_id": "a#c", "member": {"id": "k"}, "sticky_key": "k"}
    kept = content | {"msc4354_sticky": {"duration_ms": 7}}
    row = Row("org.matrix.msc4143.rtc.member", "k", "$s1", "@alice:here", 5, kept)
    assert read_rows(STICKY) == [row]
    unstable = {**STICKY, "type": row.type, "sticky": None, "msc4354_sticky": {"duration_ms": 7}}
    del unstable["sticky"]
    assert read_rows(unstable) == [row]
    # Redacted, it does not say any more whose it was.
    [gone] = read_rows({**unstable, "content": {}, "msc4354_sticky": None})
    assert (gone.state_key, gone.content) == ("", {})
    # With a state key it is another thing of the same name.
    [state] = read_rows({**STICKY, "state_key": "k"})
    assert (state.type, state.content) == ("m.rtc.member", {"member": {}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"sticky": {"duration_ms": "7"}},
        {"sticky": 7},
        {"content": {"sticky_key": 5}},
        {"content": {"slot_id": "a#c"}},
        {"content": {"sticky_key": "\ud800"}},
    ],
)
def test_what_is_not_sticky_is_left_out(wrong: dict[str, Any]) -> None:
    assert read_rows({**STICKY, **wrong}) == []


def test_redactions() -> None:
    assert read_rows(REDACTION) == [REDACTED]
    since_version_11 = {**REDACTION, "redacts": 7, "content": {"redacts": "$m1"}}
    del since_version_11["redacts"]
    assert read_rows(since_version_11) == [REDACTED]
    assert read_rows({**REDACTION, "redacts": 7}) == []
    because = {name: value for name, value in REDACTION.items() if name != "redacts"}
    assert read_rows({**EVENT, "unsigned": {"redacted_because": because}}) == [KEPT, REDACTED]
    assert read_rows({**EVENT, "unsigned": {"redacted_because": {}}}) == [KEPT]
    assert read_rows({**EVENT, "unsigned": {}}) == [KEPT]


def test_what_happened_in_a_pause_is_not_kept() -> None:
    assert is_kept(KEPT, [])
    for pause, kept in (
        (Pause(5, 6), False),
        (Pause(4, 5), True),
        (Pause(6, None), True),
        (Pause(5, None), False),
    ):
        assert is_kept(KEPT, [pause]) is kept


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "m.room.member"},
        {"type": "m.room.name"},
        OUT | {"content": {"membership": "join"}},
        OUT | {"content": {"membership": ["leave"]}},
        OUT | {"content": []},
        {"state_key": None},
        {"origin_server_ts": 2**63},
        {"origin_server_ts": MAX_TS + 1},
        {"origin_server_ts": -1},
        {"origin_server_ts": 1.5},
        {"event_id": "\ud800"},
    ],
)
def test_what_no_archive_takes_is_left_out(wrong: dict[str, Any]) -> None:
    assert read_rows({**EVENT, **wrong}) == []


def test_objects_are_kept_by_the_fields_that_are_read() -> None:
    pad = "x" * 60_000
    member = {"device_id": "D", "m.user_id": "@alice:here", "pad": pad}
    session = {"application": "a", "id": {"pad": pad}, "call_id": "no"}
    entry = {"application": "a", "call_id": "", "device_id": "D", "expires_ts": 7, "pad": pad}
    content = {"member": member, "m.session": session, "memberships": [entry, pad] * 50}
    [row] = read_rows({**EVENT, "content": content})
    kept = {name: value for name, value in entry.items() if name != "pad"}
    assert row.content == {
        "member": {"device_id": "D", "m.user_id": "@alice:here"},
        "m.session": {"application": "a", "id": {}},
        "memberships": [kept] * 16,
    }
    [row] = read_rows({**EVENT, "content": {"memberships": {"pad": pad}, "call_id": [pad]}})
    assert row.content == {"memberships": {}, "call_id": []}
    wide = {"member": {"id": pad, "pad": pad}, "application": {"type": "a", "pad": pad}}
    [row] = read_rows({**STICKY, "content": wide | {"sticky_key": "k", "slot_id": pad}})
    assert row.content["application"] == {"type": "a"}
    assert row.content["member"] == {"id": "x" * 256}, "which is too long as it was"
    assert len(json.dumps(row.content)) < 1000
    assert read_rows({**STICKY, "content": {**STICKY["content"], "sticky_key": pad}}) == []


_LEAF = (
    st.sampled_from(["a", "a#c", "c", "k", "D", "join", "leave", "@alice:here", "x" * 255])
    | st.sampled_from(["x" * 256, "x" * 300, "\ud800", "", None, True, 7, 1.5, 10**13, -1])
    | st.sampled_from([{}, [], {"id": "k"}, ["c"]])
)
_NAMES = ["application", "call_id", "created_ts", "device_id", "expires", "id", "type", "pad"]
_NAMES += ["user_id", "claimed_user_id", "claimed_device_id", "membership", "m.device_id"]
_OBJECT = st.dictionaries(st.sampled_from([*_NAMES, "expires_ts"]), _LEAF)
_TOP = ["slot_id", "m.call_id", "disconnect_reason", "msc4354_sticky_key"]
_INNER = ["member", "session", "application", "m.session", "memberships"]
_ENTRY = {"application": "a", "call_id": "c", "device_id": "D", "expires": 7}
_SOUND: list[dict[str, Any]] = [
    {"application": "a", "call_id": "c", "device_id": "D"},
    {"m.session": {"application": "a", "id": "c"}, "member": {"device_id": "D"}},
    {"memberships": [_ENTRY, {**_ENTRY, "device_id": 7}, "x"]},
    {"application": {"type": "a"}, "slot_id": "a#c", "member": {"id": "k", "device_id": "D"}},
    {},
]
_CONTENT = st.builds(
    lambda sound, outer, inner: sound | outer | inner,
    st.sampled_from(_SOUND),
    st.dictionaries(st.sampled_from([*_NAMES, *_TOP]), _LEAF, max_size=3),
    st.dictionaries(
        st.sampled_from(_INNER),
        _OBJECT | st.lists(_OBJECT | _LEAF, max_size=4) | _LEAF,
        max_size=2,
    ),
)


def _says(read: Any, event: Any) -> Any:
    """What a history reads of an event."""
    try:
        found = read(event)
    except InvalidMembership:
        return None
    if isinstance(found, StickyEvent):
        return replace(found, member=found.member and _bare(found.member))
    return [_bare(one) for one in found]


def _bare(one: Membership) -> Membership:
    return replace(one, extra={})


@given(_CONTENT, st.sampled_from(["_@alice:here_AD", "@alice:here"]))
def test_a_history_reads_of_what_is_kept_what_it_would_of_the_whole(
    content: dict[str, Any], key: str
) -> None:
    event = {**EVENT, "state_key": key, "content": content}
    [row] = read_rows(event)
    assert _says(read_memberships, {**event, "content": row.content}) == _says(
        read_memberships, event
    )


@given(_CONTENT, st.sampled_from(["k", "x" * 255, "x" * 256]))
def test_of_a_sticky_member_too(content: dict[str, Any], key: str) -> None:
    event = {**STICKY, "content": content | {"sticky_key": key}}
    rows = read_rows(event)
    whole = _says(read_sticky, event)
    if not rows:
        assert whole is None
    for row in rows:
        assert _says(read_sticky, {**event, "content": row.content}) == whole


@given(
    st.text(st.characters()),
    st.integers() | st.floats() | st.booleans(),
)
def test_whatever_is_kept_sqlite_takes(text: str, ts: Any) -> None:
    for row in read_rows({**EVENT, "state_key": text, "origin_server_ts": ts}):
        sqlite3.connect(":memory:").execute("SELECT ?, ?, ?, ?, ?", row[:5])
