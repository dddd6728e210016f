"""`make chaos` in small: twenty of its kills."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.kills import chaos, problems
from tests.stack.stack import Stack
from tests.system.people import name

SEED = 20261121


@pytest.mark.timeout(300)
@pytest.mark.scenario("C08", "M42")
async def test_twenty_kills_leave_no_ghost(stack: Stack, tmp_path: Path) -> None:
    users = (name("bot"), name("person"))
    report = await chaos(stack, tmp_path, seed=SEED, kills=20, boards=10, brief=True, users=users)
    assert report["kills"] == sum(report["moments"].values())
    assert not problems(report), report
