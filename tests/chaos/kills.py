"""`make chaos`: the bot is killed (-9) at random moments, with many boards at once.

Every choice comes from one seed. Moments: while it starts and joins, between and during refreshes,
while it changes its focus, while it leaves. After a kill it is started again at once, or only after
its memberships must have gone. Judged afterwards by what the homeserver has (`checks`).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.checks import Life, Mark, gaps, middle_and_worst, outlived, standing
from tests.chaos.crew import LEGACY, Crew, crew, delayed_events
from tests.stack.bot import Bot, until
from tests.stack.processes import StackError
from tests.stack.stack import Stack

REFRESH = 1.0
DELAY = 4.0
BACK_WITHIN = 30.0
SLACK = 0.75
"""Seconds: what the process had sent when it was killed may still reach the homeserver."""
CONFIG = {
    "rtc": {"refresh": f"{REFRESH:g}s", "delay": f"{DELAY:g}s"},
    "presence": {"linger": "0s"},
    "invites": {"per_minute": 1000},
    "log": {"format": "json"},
}
CATCH_UP = 10.0
"""Seconds that whoever watches may be behind; whether it took too long is judged by the events."""
MOMENTS = {"start": 0.2, "join": 0.15, "refresh": 0.25, "switch": 0.2, "leave": 0.2}
"""How often each is chosen."""
STAYS_DEAD = 0.25
"""How often it is started again only after all must be gone."""
STAYS_DEAD_BRIEF = 0.1
"""The same in the short run that is one test of many."""


@dataclass(slots=True)
class Chaos:
    """One run.

    Attributes:
        rng: makes every choice.
        stays_dead: how often it is started again only after all must be gone.
        lives: the processes so far.
        moments: how many kills at each.
        back: seconds from each start of the process until it was on all boards.
        stayed_dead: how often that happened.
        waiting: delayed events while it was on all boards at last.
    """

    crew: Crew
    bot: Bot
    rng: random.Random
    stays_dead: float = STAYS_DEAD
    lives: list[Life] = field(default_factory=list)
    moments: Counter[str] = field(default_factory=Counter)
    back: list[float] = field(default_factory=list)
    stayed_dead: int = 0
    waiting: int = 0
    _began: float = 0.0
    _others: list[str] = field(default_factory=list)

    async def run(self, kills: int) -> None:
        """Kill it so often; each time it is started anew."""
        url = self.crew.stack.jwt_url
        self._others = [url, url.replace("127.0.0.1", "localhost")]
        while len(self.lives) < kills:
            [moment] = self.rng.choices(list(MOMENTS), list(MOMENTS.values()))
            self.moments[moment] += 1
            await MOMENTS_DO[moment](self)
            await self._pause()

    async def end(self) -> float:
        """Start it once more and end it in order; return how long that took."""
        await self._start()
        await self._all_on()
        # What an earlier life left is gone now: one membership for each board and profile.
        await self.crew.bot_on(self.crew.places, DELAY + CATCH_UP, self.bot)
        self.waiting = delayed_events(self.crew.stack, self.bot.user_id)
        self._ended()
        return await self.bot.stop()

    # -- moments -----------------------------------------------------------------------------

    async def _starting(self) -> None:
        """Before it has even said that it is ready, or soon after."""
        self._began = time.time()
        starting = asyncio.create_task(self.bot.start())
        await asyncio.wait([starting], timeout=self.rng.uniform(0.3, 3.0))
        self._ended()
        if starting.done():
            await starting
            await self.bot.kill()
        else:
            starting.cancel()  # that kills it
            await asyncio.wait([starting])

    async def _joining(self) -> None:
        """While it comes because people do."""
        await self._start()
        await self._all_on()
        await self.crew.go()
        await self.crew.bot_on(0, 10, self.bot)
        await self.crew.enter()
        await asyncio.sleep(self.rng.uniform(0, 1.2))
        await self._kill()

    async def _refresh(self) -> None:
        await self._start()
        await self._all_on()
        await asyncio.sleep(self.rng.uniform(0, 1.5 * REFRESH))
        await self._kill()

    async def _switch(self) -> None:
        """While it follows the person to another focus: 1.5 s of patience, then a connection."""
        await self._start()
        await self._all_on()
        self._others.reverse()
        await self.crew.enter(self._others[:1])
        await asyncio.sleep(self.rng.uniform(0, 3.0))
        await self._kill()

    async def _leave(self) -> None:
        await self._start()
        await self._all_on()
        await self.crew.go()
        await asyncio.sleep(self.rng.uniform(0, 0.6))
        await self._kill()
        await self.crew.enter()

    # -- the process -------------------------------------------------------------------------

    async def _start(self) -> None:
        self._began = time.time()
        await self.bot.start()

    async def _kill(self) -> None:
        self._ended()
        await self.bot.kill()

    def _ended(self) -> None:
        self.lives.append(Life(self._began, time.time()))

    async def _pause(self) -> None:
        if self.rng.random() < self.stays_dead:
            self.stayed_dead += 1
            await self.crew.bot_gone(DELAY + CATCH_UP, self.bot)
        else:
            await asyncio.sleep(self.rng.uniform(0, 0.5))

    async def _all_on(self) -> None:
        """Wait until this process is on every board; what an earlier one wrote does not count."""
        began = self._began

        def on() -> bool:
            return all(_is_on(marks, began) for marks in self.crew.marks.values())

        try:
            await until(on, BACK_WITHIN, "the bot is not on all boards", self.bot)
        except StackError as error:
            where = [
                (where, [(round(mark.ts - began, 2), mark.joined) for mark in marks[-4:]])
                for where, marks in self.crew.marks.items()
                if not _is_on(marks, began)
            ]
            raise StackError(f"{error}\nnot on, seconds since the start: {where}") from None
        last = max(
            next(mark.ts for mark in marks if mark.joined and mark.ts >= began)
            for marks in self.crew.marks.values()
        )
        if len(self.back) <= len(self.lives):
            self.back.append(last - began)


def _is_on(marks: Sequence[Mark], began: float) -> bool:
    return any(ts >= began for ts in standing(marks).values())


MOMENTS_DO: Mapping[str, Callable[[Chaos], Awaitable[None]]] = {
    "start": Chaos._starting,
    "join": Chaos._joining,
    "refresh": Chaos._refresh,
    "switch": Chaos._switch,
    "leave": Chaos._leave,
}


async def chaos(
    stack: Stack,
    folder: Path,
    *,
    seed: int,
    kills: int,
    boards: int,
    brief: bool = False,
    slack: float = SLACK,
    users: tuple[str, str] = ("bot", "person"),
    profile: str = LEGACY,
) -> dict[str, Any]:
    """Run it all; return the report.

    Args:
        stack: the servers, which nobody limits.
        folder: for the bot's files.
        seed: of every choice.
        kills: how many.
        boards: how many, each in a room of its own.
        brief: spend less time dead.
        slack: seconds that a membership may outlive its process beyond the delay.
        users: names of the bot and of the person, nobody else's.
        profile: what the person speaks, one of PROFILES.
    """
    bot = Bot(stack, folder / "bot", await stack.user(users[0]), CONFIG)
    async with crew(stack, users[1], profile) as people:
        await people.make_boards(bot, boards)
        await people.enter()
        dead = STAYS_DEAD_BRIEF if brief else STAYS_DEAD
        run = Chaos(people, bot, random.Random(seed), dead)
        begun = time.monotonic()
        try:
            await run.run(kills)
            took = await run.end()
            await people.bot_on(0, DELAY, bot)
        finally:
            await bot.kill()
        await asyncio.sleep(DELAY + 1)
        await people.caught_up()
        return {
            "seed": seed,
            "profile": profile,
            "kills": kills,
            "boards": boards,
            "places": people.places,
            "refresh": REFRESH,
            "delay": DELAY,
            "took_seconds": round(time.monotonic() - begun),
            "moments": dict(run.moments),
            "stayed_dead": run.stayed_dead,
            "back_after_start_seconds": middle_and_worst(run.back),
            "outlived_seconds": middle_and_worst(_outlived(run)),
            "ghosts": sum(one > DELAY + slack for one in _outlived(run)),
            "flaps": _flaps(run),
            "delayed_events_at_the_end_while_on": run.waiting,
            "delayed_events_left_behind": delayed_events(stack, bot.user_id),
            "ended_in_order_seconds": round(took, 2),
            "present_at_the_end": people.present(),
        }


def _outlived(run: Chaos) -> list[float]:
    return [one for marks in run.crew.marks.values() for one in outlived(marks, run.lives)]


def _flaps(run: Chaos) -> int:
    """Count leaves that came over a membership while its process lived and people were there."""
    return sum(
        1
        for marks in run.crew.marks.values()
        for life in run.lives
        for gap in gaps([mark for mark in marks if life.began <= mark.ts <= life.ended])
        if not any(out <= gap.ended and gap.began <= back for out, back in run.crew.away)
    )


def problems(report: dict[str, Any]) -> list[str]:
    """Return what in a report is not as it must be."""
    found = []
    if report["ghosts"]:
        found.append(f"{report['ghosts']} memberships outlived their process too long")
    if (report["back_after_start_seconds"]["worst"] or 0) > BACK_WITHIN:
        found.append("it took too long to be back")
    if report["flaps"]:
        found.append("memberships were cleared while the bot lived")
    if report["delayed_events_left_behind"]:
        found.append("delayed events are left behind")
    if report["delayed_events_at_the_end_while_on"] > report["places"]:
        found.append("more delayed events than memberships")
    if report["present_at_the_end"]:
        found.append("memberships are left behind")
    return found
