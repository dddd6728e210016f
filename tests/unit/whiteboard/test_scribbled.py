"""Updates at random, the same ones each time: what they meet does not depend on Hypothesis."""

from __future__ import annotations

import pytest

from bot.whiteboard.document import Document
from bot.whiteboard.update import read_state_vector
from bot.whiteboard.verdict import Verdict
from tests.unit.whiteboard.craft import Scribbler


@pytest.mark.parametrize("sane", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_whoever_comes_later_has_what_was_accepted(seed: int, sane: bool) -> None:  # noqa: FBT001
    scribbler = Scribbler(seed, sane=sane)
    document = Document()
    for _ in range(25):
        document.apply([scribbler.write()])
    for kept in (document.snapshot(), document.encode()):
        again = Document()
        assert again.merge_snapshot(kept).verdict is not Verdict.REFUSED
        there = read_state_vector(again.state_vector())
        had = read_state_vector(document.state_vector())
        assert all(there[client] >= clock for client, clock in had.items())
