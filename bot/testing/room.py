"""SimulatedRoom: a room with one board, people on it, and one handler, for tests of handlers."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from bot import recording
from bot.config.settings import Reader
from bot.config.yamltree import Table, tree
from bot.errors import ConfigError, UsageError
from bot.handlers.base import BoardKey, Handler, Slide
from bot.handlers.calling import contained
from bot.handlers.load import check
from bot.testing.life import Life, Place
from bot.testing.link import Quality
from bot.testing.people import Inhabited
from bot.testing.replaying import Player
from bot.testing.watched import Seen
from bot.whiteboard.entry import Entry
from bot.whiteboard.slides import read_slides

KEY = BoardKey("!room:example.org", "whiteboard", "$document")

PUT_OFF = 20
"""Tries of one event after which it is not tried any more (`catch_up`)."""

H = TypeVar("H", bound=Handler)


class SimulatedRoom(Inhabited, Generic[H]):
    """A room with one board and one handler. Use as `async with`.

    Everything between people's packets and the handler is the product's own: document, archive (in
    a temporary folder), recorder, lanes, delivery, settings, context. There is no network, but
    `context.http` is a real session. The same seed and acts give the same ids and packets::

        async with SimulatedRoom(Shout, settings={"loud": True}) as room:
            alice = await room.join("@alice:example.org", power=50)
            await alice.draw(text="Hello")
            await room.settle()
            assert [post.text for post in room.posts] == ["@alice:example.org draws"]

    What the handler raises makes `settle`, and the end of the `async with`, raise it too.

    Args:
        kind: the handler's class.
        settings: as under `settings:` in the configuration, as values or as YAML that was read.
        loss: probability that a packet of a person does not reach somebody. What is lost comes with
            the author's next snapshot, as it does in NeoBoard: when the room settles.
        duplication: that it comes twice.
        reordering: that it comes after the next one.
        seed: other accidents and ids.
        raises: whether errors of the handler are raised; they are in `failures` anyway.
        key: the board's names.
        version: `"0"` slides, `"1"` infinite canvas.
        seen: told at once what the handler is told, writes, changes and raises.

    Attributes:
        handler: the handler; another one after a restart.
        clock: the homeserver's time: it moves with what people do, and by `clock.advance(seconds)`.
        people: who is on the board.
        told: what the handler was told, in order.
        posts: what it wrote into rooms.
        failures: what it raised.
        key: names the board.
        version: of its document.

    Raises:
        ConfigError: the settings are wrong; the text says every mistake.
        UsageError: the handler's class cannot work; the text says why.
    """

    def __init__(
        self,
        kind: type[H],
        *,
        settings: Mapping[str, Any] | Table | None = None,
        loss: float = 0.0,
        duplication: float = 0.0,
        reordering: float = 0.0,
        seed: int = 0,
        raises: bool = True,
        key: BoardKey = KEY,
        version: str = "0",
        seen: Seen | None = None,
    ) -> None:
        super().__init__(key, version, Quality(loss, duplication, reordering), seed, seen)
        self.handler: H
        self._kind = kind
        self._values = read_settings(kind, settings or {})
        self._raises = raises
        self._raised = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    async def __aenter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="boardkeeper-")
        try:
            await self.restart()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        assert self._folder is not None
        try:
            if kind is None and self._life is not None:
                await self.settle()
        finally:
            try:
                if self._life is not None:
                    await self._life.end()
            finally:
                self._folder.cleanup()
        if kind is None:
            self._raise()

    # -- what there is to see ------------------------------------------------------------------

    @property
    def context(self) -> Any:
        """The handler's context."""
        return self._running.context

    @property
    def content(self) -> dict[str, Any]:
        """The board as the bot has it."""
        return self._running.opened.document.content()

    @property
    def slides(self) -> tuple[Slide, ...]:
        """The slides as the bot has them."""
        return read_slides(self.content)

    # -- time ----------------------------------------------------------------------------------

    async def settle(self, within: float = 30.0) -> None:
        """Wait until all packets have arrived, drawings are saved and the handler is idle.

        What a durable handler has put off (`TryLater`), or a lane that pauses, is not waited for:
        `retry`. Nor is what it has spawned: `until`.

        Args:
            within: real seconds that this may take.

        Raises:
            Exception: what the handler raised since the last time.
            TimeoutError: it goes on working.
        """
        await self._save_all()
        try:
            async with asyncio.timeout(within):
                await self._idle()
        except TimeoutError:
            raise TimeoutError(f"the handler is still busy after {within:g} s") from None
        self._raise()

    async def until(self, condition: Callable[[], bool], within: float = 30.0) -> None:
        """Wait until something is so, for what the handler does in its own time.

        Raises:
            Exception: what the handler raised meanwhile.
            TimeoutError: it is not so after that many real seconds.
        """
        async with asyncio.timeout(within):
            while not condition():
                self._raise()
                await asyncio.sleep(0.001)

    async def retry(self) -> None:
        """Give a durable handler at once what it has put off or failed on; then settle.

        Raises:
            UsageError: the handler is not durable.
            Exception: what it raised.
        """
        await self._running.retry()
        await self.settle()

    async def catch_up(self) -> bool:
        """Give a durable handler what it has put off or failed on, until it is through.

        An event it fails on is passed by after as many tries as in the product.

        Returns:
            Whether it is through; not when it puts the same off again and again.
        """
        while await self._running.hurry():
            last = self.failures[-PUT_OFF:]
            if len(last) == PUT_OFF and all(one.event == last[0].event for one in last):
                return False
        return True

    async def rest(self, within: float) -> int:
        """Wait until what the handler has spawned has ended, and what came of it.

        Returns:
            How many of its tasks still run after that many real seconds.
        """
        with suppress(TimeoutError):
            await self.until(lambda: not self._running.context.spawned, within)
        await self.settle()
        return self._running.context.spawned

    @property
    def untold(self) -> int:
        """How many events wait because the handler's live lane pauses after its failures."""
        return self._running.untold

    async def _idle(self) -> None:
        quiet = 0
        while quiet < 2:
            await self._running.recorder.flush()
            await asyncio.sleep(0)
            quiet = 0 if self._running.busy else quiet + 1
            await asyncio.sleep(0.001 if not quiet else 0)

    def _raise(self) -> None:
        found, self._raised = self.failures[self._raised :], len(self.failures)
        for failure in found:
            if self._raises and not failure.postponed:
                raise failure.error

    # -- the bot's life ------------------------------------------------------------------------

    async def crash(self, *, again: int = 1) -> None:
        """Kill the bot as `kill -9` does; what people do from here on it hears from snapshots.

        Args:
            again: how many of the last events a durable handler was given are not noted as given:
                they come again after `restart`, but for those that were noted before an earlier
                crash.
        """
        life, self._life = self._running, None
        await life.crash(again)

    async def restart(self) -> None:
        """Start the bot, with a new handler of the same class and settings.

        Raises:
            Exception: what the handler raised at its start.
        """
        assert self._folder is not None
        with contained():
            self.handler = self._kind(self._values)
        place = Place(
            self.key,
            self.version,
            Path(self._folder.name),
            self._state,
            self._homeserver,
            self._publish,
            self._happened,
        )
        life = Life(self.handler, place)
        await life.start()
        self._life = life
        if self.people:
            self._tell_people()

    async def crash_and_restart(self, *, again: int = 1) -> None:
        """Kill the bot and start it: a durable handler is given everything at least once."""
        await self.crash(again=again)
        await self.restart()

    async def pause(self) -> None:
        """Stop recording, as `!board pause` does."""
        await self._running.boards.pause()

    async def resume(self) -> None:
        """Go on recording."""
        await self._running.boards.resume()

    # -- recordings ----------------------------------------------------------------------------

    async def replay(self, path: Path, *, speed: float | None = None) -> None:
        """Have happen what a recording holds, at the times it happened; then settle.

        People are on the board from the first thing they do.

        Args:
            path: a file of `boardkeeper recording export`.
            speed: so many times as fast as it was; None without any pause, but each thing after
                the handler is done with the one before (unless it collects), the same each time.

        Raises:
            UsageError: it cannot be read, or is of another version than this room's board.
            InvalidRecording: it is none, or damaged.
            Exception: what the handler raised.
        """
        with recording.read(path) as found:
            version = found.header.version or self.version
            if version != self.version:
                raise UsageError(f"it needs SimulatedRoom(..., version={version!r})")
            player = Player(self._running, self.clock, self._powers, speed)
            for entry in found.entries:
                await player.play(entry)
                if speed is None and not self.handler.collect:
                    await self._idle()
        await self.settle()

    async def recorded(self) -> list[Entry]:
        """Return what is recorded of the board so far, in order."""
        await self._running.recorder.flush()
        return await self._running.entries()

    # -- inside --------------------------------------------------------------------------------

    @property
    def _running(self) -> Life:
        if self._life is None:
            raise UsageError("the bot does not run: use “async with”, or restart() after a crash()")
        return self._life


def read_settings(kind: type[Handler], settings: Mapping[str, Any] | Table) -> Any:
    """Return a handler's settings, read as those of the configuration are.

    Raises:
        ConfigError: they are wrong.
        UsageError: the handler's class cannot work.
    """
    check(kind, kind.__name__)
    reader = Reader({}, Path())
    node = settings if isinstance(settings, Table) else tree(settings)
    values = reader.read(kind.settings_type, node, "settings")
    if reader.mistakes:
        raise ConfigError(kind.__name__, reader.mistakes)
    return values
