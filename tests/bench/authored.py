"""Handlers to measure with, as an author would write them; the bot loads this file."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bot.handlers.base import Context, DocumentUpdate, Event, Handler

_SENT = re.compile(rb"sent ([0-9]+\.[0-9]+)!")


class Noop(Handler):
    """Is told of every change, and does nothing."""

    async def on_document_update(self, event: DocumentUpdate) -> None:
        """Do nothing."""


class DurableNoop(Handler):
    """Is told of every recorded change, one by one, and does nothing."""

    durable = True

    async def on_document_update(self, event: DocumentUpdate) -> None:
        """Do nothing."""


class DurableBatches(Handler):
    """Is told of every recorded change, a hundred at a time, and does nothing."""

    durable = True
    batch = 100

    async def on_document_update(self, event: DocumentUpdate) -> None:
        """Be one that wants changes."""

    async def on_batch(self, events: Sequence[Event]) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class WatchSettings:
    """Settings of `Watch`.

    Attributes:
        file: gets the seconds from each stroke to the call, as JSON.
    """

    file: str


class Watch(Handler):
    """A healthy handler: notes how long after it was sent it is told of a stroke."""

    settings_type: ClassVar[type[Any]] = WatchSettings
    settings: WatchSettings

    async def start(self, context: Context) -> None:
        """Begin."""
        await super().start(context)
        self._seconds: list[float] = []

    async def on_document_update(self, event: DocumentUpdate) -> None:
        """Read when it was sent: the clock is the same in all processes."""
        now = time.monotonic()
        self._seconds += [now - float(sent) for sent in _SENT.findall(event.update)]

    async def stop(self) -> None:
        """Write what was seen."""
        await asyncio.to_thread(Path(self.settings.file).write_text, json.dumps(self._seconds))


class Sleeps(Handler):
    """Never comes back."""

    async def on_document_update(self, event: DocumentUpdate) -> None:
        """Sleep."""
        await asyncio.Event().wait()


class Raises(Handler):
    """Fails on everything."""

    async def on_document_update(self, event: DocumentUpdate) -> None:
        """Fail."""
        raise RuntimeError


class Burns(Handler):
    """Burns a core for a second and a half with each event, without ever awaiting."""

    async def on_document_update(self, event: DocumentUpdate) -> None:
        """Burn."""
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            pass
