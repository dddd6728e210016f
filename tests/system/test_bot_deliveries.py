"""`python -m tests.chaos deliveries` in small: eight of its kills."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.deliveries import deliveries
from tests.stack.stack import Stack


async def test_killed_while_it_tells_and_relays_nothing_is_missing_or_out_of_order(
    stack: Stack, tmp_path: Path
) -> None:
    report = await deliveries(stack, tmp_path, seed=20261121, kills=8)
    assert report["kills"] == 8
    assert report["told"] == report["committed"] - report["given_up_as_refused_for_good"] > 8
    assert not report["problems"], report
