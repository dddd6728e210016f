"""Reading a room's past: backwards in pages as far as the homeserver goes, then what came since.

Sync brings what happens while the bot runs; what was before it came, and what a gap of sync left
out, is asked for when somebody wants the history of sessions. How far that is stands in the
archive, so that it goes on where it ended, after a restart too.

Handlers ask for it too (`Past.sessions`): then what sync left out is read first.

What happened while recording was paused is not kept (DESIGN rule 8), however it is come by.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import asdict
from math import inf
from typing import Any, Protocol

from bot.errors import BoardkeeperError, StoreError
from bot.rtc.history import PERSON_TYPE, REDACTION_TYPE, Pause, Row, is_kept, read_rows
from bot.rtc.membership import MEMBER_TYPES
from bot.rtc.past import PastSession, past_sessions
from bot.rtc.session import Slot
from bot.rtc.spans import MAX_CLAIMED, spans
from bot.rtc.stickyevent import STICKY_TYPES
from bot.rtc.walk import BLOCK, Placed, Walk

PAGE = 500
"""Events asked for at once."""
PAGES = 10
"""Pages read for one request of the operator's, who hears how far it is and asks on."""
READ_FOR = 10.0
"""Seconds after which no further page is begun."""

WAIT_FOR = 20.0
"""Seconds that a handler waits at the most for what has to be read: then it gets what is known."""
LONGEST = 4 * 3_600_000
"""ms that a membership lasts unless it is renewed: who came before that has been seen since."""

_BACK = {"types": sorted({*MEMBER_TYPES, *STICKY_TYPES, PERSON_TYPE})}
_FORTH = {"types": sorted({*_BACK["types"], REDACTION_TYPE})}
"""Backwards, a redacted event itself says so; a room may have many redactions of other things."""

_log = logging.getLogger(__name__)


class Page(Protocol):
    """A page of a room's timeline."""

    @property
    def events(self) -> Sequence[Mapping[str, Any]]:
        """In the order in which they were read."""

    @property
    def start(self) -> str:
        """Where it begins."""

    @property
    def end(self) -> str | None:
        """Where to read on; None when there is no more."""


class Homeserver(Protocol):
    """What is asked."""

    async def messages(
        self,
        room_id: str,
        token: str | None,
        event_filter: Mapping[str, Any],
        *,
        forwards: bool,
        limit: int,
    ) -> Page:
        """Return a page of a room's timeline; without a token the newest backwards."""


class Archive(Protocol):
    """What keeps it."""

    async def walk(self, room_id: str) -> Mapping[str, Any] | None:
        """Return how far a room's past was read."""

    async def pauses(self, room_id: str) -> Sequence[tuple[int, int | None]]:
        """Return when recording was paused."""

    async def reserve_places(self, number: int) -> int:
        """Return the first of so many free places."""

    async def read_memberships(
        self, room_id: str, placed: Sequence[Placed], walk: Mapping[str, Any]
    ) -> None:
        """Keep what was read, and how far that is."""

    async def is_full(self, room_id: str) -> bool:
        """Return whether of a room as much is kept as can be."""

    async def memberships(self, room_id: str, since_ts: int = 0) -> Iterable[Sequence[Any]]:
        """Return what is kept of a room's past; it takes its time to go through."""

    @property
    def whole(self) -> MutableMapping[str, int]:
        """Since when (ms) nothing is missing of a room's past, by room; see `store.pasts`."""


class Keeps(Protocol):
    """What keeps what sync brings."""

    @property
    def whole(self) -> MutableMapping[str, int]:
        """Since when (ms) nothing is missing of a room's past, by room; see `store.pasts`."""

    async def saw_memberships(self, room_id: str, rows: Sequence[Row]) -> None:
        """Keep what happened."""


class Past:
    """Reads the past of rooms, one at a time.

    Args:
        homeserver: is asked.
        archive: keeps it.
        own_user: the bot, which is in no session.
    """

    def __init__(self, homeserver: Homeserver, archive: Archive, own_user: str) -> None:
        self._homeserver = homeserver
        self._archive = archive
        self._own_user = own_user
        self._one = asyncio.Lock()
        self._computes = asyncio.Lock()  # a room's past may be large: never two in memory

    async def read(self, room_id: str, *, until_ts: int, anew: bool = False) -> dict[str, Any]:
        """Read on for a while: first what has come since, then backwards.

        Args:
            room_id: a room the bot is in and records.
            until_ts: how far back is far enough, ms since 1970.
            anew: forget how far it was read.

        Returns:
            Whether that is `done` and whether the room's beginning was reached (`complete`), how
            many `pages` and `events` were read now, and how far back it is (`reached_ts`).

        Raises:
            BoardkeeperError: the homeserver or the archive fails; what was read until then counts.
        """
        async with self._one:
            # Noted first: what sync leaves out meanwhile takes it back.
            before = self._archive.whole.setdefault(room_id, until_ts)
            self._archive.whole[room_id] = min(before, until_ts)
            done = False
            try:
                reading = _Reading(self._homeserver, self._archive, room_id)
                found = await reading.run(until_ts, anew=anew)
                done = bool(found["done"])
            finally:
                if not done:
                    self._archive.whole.pop(room_id, None)
            return found

    async def sessions(
        self, room_id: str, slot: Slot, since_ts: int, now_ts: int, *, may_read: bool
    ) -> list[PastSession]:
        """Return the sessions of a slot that ended after an instant, or still run.

        What sync left out, while the bot was down or behind, is read from the homeserver first;
        if that fails, it is what is known.

        Args:
            room_id: where.
            slot: which.
            since_ts: ms since 1970.
            now_ts: likewise, by the homeserver's clock.
            may_read: whether the bot is in the room and records it.

        Raises:
            StoreError: the archive cannot be read.
        """
        until_ts = since_ts - LONGEST
        if may_read and self._archive.whole.get(room_id, inf) > until_ts:
            try:
                async with asyncio.timeout(WAIT_FOR):
                    await self.read(room_id, until_ts=until_ts)
            except StoreError:
                raise
            except (BoardkeeperError, TimeoutError):
                _log.warning("what sync left out cannot be read", extra={"room": room_id})
        async with self._computes:
            rows = await self._archive.memberships(room_id, since_ts - MAX_CLAIMED)
            pauses = await self._archive.pauses(room_id)
            return await asyncio.to_thread(self._sessions, rows, pauses, slot, since_ts, now_ts)

    def _sessions(
        self,
        rows: Iterable[Sequence[Any]],
        pauses: Sequence[tuple[int, int | None]],
        slot: Slot,
        since_ts: int,
        now_ts: int,
    ) -> list[PastSession]:
        found = spans((Row(*row) for row in rows), (Pause(*one) for one in pauses), now_ts)
        there = (one for one in found if one.slot == slot and one.user_id != self._own_user)
        return [one for one in past_sessions(there) if one.end_ts is None or one.end_ts > since_ts]


class _Reading:
    """One request's reading."""

    def __init__(self, homeserver: Homeserver, archive: Archive, room_id: str) -> None:
        self._homeserver = homeserver
        self._archive = archive
        self._room_id = room_id
        self._ends = asyncio.get_running_loop().time() + READ_FOR
        self._pages = self._events = 0
        self._pauses: list[Pause] = []

    async def run(self, until_ts: int, *, anew: bool) -> dict[str, Any]:
        self._pauses = [Pause(*one) for one in await self._archive.pauses(self._room_id)]
        kept = None if anew else await self._archive.walk(self._room_id)
        if kept is None:
            walk, current = await self._begin(), True
        else:
            walk, current = await self._onwards(Walk.from_json(kept))
        full = await self._archive.is_full(self._room_id)
        while current and self._may and not full and not _far_enough(walk, until_ts):
            walk = await self._back(walk)
            full = await self._archive.is_full(self._room_id)
        return {
            "done": current and (full or _far_enough(walk, until_ts)),
            "complete": walk.back is None,
            "full": full,
            "pages": self._pages,
            "events": self._events,
            "reached_ts": walk.reached_ts,
        }

    @property
    def _may(self) -> bool:
        return self._pages < PAGES and asyncio.get_running_loop().time() < self._ends

    async def _begin(self) -> Walk:
        page = await self._page(None, forwards=False)
        walk = Walk.begin(page.start, await self._archive.reserve_places(BLOCK))
        return await self._keep(*walk.read_back(page.events, page.end, self._pauses))

    async def _back(self, walk: Walk) -> Walk:
        page = await self._page(walk.back, forwards=False)
        return await self._keep(*walk.read_back(page.events, page.end, self._pauses))

    async def _onwards(self, walk: Walk) -> tuple[Walk, bool]:
        """Read what has come since; returns also whether that is all."""
        walk = walk.onwards(await self._archive.reserve_places(BLOCK))
        while self._may:
            token = walk.forth
            page = await self._page(token, forwards=True)
            walk = await self._keep(*walk.read_forth(page.events, page.end, self._pauses))
            if walk.forth == token:
                return walk, True
        return walk, False

    async def _page(self, token: str | None, *, forwards: bool) -> Page:
        page = await self._homeserver.messages(
            self._room_id,
            token,
            _FORTH if forwards else _BACK,
            forwards=forwards,
            limit=PAGE,
        )
        self._pages += 1
        self._events += len(page.events)
        return page

    async def _keep(self, walk: Walk, placed: Sequence[Placed]) -> Walk:
        await self._archive.read_memberships(self._room_id, placed, asdict(walk))
        return walk


def _far_enough(walk: Walk, until_ts: int) -> bool:
    reached_ts = walk.reached_ts
    return walk.back is None or (reached_ts is not None and reached_ts < until_ts)


async def keep_seen(
    archive: Keeps,
    room_id: str,
    state: Iterable[Mapping[str, Any]],
    timeline: Iterable[Mapping[str, Any]],
    since_ts: int,
    *,
    gap: bool = False,
) -> None:
    """Keep what sync brings: together, as a first sync brings many.

    Args:
        archive: keeps it.
        room_id: where.
        state: how it was before the timeline, in no order; sticky events among it.
        timeline: what happened, in order.
        since_ts: what was before that may have been while recording was paused.
        gap: whether something happened between the two that is in neither.
    """
    before = [row for event in state for row in read_rows(event)]
    if before or gap:
        archive.whole.pop(room_id, None)  # what came and went in between is not here
    # Who is out of the room went after they were on a board, not before.
    before.sort(key=lambda row: (row.type == PERSON_TYPE, row.ts))
    rows = [*before, *(row for event in timeline for row in read_rows(event))]
    pauses = [Pause(0, since_ts)]
    kept = [row for row in rows if is_kept(row, pauses)]
    if kept:
        try:
            await archive.saw_memberships(room_id, kept)
        except StoreError:
            archive.whole.pop(room_id, None)  # the homeserver still has them
            _log.warning("memberships could not be kept", extra={"room": room_id})
