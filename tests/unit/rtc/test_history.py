from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rtc.history import MAX_TS, Pause, Row, is_kept, read_rows

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
    assert (state.type, state.content) == ("m.rtc.member", {"member": {"id": "k"}})


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


@given(
    st.text(st.characters()),
    st.integers() | st.floats() | st.booleans(),
)
def test_whatever_is_kept_sqlite_takes(text: str, ts: Any) -> None:
    for row in read_rows({**EVENT, "state_key": text, "origin_server_ts": ts}):
        sqlite3.connect(":memory:").execute("SELECT ?, ?, ?, ?, ?", row[:5])
