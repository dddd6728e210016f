from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rtc.history import MAX_TS, read_row

EVENT: dict[str, Any] = {
    "type": "org.matrix.msc3401.call.member",
    "state_key": "_@alice:here_AD",
    "event_id": "$m1",
    "sender": "@alice:here",
    "origin_server_ts": 5,
    "content": {"x": 1},
}


def test_what_is_kept() -> None:
    assert read_row(EVENT) == ("_@alice:here_AD", "$m1", "@alice:here", 5, {"x": 1})
    assert read_row({**EVENT, "origin_server_ts": MAX_TS}) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "m.room.member"},
        {"state_key": None},
        {"origin_server_ts": 2**63},
        {"origin_server_ts": MAX_TS + 1},
        {"origin_server_ts": -1},
        {"origin_server_ts": 1.5},
        {"event_id": "\ud800"},
    ],
)
def test_what_no_archive_takes_is_left_out(wrong: dict[str, Any]) -> None:
    assert read_row({**EVENT, **wrong}) is None


@given(
    st.text(st.characters()),
    st.integers() | st.floats() | st.booleans(),
)
def test_whatever_is_kept_sqlite_takes(text: str, ts: Any) -> None:
    row = read_row({**EVENT, "state_key": text, "origin_server_ts": ts})
    if row is not None:
        sqlite3.connect(":memory:").execute("SELECT ?, ?, ?, ?", row[:4])
