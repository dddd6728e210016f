"""`make chaos-jobs`: the bot is killed (-9) while it does what it was ordered to do to a board.

Every choice comes from one seed: what is ordered (restore, import, clone, snapshot), how long the
bot lives after it (its archive, the packets, the snapshot's first event, its chunks), whether
somebody draws meanwhile. Nobody but the bot saves the board, unless somebody drew.

Judged after each kill: what a reader of the room sees while the bot is dead is the board as it was,
or as it was wanted. After the next start people who stayed, a reader of the room and the bot itself
agree on one of the two, and a stroke that was drawn meanwhile is only gone with its slide.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.actions.actions import document_at, find_board
from bot.control.control import ask
from bot.control.orders import leave
from bot.errors import BoardkeeperError, StoreError, UsageError
from bot.store.archive import Archive
from bot.whiteboard.document import Document
from tests.chaos.checks import middle_and_worst
from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.client.document import BoardDocument
from tests.stack.client.habits import Habits
from tests.stack.client.keeping import Keeping
from tests.stack.processes import StackError
from tests.stack.stack import Stack
from tests.system.people import Meeting, meeting, person

CONFIG = {"rtc": {"refresh": "1s", "delay": "4s"}, "boards": {"save_after": "2s"}}
AGREE_WITHIN = 30.0
"""Seconds, times the patience of the stack, after the start."""
KINDS = {"restore": 0.35, "import": 0.35, "clone": 0.2, "snapshot": 0.1}
"""How often each is ordered."""
SOON = 0.6
"""Seconds within which orders are carried out here; most are within a fraction of it."""
LATE = (2.5, 5.0)
"""Seconds after an order in which the bot saves it."""
OFTEN_LATE = 0.3
DRAWS_TOO = 0.3
"""How often somebody draws meanwhile, and saves that as his client does."""
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

Look = list[list[str]]
"""Per slide, what is on it."""


def look(content: Any) -> Look:
    """Return what a board shows, as far as it matters here."""
    return [[one.get("text") or one["type"] for one in slide["elements"]] for slide in content]


@dataclass(slots=True)
class Round:
    """One order.

    Attributes:
        request: as the control socket takes it.
        before: what the board was.
        wanted: what it is to become.
        stroke: what somebody draws meanwhile.
    """

    request: dict[str, Any]
    before: Look
    wanted: Look
    stroke: str = ""

    def fits(self, seen: Look) -> str:
        """Return `before` or `wanted`, as the board was left; empty when it is neither."""
        bare = [[one for one in slide if one != self.stroke] for slide in seen]
        if bare == self.wanted and self.wanted != self.before:
            return "wanted"  # whose slides are new: the stroke may have gone with an old one
        kept = not self.stroke or any(self.stroke in slide for slide in seen)
        return "before" if bare == self.before and kept else ""


@dataclass(slots=True)
class Jobs:
    """One run.

    Attributes:
        here: the board.
        source_id: another one, to be cloned.
        source: what is on that.
        rng: makes every choice.
        then: instants (ms) at which all agreed.
        kinds: how many of each were ordered.
        outcomes: how many boards were left `before` or `wanted`.
        answered: how many orders were carried out before the kill.
        refused: how many were refused, by why.
        seconds: from each start until all agreed.
        problems: what must not be.
    """

    here: Meeting
    source_id: str
    source: Look
    rng: random.Random
    then: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    async def run(self, kills: int) -> None:
        """Order and kill so often."""
        await self._draw("first")
        await self.here.alice.keeping.save()
        await self._agreed(Round({}, [["first"]], [["first"]]))
        for number in range(kills):
            await self._draw(f"stroke {number}")
            await self.here.alice.keeping.save()
            await self._one(number)

    @property
    def _now(self) -> Look:
        return look(self.here.alice.document.content()["slides"])

    async def _draw(self, text: str) -> None:
        alice = self.here.alice
        slide = alice.document.content()["slides"][0]["id"]
        await alice.draw(elements.shape(text=text), slide)

    async def _one(self, number: int) -> None:
        before = self._now
        bot, board = self.here.bot, self.here.board.whiteboard_id
        await until(lambda: self.exported(before, board), AGREE_WITHIN, "not seen", bot)
        job = await self._choose(number, before)
        ordered = asyncio.create_task(self._order(job.request))
        late = self.rng.random() < OFTEN_LATE
        lives = self.rng.uniform(*LATE) if late else SOON * self.rng.random() ** 3
        if job.stroke:
            await asyncio.sleep(lives / 2)
            await self._draw(job.stroke)
            lives /= 2
        await asyncio.sleep(lives)
        await self.here.bot.kill()
        await ordered
        if seen := await self._wrong_in_the_room(job):
            self.problems.append(f"{number}: while the bot was dead the room had {seen}")
        if job.stroke:
            await self.here.alice.keeping.save()
        await self.here.bot.start()
        begun = time.monotonic()
        outcome = await self._agreed(job)
        self.outcomes[outcome or "neither"] += 1
        self.seconds.append(time.monotonic() - begun)
        if not outcome:
            self.problems.append(f"{number}: after {job.request['command']}: {self._now}")
        if list(self.here.bot.data.glob("import.*")):
            self.problems.append(f"{number}: the file is still there")

    async def _choose(self, number: int, before: Look) -> Round:
        [kind] = self.rng.choices(list(KINDS), list(KINDS.values()))
        self.kinds[kind] += 1
        request: dict[str, Any] = {"command": kind, "board": self.here.board.whiteboard_id}
        wanted = before
        match kind:
            case "restore":
                at_ts = self.rng.choice(self.then)
                # As an export of then: the bot's clock is not quite ours.
                wanted = await self._kept(self.here.board.whiteboard_id, at_ts) or []
                request |= {"at_ts": at_ts, "slide": None}
            case "import":
                data, slides = self._file(number)
                append = self.rng.random() < 0.3 and len(before) < 20
                wanted = [*before, *slides] if append else slides
                request |= {"file": leave(self.here.bot.data, data), "append": append}
            case "clone":
                request |= {"board": self.source_id, "target": self.here.board.whiteboard_id}
                wanted = self.source
        stroke = f"meanwhile {number}" if self.rng.random() < DRAWS_TOO else ""
        return Round(request, before, wanted, stroke)

    def _file(self, number: int) -> tuple[bytes, Look]:
        """Make a board that needs up to a dozen packets, with a picture."""
        slides: list[Any] = []
        for slide in range(self.rng.randint(1, 8)):
            points = [(one % 97, one % 89) for one in range(self.rng.choice([3, 300, 1500]))]
            mark = elements.shape(text=f"file {number} slide {slide}")
            picture = elements.image("mxc://elsewhere/picture")
            slides.append({"elements": [mark, elements.path(points), picture]})
        files = [{"mxc": "mxc://elsewhere/picture", "data": base64.b64encode(PICTURE).decode()}]
        file = {
            "version": "net.nordeck.whiteboard@v1",
            "whiteboard": {"slides": slides, "files": files},
        }
        return json.dumps(file).encode(), look(slides)

    async def _order(self, request: dict[str, Any]) -> None:
        try:
            await ask(self.here.bot.data, request)
        except BoardkeeperError as error:
            if "ended before it answered" not in str(error):
                self.refused[str(error)] += 1
        else:
            self.answered += 1

    async def _wrong_in_the_room(self, job: Round) -> Look | None:
        """Return what a reader of the room sees if that is no board it may see now."""
        seen = await self._read()
        # The stroke is saved only later.
        bare = [[one for one in slide if one != job.stroke] for slide in seen]
        return None if bare in (job.before, job.wanted) else seen

    async def _read(self) -> Look:
        """Read the room as a client does that opens the board."""
        document = BoardDocument()
        alice = self.here.alice
        await Keeping(alice.user, self.here.board, document, saves=False).load()
        return look(document.content()["slides"])

    async def exported(self, wanted: Look, board: str) -> bool:
        """Whether a board looks so in the archive: what an export would write."""
        return await self._kept(board) == wanted

    async def _kept(self, board: str, at_ts: int | None = None) -> Look | None:
        with suppress(UsageError, StoreError):
            async with Archive(self.here.bot.data, read_only=True) as archive:
                row = await find_board(archive, board)
                document = await document_at(archive, row.id, at_ts, Document())
                return None if document is None else look(document.content()["slides"])
        return None

    async def _agreed(self, job: Round) -> str:
        """Wait until all agree; return on what, empty when they do not or on something else."""

        here = self.here

        async def agreed() -> bool:
            now = self._now
            return (
                bool(job.fits(now))
                and await self._read() == now
                and await self.exported(now, here.board.whiteboard_id)
            )

        try:
            await until(agreed, AGREE_WITHIN, "they do not agree", self.here.bot)
        except StackError:
            return ""
        self.then.append(int(time.time() * 1000))
        return job.fits(self._now)


async def jobs(
    stack: Stack, folder: Path, *, seed: int, kills: int, beside: int = 3
) -> dict[str, Any]:
    """Run it all, with so many bots beside one another; return the report."""
    begun = time.monotonic()
    runs = await asyncio.gather(
        *(
            _lane(stack, folder / str(lane), seed + lane, len(range(lane, kills, beside)))
            for lane in range(beside)
        )
    )
    return {
        "seed": seed,
        "kills": sum(sum(run.kinds.values()) for run in runs),
        "beside": beside,
        "took_seconds": round(time.monotonic() - begun),
        "ordered": _sum(run.kinds for run in runs),
        "answered_before_the_kill": sum(run.answered for run in runs),
        "refused": _sum(run.refused for run in runs),
        "left": _sum(run.outcomes for run in runs),
        "agreed_after_start_seconds": middle_and_worst(one for run in runs for one in run.seconds),
        "problems": [problem for run in runs for problem in run.problems],
    }


def _sum(counters: Iterable[Counter[str]]) -> dict[str, int]:
    return dict(sum(counters, Counter[str]()))


async def _lane(stack: Stack, folder: Path, seed: int, kills: int) -> Jobs:
    by_hand = Habits(announces=True, saves=False)
    async with (
        person(stack, "bob", by_hand) as bob,
        meeting(stack, folder, CONFIG, habits=by_hand) as here,
    ):
        board = await bob.create_board(invite=[here.bot.user_id])
        await bob.open(board)
        await bob.draw(elements.shape(text="the original"))
        await bob.keeping.save()
        source = look(bob.document.content()["slides"])
        await bob.leave()
        run = Jobs(here, board.whiteboard_id, source, random.Random(seed))
        await until(lambda: run.exported(source, board.whiteboard_id), 30, "no source", here.bot)
        await run.run(kills)
    return run
