"""`python -m tests.chaos jobs` in small: eight of its kills."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.jobs import jobs
from tests.stack.stack import Stack


async def test_killed_during_an_order_all_agree_in_the_end(stack: Stack, tmp_path: Path) -> None:
    report = await jobs(stack, tmp_path, seed=20261121, kills=8, beside=2)
    assert report["kills"] == sum(report["left"].values()) == 8
    assert not report["problems"], report
