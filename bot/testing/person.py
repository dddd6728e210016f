"""A person of a simulation, with the board open in a NeoBoard."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from bot.errors import UsageError
from bot.handlers.base import Participant, Slide
from bot.whiteboard.board import BoardKey
from bot.whiteboard.document import Document
from bot.whiteboard.edit import rewrite
from bot.whiteboard.message import CursorMove, FocusOn, Message, Present, Update, decode
from bot.whiteboard.slides import read_slides, wanted

Point = tuple[float, float]


class World(Protocol):
    """Where people are."""

    @property
    def key(self) -> BoardKey:
        """The board."""

    @property
    def version(self) -> str:
        """`"0"` slides, `"1"` infinite canvas."""

    async def say(self, person: Person, message: Message) -> None:
        """Send what a person does to all others."""

    async def leave(self, person: Person) -> None:
        """Let a person close the board."""


class Person:
    """Somebody on the board. `SimulatedRoom.join` makes one.

    Whatever a person does is sent to the bot and to all others at once; `SimulatedRoom.settle`
    waits until the handler has taken it. A slide is named by its number, from 0, or by its id.

    Args:
        who: user and device.
        world: where.
        dice: make ids, the same with the same seed.

    Attributes:
        participant: user id and device id.
        document: the board as this person has it.
        unsaved: whether this person drew something that is not saved to the room yet.
    """

    def __init__(self, who: Participant, world: World, dice: random.Random) -> None:
        self.participant = who
        self.document = Document(default_version=world.version)
        self.unsaved = False
        self._world = world
        self._dice = dice
        self._client = dice.randrange(1, 2**31)

    @property
    def user_id(self) -> str:
        """Matrix user id."""
        return self.participant.user_id

    @property
    def content(self) -> dict[str, Any]:
        """The board as this person sees it."""
        return self.document.content()

    @property
    def slides(self) -> tuple[Slide, ...]:
        """The slides as this person sees them."""
        return read_slides(self.content)

    # -- drawing -------------------------------------------------------------------------------

    async def draw(
        self,
        kind: str = "rectangle",
        *,
        slide: int | str = 0,
        at: Point = (100, 100),
        size: Point = (200, 100),
        text: str = "",
        **fields: Any,
    ) -> str:
        """Draw a shape.

        Args:
            kind: `rectangle`, `circle`, `ellipse`, `triangle` or `block-arrow`.
            slide: where.
            at: its upper left corner, in slide coordinates (0..1920 × 0..1080).
            size: width and height.
            text: what is written in it.
            fields: more of NeoBoard's, such as `fillColor`.

        Returns:
            Its id.
        """
        shape = {"type": "shape", "kind": kind, "fillColor": "#ffffff", "text": text}
        return await self._add(slide, {**shape, **_place(at, size), **fields})

    async def note(
        self, text: str, *, slide: int | str = 0, at: Point = (100, 100), **fields: Any
    ) -> str:
        """Put a sticky note on a slide; returns its id."""
        note = {"stickyNote": True, "fillColor": "#ffd966", **fields}
        return await self.draw(slide=slide, at=at, size=(160, 160), text=text, **note)

    async def line(
        self, *points: Point, slide: int | str = 0, kind: str = "polyline", **fields: Any
    ) -> str:
        """Draw a line.

        Args:
            points: two at the least.
            slide: where.
            kind: `polyline`, or `line` for a straight one.
            fields: more of NeoBoard's, such as `strokeColor`.

        Returns:
            Its id.
        """
        left, top = (min(one[axis] for one in points) for axis in (0, 1))
        path = {
            "type": "path",
            "kind": kind,
            "position": {"x": left, "y": top},
            "points": [{"x": x - left, "y": y - top} for x, y in points],
            "strokeColor": "#000000",
        }
        return await self._add(slide, {**path, **fields})

    async def image(
        self,
        mxc: str = "mxc://example.org/image",
        *,
        slide: int | str = 0,
        at: Point = (100, 100),
        size: Point = (320, 240),
        **fields: Any,
    ) -> str:
        """Put an image on a slide; returns its id."""
        image = {"type": "image", "mxc": mxc, "fileName": "image.png", "mimeType": "image/png"}
        return await self._add(slide, {**image, **_place(at, size), **fields})

    async def write(self, element_id: str, text: str) -> None:
        """Write something else into a shape or sticky note."""
        await self.change(element_id, text=text)

    async def move(self, element_id: str, x: float, y: float) -> None:
        """Move an element."""
        await self.change(element_id, position={"x": x, "y": y})

    async def change(self, element_id: str, **fields: Any) -> None:
        """Change fields of an element.

        Raises:
            UsageError: this person sees no such element.
        """
        slide = self._slide_with(element_id)
        element = slide.element(element_id)
        assert element is not None
        await self._put(slide.put({**element, **fields}))

    async def remove(self, element_id: str) -> None:
        """Delete an element.

        Raises:
            UsageError: this person sees no such element.
        """
        await self._put(self._slide_with(element_id).without(element_id))

    # -- slides --------------------------------------------------------------------------------

    async def add_slide(self) -> str:
        """Add a slide behind all others; returns its id."""
        before = self.slides
        frames = () if self._world.version == "1" else None
        await self.show([*before, Slide("new", frame_ids=frames)])
        return self.slides[-1].id

    async def remove_slide(self, slide: int | str) -> None:
        """Delete a slide."""
        gone = self._slide(slide)
        await self.show([one for one in self.slides if one.id != gone.id])

    async def lock(self, slide: int | str = 0) -> None:
        """Lock a slide."""
        await self._put(replace(self._slide(slide), lock={"userId": self.user_id}))

    async def unlock(self, slide: int | str = 0) -> None:
        """Unlock a slide."""
        await self._put(replace(self._slide(slide), lock=None))

    async def show(self, slides: Sequence[Slide]) -> None:
        """Make the board look like these slides: whatever else one wants to draw."""
        target = wanted(slides, self._world.version)
        for update in rewrite(self.document, target, client=self._client, new_id=self._new_id):
            self.document.apply([update])
            self.unsaved = True
            await self._world.say(self, Update(self._world.key.document_id, update))

    # -- signals -------------------------------------------------------------------------------

    async def cursor(self, x: float, y: float, *, slide: int | str = 0) -> None:
        """Move the cursor."""
        await self._world.say(self, CursorMove(self._slide(slide).id, float(x), float(y)))

    async def focus(self, slide: int | str = 0) -> None:
        """Bring all to a slide."""
        await self._world.say(self, FocusOn(self._slide(slide).id))

    async def present(self, slide: int | str | None = 0, *, edit: bool = False) -> None:
        """Present a slide, on an infinite canvas a frame (by its id); None ends it."""
        canvas = self._world.version == "1"
        target = None if slide is None else str(slide) if canvas else self._slide(slide).id
        kind = "frame" if canvas else "slide"
        await self._world.say(self, Present(kind, target, edit and target is not None))

    async def leave(self) -> None:
        """Close the board; what was drawn is saved to the room, as NeoBoard does."""
        await self._world.leave(self)

    # -- the document --------------------------------------------------------------------------

    def hear(self, packet: bytes) -> None:
        """Take a packet."""
        message = decode(packet)
        if isinstance(message, Update):
            self.document.apply([message.data])

    async def _add(self, slide: int | str, element: Mapping[str, Any]) -> str:
        element_id = self._new_id()
        await self._put(self._slide(slide).put({"id": element_id, **element}))
        return element_id

    async def _put(self, slide: Slide) -> None:
        await self.show([slide if one.id == slide.id else one for one in self.slides])

    def _slide(self, slide: int | str) -> Slide:
        slides = self.slides
        if isinstance(slide, int) and -len(slides) <= slide < len(slides):
            return slides[slide]
        return _found((one for one in slides if one.id == slide), "slide")

    def _slide_with(self, element_id: str) -> Slide:
        return _found((one for one in self.slides if one.element(element_id)), "element")

    def _new_id(self) -> str:
        return "".join(self._dice.choices(_LETTERS, k=21))


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _place(at: Point, size: Point) -> dict[str, Any]:
    return {"position": {"x": at[0], "y": at[1]}, "width": size[0], "height": size[1]}


def _found(slides: Iterator[Slide], what: str) -> Slide:
    found = next(slides, None)
    if found is None:
        raise UsageError(f"this person sees no such {what} (yet)")
    return found
