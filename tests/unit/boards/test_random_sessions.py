"""Random sessions in virtual time: no stroke is lost that reached the bot or the room.

A few of them; tests/system/test_random_sessions.py plays all 500.
"""

from __future__ import annotations

import pytest

from tests.sessions.__main__ import read
from tests.sessions.play import play
from tests.sessions.script import write


@pytest.mark.parametrize("seed", range(10))
def test_no_stroke_is_lost(seed: int) -> None:
    played = play(seed, bot=True)
    assert not played.owed, played.report()
    assert played.settled, played.report()


def test_without_the_bot_strokes_are_lost() -> None:
    played = [play(seed, bot=False) for seed in range(4)]
    assert sum(len(one.lost) for one in played) > sum(len(one.strokes) for one in played) / 10


def test_which_are_played() -> None:
    assert [read(one) for one in ([], ["7"], ["7", "9"])] == [
        range(500),
        range(7, 507),
        range(7, 9),
    ]
    for wrong, code in (["--help"], 0), (["five"], 2), (["5", "5"], 2), (["-1"], 2):
        with pytest.raises(SystemExit) as ended:
            read(wrong)
        assert ended.value.code == code


def test_a_seed_plays_the_same_session_again() -> None:
    one, other = play(7, bot=True), play(7, bot=True)
    assert one.trace == other.trace
    assert len(one.wrote) == len(other.wrote)


# The bot once took for saved what only an older snapshot held.
@pytest.mark.parametrize("seed", [312, 460])
def test_only_the_newest_snapshot_counts(seed: int) -> None:
    played = play(seed, bot=True)
    assert not played.owed, played.report()


def test_sessions_differ() -> None:
    scripts = [write(seed) for seed in range(100)]
    assert {len({visit.person for visit in one.visits}) for one in scripts} >= {2, 3, 4, 5}
    assert max(one.loss for one in scripts) > 0.35
    kinds = {action.kind for one in scripts for visit in one.visits for action in visit.actions}
    assert {"draw", "move", "delete", "add_slide", "delete_slide", "lock", "unlock"} <= kinds
