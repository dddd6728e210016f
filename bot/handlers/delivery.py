"""All durable lanes: made where something is recorded, looked at and steered by the operator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from bot.errors import StoreError, UsageError
from bot.handlers import durable
from bot.handlers.base import Handler
from bot.handlers.durable import DurableLane
from bot.handlers.recorded import kinds
from bot.handlers.status import Waiting, durable_now
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry, Kind

_log = logging.getLogger(__name__)


class Dead(Protocol):
    """An entry that was passed by."""

    @property
    def seq(self) -> int:
        """Its number."""

    @property
    def board_id(self) -> int:
        """The archive's number of its board."""


class Archive(durable.Archive, Protocol):
    """What all durable lanes read and note."""

    async def enrol(self, handler: str) -> None:
        """Have a new handler begin now."""

    async def backlog(
        self, handler: str, kinds: Collection[Kind] | None = None
    ) -> Sequence[Waiting]:
        """List the boards of which a handler has not been given everything."""

    async def dead_letters(self, handler: str | None = None) -> Sequence[Dead]:
        """List what was passed by."""

    async def drop_dead(self, handler: str, seq: int | None = None) -> int:
        """Forget one dead letter of a handler, or all."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What is to be told once more.

    Attributes:
        handler: whom.
        board_id: the archive's number of the board.
        from_ts: from this instant on, ms since 1970.
        until_ts: to this one; None to the end.
        speed: times as fast as it happened; None without any pause.
    """

    handler: str
    board_id: int
    from_ts: int = 0
    until_ts: int | None = None
    speed: float | None = None


class Delivery:
    """The durable lanes of all handlers. Use as `async with`.

    Args:
        handlers: all of them; those that are not durable are left alone.
        archive: holds entries, cursors, dead letters.
        turn: what is held while a handler is called for a board.
        live: says how the live lanes of all handlers are (`Lanes.status`).
        drain: seconds that lanes get to finish when the program ends.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        archive: Archive,
        *,
        turn: Callable[[str, BoardKey], asyncio.Lock],
        live: Callable[[], Mapping[str, dict[str, Any]]] = dict,
        drain: float = 5.0,
    ) -> None:
        self._handlers = {name: one for name, one in handlers.items() if one.durable}
        self._archive = archive
        self._turn = turn
        self._live = live
        self._drain = drain
        self._lanes: dict[tuple[str, int], DurableLane] = {}
        self._tasks = asyncio.TaskGroup()
        self._ended = False

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for lane in self._lanes.values():
            lane.end()
        try:
            async with asyncio.timeout(self._drain):
                await self._tasks.__aexit__(None, None, None)
        except TimeoutError:
            _log.warning("durable handlers go on at the next start with what they have not taken")
        finally:
            self._ended = True

    async def begin(self) -> None:
        """Give the handlers, once started, what an earlier life left.

        Raises:
            StoreError: the archive cannot be read or written.
        """
        for name in self._handlers:
            await self._archive.enrol(name)
            for waiting in await self._archive.backlog(name, self._kinds(name)):
                self._lane(name, waiting.board_id).wake()

    def committed(self, entries: Iterable[Entry]) -> None:
        """Hear of entries that are on disk now. Never blocks."""
        if not self._handlers or self._ended:  # what comes last is for the next start
            return
        for board_id, kind in {(entry.board_id, entry.kind) for entry in entries}:
            for name in self._handlers:
                lane = self._lane(name, board_id)
                if lane.wants(kind):
                    lane.wake()

    def _kinds(self, name: str) -> frozenset[Kind]:
        return kinds(self._handlers[name].wants())

    def _lane(self, name: str, board_id: int) -> DurableLane:
        lane = self._lanes.get((name, board_id))
        if lane is None:
            lane = self._lanes[name, board_id] = DurableLane(
                name,
                self._handlers[name],
                board_id,
                self._archive,
                turn=lambda board: self._turn(name, board),
                tasks=self._tasks,
            )
        return lane

    @property
    def busy(self) -> int:
        """How many lanes have something to do, and are not waiting for a broken receiver."""
        return sum(lane.busy and not lane.waiting for lane in self._lanes.values())

    # -- what the operator asks ------------------------------------------------------------------

    async def answer(self, request: Mapping[str, Any]) -> Any:
        """Do what an operator asks for (`boardkeeper handlers`).

        Raises:
            UsageError: it cannot be done; the text says why.
        """
        match request:
            case {"action": "status"}:
                return await self.status()
            case {"action": "retry", "handler": str(name), "seq": int() | None as seq}:
                return await self.retry(name, seq)
            case {"action": "drop", "handler": str(name), "seq": int() | None as seq}:
                return await self._archive.drop_dead(name, seq)
            case {
                "action": "replay",
                "handler": str(name),
                "board_id": int(board_id),
                "from_ts": int(from_ts),
                "until_ts": int() | None as until_ts,
                "speed": int() | float() | None as speed,
            }:
                return self.replay(Replay(name, board_id, from_ts, until_ts, speed))
            case _:
                raise UsageError("This bot does not know that command; is it of another version?")

    async def status(self) -> dict[str, dict[str, Any]]:
        """Return how each handler is doing, by name; its live lanes, and what it is behind."""
        live = self._live()
        found = {name: {**one, "durable": False} for name, one in live.items()}
        for name in self._handlers:
            lanes = [lane for (one, _), lane in self._lanes.items() if one == name]
            backlog = await self._archive.backlog(name, self._kinds(name))
            dead = await self._archive.dead_letters(name)
            found[name] = durable_now(live.get(name, {}), lanes, backlog, len(dead))
        return found

    async def retry(self, name: str, seq: int | None = None) -> dict[str, int]:
        """Give dead letters of a handler once more; also tries at once what its lanes wait for.

        Returns:
            How many were taken, and how many it failed on again.

        Raises:
            UsageError: there is no such durable handler, or no such dead letter.
        """
        self._known(name)
        self.hurry(name)
        letters = [
            letter
            for letter in await self._archive.dead_letters(name)
            if seq is None or letter.seq == seq
        ]
        if seq is not None and not letters:
            raise UsageError(f"“{name}” has no dead letter {seq}.")
        taken = 0
        for letter in letters:
            page = await self._archive.entries(letter.board_id, after_seq=letter.seq - 1, limit=1)
            lane = self._lane(name, letter.board_id)
            # One whose entry is no more can never be taken.
            if [entry.seq for entry in page] == [letter.seq] and await lane.call(page) is None:
                taken += await self._archive.drop_dead(name, letter.seq)
        return {"taken": taken, "failed": len(letters) - taken}

    def hurry(self, name: str) -> None:
        """Try at once what a handler's lanes wait for; its dead letters stay what they are."""
        for (one, _), lane in self._lanes.items():
            if one == name:
                lane.again()

    def replay(self, what: Replay) -> None:
        """Begin to tell a handler once more what happened; the events say that they are replayed.

        Raises:
            UsageError: there is no such durable handler.
        """
        self._known(what.handler)
        self._tasks.create_task(self._replay(what))

    async def _replay(self, what: Replay) -> None:
        lane = self._lane(what.handler, what.board_id)
        wanted = kinds(self._handlers[what.handler].wants())
        names = {"handler": what.handler, "board": what.board_id}
        _log.info("a replay begins", extra=names)
        seq, given, failed, last_ts = 0, 0, 0, None
        try:
            while page := await self._archive.entries(
                what.board_id, after_seq=seq, kinds=wanted, limit=durable.PAGE
            ):
                seq = page[-1].seq
                for entry in page:
                    if not what.from_ts <= entry.ts <= (what.until_ts or entry.ts):
                        continue
                    if what.speed is not None and last_ts is not None:
                        await asyncio.sleep(max(0, entry.ts - last_ts) / 1000 / what.speed)
                    last_ts = entry.ts
                    given += 1
                    failed += await lane.call([entry], replayed=True) is not None
        except StoreError as error:
            _log.error("a replay was broken off", extra={**names, "why": str(error)})
        _log.info("a replay has ended", extra={**names, "events": given, "failed": failed})

    def _known(self, name: str) -> None:
        if name not in self._handlers:
            known = ", ".join(sorted(self._handlers)) or "there is none"
            raise UsageError(f"There is no durable handler “{name}”; known: {known}.")
