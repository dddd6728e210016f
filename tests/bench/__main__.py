"""`python -m tests.bench [--quick] [--only PART]`: measures, shows a table, writes bench.json."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from rich.console import Console

from bot.livekit.lean import raise_file_limit
from tests.bench import (
    bridging,
    delays,
    handlers,
    idle,
    ingest,
    merging,
    opening,
    past,
    seeing,
    writing,
)
from tests.bench.results import Result, show, write
from tests.bench.scene import Scene, scene
from tests.stack.processes import ROOT
from tests.stack.stack import Options, Stack

PURE = ("merge", "open", "write")
"""Parts that need no servers."""
PARTS = (*PURE, "ingest", "handlers", "delays", "seeing", "bridge", "history", "idle")
ROOMS = {1: 3, 50: 3, 200: 1}
"""How many idle boards, and how often each is measured: 200 take minutes."""
# As operators of many boards are told to set it.
_OPTIONS = Options(synapse={"experimental_features": {"msc4140_max_delayed_events_per_user": 1000}})

Measure = Callable[[Scene], Awaitable[list[Result]]]
Calculate = Callable[[Path], list[Result]]


def main() -> None:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, 50 rooms: two minutes")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be repeated")
    parser.add_argument("--rooms", type=int, choices=ROOMS, action="append", help="of idle boards")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench.json")
    chosen = parser.parse_args()
    console = Console()
    rooms = chosen.rooms or ([50] if chosen.quick else list(ROOMS))
    names = chosen.only or PARTS
    pure = _plan_pure(names, quick=chosen.quick)
    parts = _plan(names, rooms, quick=chosen.quick)
    results: list[Result] = []
    try:
        _calculate(pure, console, results)
        if parts:
            asyncio.run(_measure(parts, console, results))
    finally:
        # What was measured before something failed, or somebody lost patience, counts.
        write(results, chosen.output)
        show(results, console)
        console.print(f"Written to {chosen.output}")


def _plan_pure(parts: Sequence[str], *, quick: bool) -> list[tuple[str, Calculate]]:
    """What to measure without servers."""
    updates, runs = (2_000, 3) if quick else (6_000, 9)
    many, times = (10_000, 1) if quick else (100_000, 3)
    plan: dict[str, tuple[str, Calculate]] = {
        "merge": ("merging updates", lambda _: merging.measure(updates=updates, runs=runs)),
        "open": (
            "opening large boards",
            lambda folder: opening.measure(folder, elements=2_000, updates=many, runs=times),
        ),
        "write": ("what is written in an hour", lambda _: writing.measure()),
    }
    return [plan[part] for part in PURE if part in parts]


def _calculate(plan: list[tuple[str, Calculate]], console: Console, results: list[Result]) -> None:
    with tempfile.TemporaryDirectory(prefix="boardkeeper-bench-") as name:
        for words, calculate in plan:
            with console.status(f"Measuring {words} …"):
                results += calculate(Path(name))
            console.print(f"Measured {words}.")


def _plan(parts: Sequence[str], rooms: Sequence[int], *, quick: bool) -> list[tuple[str, Measure]]:
    """What to measure, in this order, each with words for people."""
    plan: list[tuple[str, Measure]] = []
    if "ingest" in parts:
        packets, runs = (3000, 2) if quick else (6000, 9)
        plan.append(("ingest", lambda on: ingest.measure(on, packets=packets, runs=runs)))
    if "handlers" in parts:
        plan += _handlers(quick=quick)
    if "delays" in parts:
        times = 1 if quick else 7
        plan.append(("how soon it is there", lambda on: delays.measure(on, runs=times)))
    if "seeing" in parts:
        rounds, strokes = (1, 20) if quick else (5, 40)
        words = "how soon strokes are seen"
        plan.append((words, lambda on: seeing.measure(on, runs=rounds, strokes=strokes)))
    if "bridge" in parts:
        updates, moves, times = (1_500, 50, 1) if quick else (4_000, 200, 5)
        words = "the bridge between the profiles"
        plan.append(
            (
                words,
                lambda on: bridging.measure(on, packets=updates, cursors=moves, runs=times),
            )
        )
    if "history" in parts:
        changes, readings = (1_000, 1) if quick else (10_000, 3)
        words = "the history of sessions"
        plan.append((words, lambda on: past.measure(on, changes=changes, runs=readings)))
    if "idle" in parts:
        plan += [_idle(count, 1 if quick else ROOMS[count]) for count in rooms]
    return plan


def _handlers(*, quick: bool) -> list[tuple[str, Measure]]:
    packets, burst, strokes = (2000, 500, 150) if quick else (6000, 1000, 400)
    runs = 1 if quick else 4
    return [
        ("what idle handlers cost", lambda on: handlers.events(on, packets=packets, runs=runs)),
        (
            "durable handlers",
            lambda on: handlers.durable(on, packets=packets, burst=burst, runs=runs),
        ),
        (
            "handlers beside some that misbehave",
            lambda on: handlers.misbehaving(on, strokes=strokes, runs=runs),
        ),
    ]


def _idle(rooms: int, runs: int) -> tuple[str, Measure]:
    # A settled bare SDK still costs less than at first: 25 s, seen with 50 rooms.
    settle, window = (10.0 if rooms == 1 else 20.0), (15.0 if rooms == 200 else 10.0)
    many = rooms >= 200

    async def measure(on: Scene) -> list[Result]:
        return await idle.measure(
            on, rooms=rooms, runs=runs, settle=settle, window=window, split=many
        )

    return f"{rooms} idle boards", measure


async def _measure(
    plan: list[tuple[str, Measure]], console: Console, results: list[Result]
) -> None:
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="boardkeeper-bench-") as name:
        folder = Path(name)
        async with (
            Stack.start(folder / "stack", _OPTIONS) as stack,
            scene(stack, folder / "runs") as on,
        ):
            for words, measure in plan:
                with console.status(f"Measuring {words} …"):
                    results += await measure(on)
                console.print(f"Measured {words}.")


if __name__ == "__main__":
    main()
