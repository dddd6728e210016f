"""`make chaos-deliveries`: the bot is killed (-9) while it delivers to `webhook` and `relay`.

Two people draw all the while on a board that is relayed to another one; both boards are told to a
receiver. Every choice comes from one seed. Moments: a request is with the receiver; he has just
taken one; a stroke has just been relayed; the receiver refuses; the bot starts and catches up.

Judged at the end, for each board: the receiver was told every committed change at least once, none
before the one that precedes it; nothing was given up but what he refused for good; a document made
of nothing but what he was told is the board; both boards are the same.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from tests.chaos.checks import middle_and_worst
from tests.chaos.crew import LEGACY
from tests.chaos.relayed import relayed
from tests.stack.bot import Bot, until
from tests.stack.client import elements
from tests.stack.client.document import BoardDocument
from tests.stack.client.events import Board
from tests.stack.neoboard import NeoBoard
from tests.stack.processes import StackError
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.drawing import drawing
from tests.system.receiver import Receiver, in_order

AGREE_WITHIN = 60.0
"""Seconds, times the patience of the stack, after the last start."""
MOMENTS = {"asked": 0.3, "taken": 0.2, "relayed": 0.2, "refused": 0.15, "start": 0.15}
"""How often each is chosen."""
REFUSALS = (422, 429, 500, 503)
STROKES_EVERY = (0.4, 0.6)
"""Seconds between two strokes of each person."""
KILLS_OF_A_BOARD = 10
"""Then there are new boards: those who draw here take longer with each stroke there is."""


@dataclass(slots=True)
class Deliveries:
    """One run.

    Attributes:
        bot: relays and tells.
        receiver: is told.
        people: who draws, all on the board that is relayed.
        bob: looks at the other one.
        rng: makes every choice.
        moments: how many kills at each.
        strokes: how many were drawn.
        seconds: from each start until something new was told, or relayed.
        problems: what must not be.
        given_up: how many changes he refused for good.
    """

    bot: Bot
    receiver: Receiver
    people: tuple[NeoBoard, NeoBoard]
    bob: NeoBoard
    rng: random.Random
    moments: Counter[str] = field(default_factory=Counter)
    strokes: int = 0
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    given_up: int = 0

    async def run(self, kills: int) -> None:
        """Kill it so often while they draw; then judge."""
        first, second = self.people
        often, rarely = STROKES_EVERY
        async with drawing(first, often, "a") as one, drawing(second, rarely, "b") as two:
            for _ in range(kills):
                [moment] = self.rng.choices(list(MOMENTS), list(MOMENTS.values()))
                self.moments[moment] += 1
                await MOMENTS_DO[moment](self)
                await asyncio.sleep(self.rng.uniform(0, 0.3))
            await self.bot.start()
            await self._taken_anew()
        self.strokes = len(one.drawn) + len(two.drawn)
        for person_ in self.people:
            await person_.keeping.save()
        await self._judge()

    # -- moments ---------------------------------------------------------------------------------

    async def _asked(self) -> None:
        """The receiver has a request that he has not answered."""
        self.receiver.slow = self.rng.uniform(0.1, 0.4)
        await self.bot.start()
        await self._more(lambda: self.receiver.arrived)
        await self.bot.kill()
        self.receiver.slow = 0.0

    async def _taken(self) -> None:
        """He has taken something; how far he is may not be noted yet."""
        await self.bot.start()
        await self._taken_anew()
        await asyncio.sleep(self.rng.uniform(0, 0.5))
        await self.bot.kill()

    async def _relayed(self) -> None:
        """The other board has something new; the archive and the room may not have it yet."""
        await self.bot.start()
        await self._more(lambda: len(shown(self.bob)))
        await asyncio.sleep(self.rng.uniform(0, 0.5))
        await self.bot.kill()

    async def _refused(self) -> None:
        """He does not take anything now; what waits is waited with."""
        self.receiver.status = self.rng.choice(REFUSALS)
        await self.bot.start()
        await self._more(lambda: self.receiver.refused)
        # Five refusals of the same take longer.
        await asyncio.sleep(self.rng.uniform(0, 1.0))
        await self.bot.kill()
        self.receiver.status = 204

    async def _starting(self) -> None:
        """Before it says that it is ready, or soon after: it gives what it had not given."""
        starting = asyncio.create_task(self.bot.start())
        await asyncio.wait([starting], timeout=self.rng.uniform(0.5, 3.0))
        if starting.done():
            await starting
            await self.bot.kill()
        else:
            starting.cancel()  # that kills it
            await asyncio.wait([starting])

    async def _taken_anew(self) -> None:
        await self._more(lambda: len(self.receiver.taken))

    async def _more(self, count: Callable[[], int]) -> None:
        before, begun = count(), time.monotonic()
        await until(lambda: count() > before, 60, "nothing is delivered", self.bot)
        self.seconds.append(time.monotonic() - begun)

    # -- judged ----------------------------------------------------------------------------------

    async def _judge(self) -> None:
        begun = time.monotonic()
        await self._settled("nothing refused", set())
        boards = (self.people[0].board, self.bob.board)
        for board in boards:
            self._judge_board(board)
        if dead := self._dead():
            self.problems.append(f"given up without a cause: {dead}")
        self.seconds.append(time.monotonic() - begun)
        await self._one_refused()

    def _judge_board(self, board: Board) -> None:
        wanted = self._committed(board)
        if not in_order(self.receiver.seqs_of(board.whiteboard_id), wanted):
            self.problems.append(f"out of order: {board.whiteboard_id}")
        if self._told(board) != self.people[0].document.content():
            self.problems.append("what the receiver was told is not the board")

    def _told(self, board: Board) -> Mapping[str, Any]:
        """Return what the receiver's updates make of a board."""
        told = BoardDocument()
        for update in self.receiver.updates_of(board.whiteboard_id):
            told.receive(update)
        return told.content()

    async def _one_refused(self) -> None:
        """Refuse one change for good: that one, and only that one, is given up, with the reason."""
        board = self.people[0].board
        before = set(self._committed(board))
        self.receiver.never = range(max(before) + 1, max(before) + 10_000)
        await self.people[0].draw(elements.shape(text="refused"))
        await until(self._dead, 60, "nothing was given up", self.bot)
        self.receiver.never = [seq for seq, _ in self._dead()]
        await self.people[0].keeping.save()
        await self._settled("one refused", set(self.receiver.never))
        self.given_up = len(self._dead())
        if not all(reason.startswith("ValueError at ") for _, reason in self._dead()):
            self.problems.append(f"given up without its cause: {self._dead()}")

    async def _settled(self, when: str, dead: set[int]) -> None:
        """Wait until all see the same, and the receiver has all that is committed but the dead.

        That alone could be so before the archive has the last of it: it has what people saved,
        and the receiver's boards are theirs.
        """
        boards = (self.people[0].board, self.bob.board)

        def lacking(board: Board) -> set[int]:
            told = self.receiver.seqs_of(board.whiteboard_id)
            return set(self._committed(board)) - set(told) - dead

        def settled() -> bool:
            first, second = (one.document.content() for one in self.people)
            if first != second or first != self.bob.document.content() or not self._saves_seen():
                return False
            # What was refused for good is on the boards, but not in what he was told.
            return all(
                not lacking(one) and (bool(dead) or self._told(one) == first) for one in boards
            )

        try:
            await until(settled, AGREE_WITHIN, "they do not agree", self.bot)
        except StackError:
            seen = [len(shown(one)) for one in (*self.people, self.bob)]
            not_told = [sorted(lacking(one))[:5] for one in boards]
            self.problems.append(f"{when}: seen {seen}, not told {not_told}")

    def _saves_seen(self) -> bool:
        """Whether the bot has read what people have saved last."""
        sql = "SELECT COUNT(*) FROM snapshots WHERE event_id = ?"
        saved = [event_id for one in self.people for event_id in one.keeping.saved[-1:]]
        return all(query(self.bot.data, sql, event_id) == [(1,)] for event_id in saved)

    def _committed(self, board: Board) -> list[int]:
        """Return the numbers of all changes of a board in the archive, ascending."""
        sql = (
            "SELECT e.seq FROM entries e JOIN boards b ON b.id = e.board_id WHERE"
            " b.whiteboard_id = ? AND e.kind IN ('update', 'snapshot', 'baseline') ORDER BY e.seq"
        )
        return [int(str(row[0])) for row in query(self.bot.data, sql, board.whiteboard_id)]

    def committed(self) -> int:
        """Return how many changes are in the archive."""
        return sum(len(self._committed(one.board)) for one in (self.people[0], self.bob))

    def _dead(self) -> list[tuple[int, str]]:
        rows = query(self.bot.data, "SELECT seq, reason FROM dead_letters ORDER BY seq")
        return [(int(str(seq)), str(reason)) for seq, reason in rows]


MOMENTS_DO: Mapping[str, Callable[[Deliveries], Awaitable[None]]] = {
    "asked": Deliveries._asked,
    "taken": Deliveries._taken,
    "relayed": Deliveries._relayed,
    "refused": Deliveries._refused,
    "start": Deliveries._starting,
}


def shown(who: NeoBoard) -> list[str]:
    """Return the texts somebody sees."""
    return [one["text"] for one in who.document.content()["slides"][0]["elements"]]


async def deliveries(
    stack: Stack,
    folder: Path,
    *,
    seed: int,
    kills: int,
    beside: int = 2,
    profile: str = LEGACY,
) -> dict[str, Any]:
    """Run it all, with so many bots beside one another; return the report."""
    begun = time.monotonic()
    lanes = max(beside, ceil(kills / KILLS_OF_A_BOARD))
    few = asyncio.Semaphore(beside)

    async def lane(number: int) -> Deliveries:
        async with few:
            part = len(range(number, kills, lanes))
            return await _lane(stack, folder / str(number), seed + number, part, profile)

    runs = await asyncio.gather(*(lane(number) for number in range(lanes)))
    told = [len(run.receiver.seqs) for run in runs]
    once = [len(set(run.receiver.seqs)) for run in runs]
    return {
        "seed": seed,
        "profile": profile,
        "kills": sum(sum(run.moments.values()) for run in runs),
        "bots": lanes,
        "beside": beside,
        "took_seconds": round(time.monotonic() - begun),
        "moments": dict(sum((run.moments for run in runs), Counter[str]())),
        "strokes": sum(run.strokes for run in runs),
        "committed": sum(run.committed() for run in runs),
        "told": sum(once),
        "told_again": sum(told) - sum(once),
        "requests": sum(run.receiver.arrived for run in runs),
        "refused": sum(run.receiver.refused for run in runs),
        "given_up_as_refused_for_good": sum(run.given_up for run in runs),
        "waited_seconds": middle_and_worst(one for run in runs for one in run.seconds),
        "problems": [problem for run in runs for problem in run.problems],
    }


async def _lane(stack: Stack, folder: Path, seed: int, kills: int, profile: str) -> Deliveries:
    async with relayed(stack, folder, profile) as (bot, receiver, people, bob):
        run = Deliveries(bot, receiver, people, bob, random.Random(seed))
        await run.run(kills)
        return run
