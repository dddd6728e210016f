"""Rewriting a board of a running bot: what speaks against it, what it would change, doing it.

Updates of our own (`whiteboard.edit`): live to who is there, recorded, and saved as a snapshot.
It can be asked first what it would do, and is undone by restoring the instant before it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bot.actions.actions import Archive
from bot.boards.board import Board
from bot.errors import UsageError
from bot.permission import State, own_refusal
from bot.whiteboard.board import BoardKey
from bot.whiteboard.comparison import Difference, alike, difference
from bot.whiteboard.document import Document
from bot.whiteboard.edit import locked, rewrite
from bot.whiteboard.replay import DOCUMENT_KINDS

Slides = list[dict[str, Any]]
Want = Callable[[Slides], Slides]
"""Says which slides are wanted, of those that are there; called in another thread."""


class Homeserver(Protocol):
    """The calls needed here."""

    def relations(
        self, room_id: str, event_id: str, event_type: str, *, oldest_first: bool = False
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Iterate over the events that refer to an event."""

    async def send_event(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        """Send a room event."""

    async def upload(self, data: bytes, mime: str) -> str:
        """Store a file; return its mxc address."""


@dataclass(frozen=True, slots=True)
class Place:
    """A board with its room, loaded and up to the room's newest snapshot.

    Attributes:
        board: the board.
        state: what its room says.
        writes: whether the bot writes to boards at all.
    """

    board: Board
    state: State
    writes: bool

    @property
    def document(self) -> Document:
        """The board's document.

        Raises:
            UsageError: it is gone; boards are removed, and read anew, whatever is done with them.
        """
        if not self.board.loaded:
            raise UsageError(
                "The board was removed from its room meanwhile, or is just read anew: try again."
            )
        return self.board.document


@dataclass(frozen=True, slots=True)
class Tools:
    """What changes need of the bot.

    Attributes:
        archive: to read from.
        homeserver: takes events and images.
        place: holds a board ready while something is done with it.
        empty: makes a fresh document of the configured version and size.
        now_ts: ms by the homeserver's clock.
        committed: waits until all that is recorded is on disk; False when that fails, or some of it
            was lost.
        own_user: the bot's user id.
    """

    archive: Archive
    homeserver: Homeserver
    place: Callable[[BoardKey], AbstractAsyncContextManager[Place]]
    empty: Callable[[], Document]
    now_ts: Callable[[], int]
    committed: Callable[[], Awaitable[bool]]
    own_user: str


@dataclass(frozen=True, slots=True)
class Order:
    """How something is to be done.

    Attributes:
        forced: also where slides are locked, or strokes are known to be missing.
        dry: only say what would change.
    """

    forced: bool = False
    dry: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """What was done, or would be.

    Attributes:
        difference: what is, or would be, other than before.
        anything: whether anything is: slides may also just come in another order.
        undo_ts: the instant to restore in order to undo it (ms); None when nothing was written,
            recording is paused or fails, or nothing was recorded before.
        missing_images: how many images the file names but does not hold.
    """

    difference: Difference
    anything: bool
    undo_ts: int | None = None
    missing_images: int = 0


def new_id() -> str:
    """Return an id as NeoBoard makes them: 21 characters, 126 random bits."""
    return secrets.token_urlsafe(16)[:21]


def check_power(place: Place) -> None:
    """See that the bot writes to boards, and that the room lets it save them.

    Raises:
        UsageError: not so; the text says what to change.
    """
    if not place.writes:
        raise UsageError("boards.mode is observe: the bot writes to no board.")
    refusal = own_refusal(place.state)
    if refusal is not None:
        raise UsageError(
            f"The room does not let the bot save boards: give {refusal.user} power level"
            f" {max(refusal.needed.values())}."
        )


def check_version(place: Place, source: Document | str) -> None:
    """See that what comes onto a board is of its version: slides, or an infinite canvas.

    Args:
        place: the board.
        source: where it comes from, or the version of that.

    Raises:
        UsageError: not so.
    """
    document = place.document
    for one in (document, source):
        if isinstance(one, Document) and not one.supported:
            raise UsageError("The board is of a newer NeoBoard than this bot knows.")
    version = source.root.name if isinstance(source, Document) else source
    if version != document.root.name:
        raise UsageError(
            "One is a board with slides, the other an infinite canvas: NeoBoard itself can turn"
            " the one into the other."
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done.

    Attributes:
        result: what would change.
        wanted: the slides as they are to be.
        updates: that make them so; none where nothing is to be written.
    """

    result: Changed
    wanted: Slides
    updates: list[bytes]


async def ask(place: Place, want: Want, order: Order) -> Changed:
    """Say what would change.

    Raises:
        UsageError: something speaks against it.
    """
    check_power(place)
    return (await _plan(place, want, replace(order, dry=True))).result


async def write(tools: Tools, place: Place, want: Want, order: Order) -> Changed:
    """Make a board look as wanted, unless it does or this is only asked.

    Raises:
        UsageError: something speaks against it.
        InvalidUpdate: NeoBoard would not accept the board; nothing is written.
        Transient: the board is not loaded completely.
    """
    check_power(place)
    before = None if order.dry else await _undo_ts(tools, place)
    plan = await _plan(place, want, order)
    if not plan.updates:
        return plan.result
    *unseen, last = plan.updates
    for update in unseen:
        await place.board.change(update)

    def still_allowed() -> None:
        check_power(place)
        _check_locks(place.document, plan.wanted, order)

    # Until the last one nobody sees anything of it: what has come meanwhile still counts.
    await place.board.change(last, check=still_allowed)
    return replace(plan.result, undo_ts=before)


async def _plan(place: Place, want: Want, order: Order) -> _Plan:
    """Plan beside the event loop, on a copy: with 40,000 elements that takes seconds."""
    copy = await asyncio.to_thread(place.document.copy)
    return await asyncio.to_thread(_planned, copy, want, order)


def _planned(document: Document, want: Want, order: Order) -> _Plan:
    slides = document.content()["slides"]
    wanted = want(list(slides))
    if document.has_gap and not order.forced:
        raise UsageError(
            "On this board strokes are missing that nobody has sent again: they might get lost"
            " for good. Try later, or add --force."
        )
    _check_locks(document, wanted, order)
    result = Changed(difference(slides, wanted), anything=not alike(slides, wanted))
    if order.dry or not result.anything:
        return _Plan(result, wanted, [])
    # Never 0, by which every document begins.
    client = 1 + secrets.randbelow(2**31 - 1)
    return _Plan(result, wanted, rewrite(document, wanted, client=client, new_id=new_id))


def _check_locks(document: Document, wanted: Slides, order: Order) -> None:
    if not order.forced and (numbers := locked(document, wanted)):
        said = ", ".join(map(str, numbers))
        raise UsageError(f"Locked slides would change ({said}). Unlock them, or add --force.")


async def _undo_ts(tools: Tools, place: Place) -> int | None:
    """Return the instant before what follows, if the archive has the board as it was then."""
    ts, board = tools.now_ts() - 1, place.board
    if not board.recording or not await tools.committed():
        return None
    if await tools.archive.checkpoint(board.board_id, ts) is not None:
        return ts
    async for _ in tools.archive.all_entries(board.board_id, until_ts=ts, kinds=DOCUMENT_KINDS):
        return ts
    return None
