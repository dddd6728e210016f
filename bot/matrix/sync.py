"""Following the homeserver's sync: every room in order, nothing lost across a restart.

mautrix's own syncer stores its position before anything was handled and lets handlers overtake
each other; this one stores a position once every batch up to it was handled, by whoever took it.

    response ──► gaps filled ──► deliver(batch), room by room ──► future: handled
                                                                      │
    position stored, in order, when all futures up to it are done ◄───┘
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from mautrix.api import Method, Path

from bot.backoff import backoff
from bot.errors import AuthLost, ServerError, Transient
from bot.matrix.batches import Before, RoomBatch, Section, gap_filter, read_sync, sync_filter
from bot.matrix.client import Homeserver
from bot.matrix.login import TokenStore
from bot.matrix.positions import Positions
from bot.matrix.relations import messages_between
from bot.matrix.standing import standing
from bot.matrix.transport import pause

Deliver = Callable[[RoomBatch], Awaitable["asyncio.Future[None]"]]
"""Puts a batch into its room's inbox, waiting while that is full; the future is done once it was
handled (see Positions for how it may end)."""

GAPS_AT_ONCE = 4
STANDING_PATIENCE = 60.0
"""Seconds in which a start asks again for the sticky events that still stand."""
GAP_PATIENCE = 10.0
"""Seconds; sync waits so long at the most for what one room's gap held."""

_log = logging.getLogger(__name__)


class Syncer:
    """Runs the sync of one account.

    Args:
        homeserver: logged in.
        tokens: keeps the position across restarts.
        poll: seconds that the homeserver holds a request while nothing happens.
        grace: seconds beyond that until a request counts as lost.
        first_timeout: seconds that the first response may take; it has all rooms in it.
        outstanding: responses handed over but not handled, at the most.
        gap_events: events fetched to fill one room's gap, at the most.

    Attributes:
        last_success: when the last response came, seconds of the monotonic clock; None before.
        healthy_since: since when no request failed, likewise; None while the last one did.
    """

    def __init__(
        self,
        homeserver: Homeserver,
        tokens: TokenStore,
        *,
        poll: float = 30.0,
        grace: float = 30.0,
        first_timeout: float = 300.0,
        outstanding: int = 50,
        gap_events: int = 200,
    ) -> None:
        self._homeserver = homeserver
        self._positions = Positions(tokens, outstanding)
        self._poll = poll
        self._grace = grace
        self._first_timeout = first_timeout
        self._gap_events = gap_events
        self._since: str | None = None
        self._first = True
        self._failing = False
        self._rooms: set[str] = set()
        self._waits: Iterator[float] = backoff(random.random)
        self.last_success: float | None = None
        self.healthy_since: float | None = None

    @property
    def healthy(self) -> bool:
        """Whether responses come: none failed last, and none is overdue (rooms may be behind)."""
        if self.healthy_since is None or self.last_success is None:
            return False
        return time.monotonic() - self.last_success <= self._poll + 2 * self._grace

    async def run(self, deliver: Deliver) -> NoReturn:
        """Deliver batches for ever; in order per room, at least once across restarts.

        The first response of a process shows every room we are in, with its whole state, and
        what happened since the stored position. A network that is gone is waited for.

        Raises:
            AuthLost: the access token is no longer valid.
            StoreError: the position cannot be stored.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._positions.keep_storing(), name="sync positions")
                await self._follow(deliver)
        except BaseExceptionGroup as group:
            raise _first_of(group) from None

    async def settle(self) -> None:
        """Store how far all was handled by now; for an orderly end, after `run` was cancelled."""
        await self._positions.settle()

    async def _follow(self, deliver: Deliver) -> NoReturn:
        self._since = await self._positions.load()
        while True:
            await self._positions.wait_for_space()
            reply = await self._response()
            before = Before(self._homeserver.user_id, self._since, self._first, self._rooms)
            sections = read_sync(reply, before)
            if self._first and self._since is not None:
                sections = await self._with_standing(sections)
            handled = await self._hand_over(sections, deliver)
            self._since = reply["next_batch"]
            self._first = False
            self._positions.add(reply["next_batch"], handled)

    async def _response(self) -> dict[str, Any]:
        """Ask until there is a response."""
        while True:
            try:
                reply = await self._ask()
            except AuthLost:
                raise
            except ServerError as error:
                await asyncio.sleep(self._failed(error))
            else:
                self._succeeded()
                return reply

    async def _ask(self) -> dict[str, Any]:
        query = {
            "filter": json.dumps(sync_filter(catching_up=self._first)),
            # After a failure an answer shows at once that all is well, even where nothing happens.
            "timeout": "0" if self._first or self._failing else str(round(self._poll * 1000)),
        }
        if self._since is not None:
            query["since"] = self._since
            query["full_state"] = "true" if self._first else "false"
        reply = await self._homeserver.transport.ask(
            "sync",
            Method.GET,
            Path.v3.sync,
            query=query,
            seconds=self._first_timeout if self._first else self._poll + self._grace,
        )
        if not isinstance(reply.get("next_batch"), str):
            raise Transient("sync: the answer holds no position")
        return reply

    def _succeeded(self) -> None:
        self.last_success = time.monotonic()
        if self.healthy_since is None:
            self.healthy_since = self.last_success
            self._waits = backoff(random.random)
            self._failing = False
            _log.info("sync runs")

    def _failed(self, error: ServerError) -> float:
        """Take note of a failure; return the seconds to wait."""
        if not self._failing:
            _log.warning("sync fails, trying again", extra={"reason": str(error)})
        self._failing = True
        self.healthy_since = None
        if type(error) is ServerError and self._since is not None:
            # 400: the homeserver does not know this position, it was set up anew or set back.
            _log.warning("the sync position is not valid, starting without one")
            self._since, self._first = None, True
        return pause(error, self._waits)

    async def _with_standing(self, sections: list[Section]) -> list[Section]:
        """Add who is there since before the position we go on from."""
        try:
            found = await standing(
                self._homeserver.transport,
                seconds=self._first_timeout,
                patience=STANDING_PATIENCE,
            )
        except AuthLost:
            raise
        except ServerError as error:
            why = {"reason": str(error)}
            _log.warning("sticky events of before the start are not known", extra=why)
            return sections
        known = []
        for section in sections:
            batch = section.batch
            older = found.get(batch.room_id, ())
            known.append(replace(section, batch=replace(batch, sticky=older + batch.sticky)))
        return known

    async def _hand_over(
        self, sections: Sequence[Section], deliver: Deliver
    ) -> dict[str, asyncio.Future[None]]:
        """Deliver a response; rooms with gaps last, a few at a time."""
        handled: dict[str, asyncio.Future[None]] = {}
        gate = asyncio.Semaphore(GAPS_AT_ONCE)

        async def fill_and_deliver(batch: RoomBatch, newer: str, older: str) -> None:
            async with gate:
                filled = await self._filled(batch, newer, older)
                handled[batch.room_id] = await deliver(filled)

        async with asyncio.TaskGroup() as group:
            for section in sections:
                self._follow_membership(section.batch)
                if self._since is None or section.missing_before is None:
                    handled[section.batch.room_id] = await deliver(section.batch)
                else:
                    filling = fill_and_deliver(section.batch, section.missing_before, self._since)
                    group.create_task(filling, name="sync gap")
        return handled

    def _follow_membership(self, batch: RoomBatch) -> None:
        if batch.kind == "join":
            self._rooms.add(batch.room_id)
        else:
            self._rooms.discard(batch.room_id)

    async def _filled(self, batch: RoomBatch, newer: str, older: str) -> RoomBatch:
        """Return the batch with what its timeline left out; still `limited` if that fails."""
        try:
            stretch = await messages_between(
                self._homeserver.transport,
                batch.room_id,
                newer,
                older,
                gap_filter(catching_up=self._first),
                max_events=self._gap_events,
                patience=GAP_PATIENCE,
            )
        except ServerError as error:
            _log.warning("a gap stays open", extra={"room": batch.room_id, "reason": str(error)})
            return batch
        return replace(
            batch, timeline=stretch.events + batch.timeline, limited=not stretch.complete
        )


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return one error of a group, down to the bottom: the tasks here fail one at a time."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
