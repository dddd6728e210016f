"""What the simulated user writes has the very form of what real clients wrote."""

from __future__ import annotations

import base64
import json

import pytest

from tests.stack.client import events
from tests.stack.client.events import Board
from tests.stack.client.members import choose_focus, present, read_identity, read_member
from tests.stack.client.members import read_well_known as foci_of
from tests.stack.client.snapshots import Backlog
from tests.unit.stack.conftest import Recorded

HUMANS = ("@alice:localhost:18008:ALICEDEV", "@bob:localhost:18008:BOBDEV")


def rebuilt(raw: str) -> bytes:
    """The packet made again out of its values."""
    message = json.loads(raw)
    kind, content = message["type"].removeprefix(events.PREFIX), message["content"]
    match kind:
        case "document_update":
            return events.update_packet(content["documentId"], base64.b64decode(content["data"]))
        case "cursor_update":
            return events.cursor_packet(content["slideId"], **content["position"])
        case "focus_on":
            return events.focus_packet(content["slideId"])
    what = kind.removeprefix("present_")
    view = content.get("view", {})
    return events.present_packet(what, view.get(f"{what}Id"), edit=view.get("isEditMode", False))


@pytest.mark.parametrize("name", ["slides", "infinite"])
def test_packets_are_byte_equal(name: str, request: pytest.FixtureRequest) -> None:
    recorded: Recorded = request.getfixturevalue(name)
    rows = [row for row in recorded.rows if row.get("sender") in HUMANS]
    assert {row["type"] for row in rows} > {events.PREFIX + "cursor_update"}
    for row in rows:
        assert rebuilt(row["raw"]) == row["raw"].encode()
        assert (row["topic"], row["kind"]) == ("", "KIND_LOSSY")


def test_numbers_are_written_as_javascript_writes_them() -> None:
    assert (
        events.stringify({"x": 2.0, "y": [1.5, "ü", None, True]})
        == '{"x":2,"y":[1.5,"ü",null,true]}'
    )


def test_a_membership_is_as_recorded(slides: Recorded) -> None:
    joined = [event for event in slides.of_type(events.MEMBER) if event["content"]]
    room_id = joined[0]["room_id"]
    board = Board(room_id, events.whiteboard_id(room_id), slides.recording.document_id)
    for event in joined:
        device = event["content"]["device_id"]
        (focus,) = event["content"]["foci_preferred"]
        url, expires = focus["livekit_service_url"], event["content"]["expires"]
        assert event["content"] == events.member_content(board, device, [url], expires)
        assert event["state_key"] == events.member_key(event["sender"], device)
        assert abs(event["origin_server_ts"] + events.EXPIRES_AFTER_MS - expires) < 500


def test_a_room_is_as_recorded(slides: Recorded) -> None:
    (board,) = slides.of_type(events.BOARD)
    assert board["state_key"] == events.whiteboard_id(board["room_id"])
    (widget,) = slides.of_type(events.WIDGET)
    assert widget["content"] == events.widget_content("http://localhost:18080/")
    assert slides.of_type(events.LAYOUT)[0]["content"] == events.LAYOUT_CONTENT
    assert events.room_request("Untitled") == {
        "name": "Untitled",
        "power_level_content_override": {"events": {events.MEMBER: 0}},
    }


def test_snapshots_are_as_recorded_and_are_put_together_again(slides: Recorded) -> None:
    document_id = slides.recording.document_id
    chunks = slides.of_type(events.CHUNK)
    for event in slides.of_type(events.SNAPSHOT):
        assert event["content"] == events.snapshot_content(document_id, 1)
        (chunk,) = (
            one for one in chunks if one["content"]["m.relates_to"]["event_id"] == event["event_id"]
        )
        data = base64.b64decode(chunk["content"]["data"])
        assert events.chunk_contents(document_id, event["event_id"], data) == [chunk["content"]]
        backlog = Backlog(document_id)
        assert backlog.add(chunk) is None
        found = backlog.add(event)
        assert found is not None
        assert (found.data, found.sender) == (data, event["sender"])


def test_chunks_hold_34000_bytes() -> None:
    data = bytes(100_000)
    contents = events.chunk_contents("$doc", "$snapshot", data)
    sizes = [len(base64.b64decode(content["data"])) for content in contents]
    assert sizes == [34_000, 34_000, 32_000]
    assert events.chunk_count(data) == 3
    assert events.chunk_count(bytes(34_000)) == 1


def event(kind: str, event_id: str, ts: int, content: dict[str, object]) -> dict[str, object]:
    return {
        "type": kind,
        "event_id": event_id,
        "sender": "@alice:x",
        "origin_server_ts": ts,
        "content": content,
    }


def test_the_backlog_wants_all_chunks_and_nothing_old() -> None:
    data = bytes(range(200)) * 200
    announced = event(events.SNAPSHOT, "$new", 20, events.snapshot_content("$doc", 2))
    first, second = (
        event(events.CHUNK, f"$c{n}", 21 + n, content)
        for n, content in enumerate(events.chunk_contents("$doc", "$new", data))
    )
    backlog = Backlog("$doc")
    assert backlog.add(second) is None
    assert backlog.add(second) is None
    assert backlog.add(announced) is None
    assert backlog.add(announced) is None
    found = backlog.add(first)
    assert found is not None
    assert found.data == data

    backlog.accept(found)
    old = event(events.SNAPSHOT, "$old", 20, events.snapshot_content("$doc", 1))
    chunk = event(events.CHUNK, "$c", 30, events.chunk_contents("$doc", "$old", b"1")[0])
    assert backlog.add(old) is None
    assert backlog.add(chunk) is None


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"m.relates_to": "no"},
        {"m.relates_to": {"rel_type": "m.replace", "event_id": "$s"}},
        {"m.relates_to": {"rel_type": "m.reference", "event_id": 1}},
        {"documentId": "$other", "sequenceNumber": 0, "data": "AA=="},
        {"documentId": "$doc", "sequenceNumber": True, "data": "AA=="},
        {"documentId": "$doc", "sequenceNumber": -1, "data": "AA=="},
        {"documentId": "$doc", "sequenceNumber": 0, "data": "A"},
        {"documentId": "$doc", "sequenceNumber": 0, "data": 1},
        {"documentId": "$doc", "sequenceNumber": 0, "data": ""},
    ],
)
def test_the_backlog_skips_what_is_malformed(content: dict[str, object]) -> None:
    relation = {"rel_type": "m.reference", "event_id": "$s"}
    backlog = Backlog("$doc")
    announced = event(events.SNAPSHOT, "$s", 1, events.snapshot_content("$doc", 1))
    assert backlog.add(announced) is None
    assert backlog.add(event(events.CHUNK, "$c", 2, {"m.relates_to": relation, **content})) is None
    foreign = event(events.SNAPSHOT, "$f", 1, events.snapshot_content("$foreign", 1))
    assert backlog.add(foreign) is None
    uncounted = event(
        events.SNAPSHOT, "$u", 1, {**events.snapshot_content("$doc", 1), "chunkCount": "1"}
    )
    assert backlog.add(uncounted) is None


def test_the_focus_is_the_oldest_memberships(slides: Recorded) -> None:
    alice, bob = (e for e in slides.of_type(events.MEMBER)[:2])
    now = int(bob["origin_server_ts"])
    members = present([bob, alice], now)
    assert [member.user_id for member in members] == [bob["sender"], alice["sender"]]
    theirs = "http://localhost:18020"
    assert choose_focus(members, bob["state_key"], ["http://mine"]) == theirs
    assert choose_focus(members, alice["state_key"], ["http://mine"]) == "http://mine"
    assert choose_focus([], "", []) is None
    assert present([alice], int(alice["content"]["expires"])) == []


def test_members_are_read_as_neoboard_reads_them(slides: Recorded) -> None:
    good = slides.of_type(events.MEMBER)[0]
    assert read_member({**good, "content": {}}) is None
    for key in good["content"]:
        broken = {name: value for name, value in good["content"].items() if name != key}
        assert read_member({**good, "content": broken}) is None


def test_the_well_known_file_and_identities() -> None:
    foci = [{"type": "livekit", "livekit_service_url": "u"}, {"type": "other"}, "no"]
    assert foci_of({"org.matrix.msc4143.rtc_foci": foci}) == ["u"]
    assert foci_of({}) == foci_of(None) == []
    assert read_identity("@u:hs:8448:DEV") == ("@u:hs:8448", "DEV")
    assert [read_identity(one) for one in ("something", ":", "@u:DEV", "")] == [None] * 4
