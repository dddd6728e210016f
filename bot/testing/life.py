"""One life of a simulated bot, from its start to its end or crash: the product's own parts.

What is missing of a bot: the connection to a homeserver and to LiveKit, and whatever a handler does
not see of it (joining calls, saving boards to the room: here the people do that).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bot.actions.history import History
from bot.boards.board import Board
from bot.boards.boards import Boards
from bot.context import Context
from bot.errors import UsageError
from bot.fittings import noting
from bot.handlers.base import BoardFound, Event, Handler
from bot.handlers.delivery import Delivery
from bot.handlers.lanes import Lanes
from bot.handlers.record import Recorder
from bot.handlers.recorded import kinds
from bot.handling import Handling
from bot.rooms.past import Past, keep_seen
from bot.roomstate import RoomState
from bot.services import Services
from bot.store.archive import Archive
from bot.testing.homeserver import Homeserver
from bot.testing.watched import Seen, WatchedContext, watch
from bot.whiteboard.board import BoardKey
from bot.whiteboard.document import MAX_BYTES, Document
from bot.whiteboard.entry import Entry
from bot.whiteboard.keep import Pace
from bot.whiteboard.message import Message

NEVER = Pace(grace=1e6, own_grace=1e6, patience=1e6)
"""The bot saves no board: in a simulation that people do, when it settles."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a life takes place, and what of it is there before and after.

    Attributes:
        key: the board.
        version: of its document.
        folder: of the archive.
        state: what the room says.
        homeserver: the room.
        publish: sends a message to the people on the board.
        seen: told what the handler is told and what it raises.
    """

    key: BoardKey
    version: str
    folder: Path
    state: RoomState
    homeserver: Homeserver
    publish: Callable[[Message], Awaitable[None]]
    seen: Seen


class _EndedError(Exception):
    """Raised inside the tasks of a life to end them."""


class _Archive(Archive):
    """An archive that keeps for itself how far handlers have got, until it is asked to note it.

    So that a crash may come at the worst moment: nothing has been noted since.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._at: dict[tuple[str, int], int] = {}

    async def cursor(self, handler: str, board_id: int) -> int:
        """Return the last entry that a handler was given."""
        return max(self._at.get((handler, board_id), 0), await super().cursor(handler, board_id))

    async def set_cursor(self, handler: str, board_id: int, seq: int) -> None:
        """Keep it."""
        self._at[handler, board_id] = max(self._at.get((handler, board_id), 0), seq)

    async def note(self, handler: Handler, *, but: int) -> None:
        """Note how far it has got, as of some events ago."""
        for (name, board_id), at in self._at.items():
            wanted = kinds(handler.wants())
            given = [
                entry.seq
                async for entry in self.all_entries(board_id, kinds=wanted)
                if entry.seq <= at
            ]
            kept = given[: len(given) - but]
            if kept:
                await super().set_cursor(name, board_id, kept[-1])


class Life:
    """A running bot with one handler. `start` it first.

    Args:
        handler: new, its settings read.
        place: where.
    """

    def __init__(self, handler: Handler, place: Place) -> None:
        self.handler = handler
        self.place = place
        self.context: WatchedContext
        self.lanes: Lanes
        self.delivery: Delivery
        self.recorder: Recorder
        self.boards: Boards
        self.opened: Board
        self._archive = _Archive(place.folder)
        self._name = type(handler).__name__
        self._host: Life | None = None
        self._found = asyncio.Event()
        self._end = asyncio.Event()
        self._again: int | None = None  # events to be given again after the crash
        self._refusal: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the handler and find the board.

        Raises:
            Exception: what the handler raised at its start.
        """
        self._task = asyncio.create_task(self._live())
        found = asyncio.create_task(self._found.wait())
        await asyncio.wait({self._task, found}, return_when=asyncio.FIRST_COMPLETED)
        found.cancel()
        if self._task.done():
            self._task.result()

    async def end(self) -> None:
        """End in order."""
        self._end.set()
        await self._ended()

    async def crash(self, again: int) -> None:
        """End as `kill -9` does: what is not committed is gone, the handler is not told.

        Args:
            again: so many of the last events a durable handler was given are not noted yet.
        """
        self._again = again
        assert self._task is not None
        self._task.cancel()
        await self._ended()

    @property
    def busy(self) -> bool:
        """Whether the handler is told something, or will be without anything else happening."""
        return bool(self.lanes.busy or self.delivery.busy)

    async def entries(self) -> list[Entry]:
        """Return what is recorded of the board."""
        return [entry async for entry in self._archive.all_entries(self.opened.board_id)]

    async def retry(self) -> None:
        """Give a durable handler at once what it has put off or failed on.

        Raises:
            UsageError: it is not durable.
        """
        before = await self._status()
        await self.delivery.retry(self._name)  # also of dead letters
        while before["state"] != "closed":
            now = await self._status()
            if now["state"] == "closed" or now["failures"] > before["failures"]:
                return
            await asyncio.sleep(0.001)

    async def hurry(self) -> bool:
        """Have a durable handler try at once what it has put off or failed on.

        Returns:
            Whether there is anything left of what happened.
        """
        self.delivery.hurry(self._name)
        await asyncio.sleep(0.001)
        return bool(self.delivery.busy or (await self._status()).get("waiting"))

    @property
    def untold(self) -> int:
        """How many events wait because the handler's live lane pauses after its failures."""
        now = self.lanes.status()[self._name]
        return 0 if now["state"] == "closed" else int(now["queued"])

    async def _status(self) -> dict[str, Any]:
        return (await self.delivery.status()).get(self._name, {"state": "closed"})

    async def _ended(self) -> None:
        assert self._task is not None
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()

    async def see(self, event: Mapping[str, Any]) -> None:
        """Keep what happened in the room, as what sync brings is kept."""
        if self.boards.recording:
            room_id, since_ts = self.place.key.room_id, self.boards.resumed_ts
            await keep_seen(self._archive, room_id, (), [event], since_ts)

    # -- the parts ---------------------------------------------------------------------------

    async def _live(self) -> None:
        async with self._archive, aiohttp.ClientSession() as http:
            try:
                async with asyncio.TaskGroup() as tasks:
                    await self._run(tasks, http)
                    raise _EndedError  # noqa: TRY301 - ends the other tasks
            except* _EndedError:
                pass
            finally:
                await self._archive.note(self.handler, but=self._again or 0)
        if self._refusal is not None:
            raise self._refusal

    async def _run(self, tasks: asyncio.TaskGroup, http: aiohttp.ClientSession) -> None:
        self.recorder = Recorder(self._archive, on_commit=self._committed)
        tasks.create_task(self.recorder.run())
        watch(self.handler, self.place.seen)
        handlers = {self._name: self.handler}
        handling = Handling(handlers, lambda name: self._context(name, http, tasks))
        try:
            await handling.start()
        except UsageError as error:
            # What the handler raised, without the product's words for it.
            self._refusal = error.__cause__ or error
            return
        try:
            # Who ends with something still to do does not wait for it.
            async with (
                Lanes(handlers, drain=0) as self.lanes,
                Delivery(handlers, self._archive, turn=self.lanes.turn, drain=0) as self.delivery,
            ):
                await self.delivery.begin()
                self.boards = self._boards(tasks)
                self._host = self
                await self.boards.follow()
                await self._end.wait()
                await self.recorder.flush()
        finally:
            if self._again is None:
                await handling.stop()

    def _context(self, name: str, http: aiohttp.ClientSession, tasks: asyncio.TaskGroup) -> Context:
        homeserver = self.place.homeserver
        self.context = WatchedContext(
            name,
            lambda: self._host,
            archive=self._archive,
            homeserver=homeserver,
            http=http,
            history=History(self._archive, empty=self._empty, committed=self.recorder.committed),
            past=Past(homeserver, self._archive, self.place.state.own_user),
            tasks=tasks,
        )
        self.context.seen = self.place.seen
        return self.context

    def _empty(self) -> Document:
        return Document(default_version=self.place.version)

    def _boards(self, tasks: asyncio.TaskGroup) -> Boards:
        place = self.place
        return Boards(
            place.state,
            place.homeserver,
            self._archive,
            Services(
                archive=self._archive,
                record=self.recorder.append,
                offer=self._offer,
                lacks=self.recorder.needs_baseline.__contains__,
                committed=self.recorder.committed,
                now_ts=place.homeserver.server_ts,
                default_version=place.version,
                max_document=MAX_BYTES,
                noting=noting([self.handler]),
            ),
            wanted=lambda: frozenset({place.key.whiteboard_id}),
            publish=place.publish,
            heard=lambda _key, _arrival: None,
            changed=lambda: None,
            pace=NEVER,
            refused=lambda _: None,
            tasks=tasks,
        )

    def _offer(self, event: Event) -> None:
        self.lanes.offer(event)
        if isinstance(event, BoardFound):
            self.opened = self.boards.found[event.board.whiteboard_id]
            self.opened.pinned = True
            self._found.set()

    def _committed(self, entries: Sequence[Entry]) -> None:
        self.delivery.committed(entries)
        for board in self.boards.found.values():
            board.last_seq = entries[-1].seq

    # -- what the context asks (context.Host) ------------------------------------------------

    def find(self, room_id: str, whiteboard_id: str | None = None) -> BoardKey | None:
        """Return the board, if it is this one."""
        key = self.place.key
        here = room_id == key.room_id and whiteboard_id in {None, key.whiteboard_id}
        return key if here else None

    async def board(self, key: BoardKey) -> Board | None:
        """Return the board, loaded."""
        board = self.boards.found.get(key.whiteboard_id)
        if board is None or board.key != key:
            return None
        await self.boards.open(board)
        return board

    def state(self, room_id: str) -> RoomState | None:
        """Return what the room says."""
        return self.place.state if room_id == self.place.key.room_id else None

    def recorded(self, room_id: str, ts: int) -> bool:
        """Return whether what happened at an instant may be recorded: it is no pause."""
        here = room_id == self.place.key.room_id
        return not here or (self.boards.recording and ts >= self.boards.resumed_ts)
