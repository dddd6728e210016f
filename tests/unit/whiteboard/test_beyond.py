from __future__ import annotations

from typing import Any

import pytest

from bot.errors import InvalidUpdate
from bot.whiteboard.beyond import is_beyond
from bot.whiteboard.document import Document
from bot.whiteboard.replica import Replica
from tests.unit.whiteboard.people import FIRST_SLIDE, Person


@pytest.mark.parametrize(
    ("fields", "newer"),
    [
        ({"kind": "star"}, True),
        ({"type": "table"}, True),
        ({}, False),
        ({"fillColor": ""}, False),
        ({"kind": 5}, False),
    ],
)
def test_what_is_refused_may_be_of_a_newer_neoboard(fields: dict[str, Any], newer: bool) -> None:  # noqa: FBT001 - a parameter
    alice = Person(7)
    alice.add("a")
    alice.add("b", **fields)
    assert is_beyond(alice.state(), "0") is newer
    outcome = Document().merge_snapshot(alice.state())
    assert outcome.beyond is newer


@pytest.mark.parametrize("bad", ["slides", "slide", "elements"])
def test_what_is_no_board_is_of_no_neoboard(bad: str) -> None:
    alice = Person(7)

    def spoil() -> None:
        if bad == "slides":
            alice.root["slides"] = 5
        elif bad == "slide":
            alice.root["slides"][FIRST_SLIDE] = 5
        else:
            alice.slide["elements"] = 5

    alice.do(spoil)
    assert not is_beyond(alice.state(), "0")
    assert not Document().merge_snapshot(alice.state()).beyond


def test_what_is_too_much_for_us_others_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(*_: object, **__: object) -> None:
        raise InvalidUpdate("too much happened at one place at the same time")

    monkeypatch.setattr(Replica, "integrate", give_up)
    assert is_beyond(Person(7).state(), "0")
