"""The people of a simulated room, what they send each other, and what the room keeps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from functools import partial
from typing import Any

from bot.handlers.base import BoardKey, Event, Participant, SessionChanged
from bot.roomstate import RoomState
from bot.rtc.membership import MEMBER_TYPE, WHITEBOARD
from bot.services import Arrival
from bot.testing.homeserver import Clock, Homeserver, Post
from bot.testing.life import Life
from bot.testing.link import Link, Quality
from bot.testing.person import Person
from bot.testing.watched import Failure, Happened, Seen, Sent
from bot.whiteboard.board import BOARD_TYPE
from bot.whiteboard.message import Message, Update, decode, encode
from bot.whiteboard.snapshot import (
    CHUNK_TYPE,
    SNAPSHOT_TYPE,
    Assembler,
    Snapshot,
    chunk_content,
    snapshot_content,
    split,
)

BOT = "@boardkeeper:example.org"
ACT = 0.1
"""Seconds that go by with everything a person does."""
STAYS = 10 * 365 * 86_400_000
"""ms after which a person's presence would expire: nobody renews it, however fast time passes."""
SAVED_AFTER = 5.0
"""Seconds after which NeoBoard saves what was drawn."""


class Inhabited:
    """A room with one board and people on it; what they do reaches the bot while it runs.

    Args:
        key: the board's names.
        version: of its document.
        quality: how bad the ways from people are.
        seed: of all accidents and ids.
        seen: told at once what happens to the handler.

    Attributes:
        key: the board's names.
        version: of its document.
        clock: the homeserver's time.
        people: who is on the board.
        told: what the handler was told, in order.
        posts: what it wrote into rooms.
        failures: what it raised.
    """

    def __init__(
        self, key: BoardKey, version: str, quality: Quality, seed: int, seen: Seen | None
    ) -> None:
        self.key = key
        self.version = version
        self.clock = Clock()
        self.people: list[Person] = []
        self.told: list[Event] = []
        self.posts: list[Post] = []
        self.failures: list[Failure] = []
        self._seen = seen
        self._quality = quality
        self._dice = random.Random(seed)  # noqa: S311 - a simulation, the same each time
        self._homeserver = Homeserver(self.clock, BOT, self._happened)
        self._state = RoomState(key.room_id, BOT)
        self._powers = {BOT: 50}
        self._links: dict[tuple[Person, Person | None], Link] = {}
        self._life: Life | None = None
        self._set_state("m.room.member", BOT, {"membership": "join"})
        self._set_state(BOARD_TYPE, key.whiteboard_id, {"documentId": key.document_id})

    async def join(self, user_id: str, *, power: int = 0, device_id: str = "DEVICE") -> Person:
        """Have a person open the board; whoever comes late gets what the room and the bot have.

        Args:
            user_id: Matrix user id.
            power: power level in the room.
            device_id: of the same person with two devices, each has its own.
        """
        person = Person(Participant(user_id, device_id), self, self._dice)
        self._set_state("m.room.member", user_id, {"membership": "join"})
        self.set_power(user_id, power)
        for other in (None, *self.people):
            self._connect(person, other)
        for other in self.people:
            self._connect(other, person)
        snapshot = await self._newest_snapshot()
        if snapshot is not None:
            person.document.merge_snapshot(snapshot.data)
        if self._life is not None:
            lacking = self._life.boards.lacking(self.key.whiteboard_id)
            if lacking is not None:
                person.hear(encode(lacking))
        self.people.append(person)
        await self._announce(person, there=True)
        self._tell_people()
        await asyncio.sleep(0)
        return person

    async def leave(self, person: Person) -> None:
        """Have a person close the board: `person.leave()`."""
        await self._save(person)
        self.people.remove(person)
        self._links = {ends: link for ends, link in self._links.items() if person not in ends}
        await self._announce(person, there=False)
        self._tell_people()
        await asyncio.sleep(0)

    def set_power(self, user_id: str, power: int) -> None:
        """Give somebody a power level."""
        self._powers[user_id] = power
        self._set_state("m.room.power_levels", "", {"users": dict(self._powers)})

    async def say(self, person: Person, message: Message) -> None:
        """Send what a person does to all others (`Person` calls it)."""
        self.clock.advance(ACT)
        packet = encode(message)
        for (one, _), link in list(self._links.items()):
            if one is person:
                link.send(packet)
        await asyncio.sleep(0)

    # -- inside --------------------------------------------------------------------------------

    def _happened(self, what: Happened) -> None:
        """Note what is seen of the handler."""
        if isinstance(what, Failure):
            self.failures.append(what)
        elif isinstance(what, Post):
            self.posts.append(what)
        elif isinstance(what, Event):
            self.told.append(what)
        if self._seen is not None:
            self._seen(what)

    def _set_state(self, event_type: str, state_key: str, content: Mapping[str, Any]) -> None:
        event = self._homeserver.put(self.key.room_id, BOT, event_type, content)
        self._state.apply({**event, "state_key": state_key})

    def _connect(self, person: Person, other: Person | None) -> None:
        def to_bot(packet: bytes) -> None:
            if self._life is not None:
                who = person.participant
                message = decode(packet)
                arrival = Arrival(message, who.user_id, who.device_id, self.clock.ts, packet)
                self._life.opened.ingest([arrival])

        arrive = to_bot if other is None else other.hear
        self._links[person, other] = Link(self._quality, self._dice, arrive)

    async def _publish(self, message: Message) -> None:
        """Send what the bot does: reliably, as it does."""
        if isinstance(message, Update):
            self._happened(Sent(self.clock.ts, message.data))
        for person in self.people:
            person.hear(encode(message))

    async def _announce(self, person: Person, *, there: bool) -> None:
        """Have the room say that somebody is on the board, or not any more."""
        who = person.participant
        content = {
            "application": WHITEBOARD,
            "call_id": self.key.whiteboard_id,
            "device_id": who.device_id,
            "expires": self.clock.ts + STAYS,
        }
        event = self._homeserver.put(
            self.key.room_id,
            who.user_id,
            MEMBER_TYPE,
            content if there else {},
            state_key=f"_{who.user_id}_{who.device_id}",
        )
        if self._life is not None:
            await self._life.see(event)

    def _tell_people(self) -> None:
        if self._life is not None:
            people = tuple(person.participant for person in self.people)
            self._life.lanes.offer(SessionChanged(self.key, self.clock.ts, people))

    async def _save_all(self) -> None:
        """Have all packets arrive, and everybody's NeoBoard save what was drawn."""
        for link in self._links.values():
            link.flush()
        authors = [person for person in self.people if person.unsaved]
        if authors:
            self.clock.advance(SAVED_AFTER)
        for person in authors:
            await self._save(person)

    async def _save(self, person: Person) -> None:
        """Have a person's NeoBoard write a snapshot, if there is anything to save."""
        if not person.unsaved:
            return
        person.unsaved = False
        data = person.document.snapshot()
        parts = split(data)
        put = partial(self._homeserver.put, self.key.room_id, person.user_id)
        head = put(SNAPSHOT_TYPE, snapshot_content(self.key.document_id, len(parts)))
        events = [head]
        for number, part in enumerate(parts):
            content = chunk_content(self.key.document_id, head["event_id"], number, part)
            events.append(put(CHUNK_TYPE, content))
        for event in events:
            if self._life is not None:
                await self._life.boards.take(event)
        for other in self.people:
            other.document.merge_snapshot(data)

    async def _newest_snapshot(self) -> Snapshot | None:
        document_id, relations = self.key.document_id, self._homeserver.relations
        async for head in relations(self.key.room_id, document_id, SNAPSHOT_TYPE):
            assembler = Assembler()
            assembler.add(head, 0.0)
            async for chunk in relations(self.key.room_id, head["event_id"], CHUNK_TYPE):
                snapshot = assembler.add(chunk, 0.0)
                if snapshot is not None:
                    return snapshot
        return None
