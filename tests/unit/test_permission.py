from __future__ import annotations

from typing import Any

import pytest

from bot.permission import Refusal, own_refusal
from bot.roomstate import RoomState
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE

BOT = "@bot:x"


@pytest.mark.parametrize(
    ("levels", "own", "expected"),
    [
        ({}, 0, None),
        ({"events": {CHUNK_TYPE: 50}}, 50, None),
        ({"events": {CHUNK_TYPE: 50}}, 49, Refusal(BOT, {CHUNK_TYPE: 50}, 49, 50)),
        (
            {"events_default": 10, "events": {CHUNK_TYPE: 50, "m.room.power_levels": 100}},
            0,
            Refusal(BOT, {SNAPSHOT_TYPE: 10, CHUNK_TYPE: 50}, 0, 100),
        ),
        ({"events_default": 1, "state_default": 70}, 1, None),
        (
            {"events": {SNAPSHOT_TYPE: 1}, "state_default": 70},
            0,
            Refusal(BOT, {SNAPSHOT_TYPE: 1}, 0, 70),
        ),
        # What is no number does not count.
        ({"events": "all", "events_default": None, "state_default": []}, 0, None),
        ({"events": {CHUNK_TYPE: "50"}}, 0, None),
        ({"events": []}, -1, Refusal(BOT, {SNAPSHOT_TYPE: 0, CHUNK_TYPE: 0}, -1, 50)),
    ],
)
def test_what_a_room_refuses(levels: dict[str, Any], own: int, expected: Refusal | None) -> None:
    state = RoomState("!r", BOT)
    state.power_levels = {**levels, "users": {BOT: own}}
    assert own_refusal(state) == expected
