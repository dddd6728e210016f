"""`make chaos` in small: twenty of its kills."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.crew import LEGACY
from tests.chaos.kills import chaos, problems
from tests.stack.stack import Stack
from tests.system.people import name

SEED = 20261121
LATE = 20.0
"""Seconds: a homeserver that is busy sends what is due later; a ghost would stay for ever."""

QUIET = {"memberships were cleared while the bot lived", "it took too long to be back"}
"""What a machine too busy for a restart per delay does too: only `make chaos` looks at it."""


@pytest.mark.timeout(900)
@pytest.mark.scenario("C08", "M42")
@pytest.mark.parametrize(
    "profiles", [(LEGACY, LEGACY), ("sticky", "both")], ids=["legacy", "sticky"]
)
async def test_twenty_kills_leave_no_ghost(
    stack: Stack, tmp_path: Path, profiles: tuple[str, str]
) -> None:
    """Two bots at the same time, ten kills each: mostly it is waiting."""

    async def ten(number: int) -> dict[str, Any]:
        users = (name("bot"), name("person"))
        folder = tmp_path / str(number)
        return await chaos(
            stack,
            folder,
            seed=SEED + number,
            kills=10,
            boards=10,
            brief=True,
            slack=LATE,
            users=users,
            profile=profiles[number - 1],
        )

    for report in await asyncio.gather(ten(1), ten(2)):
        assert report["kills"] == sum(report["moments"].values())
        assert not set(problems(report)) - QUIET, report
