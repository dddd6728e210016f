from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands.parser import Command, Request, allowed, power_of, read_request
from bot.commands.texts import TEXTS, say

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def message(body: object, **content: object) -> dict[str, Any]:
    return {"sender": "@a:b", "content": {"msgtype": "m.text", "body": body, **content}}


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ("!board pause", Command.PAUSE),
        ("  !board   RESUME now please", Command.RESUME),
        ("!board leave", Command.LEAVE),
        ("!board status", Command.STATUS),
        ("!board help", Command.HELP),
        ("!board", Command.HELP),
        ("!board dance", None),
    ],
)
def test_commands(body: str, command: Command | None) -> None:
    assert read_request(message(body), "!board") == Request("@a:b", command)


@pytest.mark.parametrize(
    "event",
    [
        message("hello"),
        message(""),
        message("!boards pause"),
        message("say !board pause"),
        message(5),
        message("!board pause", msgtype="m.notice"),
        message("!board pause", **{"m.relates_to": {"rel_type": "m.replace"}}),
        {"sender": "@a:b", "content": None},
        {"sender": 1, "content": {"msgtype": "m.text", "body": "!board pause"}},
    ],
)
def test_not_for_the_bot(event: dict[str, Any]) -> None:
    assert read_request(event, "!board") is None


def test_a_reply_is_no_edit() -> None:
    event = message("!board pause", **{"m.relates_to": {"m.in_reply_to": {"event_id": "$x"}}})
    assert read_request(event, "!board") == Request("@a:b", Command.PAUSE)


@given(st.dictionaries(st.sampled_from(["sender", "content"]), JSON), st.text(min_size=1))
def test_any_event_is_read_or_ignored(event: dict[str, Any], prefix: str) -> None:
    result = read_request(event, prefix)
    assert result is None or isinstance(result, Request)


@pytest.mark.parametrize(
    ("levels", "creators", "power"),
    [
        ({}, frozenset(), 0),
        ({"users": {"@a:b": 50}}, frozenset(), 50),
        ({"users_default": 10}, frozenset(), 10),
        ({"users": {"@a:b": "50"}, "users_default": 5}, frozenset(), 5),
        ({"users": None, "users_default": "x"}, frozenset(), 0),
        ({"users": {"@a:b": 0}}, frozenset({"@a:b"}), 2**53 - 1),
    ],
)
def test_power(levels: dict[str, Any], creators: frozenset[str], power: int) -> None:
    assert power_of("@a:b", levels, creators) == power


@pytest.mark.parametrize(
    ("command", "power", "may"),
    [
        (Command.STATUS, 0, True),
        (Command.HELP, 0, True),
        (None, 0, True),
        (Command.PAUSE, 49, False),
        (Command.PAUSE, 50, True),
        (Command.LEAVE, 49, False),
    ],
)
def test_who_may(command: Command | None, power: int, may: bool) -> None:  # noqa: FBT001
    assert allowed(Request("@a:b", command), power, 50) is may


@pytest.mark.parametrize("name", TEXTS)
def test_every_sentence_is_there_in_both_languages(name: str) -> None:
    values = {"user": "@b:c", "needed": 50, "boards": 1, "recording": "recording", "present": "no"}
    values |= {"own": 0, "mends": 100, "kinds": "m.a (50)"}
    values |= {"time": "now", "type": "org.matrix.msc4143.rtc.member"}
    text = say(name, ["en", "de"], prefix="!board", power=50, **values)
    english, german = text.split("\n")
    assert english != german
    assert "{" not in text


def test_values_that_name_sentences_are_translated() -> None:
    text = say("status", ["de"], recording="recording", boards=2, present="yes")
    assert text == "Ich zeichne auf. Whiteboards hier: 2. Gerade dabei: ja."
