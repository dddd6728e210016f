"""What hardly ever happens to a document, and what must then not happen."""

from __future__ import annotations

import pytest

from bot.errors import InvalidUpdate
from bot.whiteboard.document import Document
from bot.whiteboard.item import ANY, BINARY
from bot.whiteboard.update import merge_updates
from bot.whiteboard.verdict import Verdict
from bot.whiteboard.versions import initial
from tests.unit.whiteboard.craft import any_content, item, text_value, update
from tests.unit.whiteboard.people import Person, loaded, texts, verdicts

ELEMENT_IDS = (0, 3)  # of the first slide


def test_updates_merge_whatever_their_order() -> None:
    alice = Person(5)
    made = [alice.add("a"), alice.write("a", text="1"), initial("0")]
    assert loaded(merge_updates(made)) == loaded(merge_updates(made[::-1])) == alice.content()


def test_what_is_no_update_does_not_merge() -> None:
    with pytest.raises(InvalidUpdate):
        merge_updates([initial("0"), b"\xff"])


def test_what_waits_for_itself_is_refused() -> None:
    name = any_content(text_value("a"))
    circle = update(
        (5, 0, [item(ANY, name, origin=(6, 0))]), (6, 0, [item(ANY, name, origin=(5, 0))])
    )
    document = Document()
    before = document.encode()
    outcome = document.apply([circle])[0]
    assert (outcome.verdict, outcome.reason) == (Verdict.REFUSED, "it is its own cause")
    assert (document.encode(), document.waiting) == (before, 0)


def test_what_takes_too_long_to_find_its_place_is_refused() -> None:
    def at_the_start(client: int) -> bytes:
        one = item(ANY, any_content(text_value("a")), ELEMENT_IDS)
        return update((client, 0, [one] * 150))

    document = Document()
    assert verdicts(document, [at_the_start(1)]) == "C"
    before = document.encode()
    outcome = document.apply([at_the_start(2)])[0]  # each of its items passes all the others
    assert (outcome.verdict, outcome.reason) == (
        Verdict.REFUSED,
        "too much happened at one place at the same time",
    )
    assert document.encode() == before
    assert verdicts(document, [Person(3).add("b")]) == "C"


def test_a_full_document_still_takes_what_it_knows() -> None:
    alice = Person(5)
    add = alice.add("a", text="x" * 1000)
    document = Document(max_bytes=2000)
    assert verdicts(document, [add, add]) == "CK"
    assert not document.has_gap
    assert verdicts(document, [alice.add("b", text="y" * 1000)]) == "R"
    assert list(texts(document)) == ["a"]


def test_bytes_in_an_element_are_kept_but_not_seen() -> None:
    alice = Person(5)
    document = Document()
    document.apply([alice.add("a")])
    before = document.content()
    element = (5, 0)  # the first thing that she wrote
    secret = update((6, 0, [item(BINARY, b"\3\xfe\xfd\xfc", element, "extra")]))
    assert verdicts(document, [secret]) == "C"
    assert document.content() == before
    assert b"\xfe\xfd\xfc" in document.encode()
    rude = update((7, 0, [item(BINARY, b"\3\xfe\xfd\xfc", element, "text")]))
    outcome = document.apply([rude])[0]
    assert outcome.reason == "shape: text is not acceptable"
