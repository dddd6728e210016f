"""A handler elsewhere, with the bot's side of its context, for the tests of isolation."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from bot.config import HandlerEntry
from bot.errors import UsageError
from bot.handlers.base import (
    BoardKey,
    Changes,
    Context,
    DocumentUpdate,
    Event,
    PastSession,
    Slide,
    Span,
)
from bot.handlers.isolated.proxy import Isolated
from bot.handlers.load import build
from bot.rtc.past import past_sessions
from bot.rtc.session import Slot
from tests.unit.handlers.elsewhere import Settings

BOARD, OTHER = BoardKey("!r", "w", "$d"), BoardKey("!r", "w2", "$d2")
HERE = "tests.unit.handlers.elsewhere"


@dataclass
class View:
    version: str = "0"
    changes: list[object] = field(default_factory=list)

    def content(self) -> Mapping[str, Any]:
        return {"slides": []}

    def slides(self) -> tuple[Slide, ...]:
        return (Slide("s"),)

    def state_vector(self) -> bytes:
        return b"sv"

    def diff(self, state_vector: bytes) -> bytes:
        return b"lacks " + state_vector

    async def change(self, update: bytes) -> bool:
        self.changes.append(update)
        return True

    async def rewrite(
        self,
        slides: Sequence[Slide],
        *,
        was: Sequence[Slide] | None = None,
        unlock: bool = False,
    ) -> bool:
        self.changes.append((tuple(slides), was, unlock))
        return False


@dataclass
class Keeping:
    kept: dict[str, str] = field(default_factory=dict)
    counted: list[tuple[str, float]] = field(default_factory=list)

    async def get(self, name: str) -> str | None:
        if name == "slow":
            await asyncio.sleep(0.5)
        return self.kept.get(name)

    async def set(self, name: str, value: str) -> None:
        self.kept[name] = value

    def count(self, name: str, amount: float = 1) -> None:
        self.counted.append((name, amount))


class FakeContext:
    """The bot's side of the context."""

    def __init__(self) -> None:
        self.store = self.metrics = Keeping()
        self.view = View()
        self.posts: list[str] = []
        self.ended = False

    async def board(self, key: BoardKey) -> View | None:
        return self.view if key == BOARD else None

    def find(self, room_id: str, whiteboard_id: str | None = None) -> BoardKey | None:
        return BOARD if room_id == "!r" else None

    def now_ts(self) -> int:
        return 17

    def power(self, room_id: str, user_id: str) -> int:
        return 50

    async def post(self, room_id: str, text: str) -> None:
        if not text:
            raise UsageError("it is empty")
        self.posts.append(text)

    async def changes(self, event: DocumentUpdate) -> Changes:
        return Changes(slides_added=(event.update.decode(),))

    async def content_at(self, event: Event) -> Mapping[str, Any]:
        return {"at": event.ts}

    async def sessions(self, board: BoardKey, since_ts: int) -> Sequence[PastSession]:
        slot = Slot("net.nordeck.whiteboard", board.whiteboard_id)
        return past_sessions([Span(slot, "@a:b", "D", since_ts, None)])

    def end(self) -> None:
        self.ended = True


def event(text: str, board: BoardKey = BOARD) -> DocumentUpdate:
    return DocumentUpdate(board, 1, "@a:b", text.encode())


@dataclass
class Told:
    """A handler elsewhere that has started."""

    handler: Isolated
    context: FakeContext
    file: Path

    async def tell(self, text: str, board: BoardKey = BOARD) -> None:
        await self.handler.on_document_update(event(text, board))

    @property
    def notes(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []

    def starts(self) -> list[int]:
        return [int(one.split()[1]) for one in self.notes if one.startswith("started")]


def made(isolation: Any, file: Path, kind: str = "Talking", **settings: Any) -> Isolated:
    values = Settings(str(file), **settings)
    entry = HandlerEntry(f"{HERE}:{kind}", "talking", isolation=isolation, values=values)
    return cast("Isolated", build([entry])["talking"])


@asynccontextmanager
async def told(isolation: str, folder: Path, **settings: Any) -> AsyncIterator[Told]:
    here = Told(made(isolation, folder / "notes", **settings), FakeContext(), folder / "notes")
    await here.handler.start(cast("Context", here.context))
    try:
        yield here
    finally:
        await here.handler.stop()


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not check():
            await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return status != "Z"
