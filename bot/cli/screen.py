"""What `boardkeeper dev` shows: what a handler is told, and what comes of it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.cli.output import count, fail, say
from bot.handlers.base import (
    CursorMoved,
    DocumentUpdate,
    Event,
    Focused,
    Presented,
    SessionChanged,
    SnapshotSeen,
)
from bot.logs import clean
from bot.stall import LONG
from bot.testing import Failure, Post, Sent
from bot.testing.watched import Happened


class Screen:
    """Shows what happens.

    Attributes:
        failures: how often the handler raised something.
    """

    def __init__(self) -> None:
        self.failures = 0
        self._told = 0
        self._posts = 0
        self._sent = 0
        self._began: int | None = None
        self._event: Event | None = None
        self._failed: Event | None = None

    def show(self, what: Happened) -> None:
        """Show what happened."""
        match what:
            case Event() if what == self._event:
                pass  # once more, after it was put off or failed
            case Event():
                self._event = what
                self._told += 1
                self._line(what.ts, " ", _of(what))
            case Post():
                self._posts += 1
                self._line(what.ts, ">", f"writes into the room: {clean(what.text)}")
            case Sent():
                self._sent += 1
                self._line(what.ts, ">", f"changes the board ({count(len(what.update), 'byte')})")
            case Failure() if what.postponed:
                self._aside("puts it off", what.error)
            case Failure() if what.event is not None and what.event == self._failed:
                self.failures += 1
                self._aside("fails on it again", what.error)
            case Failure():
                self._failed = what.event
                self.failed(what.error)

    def failed(self, error: Exception) -> None:
        """Show what the handler raised."""
        self.failures += 1
        fail("".join(traceback.format_exception(error)).rstrip())

    def remark(self, text: str) -> None:
        """Say something of the whole."""
        say(f"{'':9} ! {text}")

    def _aside(self, what: str, error: Exception) -> None:
        say(f"{'':9} ! {what}: {clean(str(error)) or type(error).__name__}")

    def _line(self, ts: int, mark: str, text: str) -> None:
        if self._began is None:
            self._began = ts
        say(f"{(ts - self._began) / 1000:8.1f}s {mark} {text}")

    def sums(self) -> str:
        """Return how it went."""
        return (
            f"told {count(self._told, 'event')}: {count(self._posts, 'message')},"
            f" {count(self._sent, 'change')} of the board, {count(self.failures, 'failure')}"
        )


def _of(event: Event) -> str:
    """Return an event in a line."""
    name, sender = type(event).__name__, clean(str(getattr(event, "sender", None) or "nobody"))
    match event:
        case SessionChanged():
            people = ", ".join(clean(one.user_id) for one in event.participants)
            return f"{name}: {people or 'nobody'}"
        case DocumentUpdate():
            what = _changes(event)
        case CursorMoved():
            what = f"{event.x:.0f}, {event.y:.0f}"
        case Focused():
            what = f"slide {clean(event.slide_id)}"
        case Presented():
            what = f"{event.kind} {clean(event.target)}" if event.target else "the end"
        case SnapshotSeen():
            what = "the whole board"
        case _:
            return name
    return f"{name} by {sender}: {what}"


def _changes(event: DocumentUpdate) -> str:
    size = count(len(event.update), "byte")
    if event.touched is None:  # from the recording: a durable handler's
        return size
    changes = event.changes
    kinds = [one.kind for one in changes.elements]
    parts = [
        f"{count(kinds.count(kind), 'element')} {kind}"
        for kind in ("added", "changed", "removed")
        if kind in kinds
    ]
    slides = {
        "added": changes.slides_added,
        "removed": changes.slides_removed,
        "moved": changes.slides_moved,
        "changed": changes.slides_changed,
    }
    parts += [f"{count(len(ids), 'slide')} {kind}" for kind, ids in slides.items() if ids]
    return ", ".join(parts) or f"nothing to be seen ({size})"


@contextmanager
def logged() -> Iterator[None]:
    """Show what is logged, but for the program's own remarks: the screen says more."""
    root, handler = logging.getLogger(), _Log()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


class _Log(logging.Handler):
    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "bot.stall":
            return bool(vars(record).get("handler"))  # else it is not the author's
        return record.name.partition(".")[0] not in _NOT_THEIRS and record.levelno >= logging.INFO

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "bot.stall":
            place = clean(Path(vars(record)["where"]).name)
            say(f"{'':9} ! blocks the bot for more than {LONG:g} s at {place}")
            return
        extra = {key: one for key, one in vars(record).items() if key not in _STANDARD}
        keys = "".join(f" {clean(key)}={clean(str(one))}" for key, one in extra.items())
        say(f"{'':9} > logs {record.levelname}: {clean(record.getMessage())}{keys}")
        if record.exc_info:
            fail("".join(traceback.format_exception(*record.exc_info)).rstrip())


_NOT_THEIRS = frozenset({"bot", "mau", "mautrix"})
"""Whose remarks are not about the handler: ours, the Matrix library's."""
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "taskName"}
