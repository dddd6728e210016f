"""Saving: the boards of a room are in the room, whoever dies.

Writes a board as a snapshot when it holds what the room's newest complete snapshots lack and nobody
else has written one in time, or when the newest one stays incomplete (`whiteboard.keep` decides). A
board that needs saving has a task of its own for as long as it does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Protocol

from bot import metrics
from bot.boards import snapshots
from bot.boards.board import Board
from bot.boards.outlook import Outlook
from bot.boards.place import Place, is_supported
from bot.errors import Forbidden, RateLimited, ServerError, StoreError
from bot.whiteboard.board import BoardKey
from bot.whiteboard.keep import Keep, Pace
from bot.whiteboard.snapshot import Snapshot
from bot.whiteboard.unsaved import Ids

MAX_LIVE = 47_000
"""Bytes of an update that fit into a packet: 63,000 as text."""

READ_AGAIN = 5.0
"""Seconds until a board is looked at again whose whole snapshot is still searched for."""

_log = logging.getLogger(__name__)


class Archive(Protocol):
    """Where a start learns what an earlier life did not come to."""

    async def get(self, name: str) -> str | None:
        """Return a small text kept under a name."""

    async def set(self, name: str, value: str) -> None:
        """Keep a small text under a name."""


class Saving:
    """Saves the boards of one room.

    Args:
        homeserver: takes snapshots.
        own_user: our user id.
        archive: remembers across a crash which boards are not saved.
        pace: how patient to be; None never writes anything.
        ready: loads a board and brings it up to the room's newest snapshot; answers whether it is.
            Never write an older state over the room's (rule 2).
        release: told when the board's document is not needed for this any more.
        permitted: whether the room's power levels let us write. Asked before: a snapshot whose
            chunks are refused would be one more incomplete one, with each try.
        refused: told when the room does not let us write, and when it does again.
        tasks: the Room's own group.
    """

    def __init__(
        self,
        homeserver: snapshots.Homeserver,
        own_user: str,
        archive: Archive,
        pace: Pace | None,
        *,
        ready: Callable[[Board], Awaitable[bool]],
        release: Callable[[Board], Awaitable[None]],
        permitted: Callable[[], bool],
        refused: Callable[[bool], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._homeserver = homeserver
        self._own_user = own_user
        self._archive = archive
        self._pace = pace
        self._ready = ready
        self._release = release
        self._permitted = permitted
        self._refused = refused
        self._tasks = tasks
        self._places: dict[BoardKey, Place] = {}

    # -- what happens on boards ----------------------------------------------------------------

    @property
    def writes(self) -> bool:
        """Whether the bot writes to boards at all."""
        return self._pace is not None

    def found(self, board: Board) -> None:
        """Follow a board."""
        if self._pace is not None:
            self._places[board.key] = Place(board, Keep(self._pace))

    async def recall(self, board: Board) -> None:
        """Have a loaded board saved, if nobody does it, that an earlier life left unsaved."""
        place = self._places.get(board.key)
        if place is None:
            return
        try:
            place.marked = bool(await self._archive.get(_mark(board)))
        except StoreError:
            place.marked = True
        place.earlier = place.marked
        if place.marked and board.loaded and board.document.supported:  # not lost meanwhile
            before = place.unsaved.since
            place.unsaved.changed(board.document.encode(), monotonic())
            self._look(place, before)

    def gone(self, key: BoardKey) -> None:
        """Follow it no more."""
        place = self._places.pop(key, None)
        if place is not None:
            self._count(place, before=place.unsaved.since, gone=True)
            if place.task is not None:
                place.task.cancel()

    def changed(self, board: Board, update: bytes, *, ours: bool = False) -> None:
        """Hear of an accepted change; one of ours nobody else saves."""
        place = self._places.get(board.key)
        if place is None or not is_supported(board):
            return
        now, before = monotonic(), place.unsaved.since
        if not place.beyond:
            place.keep.go_on(now)
        place.unsaved.changed(update, now)
        if ours:
            place.keep.ours(now)
            if not board.recording:
                place.keep.wanted(now)  # a crash would have us forget it
        self._look(place, before)

    async def noted(self, board: Board) -> None:
        """Return when the next start would look whether the board is saved: it is to change."""
        place = self._places.get(board.key)
        if place is not None:
            await self._note(place, unsaved=True)

    def begun(self, document_id: str, event_id: str, *, ours: bool = False) -> None:
        """Hear that somebody has begun to write a snapshot of a document, in the room's order."""
        for place in self._places.values():
            if place.board.key.document_id == document_id:
                place.unsaved.show(event_id)
                if not ours:
                    place.keep.begun(event_id, monotonic())
                self._look(place, place.unsaved.since)

    def saved(self, board: Board, snapshot: Snapshot, ids: Ids | None = None) -> None:
        """Hear that a complete snapshot is in the room, and merged in; its ids may be read."""
        place = self._places.get(board.key)
        if place is None:
            return
        before, document = place.unsaved.since, board.document
        place.keep.ended(snapshot.event_id)
        if place.unsaved.number(snapshot.event_id) > place.other:
            place.beyond = ""
            place.keep.go_on(monotonic())  # somebody has come back to what we can read
        place.unsaved.saved(snapshot.data, snapshot.event_id, ids=ids)
        if document.supported:
            known = document.state_vector()
            place.unsaved.compare(known, document.diff(known), monotonic())
        self._look(place, before)

    def not_taken(self, board: Board, snapshot: Snapshot, beyond: str = "") -> None:
        """Hear of a complete snapshot in the room that the board does not take in.

        It may be of another version. Either people have moved there with a copy of the board
        (`Document.merge_snapshot`), or somebody has put it there by mistake, or to harm. Written
        over it, ours would hide what the one have, and help the others. Who goes on to draw in our
        version tells them apart: his own client writes over it, too.

        Or it is beyond us, but people may well have it. Then drawing tells nothing; a newer
        snapshot does, if it is one that we can take in.

        Args:
            board: whose.
            snapshot: the newest, or an older one.
            beyond: why it is beyond us; empty for one of another version.
        """
        place = self._places.get(board.key)
        if place is None:
            return
        place.keep.ended(snapshot.event_id)
        number = place.unsaved.number(snapshot.event_id)
        if snapshot.event_id not in place.others and number >= place.unsaved.newest:
            place.others.append(snapshot.event_id)  # the room may be read again
            place.other, place.beyond = max(place.other, number), beyond
            place.keep.hold()
        self._look(place, place.unsaved.since)

    def withheld(self, board: Board) -> str:
        """Return why nothing of ours may be written to a board; empty where nothing speaks so."""
        place = self._places.get(board.key)
        if place is None or not place.beyond:
            return ""
        return f"the bot cannot take in the room's newest snapshot: {place.beyond}"

    def alone(self, key: BoardKey, *, yes: bool) -> None:
        """Hear whether nobody is on a board any more."""
        place = self._places.get(key)
        if place is not None and place.alone != yes:
            place.alone = yes
            place.keep.alone(monotonic() if yes else None)
            place.wake.set()

    def ranked(self, key: BoardKey, rank: int) -> None:
        """Hear how many bots come before us in saving a board."""
        place = self._places.get(key)
        if place is not None and place.rank != rank:
            place.rank = rank
            place.keep.rank(rank)
            place.wake.set()

    def lacking(self, board: Board) -> bytes | None:
        """Return what the room's newest snapshot lacks of a board, for somebody who has just come.

        None when it lacks nothing, or more than fits into a packet: then a snapshot is written.
        """
        place = self._places.get(board.key)
        if place is None or place.unsaved.since is None or not board.loaded:
            return None
        update = board.document.diff(place.unsaved.state_vector)
        if len(update) <= MAX_LIVE:
            return update
        self.needed(board)
        return None

    def needed(self, board: Board) -> None:
        """Hear that people lack something that cannot be sent: unless the room has it, save it."""
        place = self._places.get(board.key)
        if place is not None and place.unsaved.since is not None:
            place.keep.wanted(monotonic())
            place.wake.set()

    def permission_changed(self) -> None:
        """Hear that the room's power levels have changed: what was refused is tried again now."""
        for place in self._places.values():
            if place.trouble is not None and place.trouble[0] == "forbidden":
                place.keep.again()
                place.wake.set()

    def since(self, key: BoardKey) -> float | None:
        """Return when (seconds, monotonic) the oldest change came that is not in the room."""
        place = self._places.get(key)
        return None if place is None else place.unsaved.since

    def outlook(self, key: BoardKey) -> Outlook | None:
        """Return what is to become of a board; None when nobody here cares for it."""
        place = self._places.get(key)
        if place is None:
            return None
        found = place.outlook(monotonic())
        refused = found.due is not None and not self._permitted()
        return replace(found, reason="forbidden", detail="") if refused else found

    async def rescue(self, *, leaving: bool) -> None:
        """Save at once, as far as that can be done, what might be lost when the bot ends.

        Args:
            leaving: whether it leaves the room, and will not come back to it: else people who are
                on a board save it, and what is recorded the next start saves.
        """
        await asyncio.gather(
            *(
                self._save_rest(place)
                for place in list(self._places.values())
                if leaving or place.alone or not place.board.recording
            )
        )

    async def _save_rest(self, place: Place) -> None:
        async with place.writing:  # somebody may be at it
            if place.unsaved.since is not None and place.writable:
                await self._write(place)

    # -- the work ------------------------------------------------------------------------------

    def _look(self, place: Place, before: float | None) -> None:
        place.keep.unsaved(place.unsaved.since)
        if place.unsaved.since is None:
            place.earlier, place.trouble = False, None
        place.wake.set()
        self._count(place, before)
        if place.task is None and place.wants_care(monotonic()):
            place.task = self._tasks.create_task(self._follow(place))

    def _count(self, place: Place, before: float | None, *, gone: bool = False) -> None:
        now = None if gone else place.unsaved.since
        metrics.UNSAVED.inc((now is not None) - (before is not None))

    async def _follow(self, place: Place) -> None:
        """Be there while something is unsaved, or may have to be written for another reason."""
        noted: bool | None = None
        try:
            while True:
                place.wake.clear()
                unsaved = place.unsaved.since is not None
                if unsaved != noted:
                    await self._note(place, unsaved=unsaved)
                    noted = unsaved
                now = monotonic()
                if not place.wants_care(now):
                    break
                due = place.keep.due(now)
                if due is not None and due <= now:
                    await self._save(place)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if due is None else due - now):
                        await place.wake.wait()
        finally:
            place.task = None
        # What came while the note was written.
        self._look(place, place.unsaved.since)

    async def _save(self, place: Place) -> None:
        async with place.writing:
            due = place.keep.due(now := monotonic())
            if due is not None and due <= now:
                await self._write(place)

    async def _write(self, place: Place) -> None:
        board = place.board
        keys = {"room": board.key.room_id}
        try:
            self._check()
            if not await self._ready(board):
                place.keep.failed(monotonic(), READ_AGAIN)
                place.trouble = "searching", ""
                return
            if not place.writable:  # as it turns out
                place.keep.failed(monotonic(), None)
                return
            data, taken = board.document.snapshot(), monotonic()
            shown = place.unsaved.shown
            event_id = await snapshots.write(self._homeserver, board.key, data, self._own_user)
        except Forbidden:
            _log.warning("the room does not take snapshots of ours", extra=keys)
            self._refused(True)
            place.keep.failed(monotonic(), None)
            place.trouble = "forbidden", ""
        except (ServerError, StoreError) as error:
            _log.warning("a board could not be saved yet", extra={**keys, "why": str(error)})
            asked = error.retry_after if isinstance(error, RateLimited) else None
            place.keep.failed(monotonic(), asked)
            place.trouble = "failed" if asked is None else "asked_to_wait", str(error)
        else:
            self._refused(False)
            place.trouble, before = None, place.unsaved.since  # sync may have shown it already
            place.keep.wrote(len(data), monotonic(), taken)
            if place.unsaved.saved(data, event_id, shown):
                # What it leaves out cannot be shown yet (`Document.snapshot`). With the cause that
                # is missing a change comes, and then all of it is written.
                place.unsaved.give_up(taken)
            self._look(place, before)
        finally:
            await self._release(board)

    def _check(self) -> None:
        if not self._permitted():
            raise Forbidden("the room's power levels")

    async def _note(self, place: Place, *, unsaved: bool) -> None:
        """Have the next start know; once per time that something is unsaved."""
        if unsaved == place.marked:
            return
        try:
            await self._archive.set(_mark(place.board), "1" if unsaved else "")
            place.marked = unsaved
        except StoreError:
            _log.warning(
                "that a board is not saved could not be noted",
                extra={"room": place.board.key.room_id},
            )


def _mark(board: Board) -> str:
    return f"unsaved.{board.board_id}"
