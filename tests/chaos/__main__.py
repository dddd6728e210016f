"""`python -m tests.chaos COMMAND`: writes a report, exits 1 when it is bad."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot import __version__
from tests.chaos import deliveries, jobs, kills, recovery, soak
from tests.chaos.crew import LEGACY, PROFILES
from tests.stack.processes import ROOT
from tests.stack.stack import Stack


def main() -> int:
    """Runs what is asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("kills")
    one.add_argument("--seed", type=int, default=int(time.time()))
    one.add_argument("--kills", type=int, default=200)
    one.add_argument("--boards", type=int, default=10)
    two = commands.add_parser("soak")
    two.add_argument("--limited-minutes", type=float, default=10, help="0 leaves this part out")
    two.add_argument("--exempt-minutes", type=float, default=15, help="0 leaves this part out")
    two.add_argument("--boards", type=int, default=60, help="of the exempt account")
    three = commands.add_parser("recovery")
    three.add_argument("--times", type=int, default=20)
    three.add_argument("--boards", type=int, default=10)
    four = commands.add_parser("jobs")
    four.add_argument("--seed", type=int, default=int(time.time()))
    four.add_argument("--kills", type=int, default=50)
    five = commands.add_parser("deliveries")
    five.add_argument("--seed", type=int, default=int(time.time()))
    five.add_argument("--kills", type=int, default=100)
    for each in (one, two, three, four, five):
        each.add_argument("--output", type=Path, help="default: build/COMMAND.json")
    for each in (one, two, three, five):
        each.add_argument("--profile", choices=PROFILES, default=LEGACY, help="of the people")
    chosen = parser.parse_args()
    report: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
    }
    with tempfile.TemporaryDirectory(prefix="chaos") as folder:
        report |= asyncio.run(_run(chosen, Path(folder)))
    output = chosen.output or ROOT / "build" / f"{chosen.command}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    for problem in report["problems"]:
        print(f"problem: {problem}", file=sys.stderr)
    return 1 if report["problems"] else 0


async def _run(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    if chosen.command == "soak":
        return await soak.both(
            folder,
            limited=chosen.limited_minutes * 60,
            exempt=chosen.exempt_minutes * 60,
            boards=chosen.boards,
            profile=chosen.profile,
        )
    if chosen.command == "recovery":
        report = await recovery.recovery(
            folder, times=chosen.times, boards=chosen.boards, profile=chosen.profile
        )
        return {**report, "problems": recovery.problems(report)}
    async with Stack.start(folder / "stack") as stack:
        if chosen.command == "jobs":
            return await jobs.jobs(stack, folder, seed=chosen.seed, kills=chosen.kills)
        if chosen.command == "deliveries":
            return await deliveries.deliveries(
                stack, folder, seed=chosen.seed, kills=chosen.kills, profile=chosen.profile
            )
        report = await kills.chaos(
            stack,
            folder,
            seed=chosen.seed,
            kills=chosen.kills,
            boards=chosen.boards,
            profile=chosen.profile,
        )
    return {**report, "problems": kills.problems(report)}


if __name__ == "__main__":
    sys.exit(main())
