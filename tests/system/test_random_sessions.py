"""500 random sessions in virtual time: no stroke is lost that reached the bot or the room."""

from __future__ import annotations

import pytest

from tests.sessions.play import play

CHUNK = 50


@pytest.mark.timeout(600)  # a busy machine; they take 5 s on an idle one
@pytest.mark.parametrize("first", range(0, 500, CHUNK))
def test_no_stroke_is_lost(first: int) -> None:
    drawn = lost = owed = 0
    failed = []
    for seed in range(first, first + CHUNK):
        played = play(seed, bot=True)
        drawn += len(played.strokes)
        lost += len(played.lost)
        owed += len(played.owed)
        if played.owed or not played.settled:
            failed.append(played.report())
    print(f"{drawn} strokes; {lost} reached neither the bot nor the room with all their causes")
    assert drawn > 10 * CHUNK
    assert not failed, "\n\n".join(failed[:3])
    assert owed == 0
