"""Handlers for threads and processes of their own; found by their dotted path."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

from bot.errors import RateLimited, UsageError
from bot.handlers.base import Context, DocumentUpdate, Event, Handler, TryLater


@dataclass(frozen=True)
class Settings:
    """Where it writes down what happened: a process has no other memory that we could read."""

    file: str = ""
    collect: float = 0.0


class Talking(Handler):
    """Does what the updates say, and writes down what came of it."""

    settings_type = Settings
    settings: Settings

    async def start(self, context: Context) -> None:
        await super().start(context)
        self.collect = self.settings.collect
        self.note(f"started {os.getpid()}")

    async def stop(self) -> None:
        self.note("stopped")

    def note(self, text: str) -> None:
        with Path(self.settings.file).open("a") as file:
            file.write(f"{text}\n")

    async def on_document_update(self, event: DocumentUpdate) -> None:
        word, _, rest = event.update.decode().partition(" ")
        self.note(f"got {event.board.whiteboard_id} {word} {rest}".rstrip())
        await getattr(self, f"do_{word}", self.do_nothing)(event, rest)

    async def do_nothing(self, event: Event, rest: str) -> None:
        """Take it."""

    async def do_raise(self, event: Event, rest: str) -> None:
        raise ValueError("what is on the board")

    async def do_later(self, event: Event, rest: str) -> None:
        raise TryLater("the receiver is down", 12.0)

    async def do_wait(self, event: Event, rest: str) -> None:
        await asyncio.Event().wait()

    async def do_block(self, event: Event, rest: str) -> None:
        time.sleep(float(rest))

    async def do_burn(self, event: Event, rest: str) -> None:
        while True:
            pass

    async def do_die(self, event: Event, rest: str) -> None:
        os._exit(3)

    async def do_exit(self, event: Event, rest: str) -> None:
        raise SystemExit("what is on the board")

    async def do_flood(self, event: Event, rest: str) -> None:
        asked = [self.context.store.get("slow") for _ in range(int(rest))]
        found = await asyncio.gather(*asked, return_exceptions=True)
        self.note("refused " + str(sum(isinstance(one, RateLimited) for one in found)))

    async def do_recorded(self, event: DocumentUpdate, rest: str) -> None:
        changes = await self.context.changes(event)
        self.note(f"changed {changes.slides_added} {await self.context.content_at(event)}")

    async def do_sessions(self, event: Event, rest: str) -> None:
        [one] = await self.context.sessions(event.board, int(rest))
        self.note(f"there {one.people} {one.spans[0].start_ts} {one.slot}")

    async def do_log(self, event: Event, rest: str) -> None:
        self.context.log.warning("hello", extra={"who": rest})

    async def do_spawn(self, event: Event, rest: str) -> None:
        self.context.spawn(self.do_raise(event, rest))

    async def do_large(self, event: Event, rest: str) -> None:
        await self.context.store.set("a", "x" * (65 * 2**20))

    async def do_ask(self, event: Event, rest: str) -> None:
        context = self.context
        self.note(f"find {context.find('!r') == event.board} {context.find('!nowhere')}")
        self.note(f"now {context.now_ts()} power {context.power('!r', '@a:b')}")
        await context.store.set("name", "text")
        self.note(f"kept {await context.store.get('name')}")
        context.metrics.count("strokes", 2)
        await context.post("!r", "hello")
        try:
            await context.post("!r", "")
        except UsageError as error:
            self.note(f"refused {error}")
        self.note(f"http {context.http.closed}")
        board = await context.board(event.board)
        assert board is not None
        self.note(f"board {board.version} {board.content()} {board.slides()}")
        self.note(f"yjs {board.state_vector()!r} {board.diff(b'sv')!r}")
        self.note(f"changed {await board.change(b'u')} {await board.rewrite((), unlock=True)}")


class Durable(Talking):
    """Likewise, of what is recorded."""

    durable = True


class Moody(Talking):
    """Starts every other time."""

    async def start(self, context: Context) -> None:
        await super().start(context)
        if Path(self.settings.file).read_text().count("started") == 2:
            raise ValueError("not now")


class Broken(Talking):
    """Cannot start."""

    async def start(self, context: Context) -> None:
        raise ValueError("no such printer")


class Stuck(Talking):
    """Never ends its start."""

    async def start(self, context: Context) -> None:
        time.sleep(3600)
