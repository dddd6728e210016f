"""What is looked at after a change, and what for."""

from __future__ import annotations

import pytest
from pycrdt import Map

from bot.whiteboard.document import Document
from bot.whiteboard.item import ANY, ARRAY, MAP, TYPE
from bot.whiteboard.schema import check_field
from bot.whiteboard.verdict import Verdict
from tests.unit.whiteboard.craft import UNDEFINED, any_content, item, update
from tests.unit.whiteboard.people import Person, verdicts


def test_a_lock_that_is_a_shared_type_is_checked_when_it_changes() -> None:
    alice = Person(5)
    document = Document()

    def lock() -> None:
        alice.slide["lock"] = Map({"userId": "@alice:example.org"})

    def pass_on() -> None:
        alice.slide["lock"]["userId"] = "@bob:example.org"

    def break_it() -> None:
        alice.slide["lock"]["userId"] = ""

    assert verdicts(document, [alice.do(lock), alice.do(pass_on)]) == "CC"
    assert document.content()["slides"][0]["lock"] == {"userId": "@bob:example.org"}
    outcome = document.apply([alice.do(break_it)])[0]
    assert (outcome.verdict, outcome.reason) == (
        Verdict.REFUSED,
        "slide: lock is not acceptable",
    )
    assert document.content()["slides"][0]["lock"] == {"userId": "@bob:example.org"}


@pytest.mark.parametrize("name", ["star", None, 1.0, ["shape"], {}])
def test_no_field_is_acceptable_in_an_element_of_no_known_type(name: object) -> None:
    for present in (True, False):
        wrong = check_field(name, "text", "a", present=present)
        assert wrong == "an element has an unknown type"


@pytest.mark.parametrize(
    ("element_id", "acceptable"),
    [("a", True), ("__proto__", True), ("", False), ("constructor", False)],
)
def test_an_element_may_be_undefined_but_not_under_any_id(
    element_id: str,
    acceptable: bool,  # noqa: FBT001
) -> None:
    # So it is with Joi 17: a key that no pattern fits is not allowed, whatever it holds.
    nothing = any_content(UNDEFINED)
    alone = update((5, 0, [item(ANY, nothing, (0, 2), element_id)]))
    with_its_slide = update(
        (
            5,
            0,
            [
                item(TYPE, bytes([MAP]), (0, 0), "new"),
                item(TYPE, bytes([MAP]), (5, 0), "elements"),
                item(TYPE, bytes([ARRAY]), (5, 0), "elementIds"),
                item(ANY, nothing, (5, 1), element_id),
            ],
        )
    )
    for one in (alone, with_its_slide):
        assert verdicts(Document(), [one]) == ("C" if acceptable else "R")
