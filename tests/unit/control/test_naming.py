from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import UsageError
from bot.naming import RoomNames, find_room

PLAN = RoomNames("!plan:x", "Planning", "#plan:x", ("1", "board-one", "$one"))
RETRO = RoomNames("!retro:x", "Retro", "", ("2", "board-two", "$two", "3", "other", "$three"))
SAME = RoomNames("!same:x", "Retro")
BARE = RoomNames("!bare:x")


@pytest.mark.parametrize(
    ("text", "room"),
    [
        ("!plan:x", PLAN),
        (" #plan:x ", PLAN),
        ("planning", PLAN),
        ("1", PLAN),
        ("3", RETRO),
        ("board-two", RETRO),
        ("$three", RETRO),
        ("!ret", RETRO),
        ("board-o", PLAN),
        ("!bare:x", BARE),
    ],
)
def test_a_room_is_found_by_all_it_is_called(text: str, room: RoomNames) -> None:
    assert find_room([PLAN, RETRO, BARE], text) is room


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Plannin", "Did you mean “Planning”"),
        ("#plam:x", "Did you mean “Planning”"),
        ("!bear:x", "Did you mean “!bare:x”"),
        ("retro", r"fits 2 rooms: say which, by its id \(!retro:x, !same:x\)"),
        ("boar", "fits 2 rooms"),
        ("zzzz", "“boardkeeper boards” lists"),
        ("", "“boardkeeper boards” lists"),
        ("9", "“boardkeeper boards” lists"),
    ],
)
def test_what_fits_none_or_several(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        find_room([PLAN, RETRO, SAME, BARE], text)


def test_no_room_takes_the_place_of_another_by_its_name() -> None:
    thief = RoomNames("!thief:x", "!plan:x")
    assert find_room([thief, PLAN], "!plan:x") is PLAN
    assert find_room([RoomNames("!thief:x", "1"), PLAN], "1") is PLAN


@given(
    st.lists(st.builds(RoomNames, st.text(), st.text(), st.text(), st.tuples(st.text()))),
    st.text(),
)
def test_any_text_finds_one_or_is_refused(rooms: list[RoomNames], text: str) -> None:
    with suppress(UsageError):
        assert find_room(rooms, text) in rooms
