"""Lines of recordings: what a hostile one could say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InvalidRecording
from bot.whiteboard import lines
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.lines import (
    Header,
    Trailer,
    entry_line,
    header_line,
    read_header,
    read_line,
    trailer_line,
)

HEADER = Header(BoardKey("!room:example.org", "board", "$document"), None, 5)
ENTRY = Entry(0, 5, Kind.CURSOR, "@anna:example.org", None, b"{}", 1)
SHA = "0" * 64


def changed(line: bytes, **fields: Any) -> bytes:
    found = {**json.loads(line), **fields}
    return json.dumps({key: value for key, value in found.items() if value is not ...}).encode()


@given(line=st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_random_lines_are_none(line: bytes) -> None:
    with pytest.raises(InvalidRecording):
        read_header(line)
    with pytest.raises(InvalidRecording):
        read_line(line, 1)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from(list(json.loads(entry_line(ENTRY, 1)))), VALUES))
def test_any_value_is_taken_or_refused(fields: dict[str, Any]) -> None:
    line = changed(entry_line(ENTRY, 1), **fields)
    try:
        found = read_line(line, 1)
    except InvalidRecording:
        return
    assert isinstance(found, Entry)
    assert read_line(entry_line(found, 1), 1) == found


def test_a_header_comes_back() -> None:
    assert read_header(header_line(HEADER)) == HEADER


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"format": "other"}, "not the header"),
        ({"format": ...}, "not the header"),
        ({"version": 2}, "all this boardkeeper reads"),
        ({"version": True}, "all this boardkeeper reads"),
        ({"room_id": ...}, "room_id is missing"),
        ({"more": 1}, "unknown fields"),
        ({"room_id": ""}, "room_id is not an id"),
        ({"room_id": 1}, "room_id is not an id"),
        ({"document_id": "$" + "é" * 200}, "document_id is not an id"),
        ({"whiteboard_id": "\x1b[31mred"}, "whiteboard_id is not an id"),
        ({"whiteboard_id": "\ud800"}, "whiteboard_id is not an id"),
        ({"whiteboard_version": "00"}, "whiteboard_version"),
        ({"whiteboard_version": 0}, "whiteboard_version"),
        ({"exported_ts": -1}, "exported_ts"),
        ({"exported_ts": 1.5}, "exported_ts"),
        ({"anonymised": 1}, "anonymised"),
    ],
)
def test_a_header_with_something_wrong(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidRecording, match=why):
        read_header(changed(header_line(HEADER), **fields))


def test_a_header_that_nobody_could_read_is_not_written() -> None:
    with pytest.raises(InvalidRecording, match="room_id"):
        header_line(Header(BoardKey("", "board", "$document"), None, 5))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"seq": 2}, "seq is not 1"),
        ({"seq": True}, "seq is not 1"),
        ({"seq": 1.0}, "seq is not 1"),
        ({"ts": -1}, "ts is not"),
        ({"ts": 2**53 + 1}, "ts is not"),
        ({"ts": True}, "ts is not"),
        ({"kind": "gossip"}, "kind"),
        ({"kind": ["update"]}, "kind"),
        ({"sender": 1}, "sender"),
        ({"sender": "x" * 65_537}, "sender"),
        ({"device": "a\udfff"}, "device"),
        ({"data": None}, "base64"),
        ({"data": "a"}, "base64"),
        ({"data": "YQ="}, "base64"),
        ({"data": "YQ==\n"}, "base64"),
        ({"data": "Yé=="}, "base64"),
        ({"data": ...}, "data is missing"),
        ({"more": 1}, "unknown fields"),
        ({"sha256": SHA}, "unknown fields|entries is missing"),
    ],
)
def test_an_entry_with_something_wrong(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidRecording, match=why):
        read_line(changed(entry_line(ENTRY, 1), **fields), 1)


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"1", b"NaN", b'{"a":NaN}', b"[" * 100_000, b"9" * 5_000, b"\xff", b'{"a":1}x'],
)
def test_what_is_no_object(line: bytes) -> None:
    for read in (read_header, lambda one: read_line(one, 1)):
        with pytest.raises(InvalidRecording, match=r"not JSON|not a JSON object|is missing|header"):
            read(line)


def test_trailers() -> None:
    assert read_line(trailer_line(Trailer(7, SHA)), 1) == Trailer(7, SHA)
    for wrong in ({"sha256": "0" * 63}, {"sha256": 1}, {"entries": -1}, {"entries": ...}):
        with pytest.raises(InvalidRecording):
            read_line(changed(trailer_line(Trailer(7, SHA)), **wrong), 1)


def test_data_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    line = entry_line(Entry(0, 5, Kind.UPDATE, None, None, bytes(40)), 1)
    monkeypatch.setattr(lines, "MAX_DATA", 30)
    with pytest.raises(InvalidRecording, match="base64"):
        read_line(line, 1)
    with pytest.raises(InvalidRecording, match="larger than"):
        entry_line(Entry(0, 5, Kind.UPDATE, None, None, bytes(40)), 1)


def test_a_line_never_exceeds_what_is_read() -> None:
    assert lines.MAX_LINE > lines.MAX_DATA * 4 / 3 + 2 * 6 * lines.MAX_NAME
