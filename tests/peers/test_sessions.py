"""Real Yjs takes what was written in random sessions, as it arrived, and sees the same board."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bot.whiteboard.document import Document
from bot.whiteboard.versions import initial
from tests.peers.yjs import Yjs
from tests.sessions.play import play

SEEDS = (0, 2, 5, 8, 12, 17, 23, 24, 30, 49)


def agrees(yjs: Yjs, given: Sequence[bytes], content: object) -> bool:
    """Whether Yjs sees this content; while something waits it shows more than we do."""
    read = yjs.read([initial("0"), *given])
    return read.waiting or read.content == content


@pytest.mark.parametrize("seed", SEEDS)
def test_yjs_sees_what_people_see(yjs: Yjs, seed: int) -> None:
    played = play(seed, bot=True)
    for person in played.persons:
        assert person.waiting or agrees(yjs, person.fed, person.content), person.name


@pytest.mark.parametrize("seed", SEEDS)
def test_yjs_makes_of_all_the_bot_wrote_what_people_drew(yjs: Yjs, seed: int) -> None:
    played = play(seed, bot=True)
    document = Document()
    for one in played.wrote:
        document.merge_snapshot(one)
    assert document.waiting or agrees(yjs, played.wrote, document.content())
    lost = {stroke.number for stroke in played.lost}
    drawn = [one.update for one in played.strokes if one.number not in lost]
    fresh = yjs.read([initial("0"), *filter(None, [played.room])])
    there = yjs.read([initial("0"), *drawn])
    assert fresh.waiting or fresh.content == there.content
