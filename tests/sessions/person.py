"""A person with the board open, as real clients were seen to behave, in virtual time.

Only the author saves, 5 s after his change; chunks get lost; packets of whoever is not announced
are not heard; an update that was lost blocks all later ones of its author. The document is the
bot's own, which does with updates what a client does.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

from pycrdt import Doc

from bot.whiteboard.document import Document
from bot.whiteboard.message import Update, decode
from bot.whiteboard.snapshot import (
    CHUNK_TYPE,
    SNAPSHOT_TYPE,
    chunk_content,
    snapshot_content,
    split,
)
from bot.whiteboard.versions import initial
from tests.fakes.rooms import KEY, off_board, on_board
from tests.sessions.acts import edit
from tests.sessions.homeserver import TRAVEL, Event, Homeserver
from tests.sessions.script import Action, Script, Visit
from tests.sessions.sfu import Seat, Sfu
from tests.stack.client.events import update_packet
from tests.stack.client.snapshots import Backlog, Snapshot
from tests.stack.client.yjs import glance

SAVE_AFTER = 5.0
SAVE_AGAIN = 10.0
DEATH_SEEN = 7.3
"""Seconds until the homeserver clears the membership of a tab that died."""
DEATH_HEARD = 0.8
"""Seconds until LiveKit notices."""


class Journal(Protocol):
    """Where is noted what happens."""

    def note(self, who: str, what: str) -> None:
        """Note something."""

    def drew(self, who: str, what: str, update: bytes) -> None:
        """Note a stroke."""


class Person:
    """One visit of a person.

    Attributes:
        document: as he sees it.
        fed: what his document was given, in order.
    """

    def __init__(
        self,
        script: Script,
        visit: Visit,
        number: int,
        world: tuple[Homeserver, Sfu, Journal],
        cache: bytes | None,
    ) -> None:
        self.name = f"p{visit.person}.{number}"
        self.document = Document()
        self.fed: list[bytes] = []
        self._script, self._visit, self._cache = script, visit, cache
        self._homeserver, self._sfu, self._journal = world
        self._dice = random.Random(f"person {script.seed} {number}")
        self._user, self._device = f"@p{visit.person}:here", f"D{number}"
        self._seat = Seat(f"{self._user}:{self._device}", self._hear)
        self._backlog = Backlog(KEY.document_id)
        self._doc: Doc[Any] = Doc(client_id=self._dice.randrange(2, 2**32))
        self._doc.apply_update(initial("0"))
        self._early: list[Event] | None = []  # what sync brings before the board is loaded
        self._connected = False
        self._dirty = False
        self._saver: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def stay(self) -> None:
        """Open the board, do things, close it."""
        visit, loop = self._visit, asyncio.get_running_loop()
        begin = loop.time()
        opening = self._start(self._open())
        for action in visit.actions:
            await asyncio.sleep(begin + action.at - loop.time())
            self._act(action)
        await asyncio.sleep(begin + visit.end - visit.begin - loop.time())
        opening.cancel()
        self._close()

    # -- opening and closing -------------------------------------------------------------------

    async def _open(self) -> None:
        self._homeserver.follow(self._notice)
        if self._cache is not None:
            self._load(self._cache)
        await self._load_newest()
        if self._cache is not None:
            self._changed()
        early, self._early = self._early, None
        for event in early or ():
            self._notice(event)
        await asyncio.sleep(self._visit.connects)
        self._sfu.join(self._seat, self._visit.announced)
        self._connected = True
        self._journal.note(self.name, "is connected")
        await self._travel()
        self._homeserver.put(self._membership(on_board))

    def _membership(self, make: Any) -> Event:
        event: Event = make(self._user, self._device)
        return event

    async def _load_newest(self) -> None:
        for head, chunks in self._homeserver.snapshots():
            await self._travel()
            complete = [self._backlog.add(event) for event in (head, *reversed(chunks))]
            snapshot = next((one for one in complete if one is not None), None)
            if snapshot is not None and self._merge(snapshot):
                return
        await self._travel()

    def _close(self) -> None:
        visit, loop = self._visit, asyncio.get_running_loop()
        self._journal.note(self.name, "leaves" if visit.orderly else "dies")
        for task in self._tasks:
            task.cancel()
        self._homeserver.unfollow(self._notice)
        if self._connected:
            loop.call_later(0.1 if visit.orderly else DEATH_HEARD, self._sfu.leave, self._seat)
            after = 0.1 if visit.orderly else DEATH_SEEN
            loop.call_later(after, self._homeserver.put, self._membership(off_board))
        self._connected = False
        self._early = []

    # -- drawing -------------------------------------------------------------------------------

    def _act(self, action: Action) -> None:
        if self._early is not None:
            return  # it is still loading
        self._doc.apply_update(self.document.diff(self._doc.get_state()))
        update = edit(self._doc, self.document.content(), action, self._script, self._user)
        if update is None:
            return
        self._journal.drew(self.name, action.kind, update)
        self.fed.append(update)
        self.document.apply([update])
        self._changed()
        if self._connected:
            packet = update_packet(KEY.document_id, update)
            self._sfu.send(self._seat, packet, reliable=False)

    def _hear(self, sender: str | None, packet: bytes) -> None:
        message = decode(packet)
        if sender is not None and self._connected and isinstance(message, Update):
            self.fed.append(message.data)
            self.document.apply([message.data])

    # -- snapshots -----------------------------------------------------------------------------

    def _notice(self, event: Event) -> None:
        if self._early is not None:
            self._early.append(event)
        elif event["type"] in {SNAPSHOT_TYPE, CHUNK_TYPE}:
            snapshot = self._backlog.add(event)
            if snapshot is not None:
                self._merge(snapshot)

    def _merge(self, snapshot: Snapshot) -> bool:
        assert snapshot.data is not None
        self._load(snapshot.data)
        self._backlog.accept(snapshot)
        if glance(self.document.encode()).more_than(glance(snapshot.data)):
            self._changed()
        return True

    def _load(self, data: bytes) -> None:
        self.fed.append(data)
        self.document.merge_snapshot(data)

    def _changed(self) -> None:
        self._dirty = True
        if self._saver is None:
            self._saver = self._start(self._save_in_time())

    async def _save_in_time(self) -> None:
        while self._dirty:
            await asyncio.sleep(SAVE_AFTER)
            self._dirty = False
            await self._save()
        self._saver = None

    async def _save(self) -> None:
        data = self.document.encode()
        parts = split(data)
        await self._travel()
        while self._dice.random() < self._script.errors:
            await asyncio.sleep(SAVE_AGAIN)
        event_id = self._put(SNAPSHOT_TYPE, snapshot_content(KEY.document_id, len(parts)))
        self._journal.note(self.name, f"begins snapshot {event_id} of {len(parts)} chunks")
        for number, part in enumerate(parts):
            content = chunk_content(KEY.document_id, event_id, number, part)
            self._start(self._send_chunk(content))

    async def _send_chunk(self, content: Mapping[str, Any]) -> None:
        await self._travel()
        if self._dice.random() >= self._script.chunk_loss:
            self._put(CHUNK_TYPE, content)

    def _put(self, kind: str, content: Mapping[str, Any]) -> str:
        return self._homeserver.put({"type": kind, "sender": self._user, "content": dict(content)})

    # -- time ----------------------------------------------------------------------------------

    async def _travel(self) -> None:
        await asyncio.sleep(self._dice.uniform(*TRAVEL))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()  # what went wrong is shown by the loop
