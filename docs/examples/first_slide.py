"""Example: only people with power 50 may edit the first slide of a board.

    handlers:
      - use: record
      - use: first_slide.py:FirstSlide
        settings: {power: 50}

A bot cannot keep anybody from drawing: people's changes reach all others without it. What this
handler can do is put back what it knew, a moment later, for everybody; it says so in the room once.
What it does not see it cannot judge:

- While the bot is not there, anybody may edit: what it finds when it starts is right for it.
- What comes with a snapshot counts as a change of who wrote the snapshot: that is how a stroke
  comes whose own packet was lost. Likewise a change that came too early, and waited for another
  one, counts as made by whoever made that one (`DocumentUpdate.changes`).
- What nobody can be named for is put back. When very much happens at once the bot merges changes of
  several people into one of nobody, so somebody allowed may have to draw a stroke again.
- The bot needs `boards.mode: keep`, and rewrites a board once a second at the most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bot.errors import RateLimited, UsageError
from bot.handlers.base import (
    BoardFound,
    BoardGone,
    BoardKey,
    BoardView,
    Changes,
    Context,
    DocumentUpdate,
    Handler,
    Slide,
)

SAID = (
    "Only people with power level {power} may change the first slide of this board. I cannot keep"
    " others from drawing there, but I put back what was there before."
)


@dataclass(frozen=True)
class FirstSlideSettings:
    """What the configuration can say.

    Attributes:
        power: the power level that it takes.
    """

    power: int = 50


@dataclass
class Guarded:
    """A slide that is looked after.

    Attributes:
        right: as it is to be: what was there at first, and what people allowed made of it.
        wrong: ids of elements that are not as they should be.
        amiss: whether anything else is: its order, its lock, its place, or that it is there.
    """

    right: Slide
    wrong: set[str] = field(default_factory=set)
    amiss: bool = False


class FirstSlide(Handler):
    """Puts back what people without power change on the first slide."""

    api = 1
    settings_type = FirstSlideSettings
    settings: FirstSlideSettings

    async def start(self, context: Context) -> None:
        """Begin."""
        await super().start(context)
        self.guarded: dict[BoardKey, Guarded] = {}

    async def on_board_found(self, event: BoardFound) -> None:
        """Begin to look after its first slide."""
        view = await self.context.board(event.board)
        if view is not None and (slides := view.slides()):
            self.guarded[event.board] = Guarded(slides[0])

    async def on_board_gone(self, event: BoardGone) -> None:
        """Forget it."""
        self.guarded.pop(event.board, None)

    async def on_document_update(self, event: DocumentUpdate) -> None:
        """Keep what somebody with power changed on the slide; put back what others did."""
        view, guarded = await self.context.board(event.board), self.guarded.get(event.board)
        if view is None or guarded is None:
            return
        # Only what this event touched: later ones of others may be on the board already.
        changes, slides = event.changes, view.slides()
        ids = {one.element_id for one in changes.elements if one.slide_id == guarded.right.id}
        amiss = self.is_amiss(changes, slides, guarded)
        if event.sender is None and slides[:1] == (guarded.right,):
            return  # what we did ourselves
        if not ids and not amiss:
            return
        if event.sender is not None and self.may(event.board, event.sender):
            guarded.right = taken(guarded, slides, ids, whole=amiss)
            guarded.wrong -= ids
            guarded.amiss &= not amiss
        else:
            guarded.wrong |= ids
            guarded.amiss |= amiss
            await self.put_back(event.board, view, guarded)

    def is_amiss(self, changes: Changes, slides: Sequence[Slide], guarded: Guarded) -> bool:
        """Return whether the slide itself was changed, moved or deleted."""
        touched = {*changes.slides_changed, *changes.slides_moved, *changes.slides_removed}
        right_id = guarded.right.id
        displaced = bool(changes.slides_added) and bool(slides) and slides[0].id != right_id
        return right_id in touched or displaced

    def may(self, board: BoardKey, user_id: str) -> bool:
        """Return whether somebody may edit the slide."""
        return self.context.power(board.room_id, user_id) >= self.settings.power

    async def put_back(self, board: BoardKey, view: BoardView, guarded: Guarded) -> None:
        """Make the slide what it was."""
        while True:
            slides = view.slides()
            try:
                # Nothing is awaited in between: what others draw elsewhere stays.
                await view.rewrite(mended(guarded, slides), unlock=True)
            except RateLimited as error:
                await asyncio.sleep(error.retry_after or 1.0)
            except UsageError as error:
                # It stays noted: the next change of somebody without power puts it back too.
                self.context.log.warning("the slide could not be put back: %s", error)
                return
            else:
                break
        # A slide that was deleted comes back under other ids.
        first = view.slides()[0]
        if first.id != guarded.right.id:
            guarded.right = replace(first, elements=first.elements[: len(guarded.right.elements)])
        guarded.wrong.clear()
        guarded.amiss = False
        await self.say_once(board)

    async def say_once(self, board: BoardKey) -> None:
        """Tell the room why its drawings vanish; once, also across restarts."""
        name = f"said.{board.whiteboard_id}.{board.room_id}"
        if await self.context.store.get(name) is None:
            await self.context.store.set(name, "yes")
            await self.context.post(board.room_id, SAID.format(power=self.settings.power))


def taken(guarded: Guarded, slides: Sequence[Slide], ids: set[str], *, whole: bool) -> Slide:
    """Return how the slide is to be after somebody allowed has changed it."""
    right = guarded.right
    now = next((one for one in slides if one.id == right.id), None)
    if not slides:
        return right
    if now is None or (whole and slides[0].id != right.id):
        return slides[0]  # it was deleted, or another one is the first: that is looked after
    for element_id in ids:
        element = now.element(element_id)
        right = right.without(element_id) if element is None else right.put(element)
    if whole:
        order = [one["id"] for one in now.elements]
        known = {one["id"]: one for one in right.elements}
        elements = tuple(known[one] for one in order if one in known)
        right = replace(right, elements=elements, lock=now.lock, frame_ids=now.frame_ids)
    return right


def mended(guarded: Guarded, slides: Sequence[Slide]) -> list[Slide]:
    """Return the slides of a board with the guarded one as it should be."""
    right = guarded.right
    now = next((one for one in slides if one.id == right.id), None)
    if now is None:
        return [right, *slides]
    for element_id in guarded.wrong:
        element = right.element(element_id)
        now = now.without(element_id) if element is None else now.put(element)
    if guarded.amiss:
        known = {one["id"]: one for one in now.elements}
        order = [one["id"] for one in right.elements]
        first = [known.pop(one) for one in order if one in known]
        elements = (*first, *known.values())
        now = replace(now, elements=elements, lock=right.lock, frame_ids=right.frame_ids)
        return [now, *(one for one in slides if one.id != now.id)]
    return [now if one.id == now.id else one for one in slides]
