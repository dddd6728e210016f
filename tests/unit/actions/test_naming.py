from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.actions.naming import RoomNames, find_board, find_room
from bot.errors import UsageError
from bot.whiteboard.board import BoardKey

PLAN = RoomNames("!plan:x", "Planning", "#plan:x", {1: BoardKey("!plan:x", "board-one", "$one")})
RETRO = RoomNames(
    "!retro:x",
    "Retro",
    "",
    {2: BoardKey("!retro:x", "board-two", "$two"), 3: BoardKey("!retro:x", "other", "$three")},
)
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
        ("$thre", RETRO),
        ("#plan", PLAN),
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


THIEF = "!thief:x"


@pytest.mark.parametrize(
    ("text", "board"),
    [
        ("1", "1"),
        ("!plan:x", "!plan:x"),
        ("$one", "#plan:x"),
    ],
)
def test_ids_that_are_ours_or_the_servers_are_taken_by_nobody(text: str, board: str) -> None:
    """Whatever a room, an alias or a board of somebody else is called like."""
    boards = {9: BoardKey(THIEF, text, "$thief"), 8: BoardKey(THIEF, board, "$other")}
    thief = RoomNames(THIEF, text, text, boards)
    assert find_room([thief, PLAN], text) is PLAN


@pytest.mark.parametrize("text", ["7", "!seven", "$seven"])
def test_nobody_is_found_by_an_id_that_is_nobodys(text: str) -> None:
    thief = RoomNames(THIEF, text, text, {9: BoardKey(THIEF, text, "$thief")})
    with pytest.raises(UsageError, match="There is no room"):
        find_room([thief, PLAN], text)


@pytest.mark.parametrize(
    "thief",
    [
        RoomNames(THIEF, "board-one"),
        RoomNames(THIEF, "planning"),
        RoomNames(THIEF, "#plan:x"),
        RoomNames(THIEF, "", "#plan:x"),
        RoomNames(THIEF, "", "", {9: BoardKey(THIEF, "board-one", "$thief")}),
        RoomNames(THIEF, "", "", {9: BoardKey(THIEF, "Planning", "$thief")}),
    ],
)
def test_who_is_called_like_another_is_listed_with_it(thief: RoomNames) -> None:
    texts = ("board-one", "Planning", "#plan:x")
    refused = []
    for text in texts:
        try:
            assert find_room([thief, PLAN], text) is PLAN
        except UsageError as error:
            refused.append(str(error))
    [said] = refused
    assert f"by its id (!plan:x, {THIEF})" in said


@dataclass(frozen=True)
class Row:
    id: int
    key: BoardKey


ONE = Row(1, BoardKey("!plan:x", "board-one", "$one"))


@pytest.mark.parametrize("text", ["1", "$one", "!plan:x", "board-one", "boar", "$one ", "!pla"])
def test_a_board_is_found_by_all_it_is_called(text: str) -> None:
    assert find_board([ONE, Row(2, BoardKey("!x:x", "other", "$two"))], text) is ONE


@pytest.mark.parametrize("text", ["1", "$one", "!plan:x"])
def test_no_board_takes_the_place_of_another(text: str) -> None:
    assert find_board([Row(9, BoardKey(THIEF, text, "$thief")), ONE], text) is ONE


def test_boards_of_one_id_are_listed_though_not_all() -> None:
    rows = [Row(number, BoardKey(THIEF, "board-one", f"$d{number}")) for number in range(2, 3000)]
    with pytest.raises(UsageError, match=r"fits 2999 boards: .* by number \(1, 2, 3,") as refused:
        find_board([ONE, *rows], "board-one")
    assert len(str(refused.value)) < 500


def test_a_board_that_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match="no board “boat”"):
        find_board([ONE], "boat")


_texts = st.text() | st.sampled_from(["1", "!a", "#a", "$a", "abcd"])
_keys = st.builds(BoardKey, _texts, _texts, _texts)


@given(
    st.lists(
        st.builds(RoomNames, _texts, _texts, _texts, st.dictionaries(st.integers(0, 3), _keys))
    ),
    _texts,
)
def test_any_text_finds_one_or_is_refused(rooms: list[RoomNames], text: str) -> None:
    with suppress(UsageError):
        assert find_room(rooms, text) in rooms
    rows = [Row(number, key) for room in rooms for number, key in room.boards.items()]
    with suppress(UsageError):
        assert find_board(rows, text) in rows


def test_a_board_is_found_by_the_id_neoboard_gives_it() -> None:
    """Which begins with the room's."""
    named = RoomNames("!plan:x", boards={1: BoardKey("!plan:x", "!plan:x_whiteboard", "$one")})
    thief = RoomNames("!thief:x", boards={2: BoardKey("!thief:x", "!plan:x_whiteboard", "$two")})
    assert find_room([named, thief], "!plan:x_whiteboard") is named
    rows = [Row(number, key) for room in (named, thief) for number, key in room.boards.items()]
    assert find_board(rows, "!plan:x_whiteboard").id == 1
