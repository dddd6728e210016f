"""Anonymised recordings: the same shapes, and nothing of what people wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import InvalidUpdate
from bot.whiteboard.anonymous import BEGIN_TS, Anonymiser, anonymous_header
from bot.whiteboard.document import Document
from bot.whiteboard.edit import rewrite
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.item import ANY, BINARY, DOC, EMBED, FORMAT, JSON, STRING, TYPE, XML_ELEMENT
from bot.whiteboard.lib0 import write_number, write_text
from bot.whiteboard.lines import MAX_TS
from bot.whiteboard.masks import Masks, masked
from bot.whiteboard.message import CursorMove, FocusOn, Present, Update, decode, encode
from bot.whiteboard.replay import DOCUMENT_KINDS, apply_entry
from bot.whiteboard.update import Structure, read_update
from tests.unit.whiteboard.craft import NULL, ONE, Scribbler, X, any_content, text_value, update
from tests.unit.whiteboard.craft import item as struct
from tests.unit.whiteboard.generated import boards, new_ids
from tests.unit.whiteboard.people import FIRST_SLIDE, Person, shape, texts
from tests.unit.whiteboard.recorded import packets, snapshots


def of(data: bytes, kind: Kind = Kind.UPDATE, ts: int = 10**12, **fields: Any) -> Entry:
    return replace(Entry(7, ts, kind, "@anna:example.org", "ANNADEV", data, 3), **fields)


def anonymised(entries: Sequence[Entry]) -> list[Entry]:
    anonymiser = Anonymiser()
    for entry in entries:
        anonymiser.learn(entry)
    found = [one for one in map(anonymiser.rewrite, entries) if one is not None]
    assert len(found) + anonymiser.left_out == len(entries)
    return found


def replayed(entries: Iterable[Entry]) -> Document:
    document = Document()
    for entry in entries:
        apply_entry(document, entry)
    return document


def skeleton(data: bytes) -> tuple[Any, ...]:
    """What of an update is not content."""
    found = read_update(data)
    items = [
        (one.kind, one.client, one.clock, one.length, one.origin, one.right_origin)
        + ((one.parent,) if isinstance(one.parent, tuple) else (one.sub is None,))
        for _, items in sorted(found.blocks.items())
        for one in items
    ]
    return items, merged(found), found.needs, found.gaps


def merged(found: Structure) -> set[tuple[int, int]]:
    return {(client, at) for client, first, stop in found.deletes for at in range(first, stop)}


def same_shape(before: Any, after: Any, ids: dict[str, str], field: str = "") -> None:
    """Compare contents; `ids` collects what stands for what."""
    assert type(before) is type(after)
    if isinstance(before, dict):
        assert len(before) == len(after)
        for (key, one), (other_key, other) in zip(before.items(), after.items(), strict=True):
            assert ids.setdefault(key, other_key) == other_key
            same_shape(one, other, ids, key)
    elif isinstance(before, list):
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            same_shape(one, other, ids, field)
    elif not isinstance(before, str):
        assert before == after
    elif field in {"id", "attachedFrame", "connectedPaths", "attachedElements"}:
        assert ids.setdefault(before, after) == after
    elif field in {"type", "kind", "textAlignment", "startMarker", "endMarker"}:
        assert before == after
    elif field == "text":
        assert len(before.encode("utf-16-le")) == len(after.encode("utf-16-le"))
        assert set(after) <= set("x \t\r\n")


def check(entries: Sequence[Entry]) -> tuple[Document, Document]:
    """Anonymise, and compare what comes out of it, entry by entry and replayed."""
    made = anonymised(entries)
    before, after = Document(), Document()
    ids: dict[str, str] = {}
    for entry, other in zip(entries, made, strict=True):
        assert other.kind is entry.kind
        if entry.kind in DOCUMENT_KINDS:
            assert skeleton(other.data) == skeleton(entry.data)
        apply_entry(before, entry)
        apply_entry(after, other)
        assert after.version == before.version
        assert after.state_vector() == before.state_vector()
        assert (after.waiting, after.lost) == (before.waiting, before.lost)
    same_shape(before.content(), after.content(), ids)
    assert len(set(ids.values())) == len(ids), "two ids have become the same"
    return before, after


# -- sessions ------------------------------------------------------------------------------------


@given(st.lists(boards(), min_size=1, max_size=4), st.randoms())
@settings(max_examples=60, deadline=None)
def test_any_board_keeps_its_shape(steps: list[list[dict[str, Any]]], pick: Random) -> None:
    document, new_id = Document(), new_ids()
    entries: list[Entry] = []
    for number, slides in enumerate(steps):
        try:
            updates = rewrite(document, slides, client=100 + number, new_id=new_id, max_bytes=400)
        except InvalidUpdate:
            continue  # nobody could have drawn that
        document.apply(updates)
        entries += [of(one, ts=10**12 + number) for one in updates]
        if pick.random() < 0.3:
            entries.append(of(document.encode(), pick.choice([Kind.SNAPSHOT, Kind.BASELINE])))
    check(entries)
    late = pick.sample(entries, len(entries))
    check(late)


@pytest.mark.parametrize("sane", [True, False])
@pytest.mark.parametrize("seed", range(60))
def test_scribbles_keep_their_shape(seed: int, sane: bool) -> None:  # noqa: FBT001
    scribbler = Scribbler(seed, sane=sane)
    entries = [of(scribbler.first, Kind.BASELINE), *(of(scribbler.write()) for _ in range(25))]
    for entry, other in zip(entries, anonymised(entries), strict=True):
        assert skeleton(other.data) == skeleton(entry.data)


@pytest.mark.parametrize("board", ["slides", "infinite"])
def test_what_real_clients_drew_keeps_its_shape(board: str) -> None:
    entries = [of(one.data, Kind.SNAPSHOT, one.ts) for one in snapshots(board)[:1]]
    kinds = {CursorMove: Kind.CURSOR, FocusOn: Kind.FOCUS, Present: Kind.PRESENT}
    for packet in packets(board):
        message = decode(packet.raw)
        if isinstance(message, Update):
            entries.append(of(message.data))
        else:
            entries.append(of(packet.raw, kinds[type(message)]))
    before, after = check(entries)
    assert len(entries) > 20
    words = {
        one["text"]
        for slide in before.content()["slides"]
        for one in slide["elements"]
        if len(one.get("text", "")) > 3
    }
    assert words
    whole = b"".join(one.data for one in anonymised(entries)).replace(b"stickyNote", b"")
    assert not any(word.encode() in whole for word in words)
    assert after.content() != before.content()


SECRET = "geheim"
WORDS = st.sampled_from([SECRET, f"{SECRET} left", f"@{SECRET}:x", f"mxc://{SECRET}/a", "left"])


@given(st.lists(st.tuples(st.sampled_from("abc"), WORDS, WORDS), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_no_word_is_left(changes: list[tuple[str, str, str]]) -> None:
    anna, entries = Person(11), []
    for number, (name, word, other) in enumerate(changes):
        element = f"{SECRET}-{name}"
        if element in anna.elements:
            data = anna.write(element, text=word, fillColor=other, textFontFamily=word)
        else:
            data = anna.add(element, text=word, zebra={word: [other]}, fillColor=other)
        entries.append(of(data, ts=number))
        entries.append(of(data, Kind.REFUSED, number))
    entries.append(of(anna.state(), Kind.SNAPSHOT))
    entries.append(of(encode(FocusOn(SECRET)), Kind.FOCUS))
    made = anonymised(entries)
    whole = b"".join(one.data for one in made).lower()
    assert SECRET.encode() not in whole
    assert b"left" not in whole
    assert set(chain(*texts(replayed(made)).values())) <= set("x ")
    assert not any("anna" in f"{one.sender} {one.device}".lower() for one in made)


# -- what replaces what --------------------------------------------------------------------------


def element_after(*changes: dict[str, Any]) -> dict[str, Any]:
    """An element that was changed, as it is replayed once anonymised."""
    anna = Person(11)
    entries = [of(anna.add("e", **changes[0]))]
    entries += [of(anna.write("e", **change)) for change in changes[1:]]
    found: dict[str, Any] = replayed(anonymised(entries)).content()["slides"][0]["elements"][0]
    return found


def test_a_text_that_replaces_another_is_known_for_a_text() -> None:
    assert element_after({"text": "one"}, {"text": "circle"}, {"text": "left"})["text"] == "xxxx"


def test_a_kind_that_replaces_another_stays() -> None:
    assert element_after({}, {"kind": "circle"}, {"kind": "triangle"})["kind"] == "triangle"


def test_what_comes_before_its_cause_is_known_too() -> None:
    anna = Person(11)
    first, second, third = anna.add("e"), anna.write("e", kind="circle"), anna.write("e", text="b")
    document = replayed(anonymised([of(third), of(second), of(first)]))
    element = document.content()["slides"][0]["elements"][0]
    assert (element["kind"], element["text"]) == ("circle", "x")


def test_words_lines_and_characters_of_two_units() -> None:
    assert masked("Hé, wörld!\n\tA😀b\r\n\u00a0") == "xxx xxxxxx\n\txxxx\r\nx"
    assert element_after({"text": "A😀 b"})["text"] == "xxx x"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("fillColor", "#ff0000", "#ff0000"),
        ("fillColor", "transparent", "transparent"),
        ("strokeColor", "rgba(1, 2, 3, .5)", "rgba(1, 2, 3, .5)"),
        ("fillColor", "secret", "xxxxxx"),
        ("fillColor", "#secret", "xxxxxxx"),
        ("textFontFamily", "Pirata One", "Pirata One"),
        ("textFontFamily", "Anna Sans", "xxxx xxxx"),
        ("textBold", "TRUE", "TRUE"),
        ("textAlignment", "left", "left"),
        ("rotation", 45.0, 45),
    ],
)
def test_fields(field: str, value: Any, expected: Any) -> None:
    assert element_after({field: value})[field] == expected


def test_ids_stand_for_the_same_wherever_they_are() -> None:
    anna = Person(11)
    entries = [
        of(anna.add("frame of anna")),
        of(anna.add("text", attachedFrame="frame of anna", connectedPaths=["p", "text"])),
        of(encode(FocusOn("frame of anna")), Kind.FOCUS),
    ]
    made = anonymised(entries)
    first, second = replayed(made).content()["slides"][0]["elements"]
    assert second["attachedFrame"] == first["id"]
    assert second["connectedPaths"][1] == second["id"]
    assert decode(made[2].data) == FocusOn(first["id"])


def test_images_keep_their_size_and_lose_their_address() -> None:
    anna = Person(11)

    def image(name: str, mxc: str) -> bytes:
        fields = shape(mxc=mxc, fileName="anna.png", mimeType="image/png", width=3.0, height=4.0)
        return anna.add(name, **{**fields, "type": "image"})

    entries = [of(image("a", "mxc://x/1")), of(image("b", "mxc://x/2")), of(image("c", ""))]
    entries.append(of(image("d", "mxc://x/1")))
    elements = replayed(anonymised(entries)).content()["slides"][0]["elements"]
    first, second = (f"mxc://anonymised.invalid/image-{number}" for number in (1, 2))
    assert [one["mxc"] for one in elements] == [first, second, "", first]
    assert {one["fileName"] for one in elements} == {"xxxxxxxx"}
    assert {(one["mimeType"], one["width"]) for one in elements} == {("image/png", 3)}


def test_a_lock_is_of_the_same_person_as_strokes() -> None:
    anna = Person(11)

    def lock() -> None:
        anna.slide["lock"] = {"userId": "@anna:example.org"}

    made = anonymised([of(anna.do(lock))])
    assert replayed(made).content()["slides"][0]["lock"] == {"userId": "person-1"}
    assert made[0].sender == "person-1"
    masks = Masks()
    assert masks.text("userId", "") == ""


def test_people_devices_and_times() -> None:
    data = encode(CursorMove(FIRST_SLIDE, 1.5, 2.0))
    given = [
        of(data, Kind.CURSOR, 5000),
        of(data, Kind.CURSOR, 5003, sender="@bert:example.org"),
        of(data, Kind.CURSOR, 4000, device=None),
        of(data, Kind.CURSOR, MAX_TS, sender=None, device=None),
        of(data, Kind.CURSOR, 5000, device="OTHER"),
    ]
    assert [(one.ts - BEGIN_TS, one.sender, one.device) for one in anonymised(given)] == [
        (0, "person-1", "device-1"),
        (3, "person-2", "device-2"),
        (0, "person-1", None),
        (MAX_TS - BEGIN_TS, None, None),
        (0, "person-1", "device-3"),
    ]
    assert {one.data for one in anonymised(given)} == {data}


def test_signals_name_the_slides_that_are_there() -> None:
    messages = (
        CursorMove("a", 1.0, 2.0),
        FocusOn("b"),
        Present("slide", "a", edit=True),
        Present("frame", None),
    )
    made = anonymised([of(encode(one), Kind.FOCUS) for one in messages])
    assert [decode(one.data) for one in made] == [
        CursorMove("id-1", 1.0, 2.0),
        FocusOn("id-2"),
        Present("slide", "id-1", edit=True),
        Present("frame", None),
    ]


def test_what_cannot_be_rewritten_is_left_out_and_counted() -> None:
    entries = [
        of(b"secret", Kind.REFUSED),
        of(b"secret", Kind.PRESENT),
        of(encode(Update("$d", b"x")), Kind.CURSOR),
        of(b"\0\0", Kind.REFUSED),
    ]
    assert [one.data for one in anonymised(entries)] == [b"\0\0"]


def test_a_refused_update_does_not_say_what_an_accepted_one_is_of() -> None:
    """Both have the same ids: the one that counts is the one in the document."""
    wrong = update((11, 0, [struct(ANY, any_content(text_value("x")), "0", "kind")]))
    right = update((11, 0, [struct(ANY, any_content(text_value("x")), "0", "text")]))
    then = update((11, 1, [struct(ANY, any_content(text_value("circle")), origin=(11, 0))]))
    for entries in (
        [of(wrong, Kind.REFUSED), of(right), of(then)],
        [of(right), of(wrong, Kind.REFUSED), of(then)],
    ):
        assert b"circle" not in anonymised(entries)[-1].data


def test_circles_of_causes_end() -> None:
    one = update((1, 0, [struct(ANY, any_content(text_value("word")), origin=(2, 0))]))
    two = update((2, 0, [struct(ANY, any_content(text_value("word")), origin=(1, 0))]))
    made = anonymised([of(one, Kind.REFUSED), of(two, Kind.REFUSED)])
    assert b"id-1" in made[0].data


def test_contents_that_no_board_has() -> None:
    """But anybody can send them."""
    secret = write_text(json.dumps(SECRET))
    structs = [
        struct(STRING, write_text(SECRET), SECRET),
        struct(BINARY, write_text(SECRET), "0", SECRET),
        struct(JSON, b"\2" + secret + write_text("undefined"), "0"),
        struct(EMBED, secret, "17"),
        struct(FORMAT, write_text(SECRET) + secret, "0"),
        struct(DOC, write_text(SECRET) + text_value(SECRET), "0"),
        struct(TYPE, write_number(XML_ELEMENT) + write_text(SECRET), "0"),
        struct(ANY, any_content(b"\x74" + write_text(SECRET), ONE, NULL), "0", "text"),
        struct(ANY, any_content(b"\x76\1" + write_text(SECRET) + X), "0"),
    ]
    data = update((5, 0, structs), deletes=[(5, 1, 1)])
    made = anonymised([of(data, Kind.REFUSED)])[0].data
    assert SECRET.encode() not in made
    assert skeleton(made)[1:] == skeleton(data)[1:]
    assert read_update(made).roots == {"id-1", "0", "17"}


def test_the_header_tells_nothing() -> None:
    header = anonymous_header("1", "f00d")
    assert header.anonymised
    assert (header.version, header.exported_ts) == ("1", BEGIN_TS)
    assert header.board.document_id == "$document-f00d"
