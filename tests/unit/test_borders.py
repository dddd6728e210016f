"""What a TaskGroup swallows while it fails ends the task all the same."""

from __future__ import annotations

import asyncio

import pytest

from bot.borders import end_if_cancelled


async def _fail(go: asyncio.Event) -> None:
    await go.wait()
    raise ValueError("broken")


async def _slow_to_end(failing: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        failing.set()
        await asyncio.sleep(0.01)
        raise


async def test_whoever_is_cancelled_while_it_fails_is_not_begun_anew() -> None:
    go, failing = asyncio.Event(), asyncio.Event()
    begun = 0

    async def keep() -> None:
        nonlocal begun
        while True:
            begun += 1
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_fail(go))
                    tasks.create_task(_slow_to_end(failing))
            except* ValueError:
                pass
            end_if_cancelled()

    task = asyncio.create_task(keep())
    await asyncio.sleep(0)
    go.set()
    await failing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
    assert begun == 1


async def test_whoever_is_not_cancelled_goes_on() -> None:
    end_if_cancelled()
