"""What handlers cost: idle ones, durable ones, and those that misbehave.

The reference is a bare function in the SDK's callback, in the same run.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import time
from contextlib import AsyncExitStack, closing
from statistics import median
from typing import Any

from tests.bench import ingest
from tests.bench.children import ChildError, child
from tests.bench.packets import dragging
from tests.bench.results import Result
from tests.bench.scene import POLL, Scene, bot, joined, livekit_room
from tests.bench.usage import cpu_seconds
from tests.stack.bot import Bot, until
from tests.stack.client.events import Board
from tests.stack.processes import ROOT

AUTHORED = ROOT / "tests" / "bench" / "authored.py"
COUNTS = (0, 1, 5, 20)
"""How many handlers that do nothing."""
HEALTHY = 3
_PATIENCE = 60.0
_CALM = 1.0
"""Seconds between everybody being there and the first packet."""
_EVERY = 0.02
"""Seconds between two strokes of somebody who draws fast."""


def authored(name: str, number: int = 0, **more: Any) -> dict[str, Any]:
    """Return the entry of a handler of `authored`."""
    return {"use": f"{AUTHORED}:{name}", "name": f"{name.lower()}{number}", **more}


# -- per event -------------------------------------------------------------------------------------


async def events(scene: Scene, *, packets: int, runs: int) -> list[Result]:
    """Processor time per event, with so many handlers that do nothing; nothing is recorded."""
    results = {count: Result(f"handlers_{count}", "ms of CPU per 1,000 events") for count in COUNTS}
    async with AsyncExitStack() as exits:
        bots = {}
        for count in COUNTS:
            entries = [authored("Noop", number) for number in range(count)]
            config = {"handlers": entries}
            bots[count] = await exits.enter_async_context(bot(scene, f"noop{count}", config))
        for run in range(runs):
            _, bare = await ingest.bare_callback(scene, packets)
            # Each is the first, and the last, as often as any other.
            for place in range(len(COUNTS)):
                count = COUNTS[(place + run) % len(COUNTS)]
                spent = await _spent(scene, bots[count], packets)
                results[count].ours.append(spent * 1e6 / packets)
                results[count].reference.append(bare * 1e6 / packets)
    return list(results.values())


async def _spent(scene: Scene, running: Bot, count: int) -> float:
    """Processor seconds of a bot for so many packets."""
    seen = await _updates(running)

    async def all_seen() -> bool:
        return await _updates(running) >= seen + count

    board = await _entered(scene, running)
    async with scene.sender(livekit_room(board), dragging(board.document_id, count)) as sender:
        await asyncio.sleep(_CALM)
        before = cpu_seconds(running.process.pid)
        sender.tell("go")
        await until(all_seen, _PATIENCE, "not all events are seen", running)
        spent = cpu_seconds(running.process.pid) - before
    await scene.leave(board)
    return spent


async def _updates(running: Bot) -> float:
    found = await running.metrics()
    return sum(value for name, value in found.items() if name.startswith("boardkeeper_updates_to"))


async def _entered(scene: Scene, running: Bot) -> Board:
    board = await scene.board(running.user_id)
    await scene.enter(board)
    await until(lambda: board.room_id in joined(running), 30, "the bot is not there", running)
    return board


# -- durable ---------------------------------------------------------------------------------------


async def durable(scene: Scene, *, packets: int, burst: int, runs: int) -> list[Result]:
    """Events a second through the archive to a durable handler that has taken them all."""
    kinds = ("durable", "durable_batches", "durable_webhook")
    speed = {kind: Result(kind, "events/s") for kind in kinds}
    bursts = Result(f"burst_of_{burst}_told", "s")
    async with AsyncExitStack() as exits:
        hook = await exits.enter_async_context(child(scene.folder, "hook"))
        url = await hook.heard(30)
        settings = {"url": url, "secret": "s" * 32, "collect": "0s", "allow_private": True}
        entries = {
            "durable": authored("DurableNoop"),
            "durable_batches": authored("DurableBatches"),
            "durable_webhook": {"use": "webhook", "settings": settings},
        }
        bots = {}
        for kind, entry in entries.items():
            config = {"handlers": [{"use": "record"}, entry]}
            bots[kind] = await exits.enter_async_context(bot(scene, kind.replace("_", "-"), config))
        for run in range(runs):
            took, _ = await ingest.bare_callback(scene, packets)
            for place in range(len(kinds)):
                kind = kinds[(place + run) % len(kinds)]
                speed[kind].ours.append(packets / await _told(scene, bots[kind], packets))
                speed[kind].reference.append(packets / took)
            bursts.ours.append(await _told(scene, bots["durable_webhook"], burst))
            bursts.reference.append((await ingest.bare_callback(scene, burst))[0])
    return [*speed.values(), bursts]


async def _told(scene: Scene, running: Bot, count: int) -> float:
    """Seconds from the first packet until its durable handler has taken all."""
    board = await _entered(scene, running)
    async with scene.sender(livekit_room(board), dragging(board.document_id, count)) as sender:
        await asyncio.sleep(_CALM)
        sender.tell("go")
        began: float = await sender.heard(10)
        ended = await _taken(running, board, count)
    await scene.leave(board)
    return ended - began


async def _taken(running: Bot, board: Board, count: int) -> float:
    """Wait until the cursor stands behind so many changes of a board; return when that was."""
    path = running.data / "boardkeeper.db"
    sql = (
        "SELECT count(*) FROM entries e JOIN boards b ON b.id = e.board_id"
        " JOIN cursors c ON c.board_id = b.id AND e.seq <= c.seq"
        " WHERE b.room_id = ? AND e.kind = 'update'"
    )
    deadline = time.monotonic() + _PATIENCE
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as archive:
        while True:
            [[found]] = archive.execute(sql, (board.room_id,)).fetchall()
            now = time.monotonic()
            if found >= count:
                return now
            if now > deadline:
                raise ChildError(f"{found} of {count} events were taken\n{running.tail()}")
            # Counting reads them all: it must not be what is measured.
            await asyncio.sleep(POLL * 5)


# -- misbehaving -----------------------------------------------------------------------------------


async def misbehaving(scene: Scene, *, strokes: int, runs: int) -> list[Result]:
    """The delay from a stroke to the healthy handlers, beside three that misbehave and without."""
    middle = Result("healthy_beside_misbehaving", "ms", goal=3.0)
    worst = Result("healthy_beside_misbehaving_p95", "ms")
    bad = [
        authored("Sleeps"),
        authored("Raises"),
        authored("Burns", isolation="process"),
    ]
    for run in range(runs):
        # Each begins every other time, in a new process: what one burns is not the other's.
        for ours in (True, False) if run % 2 else (False, True):
            delays = await _delays(scene, bad if ours else [], strokes)
            for result, choose in ((middle, median), (worst, _p95)):
                into = result.ours if ours else result.reference
                into.append(choose(delays) * 1000)
    return [middle, worst]


def _p95(values: list[float]) -> float:
    return sorted(values)[len(values) * 95 // 100]


async def _delays(scene: Scene, beside: list[dict[str, Any]], strokes: int) -> list[float]:
    """Seconds from each stroke to the call of each healthy handler."""
    name = f"watched-{secrets.token_hex(4)}"
    files = [scene.folder / f"{name}-{number}.json" for number in range(HEALTHY)]
    healthy = [
        authored("Watch", number, settings={"file": str(file)}) for number, file in enumerate(files)
    ]
    # Those that misbehave come first.
    async with bot(scene, name, {"handlers": [*beside, *healthy]}) as running:
        board = await _entered(scene, running)
        async with child(scene.folder, "pen") as pen:
            pen.tell(
                {
                    "url": scene.stack.livekit_url,
                    "token": scene.token(
                        livekit_room(board), f"{scene.person.user_id}:{scene.person.device_id}"
                    ),
                    "document": board.document_id,
                    "count": strokes,
                    "every": _EVERY,
                }
            )
            await pen.heard(30)
            await asyncio.sleep(_CALM)
            pen.tell("go")
            await pen.heard(_PATIENCE)
            await asyncio.sleep(_CALM)
        await scene.leave(board)
    found: list[float] = []
    for file in files:
        seconds = json.loads(file.read_text())
        if len(seconds) != strokes:
            raise ChildError(f"a healthy handler was told {len(seconds)} of {strokes} strokes")
        found += seconds
    return found
