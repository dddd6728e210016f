"""A session is played: everybody comes, acts and goes; then somebody reads the room."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from bot.whiteboard import snapshot as snapshots
from bot.whiteboard.causality import missing
from bot.whiteboard.replica import Replica
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE
from bot.whiteboard.unsaved import Cover
from bot.whiteboard.update import Structure, read_update, write_update
from bot.whiteboard.versions import initial
from tests.fakes.rooms import BOT, KEY
from tests.sessions.clock import BEGIN, run
from tests.sessions.homeserver import Event, Homeserver
from tests.sessions.house import House, Output
from tests.sessions.person import Person
from tests.sessions.script import Script, Visit, write
from tests.sessions.sfu import Sfu
from tests.stack.client.snapshots import Backlog

QUIET = 45.0
"""Seconds after the last one has gone until the bot may be asked whether it is done."""
PATIENCE = 7_200.0
"""Seconds it may take at the very most, with a homeserver that fails."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """A change somebody made."""

    number: int
    what: str
    update: bytes


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


# -- what is there in the end ----------------------------------------------------------------------


def _judge(homeserver: Homeserver, played: Played) -> None:
    complete = {
        head["event_id"]: data
        for head, chunks in homeserver.snapshots()
        if (data := _joined(head, chunks)) is not None
    }
    wrote = (one if isinstance(one, bytes) else complete.get(one) for one in played.output)
    played.wrote = [one for one in wrote if one is not None]
    played.room = next(iter(complete.values()), b"")
    items, deletes = _covers([read_update(_read(played.room))])
    reached = _covers(map(read_update, (*played.heard, *complete.values())))
    there = {one.number for one in _with_causes(played.strokes, *reached)}
    for stroke in played.strokes:
        update = read_update(stroke.update)
        mine = _covers([update])
        if not (items.holds(mine[0]) and deletes.holds(mine[1])):
            played.lost.append(stroke)
            if stroke.number in there:
                played.owed.append(stroke)


def _read(room: bytes) -> bytes:
    """What a fresh reader of the room sees, as Yjs integrates it."""
    reader = Replica("0")
    for data in filter(None, (initial("0"), room)):
        reader.integrate(read_update(data))
    reader.commit()
    return write_update(reader.store.blocks(), reader.store.deletes())


def _joined(head: Event, chunks: list[Event]) -> bytes | None:
    """A snapshot as somebody loads it who opens the board now."""
    backlog = Backlog(KEY.document_id)
    found = [backlog.add(event) for event in (head, *reversed(chunks))]
    return next((one.data for one in found if one is not None), None)


def _covers(updates: Any) -> tuple[Cover, Cover]:
    items, deletes = Cover(), Cover()
    for update in updates:
        for client, block in update.blocks.items():
            items.add((client, item.clock, item.clock + item.length) for item in block)
        deletes.add(update.deletes)
    return items, deletes


def _with_causes(strokes: list[Stroke], items: Cover, deletes: Cover) -> list[Stroke]:
    """The strokes of which all is there, that of their causes too; in the order they were made."""
    clocks = {client: blocks[-1].end for client, blocks in _begun().blocks.items()}
    found = []
    for stroke in strokes:
        update = read_update(stroke.update)
        mine = _covers([update])
        if items.holds(mine[0]) and deletes.holds(mine[1]) and missing(update, clocks) is None:
            found.append(stroke)
            clocks |= {client: blocks[-1].end for client, blocks in update.blocks.items()}
    return found


def _begun() -> Structure:
    return read_update(initial("0"))
