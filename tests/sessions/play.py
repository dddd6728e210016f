"""A session is played: everybody comes, acts and goes; then somebody reads the room."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from bot.whiteboard import snapshot as snapshots
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE
from tests.fakes.rooms import BOT
from tests.sessions.clock import BEGIN, run
from tests.sessions.homeserver import Event, Homeserver
from tests.sessions.house import House, Output
from tests.sessions.judge import Stroke, judge, read_room
from tests.sessions.person import Person
from tests.sessions.script import Script, Visit, write
from tests.sessions.sfu import Sfu

QUIET = 45.0
"""Seconds after the last one has gone until the bot may be asked whether it is done."""
PATIENCE = 7_200.0
"""Seconds it may take at the very most, with a homeserver that fails."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one person's document was given, and what he saw in the end."""

    name: str
    fed: list[bytes]
    content: dict[str, Any]
    waiting: bool


@dataclass(slots=True)
class Played:
    """What came of a session.

    Attributes:
        strokes: all changes people made.
        lost: those that a fresh reader of the room does not see.
        owed: of those the ones that reached the bot or the room, with all their causes.
        room: what a fresh reader loads; empty when there is nothing.
        heard: the updates that the bot heard, in order.
        wrote: the updates and complete snapshots it wrote, in order.
        persons: what people saw.
    """

    script: Script
    trace: list[str] = field(default_factory=list)
    strokes: list[Stroke] = field(default_factory=list)
    lost: list[Stroke] = field(default_factory=list)
    owed: list[Stroke] = field(default_factory=list)
    room: bytes = b""
    heard: list[bytes] = field(default_factory=list)
    wrote: list[bytes] = field(default_factory=list)
    persons: list[Seen] = field(default_factory=list)
    output: Output = field(default_factory=list)
    settled: bool = True

    def note(self, who: str, what: str) -> None:
        """Note what happens."""
        at = asyncio.get_running_loop().time() - BEGIN
        self.trace.append(f"{at:8.2f} {who} {what}")

    def drew(self, who: str, what: str, update: bytes) -> None:
        """Note a stroke."""
        number = len(self.strokes)
        self.note(who, f"stroke {number}: {what}")
        self.strokes.append(Stroke(number, f"{who} {what}", update))

    def report(self) -> str:
        """What to look at when something is wrong."""
        owed = ", ".join(f"{one.number} ({one.what})" for one in self.owed)
        lines = [f"seed {self.script.seed}: owed: {owed or 'nothing'}; settled: {self.settled}"]
        return "\n".join([*lines, *self.trace[-60:]])


def play(seed: int, *, bot: bool) -> Played:
    """Play the session of a seed."""
    script = write(seed)
    played = Played(script)
    with patch.object(snapshots, "CHUNK_BYTES", script.chunk_bytes):
        run(lambda: _play(script, played, bot=bot), seed)
    return played


async def _play(script: Script, played: Played, *, bot: bool) -> None:
    homeserver, sfu, loop = Homeserver(script), Sfu(script), asyncio.get_running_loop()
    homeserver.follow(lambda event: _note_event(played, event))
    house = House(homeserver, sfu, played.output) if bot else None
    living = None if house is None else loop.create_task(house.live())
    await asyncio.sleep(1.0)
    caches: dict[int, bytes] = {}
    world = (homeserver, sfu, played)

    async def visit(number: int, one: Visit) -> None:
        await asyncio.sleep(one.begin)
        cache = caches.get(one.person) if one.cached else None
        person = Person(script, one, number, world, cache)
        await person.stay()
        caches[one.person] = person.document.encode()
        document = person.document
        seen = Seen(person.name, person.fed, document.content(), bool(document.waiting))
        played.persons.append(seen)

    await asyncio.gather(*(visit(number, one) for number, one in enumerate(script.visits)))
    ended = loop.time()
    await asyncio.sleep(QUIET)
    if house is not None and living is not None:
        while not house.settled and loop.time() < ended + PATIENCE and not living.done():
            await asyncio.sleep(1.0)
        played.settled = house.settled
        played.heard = house.heard
        assert not living.done(), living.exception()
        living.cancel()
        with suppress(asyncio.CancelledError):
            await living
    _judge(homeserver, played)


def _note_event(played: Played, event: Event) -> None:
    kind = {SNAPSHOT_TYPE: "a snapshot", CHUNK_TYPE: "a chunk"}.get(event["type"])
    if kind is not None:
        target = event["content"]["m.relates_to"]["event_id"]
        played.note(event["sender"], f"has written {kind}: {event['event_id']} to {target}")
    if event["sender"] == BOT and event["type"] == SNAPSHOT_TYPE:
        played.output.append(event["event_id"])


def _judge(homeserver: Homeserver, played: Played) -> None:
    complete = read_room(homeserver.snapshots())
    wrote = (one if isinstance(one, bytes) else complete.get(one) for one in played.output)
    played.wrote = [one for one in wrote if one is not None]
    played.room = next(iter(complete.values()), b"")
    played.lost, played.owed = judge(played.strokes, played.heard, list(complete.values()))
