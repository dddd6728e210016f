"""A position is stored when, and only when, everything before it was handled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.matrix.positions import Positions
from tests.fakes.homeserver import MemoryTokens


def future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@pytest.fixture
async def positions(tokens: MemoryTokens) -> AsyncIterator[Positions]:
    kept = Positions(tokens, 3)
    task = asyncio.create_task(kept.keep_storing())
    yield kept
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def stored(tokens: MemoryTokens) -> list[str]:
    return [value for _, value in tokens.history]


async def test_in_order_whatever_order_rooms_finish_in(
    positions: Positions, tokens: MemoryTokens
) -> None:
    a, b, c = future(), future(), future()
    positions.add("1", {"!a": a, "!b": b})
    positions.add("2", {"!c": c})
    positions.add("3", {})
    await settled()
    c.set_result(None)
    a.set_result(None)
    await settled()
    assert stored(tokens) == []
    b.set_result(None)
    await settled()
    assert stored(tokens) == ["3"], "one write for all that became possible"


async def test_a_response_without_news_is_stored(
    positions: Positions, tokens: MemoryTokens
) -> None:
    positions.add("1", {})
    await settled()
    assert stored(tokens) == ["1"]


async def test_a_room_that_gave_up_counts_as_handled(
    positions: Positions, tokens: MemoryTokens, caplog: pytest.LogCaptureFixture
) -> None:
    a = future()
    positions.add("1", {"!a": a})
    a.set_exception(RuntimeError("SECRET"))
    await settled()
    assert stored(tokens) == ["1"]
    (record,) = caplog.records
    assert (record.getMessage(), vars(record)["room"]) == ("a room gave up on a batch", "!a")
    assert "SECRET" not in caplog.text


async def test_a_batch_dropped_at_the_end_is_seen_again(
    positions: Positions, tokens: MemoryTokens
) -> None:
    a = future()
    positions.add("1", {})
    positions.add("2", {"!a": a})
    positions.add("3", {})
    a.cancel()
    await settled()
    positions.add("4", {})
    await positions.settle()
    assert stored(tokens) == ["1"]
    await positions.wait_for_space()


async def test_a_room_that_hangs_holds_up_the_rest_only_at_the_limit(
    positions: Positions, tokens: MemoryTokens, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    stuck = future()
    positions.add("1", {"!stuck": stuck, "!fine": future()})
    for position in ("2", "3"):
        await asyncio.wait_for(positions.wait_for_space(), 15)
        positions.add(position, {})
    waiting = asyncio.create_task(positions.wait_for_space())
    await settled()
    assert not waiting.done()
    assert vars(caplog.records[0])["rooms"] == ["!stuck", "!fine"]
    for done in positions._waiting[0].rooms.values():
        done.set_result(None)
    await asyncio.wait_for(waiting, 15)
    assert stored(tokens) == ["3"]


async def test_a_position_is_stored_once_and_loaded(tokens: MemoryTokens) -> None:
    tokens.texts["sync_token"] = "7"
    kept = Positions(tokens, 3)
    assert await kept.load() == "7"
    kept.add("7", {})
    await kept.settle()
    assert stored(tokens) == []
    tokens.texts["sync_token"] = ""
    assert await Positions(tokens, 3).load() is None


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), min_size=6, max_size=6))
def test_never_ahead_of_what_was_handled(order: list[int], owner: list[int]) -> None:
    """Six batches in six responses, handled in any order."""

    async def run() -> None:
        tokens = MemoryTokens()
        kept = Positions(tokens, 100)
        done = [future() for _ in range(6)]
        for response in range(6):
            rooms = {str(i): done[i] for i in range(6) if owner[i] == response}
            kept.add(str(response), rooms)
        for index in order:
            done[index].set_result(None)
            await kept.settle()
            open_in = [owner[i] for i in range(6) if not done[i].done()]
            expected = min(open_in, default=6) - 1
            assert tokens.texts.get("sync_token") == (str(expected) if expected >= 0 else None)

    asyncio.run(run())
