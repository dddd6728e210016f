from __future__ import annotations

import pytest

from bot.presence import newcomers as module
from bot.presence.newcomers import AGAIN, KNOWN_WITHIN, SETTLE, Newcomers


def test_who_comes_is_sent_to_twice() -> None:
    one = Newcomers()
    assert one.due({"a"}) is None
    one.came("a", 100.0)
    assert one.due({"a"}) == 100.0 + SETTLE
    assert one.take({"a"}, 100.1) == []
    assert one.take({"a"}, 100.0 + SETTLE) == ["a"]
    assert one.due({"a"}) == 100.0 + AGAIN
    assert one.take({"a"}, 101.0) == []
    assert one.take({"a"}, 100.0 + AGAIN) == ["a"]
    assert one.due({"a"}) is None


def test_who_is_on_no_board_yet_is_waited_for() -> None:
    one = Newcomers()
    one.came("a", 100.0)
    assert one.take((), 105.0) == []
    assert one.due(()) == 100.0 + KNOWN_WITHIN
    assert one.take({"a"}, 106.0) == ["a"]
    assert one.due({"a"}) is None  # late: once is enough
    one.came("b", 100.0)
    assert one.take((), 100.0 + KNOWN_WITHIN) == []
    assert one.take({"b"}, 100.0 + KNOWN_WITHIN) == []


def test_who_goes_gets_nothing_and_who_comes_back_does() -> None:
    one = Newcomers()
    one.came("a", 100.0)
    one.went("a")
    one.went("a")
    assert one.take({"a"}, 101.0) == []
    one.came("a", 102.0)
    assert one.take({"a"}, 103.0) == []  # not as often as he likes
    assert one.take({"a"}, 104.0 + SETTLE) == ["a"]
    one.came("a", 105.0)  # told of twice
    assert one.due({"a"}) == 104.0 + AGAIN


def test_a_flood_of_newcomers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    one = Newcomers()
    for identity in "abc":
        one.came(identity, 100.0)
    assert one.take({"a", "b", "c"}, 101.0) == ["a", "b"]
    for identity in "abc":
        one.went(identity)
    one.came("d", 200.0)
    one.came("e", 200.0)
    assert one.take({"d", "e"}, 201.0) == ["d", "e"]
