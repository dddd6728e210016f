"""Changes somebody orders of a running bot: restore, import, clone, snapshot.

All go forward, as one update of our own (`whiteboard.edit`): live to who is there, recorded, and
saved as a snapshot. Each can be asked first what it would do, and is undone by restoring the
instant before it.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bot import snapshots
from bot.actions import MAX_IMAGE, Archive, document_at
from bot.board import Board
from bot.errors import UsageError
from bot.whiteboard.board import BoardKey
from bot.whiteboard.comparison import Difference, alike, difference
from bot.whiteboard.document import Document
from bot.whiteboard.edit import locked, rewrite
from bot.whiteboard.images import kind_of_image
from bot.whiteboard.nwb import images, read_nwb
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE

Slides = list[dict[str, Any]]


class Homeserver(Protocol):
    """The calls needed here."""

    def relations(
        self, room_id: str, event_id: str, event_type: str
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Iterate over the events that refer to an event, newest first."""

    async def send_event(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        """Send a room event."""

    async def upload(self, data: bytes, mime: str) -> str:
        """Store a file; return its mxc address."""


class State(Protocol):
    """What the room says."""

    @property
    def power_levels(self) -> Mapping[str, Any]:
        """Who may do what."""

    def power(self, user: str) -> int:
        """Return a user's power."""


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


@dataclass(frozen=True, slots=True)
class Tools:
    """What changes need of the bot.

    Attributes:
        archive: to read from.
        homeserver: takes events and images.
        place: holds a board ready while something is done with it.
        empty: makes a fresh document of the configured version and size.
        now_ts: ms by the homeserver's clock.
        own_user: the bot's user id.
    """

    archive: Archive
    homeserver: Homeserver
    place: Callable[[BoardKey], AbstractAsyncContextManager[Place]]
    empty: Callable[[], Document]
    now_ts: Callable[[], int]
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
        undo_ts: the instant to restore in order to undo it (ms); None when nothing was written or
            recording is paused.
        missing_images: how many images the file names but does not hold.
    """

    difference: Difference
    anything: bool
    undo_ts: int | None = None
    missing_images: int = 0


def new_id() -> str:
    """Return an id as NeoBoard makes them: 21 characters, 126 random bits."""
    return secrets.token_urlsafe(16)[:21]


# -- what can be ordered ---------------------------------------------------------------------------


async def restore_instant(
    tools: Tools, key: BoardKey, at_ts: int, slide: int | None, order: Order
) -> Changed:
    """Make a board look as it did at an instant (ms since 1970).

    Args:
        tools: of the bot.
        key: which board.
        at_ts: the instant.
        slide: number of the only slide to bring back, counted as it was then; None for all.
        order: how.

    Raises:
        UsageError: it cannot be done; the text says why.
        ServerError: the homeserver does not take part.
        StoreError: the archive cannot be read.
    """
    async with tools.place(key) as place:
        then = await document_at(tools.archive, place.board.board_id, at_ts, tools.empty())
        if then is None:
            raise UsageError("Nothing is recorded of this board at that time.")
        return await _restore(tools, place, then, slide, order)


async def restore_snapshot(
    tools: Tools, key: BoardKey, event_id: str, slide: int | None, order: Order
) -> Changed:
    """Make a board look as it does in a snapshot of the room; else as `restore_instant`."""
    async with tools.place(key) as place:
        snapshot = await snapshots.read(tools.homeserver, key, event_id)
        if snapshot is None:
            raise UsageError("This board has no such snapshot, or it is incomplete.")
        then = tools.empty()
        then.merge_snapshot(snapshot.data)
        return await _restore(tools, place, then, slide, order)


async def _restore(
    tools: Tools, place: Place, then: Document, slide: int | None, order: Order
) -> Changed:
    if then.has_gap and not order.forced:
        raise UsageError(
            "Of that instant strokes are missing that nobody has sent again. Choose another one,"
            " or add --force to restore what is there."
        )
    _check_version(place, then.version)
    slides = then.content()["slides"]
    return await _write(tools, place, _only(place, slides, slide), order)


def _only(place: Place, slides: Slides, number: int | None) -> Slides:
    """Return the slides wanted when only one is brought back: in its place, else as a new one."""
    if number is None:
        return slides
    if not 0 < number <= len(slides):
        raise UsageError(f"There was no slide {number}: the board had {len(slides)}.")
    wanted: Slides = place.board.document.content()["slides"]
    slide = slides[number - 1]
    now = [one["id"] for one in wanted]
    at = now.index(slide["id"]) if slide["id"] in now else None
    if at is None:
        wanted.insert(number - 1, slide)
    else:
        wanted[at] = slide
    return wanted


async def import_nwb(
    tools: Tools, key: BoardKey, data: bytes, *, append: bool, order: Order
) -> Changed:
    """Put the slides of a `.nwb` file on a board, in place of its own or behind them.

    Raises:
        InvalidNwb: it is no such file.
        UsageError, ServerError, StoreError: as `restore_instant`.
    """
    file = read_nwb(data, new_id)
    async with tools.place(key) as place:
        _check_version(place, file.version)
        if append and file.version == "1":
            raise UsageError("An infinite canvas has one slide: nothing can be appended to it.")
        pictures = [one for one in images({"slides": file.slides}) if one in file.files]

        def wanted(stored: Mapping[str, str]) -> Slides:
            before = place.board.document.content()["slides"] if append else []
            return [*before, *(_imported(slide, stored, tools.own_user) for slide in file.slides)]

        # As if the images were there already: what cannot be done uploads nothing.
        result = _plan(tools, place, wanted({one: one for one in pictures}), order)
        if result.anything and not order.dry:
            stored = {one: await _store(tools, file.files[one]) for one in pictures}
            result = await _write(tools, place, wanted(stored), order)
        missing = len(images({"slides": file.slides})) - len(pictures)
        return replace(result, missing_images=missing)


def _imported(slide: Mapping[str, Any], stored: Mapping[str, str], owner: str) -> dict[str, Any]:
    """Return a slide of a file as it comes onto a board; images nobody has become placeholders."""
    elements = [
        {**one, "mxc": stored.get(one["mxc"], "")} if one["type"] == "image" else one
        for one in slide["elements"]
    ]
    lock = {"lock": {"userId": owner}} if "lock" in slide else {}
    return {**slide, "elements": elements, **lock}


async def _store(tools: Tools, image: bytes) -> str:
    """Put an image into the media repository.

    Raises:
        UsageError: NeoBoard would not show it.
    """
    mime = kind_of_image(image)
    if mime is None or len(image) > MAX_IMAGE:
        raise UsageError("A picture in the file is no GIF, JPEG, PNG or SVG of at most 25 MiB.")
    return await tools.homeserver.upload(image, mime)


async def clone(tools: Tools, source: BoardKey, target: BoardKey, order: Order) -> Changed:
    """Make a board look as another one does now; images stay where they are on the homeserver."""
    async with tools.place(source) as original, tools.place(target) as place:
        document = original.board.document
        if document.has_gap and not order.forced:
            raise UsageError(
                "Of the board to be cloned strokes are missing that nobody has sent again. Try"
                " later, or add --force to clone what is there."
            )
        _check_version(place, document.root.name)
        return await _write(tools, place, document.content()["slides"], order)


async def write_snapshot(tools: Tools, key: BoardKey) -> int:
    """Write a board to its room as a snapshot, whether it is needed or not; return its size.

    Raises:
        UsageError, ServerError: as `restore_instant`.
    """
    async with tools.place(key) as place:
        _check_power(tools, place)
        data = place.board.document.snapshot()
        await snapshots.write(tools.homeserver, key, data)
        return len(data)


# -- checking and writing ----------------------------------------------------------------------


def _check_power(tools: Tools, place: Place) -> None:
    if not place.writes:
        raise UsageError("boards.mode is observe: the bot writes to no board.")
    levels = place.state.power_levels
    needed = max(_needed(levels, kind) for kind in (SNAPSHOT_TYPE, CHUNK_TYPE))
    if place.state.power(tools.own_user) < needed:
        raise UsageError(
            f"The room does not let the bot save boards: give {tools.own_user} power level"
            f" {needed}."
        )


def _needed(levels: Mapping[str, Any], event_type: str) -> int:
    events = levels.get("events")
    level = events.get(event_type) if isinstance(events, Mapping) else None
    if not isinstance(level, int):
        level = levels.get("events_default", 0)
    return level if isinstance(level, int) else 0


def _check_version(place: Place, version: str | None) -> None:
    document = place.board.document
    if not document.supported:
        raise UsageError("This board is of a newer NeoBoard than this bot knows.")
    if version != document.root.name:
        raise UsageError(
            "One is a board with slides, the other an infinite canvas: NeoBoard itself can turn"
            " the one into the other."
        )


def _plan(tools: Tools, place: Place, wanted: Slides, order: Order) -> Changed:
    """Say what would change, and what speaks against it."""
    _check_power(tools, place)
    document = place.board.document
    slides = document.content()["slides"]
    if not order.forced:
        if document.has_gap:
            raise UsageError(
                "On this board strokes are missing that nobody has sent again: they might get lost"
                " for good. Try later, or add --force."
            )
        if numbers := locked(document, wanted):
            said = ", ".join(map(str, numbers))
            raise UsageError(f"Locked slides would change ({said}). Unlock them, or add --force.")
    return Changed(difference(slides, wanted), anything=not alike(slides, wanted))


async def _write(tools: Tools, place: Place, wanted: Slides, order: Order) -> Changed:
    result = _plan(tools, place, wanted, order)
    if order.dry or not result.anything:
        return result
    # Never 0, by which every document begins.
    client = 1 + secrets.randbelow(2**31 - 1)
    update = rewrite(place.board.document, wanted, client=client, new_id=new_id)
    before = tools.now_ts() - 1 if place.board.recording else None
    await place.board.change(update)
    return replace(result, undo_ts=before)
