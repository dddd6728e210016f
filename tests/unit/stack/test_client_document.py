"""The simulated user's document does with updates what NeoBoard does."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Map

from tests.stack.client import edits, elements
from tests.stack.client.document import BoardDocument, Refused, initial
from tests.stack.client.edits import Edit
from tests.stack.client.elements import FIRST_SLIDE
from tests.stack.client.nwb import comparable, exported
from tests.stack.client.recording import SentPacket, SentSnapshot
from tests.stack.client.yjs import glance, replace_text
from tests.unit.stack.conftest import Recorded

PEOPLE = ("alice", "bob")
# When the clients' exports were made (slides), or nothing but people had drawn (infinite).
EXPORTED_TS = {"slides": 1795218261000, "infinite": 1795219200000}


def board_of(document: BoardDocument, recorded: Recorded) -> dict[str, object]:
    return comparable(exported(document.content(), document.version, recorded.recording.files))


@pytest.mark.parametrize("name", ["slides", "infinite"])
@pytest.mark.parametrize("snapshots", [True, False])
def test_the_recorded_session_becomes_the_clients_export(
    name: str, *, snapshots: bool, request: pytest.FixtureRequest
) -> None:
    recorded: Recorded = request.getfixturevalue(name)
    recording = recorded.recording
    document = BoardDocument(recording.version)
    for sent in recording.of(PEOPLE, EXPORTED_TS[name], snapshots=snapshots):
        if isinstance(sent, SentSnapshot):
            document.load(sent.data)
        elif sent.update is not None:
            document.receive(sent.update)
    assert board_of(document, recorded) == comparable(recording.export)
    assert not document.waiting


@pytest.mark.parametrize("seed", range(6))
def test_what_a_bad_connection_loses_the_next_snapshot_heals(slides: Recorded, seed: int) -> None:
    recording = slides.recording
    chance = random.Random(seed)
    document = BoardDocument()
    sent = list(recording.of(PEOPLE, EXPORTED_TS["slides"], snapshots=False))
    chance.shuffle(sent)
    for one in sent:
        if isinstance(one, SentPacket) and one.update is not None and chance.random() > 0.1:
            try:
                document.receive(one.update)
            except Refused:
                continue  # out of order some are invalid for a while, for NeoBoard too
    assert board_of(document, slides) != comparable(recording.export)
    last = next(
        one.data
        for one in recording.sent
        if isinstance(one, SentSnapshot) and one.ts > EXPORTED_TS["slides"]
    )
    document.load(last)
    assert board_of(document, slides) == comparable(recording.export)


def test_an_update_waits_for_the_missing_one() -> None:
    alice, bob = BoardDocument(), BoardDocument()
    first = alice.change(edits.add_element(FIRST_SLIDE, "a", elements.shape()))
    second = alice.change(edits.change_element(FIRST_SLIDE, "a", {"text": "late"}))
    bob.receive(second)
    assert bob.waiting
    assert bob.content() == BoardDocument().content()
    assert bob.glance().more_than(glance(initial("0")))
    bob.receive(first)
    assert not bob.waiting
    assert bob.content() == alice.content()


def test_an_invalid_update_is_dropped_and_later_ones_of_its_author_wait() -> None:
    alice, bob = BoardDocument(), BoardDocument()
    star = alice.change(edits.add_element(FIRST_SLIDE, "star", elements.shape("star")))
    with pytest.raises(Refused, match="kind"):
        bob.receive(star)
    good = alice.change(edits.add_element(FIRST_SLIDE, "good", elements.shape()))
    bob.receive(good)
    assert bob.waiting
    with pytest.raises(Refused):
        bob.load(alice.data)
    alice.change(edits.delete_element(FIRST_SLIDE, "star"))
    bob.load(alice.data)
    assert [one["id"] for one in bob.content()["slides"][0]["elements"]] == ["good"]


def test_null_is_refused_and_undefined_is_not(slides: Recorded) -> None:
    recorded = next(
        one.update
        for one in slides.recording.sent
        if isinstance(one, SentPacket) and one.update is not None
    )
    assert b"textColor\x01\x7f" in recorded
    BoardDocument().receive(recorded)
    with pytest.raises(Refused, match="null"):
        BoardDocument().receive(recorded.replace(b"textColor\x01\x7f", b"textColor\x01\x7e"))


@pytest.mark.parametrize("version", ["0", "1"])
def test_snapshots_of_another_version_are_skipped(version: str) -> None:
    with pytest.raises(Refused, match="version"):
        BoardDocument(version).load(initial("1" if version == "0" else "0"))
    assert not BoardDocument(version).load(initial(version))


def test_a_document_tells_whether_it_holds_more_than_a_snapshot() -> None:
    alice, bob = BoardDocument(), BoardDocument()
    bob.receive(alice.change(edits.add_element(FIRST_SLIDE, "a", elements.shape())))
    old = alice.data
    assert not bob.load(old)
    bob.receive(alice.change(edits.delete_element(FIRST_SLIDE, "a")))
    assert bob.load(old)
    assert not bob.load(alice.data)


def test_updates_are_small_and_start_from_the_fixed_bytes() -> None:
    document = BoardDocument("1", client_id=2**32 - 1)
    update = document.change(edits.add_element(FIRST_SLIDE, "f", elements.frame(at=(0, 0))))
    found = glance(update)
    assert (set(found.clocks), found.roots) == ({2**32 - 1}, set())
    assert glance(document.data).roots == {"1"}
    assert len(update) < 300


def test_every_edit() -> None:
    document = BoardDocument()
    shape, stroke = elements.shape(text="one"), elements.path([(0, 0), (5.5, 7)])
    steps: list[Edit] = [
        edits.add_element(FIRST_SLIDE, "a", shape),
        edits.add_element(FIRST_SLIDE, "b", stroke),
        edits.add_element(FIRST_SLIDE, "c", elements.image("mxc://x/y")),
        edits.change_element(FIRST_SLIDE, "a", {"text": "two", "textFontFamily": None}),
        edits.reorder_element(FIRST_SLIDE, "c", 0),
        edits.delete_element(FIRST_SLIDE, "b"),
        edits.add_slide("s2", [("n", elements.note("hi"))]),
        edits.add_slide("s3"),
        edits.reorder_slide("s2", 0),
        edits.delete_slide("s3"),
        edits.lock_slide(FIRST_SLIDE, "@alice:x"),
        edits.lock_slide("s2", "@alice:x"),
        edits.unlock_slide("s2"),
    ]
    other = BoardDocument()
    for step in steps:
        other.receive(document.change(step))
    first, second = other.content()["slides"]
    assert first["id"] == "s2"
    assert [(one["id"], one["stickyNote"]) for one in first["elements"]] == [("n", True)]
    assert "lock" not in first
    assert [one["id"] for one in second["elements"]] == ["c", "a"]
    assert second["elements"][1]["text"] == "two"
    assert "textFontFamily" not in second["elements"][1]
    assert second["lock"] == {"userId": "@alice:x"}


def test_doubled_and_dangling_ids_do_not_show() -> None:
    document = BoardDocument()
    document.change(edits.add_element(FIRST_SLIDE, "a", elements.shape()))
    ids = lambda root: root["slides"][FIRST_SLIDE]["elementIds"].extend(["gone", "a"])  # noqa: E731
    document.change(ids)
    assert [one["id"] for one in document.content()["slides"][0]["elements"]] == ["a"]


def test_an_address_in_an_update_is_replaced_whatever_its_length(slides: Recorded) -> None:
    recording = slides.recording
    (old,) = recording.files
    for new in ("mxc://a/b", "mxc://a/" + "b" * 300):
        document = BoardDocument()
        for sent in recording.of(PEOPLE, EXPORTED_TS["slides"]):
            moved = recording.moved(sent, "$other", {old: new})
            if isinstance(moved, SentSnapshot):
                document.load(moved.data)
            elif moved.update is not None:
                assert json.loads(moved.payload)["content"]["documentId"] == "$other"
                document.receive(moved.update)
        found = exported(document.content(), "0", {new: recording.files[old]})
        assert comparable(found) == comparable(recording.export)
    assert replace_text(b"unchanged", old, "x") == b"unchanged"


@given(st.binary(max_size=200))
def test_junk_is_refused(junk: bytes) -> None:
    document = BoardDocument()
    before = document.content()
    try:
        document.receive(junk)
    except Refused:
        assert document.data == initial("0")
    assert document.content() == before


@given(st.data())
def test_damaged_updates_are_refused_or_valid(data: st.DataObject) -> None:
    update = bytearray(BoardDocument(client_id=7).change(edits.add_slide("s")))
    for _ in range(data.draw(st.integers(1, 4))):
        update[data.draw(st.integers(0, len(update) - 1))] = data.draw(st.integers(0, 255))
    document = BoardDocument()
    try:
        document.receive(bytes(update))
    except Refused:
        return
    assert document.content()["slides"]


@pytest.mark.parametrize(
    "hostile", ["ffffff7f", "01ffffffff0f0000", "00ffffffff0f", "010101002801"]
)
def test_updates_that_announce_more_than_they_hold_never_reach_pycrdt(hostile: str) -> None:
    with pytest.raises(Refused):
        BoardDocument().receive(bytes.fromhex(hostile))


def test_every_kind_of_value_is_read() -> None:
    doc: Doc[Map[object]] = Doc(client_id=3)
    root = doc.get("0", type=Map)
    value = {"a": [1, 2.5, True, False, None, "x"], "b": {"c": b"bytes"}}
    root["v"] = value
    found = glance(doc.get_update())
    assert (found.structs, found.has_null) == (1, False)
    root["v"] = None
    assert glance(doc.get_update()).has_null


@pytest.mark.parametrize("value", ["50", "7501" * 80], ids=["unknown", "nested"])
def test_values_that_pycrdt_should_not_see_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="value"):
        glance(bytes.fromhex("0101030028" + "0101300161" + "01" + value + "000000"))
