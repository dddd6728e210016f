"""`make soak`: the bot for long, under Synapse's own rate limits and with many boards.

Each server is killed and started again twice, once briefly, once for longer than what the bot
bridges: the delay of its leave (Synapse), its grace (LiveKit). Judged by what the homeserver has.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from tests.bench.usage import cpu_seconds, usage
from tests.chaos.checks import Gap, gaps, middle_and_worst, standing
from tests.chaos.crew import PROFILES, Crew, crew, delayed_by_room
from tests.chaos.requests import requests
from tests.chaos.wellness import well
from tests.stack.bot import Bot, until
from tests.stack.processes import StackError
from tests.stack.stack import Options, Stack

CONFIG = {"invites": {"per_minute": 1000}, "presence": {"linger": "10s"}}
"""The membership's times are the usual ones: refresh 5 s, delay 18 s, grace 10 s."""
JOIN_WITHIN = 180.0
RECOVER_WITHIN = 40.0
"""Seconds after a server is back until every membership must be in the room again."""
SAMPLE = 2.0
PLAN = (
    ("synapse", 0.06, 5.0),
    ("livekit", 0.18, 3.0),
    ("jwt", 0.30, 5.0),
    ("synapse", 0.38, 25.0),
    ("livekit", 0.54, 15.0),
    ("jwt", 0.68, 10.0),
)
"""Which server, when (of the whole time), for how many seconds."""
QUIET = 0.78
"""From here on nothing is broken: what idle memberships cost is measured."""
GROWN = 1.25
"""Times what it was half-way: this much memory at the end is no longer chance."""
LEAKS = ("boardkeeper_connections", "boardkeeper_presences", "boardkeeper_memberships")
"""Gauges that are 0 once nobody is on a board."""
SHORT = 300.0
"""Seconds; in a run that is shorter, servers are away for less."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A server that was away; times are seconds since 1970."""

    server: str
    began: float
    ended: float
    well: float

    def row(self) -> dict[str, Any]:
        """Return it for the report."""
        return {
            "server": self.server,
            "away_seconds": round(self.ended - self.began, 1),
            "recovered_after_seconds": round(self.well - self.ended, 1),
        }


@dataclass(slots=True)
class Soak:
    """One part: a bot on its boards.

    Attributes:
        faults: those so far.
        most_delayed: the most delayed events seen at a time, in all and in one room.
        memory: resident MB of the bot, again and again.
    """

    stack: Stack
    crew: Crew
    bot: Bot
    faults: list[Fault] = field(default_factory=list)
    most_delayed: int = 0
    most_delayed_in_a_room: int = 0
    over: int = 0
    memory: list[float] = field(default_factory=list)

    async def run(self, seconds: float) -> dict[str, Any]:
        """Break and mend servers, then let it rest; return the report."""
        begun = time.time()
        sampling = asyncio.create_task(self._sample())
        for server, at, away in PLAN:
            await asyncio.sleep(max(0.0, begun + at * seconds - time.time()))
            await self._break(server, away * min(1.0, seconds / SHORT))
        await asyncio.sleep(max(0.0, begun + QUIET * seconds - time.time()))
        quiet, cpu = time.time(), cpu_seconds(self.bot.process.pid)
        await asyncio.sleep(max(5.0, begun + seconds - time.time()))
        cpu, rested = cpu_seconds(self.bot.process.pid) - cpu, time.time() - quiet
        sampling.cancel()
        await asyncio.wait([sampling])
        await self.crew.caught_up()
        asked = requests(self.stack.folder / "synapse.log", self.bot.user_id, quiet, quiet + rested)
        return {**self._report(), **self._costs(asked, cpu, rested)}

    async def _break(self, server: str, away: float) -> None:
        process = getattr(self.stack, server)
        await process.kill()
        began = time.time()
        await asyncio.sleep(away)
        await process.start()
        ended = time.time()
        what = f"not well after {server} was away"
        try:
            await until(lambda: well(self.crew, self.bot), 120, what, self.bot)
        except StackError as error:
            now, marks = time.time(), self.crew.marks
            lacking = {
                where: [(round(one.ts - now, 2), one.joined, one.member) for one in marks[where]]
                for where in marks
                if not standing(marks[where])
            }
            raise StackError(f"{error}\nnot on: {lacking}\n{await self.bot.metrics()}") from None
        self.faults.append(Fault(server, began, ended, time.time()))

    async def _sample(self) -> None:
        """Count delayed events again and again, by the homeserver's database."""
        while True:
            self.memory.append((await usage(self.bot.process.pid, SAMPLE)).memory)
            with suppress(sqlite3.Error):
                rooms = delayed_by_room(self.stack, self.bot.user_id)
                self.most_delayed = max(self.most_delayed, sum(rooms.values()))
                self.most_delayed_in_a_room = max(self.most_delayed_in_a_room, *rooms.values(), 0)
                self.over += sum(rooms.values()) > self.crew.places + 1

    def _report(self) -> dict[str, Any]:
        found = [gap for marks in self.crew.marks.values() for gap in gaps(marks)]
        return {
            "faults": [fault.row() for fault in self.faults],
            "recovered_after_seconds": {
                server: middle_and_worst(
                    one.well - one.ended for one in self.faults if one.server == server
                )
                for server in ("synapse", "livekit", "jwt")
            },
            "gaps": {
                **middle_and_worst(gap.length for gap in found),
                "unexplained": sum(not self._explained(gap) for gap in found),
                "back_after_the_server_seconds": middle_and_worst(
                    self._beyond(gap) for gap in found if self._explained(gap)
                ),
            },
            "most_delayed_events": self.most_delayed,
            "most_delayed_events_in_a_room": self.most_delayed_in_a_room,
            "samples_with_too_many": self.over,
            "memory_mb": {
                "begin": round(self.memory[0], 1),
                "half": round(self.memory[len(self.memory) // 2], 1),
                "end": round(self.memory[-1], 1),
            },
        }

    def _explained(self, gap: Gap) -> bool:
        return self._beyond(gap) <= RECOVER_WITHIN

    def _beyond(self, gap: Gap) -> float:
        """Return for how long a gap lasted after the server that caused it was back."""
        causes = [one for one in self.faults if one.began <= gap.began <= one.well]
        return gap.ended - causes[-1].ended if causes else inf

    def _costs(self, asked: Counter[str], cpu: float, seconds: float) -> dict[str, Any]:
        boards = len(self.crew.boards)
        per_hour = 3600 / seconds / boards
        return {
            "idle": {
                "seconds": round(seconds),
                "requests_per_board_and_hour": round(asked.total() * per_hour),
                "of_these": {name: round(n * per_hour) for name, n in asked.most_common()},
                "cpu_percent_of_a_core": round(100 * cpu / seconds, 2),
                "cpu_percent_per_100_memberships": round(100 * cpu / seconds / boards * 100, 2),
            }
        }


async def soak(
    folder: Path, *, seconds: float, boards: int, exempt: bool, name: str, profile: str
) -> dict[str, Any]:
    """Run one part on servers of its own; return the report."""
    async with Stack.start(folder / name, Options(default_limits=True)) as stack:
        login = await stack.user("bot")
        if exempt:
            await stack.exempt(login.user_id)
        bot = Bot(stack, folder / f"{name}-bot", login, CONFIG)
        async with crew(stack, profile=profile) as people:
            await stack.exempt(people.person.user_id)
            await people.make_boards(bot, boards)
            begun = time.monotonic()
            await people.enter()
            try:
                await bot.start()
                await people.bot_on(people.places, JOIN_WITHIN, bot)
                joined = time.monotonic() - begun
                part = Soak(stack, people, bot)
                report = await part.run(seconds)
                await people.go()
                await people.bot_on(0, 40, bot)
                kept = await _kept(bot)
                took = await bot.stop()
                await _fired(stack, bot)
            finally:
                await bot.kill()
            return {
                "part": name,
                "profile": profile,
                "boards": boards,
                "exempt": exempt,
                "minutes": round(seconds / 60, 1),
                "all_joined_after_seconds": round(joined, 1),
                **report,
                "ended_in_order_seconds": round(took, 2),
                "left_behind": people.present(),
                "kept_without_people": kept,
                "delayed_events_left_behind": sum(delayed_by_room(stack, bot.user_id).values()),
            }


async def _kept(bot: Bot) -> float:
    """Return how many connections, memberships and places it has; waits for it to have none."""

    async def count() -> float:
        found = await bot.metrics()
        return sum(value for name, value in found.items() if name.startswith(LEAKS))

    async def none() -> bool:
        return await count() == 0

    with suppress(StackError):  # the report says so
        await until(none, 30, "something is kept", bot)
    return await count()


async def _fired(stack: Stack, bot: Bot) -> None:
    """Wait until none of its delayed events waits: who had no time to cancel one is past it."""
    with suppress(StackError):  # the report says so
        await until(lambda: not delayed_by_room(stack, bot.user_id), 30, "delayed events", bot)


async def both(
    folder: Path, *, limited: float, exempt: float, boards: int, profile: str
) -> dict[str, Any]:
    """Run both parts at the same time; one of no length is left out."""
    each = len(PROFILES[profile])  # a board that is bridged takes two places
    parts = [
        soak(
            folder,
            seconds=seconds,
            boards=count // each,
            exempt=name == "exempt",
            name=name,
            profile=profile,
        )
        for name, seconds, count in (("limited", limited, 4), ("exempt", exempt, boards))
        if seconds
    ]
    reports = list(await asyncio.gather(*parts))
    found = [f"{one['part']}: {problem}" for one in reports for problem in problems(one)]
    return {"parts": reports, "problems": found}


def problems(report: dict[str, Any]) -> list[str]:
    """Return what in the report of a part is not as it must be."""
    found = []
    if report["gaps"]["unexplained"]:
        found.append(f"{report['gaps']['unexplained']} gaps that no restart explains")
    if report["samples_with_too_many"] or report["most_delayed_events_in_a_room"] > 2 * len(
        PROFILES[report["profile"]]
    ):
        found.append("more delayed events than memberships")
    if report["left_behind"] or report["delayed_events_left_behind"]:
        found.append("something is left behind")
    if report["kept_without_people"]:
        found.append("connections or places are kept without people")
    if report["memory_mb"]["end"] > GROWN * report["memory_mb"]["half"]:
        found.append("memory grows")
    return found
