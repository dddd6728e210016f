"""Changes somebody orders of a running bot: restore, import, clone, snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from bot.actions.actions import MAX_IMAGE, document_at, nothing_recorded, paused_at
from bot.actions.rewriting import (
    Changed,
    Order,
    Place,
    Slides,
    Tools,
    ask,
    check_power,
    check_version,
    new_id,
    write,
)
from bot.beside import merge
from bot.boards import snapshots
from bot.errors import UsageError
from bot.whiteboard.board import BoardKey
from bot.whiteboard.document import Document
from bot.whiteboard.images import kind_of_image
from bot.whiteboard.nwb import images, read_nwb
from bot.whiteboard.verdict import Verdict


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
        if not order.forced:
            await _check_recorded(tools, key.room_id, at_ts)
        then = await document_at(tools.archive, place.board.board_id, at_ts, tools.empty())
        if then is None:
            rows = await tools.archive.boards()
            row = next((one for one in rows if one.id == place.board.board_id), None)
            raise UsageError(nothing_recorded(row))
        return await _restore(tools, place, then, slide, order)


async def _check_recorded(tools: Tools, room_id: str, at_ts: int) -> None:
    paused = await paused_at(tools.archive, room_id, at_ts)
    if paused is not None:
        raise UsageError(
            f"{paused}. Choose another instant, or add --force for the board as it was when the"
            " pause began."
        )


async def restore_snapshot(
    tools: Tools, key: BoardKey, event_id: str, slide: int | None, order: Order
) -> Changed:
    """Make a board look as it does in a snapshot of the room; else as `restore_instant`."""
    async with tools.place(key) as place:
        snapshot = await snapshots.read(tools.homeserver, key, event_id)
        if snapshot is None:
            raise UsageError("This board has no such snapshot, or it is incomplete.")
        then = tools.empty()
        outcome = await merge(then, snapshot.data)
        if outcome.verdict is Verdict.REFUSED:
            raise UsageError(f"This snapshot is no board that could be restored: {outcome.reason}.")
        return await _restore(tools, place, then, slide, order)


async def _restore(
    tools: Tools, place: Place, then: Document, slide: int | None, order: Order
) -> Changed:
    if then.has_gap and not order.forced:
        raise UsageError(
            "Of that instant strokes are missing that nobody has sent again. Choose another one,"
            " or add --force to restore what is there."
        )
    check_version(place, then)
    slides = await asyncio.to_thread(lambda: then.content()["slides"])
    return await write(tools, place, lambda there: _only(there, slides, slide), order)


def _only(there: Slides, slides: Slides, number: int | None) -> Slides:
    """Return the slides wanted when only one is brought back: in its place, else as a new one."""
    if number is None:
        return slides
    if not 0 < number <= len(slides):
        raise UsageError(f"There was no slide {number}: the board had {len(slides)}.")
    slide = slides[number - 1]
    now = [one["id"] for one in there]
    at = now.index(slide["id"]) if slide["id"] in now else None
    if at is None:
        return [*there[: number - 1], slide, *there[number - 1 :]]
    return [*there[:at], slide, *there[at + 1 :]]


async def import_nwb(
    tools: Tools, key: BoardKey, data: bytes, *, append: bool, order: Order
) -> Changed:
    """Put the slides of a `.nwb` file on a board, in place of its own or behind them.

    Raises:
        InvalidNwb: it is no such file.
        UsageError, ServerError, StoreError: as `restore_instant`.
    """
    file = await asyncio.to_thread(read_nwb, data, new_id)
    async with tools.place(key) as place:
        check_version(place, file.version)
        if append and file.version == "1":
            raise UsageError("An infinite canvas has one slide: nothing can be appended to it.")
        pictures = [one for one in images({"slides": file.slides}) if one in file.files]

        def want(stored: Mapping[str, str], there: Slides) -> Slides:
            before = there if append else []
            return [*before, *(_imported(slide, stored, tools.own_user) for slide in file.slides)]

        # As if the images were there already: what cannot be done uploads nothing.
        result = await ask(place, partial(want, {one: one for one in pictures}), order)
        if result.anything and not order.dry:
            stored = {one: await _store(tools, file.files[one]) for one in pictures}
            result = await write(tools, place, partial(want, stored), order)
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
        document = original.document
        if document.has_gap and not order.forced:
            raise UsageError(
                "Of the board to be cloned strokes are missing that nobody has sent again. Try"
                " later, or add --force to clone what is there."
            )
        check_version(place, document)
        copy = await asyncio.to_thread(document.copy)
        slides = await asyncio.to_thread(lambda: copy.content()["slides"])
        return await write(tools, place, lambda _: slides, order)


async def write_snapshot(tools: Tools, key: BoardKey) -> int:
    """Write a board to its room as a snapshot, whether it is needed or not; return its size.

    Raises:
        UsageError, ServerError: as `restore_instant`.
    """
    async with tools.place(key) as place:
        check_power(place)
        check_version(place, place.document)  # of one that we do not know nothing is written
        data = place.document.snapshot()
        await snapshots.write(tools.homeserver, key, data, tools.own_user)
        return len(data)
