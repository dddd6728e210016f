from __future__ import annotations

import asyncio
import time

import pytest

from bot.handlers.base import Handler
from bot.stall import StallDetector
from tests.unit import blocking
from tests.unit.blocking import Blocks


def seen(caplog: pytest.LogCaptureFixture, handler: str) -> list[str]:
    """Where somebody held up the loop; a busy machine may have done so besides."""
    said = [vars(one) for one in caplog.records if "stands still" in one.getMessage()]
    return [str(one["where"]) for one in said if one["handler"] == handler]


async def test_who_holds_up_the_loop_is_named_once_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with StallDetector({"blocks": Blocks(None), "good": Handler(None)}, 0.2):
        await asyncio.sleep(0.05)
        Blocks.block(1.5)
        await asyncio.sleep(0.3)
        [where] = seen(caplog, "blocks")
        assert where.startswith(blocking.__file__)
        Blocks.block(1.5)
        await asyncio.sleep(0.3)
        assert len(seen(caplog, "blocks")) == 2
    assert not seen(caplog, "good")


async def test_what_is_no_handlers_fault_has_a_place(caplog: pytest.LogCaptureFixture) -> None:
    async with StallDetector({}, 0.2):
        await asyncio.sleep(0.05)
        time.sleep(1.5)
        await asyncio.sleep(0.3)
    assert any(where.startswith(__file__) for where in seen(caplog, ""))
