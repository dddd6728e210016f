"""What hardly ever comes: the edges of the readers, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from bot.errors import InvalidUpdate
from bot.whiteboard.content import plain, values
from bot.whiteboard.document import Document
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.item import ANY, BINARY, JSON, MAP, STRING, TYPE, XML_ELEMENT
from bot.whiteboard.lib0 import number, pass_value, text, value, write_number, write_text
from bot.whiteboard.objects import Inheriting
from bot.whiteboard.replay import apply_entry
from bot.whiteboard.schema import check_field
from bot.whiteboard.update import read_state_vector, read_update, write_update
from bot.whiteboard.verdict import Verdict
from bot.whiteboard.versions import initial
from tests.unit.whiteboard.craft import ONE, any_content, item, update


def of(kind: int, content: bytes) -> bytes:
    """An update of one item in the root map."""
    return update((5, 0, [item(kind, content, "0", "k")]))


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"\xff" * 7 + b"\x7f", "too large"), (b"\xff" * 9, "too long")],
)
def test_a_number_is_bounded(data: bytes, why: str) -> None:
    with pytest.raises(InvalidUpdate, match=why):
        number(data, 0)


def test_a_value_is_bounded_in_depth() -> None:
    with pytest.raises(InvalidUpdate, match="too deep"):
        pass_value(b"\x75\x01" * 200 + b"\x7f", 0)


def test_the_prototype_of_an_object_is_no_field() -> None:
    proto = write_text("__proto__") + ONE + write_text("x") + ONE
    found = value(b"\x76\x02" + proto, 0)[0]
    assert isinstance(found, Inheriting)
    assert found.seen == {"x": 1}  # a number is no prototype


def test_a_long_text_is_read_whole() -> None:
    long = "x" * 300
    assert text(write_text(long), 0)[0] == long
    with pytest.raises(IndexError):
        text(b"\x05abc", 0)


@pytest.mark.parametrize("encoded", ["{", "NaN", "[" * 5000])
def test_a_text_that_is_no_json_is_refused(encoded: str) -> None:
    with pytest.raises(InvalidUpdate, match="not JSON"):
        read_update(of(JSON, write_number(1) + write_text(encoded)))


def test_json_may_be_undefined_and_several() -> None:
    found = read_update(of(JSON, write_number(2) + write_text("undefined") + write_text("1")))
    assert found.blocks[5][0].length == 2


def test_an_xml_element_has_a_name() -> None:
    found = read_update(of(TYPE, write_number(XML_ELEMENT) + write_text("p")))
    assert found.blocks[5][0].length == 1


def test_binary_is_read_as_bytes() -> None:
    [one] = read_update(of(BINARY, write_number(3) + b"abc")).blocks[5]
    assert values(one) == [b"abc"]
    [letters] = read_update(of(STRING, write_text("ab"))).blocks[5]
    assert "".join(values(letters)) == "ab"


def test_a_deleted_range_is_bounded() -> None:
    with pytest.raises(InvalidUpdate, match="deleted range"):
        read_update(update(deletes=[(5, 2**31 - 2, 5)]))


def test_an_empty_deleted_range_is_none() -> None:
    assert read_update(update(deletes=[(5, 1, 0)])).deletes == []


def test_items_that_are_known_are_left_out_of_a_difference() -> None:
    blocks = read_update(of(ANY, any_content(ONE))).blocks
    assert write_update(blocks, [], since={5: 1}) == b"\0\0"


def test_a_state_vector_that_ends_early_is_none() -> None:
    with pytest.raises(InvalidUpdate, match="too early"):
        read_state_vector(b"\x02\x01\x01")


def test_a_block_of_nothing_but_a_gap_brings_nothing() -> None:
    skip = bytes([10]) + write_number(3)
    assert read_update(update((5, 0, [skip]))).blocks == {}


def test_a_field_of_an_unknown_type_is_refused() -> None:
    assert check_field("nothing", "x", 1.0, present=True) == "an element has an unknown type"
    assert check_field("frame", "position", None, present=False) == "frame: position is missing"
    assert check_field("frame", "width", None, present=False) is None


def test_entries_rebuild_a_document() -> None:
    document = Document()
    for kind in Kind:
        entry = Entry(1, 1, kind, None, None, initial("0"))
        apply_entry(document, entry)
    assert document.version == "0"
    assert document.encode() == initial("0")


def test_an_item_cannot_be_its_own_cause() -> None:
    document = Document()
    document.merge_snapshot(initial("0"))
    circle = update(
        (8, 0, [item(ANY, any_content(ONE), origin=(9, 0))]),
        (9, 0, [item(ANY, any_content(ONE), origin=(8, 0))]),
    )
    [outcome] = document.apply([circle])
    assert outcome.verdict is Verdict.REFUSED


def test_deletions_wait_for_what_they_delete() -> None:
    document = Document()
    document.merge_snapshot(initial("0"))
    [outcome] = document.apply([update(deletes=[(77, 3, 2)])])
    assert outcome.verdict is Verdict.WAITING
    assert document.has_gap
    content: Any = document.content()
    assert len(content["slides"]) == 1


def test_what_an_unknown_field_holds_is_plain() -> None:
    document = Document()
    document.merge_snapshot(initial("0"))
    document.apply([update((9, 0, [item(TYPE, write_number(MAP), "0", "more")]))])
    assert plain(document._merger.replica.root)["more"] == {}


@pytest.mark.parametrize(
    ("parent", "sub"),
    [((0, 0), None), ((0, 2), None), ((0, 3), "key"), ((9, 0), None)],
)
def test_what_nobody_sees_makes_nothing_wrong(parent: tuple[int, int], sub: str | None) -> None:
    """Items without a key in a map, and with one in a list."""
    document = Document()
    document.merge_snapshot(initial("0"))
    before = document.content()
    fields = [
        item(TYPE, write_number(MAP), (0, 2), "e"),
        item(ANY, any_content(b"\x77\x05frame"), (9, 0), "type"),
        item(ANY, any_content(b"\x76\x02\x01x\x7d\x01\x01y\x7d\x01"), (9, 0), "position"),
        item(ANY, any_content(ONE), parent, sub),
    ]
    [outcome] = document.apply([update((9, 0, fields))])
    assert outcome.verdict is Verdict.CHANGED
    [later] = document.apply([update((10, 0, [item(ANY, any_content(ONE), parent, sub)]))])
    assert later.verdict is Verdict.CHANGED
    assert document.content() == before  # the element is in no order
