"""The program's own log: lines for people or JSON objects, on standard error.

Rule: a constant sentence plus keys, `_log.info("room joined", extra={"room": room_id})`; never what
is drawn, tokens or delay ids. This module is the net below that rule: keys that are named like
secrets are masked, texts that look like tokens are cut out, texts of exceptions are only shown
where they are ours (errors.py) or the system's, and libraries are heard of trouble only, first
line only. `level: debug` shows all texts of exceptions, but still no library below `info`: those
log requests and database rows there.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Literal, TextIO

from bot.errors import BoardkeeperError

MAX_TEXT = 500
"""Characters of one text at the most."""

MAX_DEPTH = 5
"""Causes of an exception, or groups in each other, that are shown."""

LIBRARIES = {
    "aiohttp": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "asyncio": logging.WARNING,
    "livekit": logging.WARNING,
    "mau": logging.ERROR,  # its warnings quote events
    "mautrix": logging.ERROR,
    "py.warnings": logging.WARNING,
}
"""From which level on libraries are heard."""

MASK = "***"

_SECRET_KEY = re.compile(
    r"pass(word|wd)|token|secret|authori[sz]ation|jwt|cookie|openid|delay_id|api_?key",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"eyJ[\w-]{5,}\.[\w-]+(\.[\w-]*)?"  # a JWT
    r"|\bsy[rlt]_\w+|\bm[ac][rt]_\w{10,}"  # tokens of Synapse and of the authentication service
    r"|(?<=bearer )[\w.~+/=-]+"
    r"|(?<=token=)[\w.~+/=-]+|(?<=password=)[^\s&]+|(?<=secret=)[^\s&]+",
    re.IGNORECASE,
)
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def setup(level: str, style: Literal["text", "json"], stream: TextIO | None = None) -> None:
    """Send the log of the whole process to one place.

    Args:
        level: the least level shown: debug, info, warning or error.
        style: lines for people, or one JSON object a line.
        stream: standard error when None.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(stream or sys.stderr)
    full = number <= logging.DEBUG
    handler.setFormatter(JsonFormatter(full=full) if style == "json" else TextFormatter(full=full))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(number)
    for name, least in LIBRARIES.items():
        logging.getLogger(name).setLevel(max(number, logging.INFO if full else least))
    logging.captureWarnings(True)
    # A record that cannot be written would otherwise be printed with all it holds.
    logging.raiseExceptions = False


class Fields(logging.Formatter):
    """What both styles show of a record.

    Args:
        full: also show the texts of exceptions that may quote what peers sent.
    """

    def __init__(self, *, full: bool = False) -> None:
        super().__init__()
        self._full = full

    def sentence(self, record: logging.LogRecord) -> str:
        """Return the message; of a library's the first line, shortened."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):  # its arguments do not fit its sentence
            text = str(record.msg)
        if record.name.partition(".")[0] in LIBRARIES or record.name in LIBRARIES:
            text = text.strip().partition("\n")[0]
        return clean(text)

    def keys(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what the call gave as `extra`, safe to show."""
        return {
            key: MASK if _SECRET_KEY.search(key) else shown(value)
            for key, value in record.__dict__.items()
            if key not in _STANDARD
        }

    def trace(self, record: logging.LogRecord) -> list[str]:
        """Return the lines about the exception of a record."""
        error = record.exc_info[1] if record.exc_info else None
        return [] if error is None else list(_trace(error, full=self._full))

    @staticmethod
    def time(record: logging.LogRecord) -> str:
        """Return when, as ISO 8601 in UTC."""
        at = datetime.fromtimestamp(record.created, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(Fields):
    """One line for people; an exception follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        parts = [
            f"{self.time(record)} {record.levelname:<7} {record.name}: {self.sentence(record)}"
        ]
        parts += [f"{key}={_bare(value)}" for key, value in self.keys(record).items()]
        return "\n    ".join([" ".join(parts), *self.trace(record)])


class JsonFormatter(Fields):
    """One object a line: `ts`, `level`, `logger`, `msg`, the keys of the call, `exc`.

    A key of the call that is called like one of these gets an underscore at its end.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "ts": self.time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": self.sentence(record),
        }
        trace = self.trace(record)
        own = {*line, "exc"}
        for key, value in self.keys(record).items():
            line[f"{key}_" if key in own else key] = value
        if trace:
            line["exc"] = trace
        return json.dumps(line, ensure_ascii=False)


def clean(text: str) -> str:
    """Return a text, shortened, without what looks like a token and control characters."""
    hidden = _SECRET_TEXT.sub(MASK, text[: 2 * MAX_TEXT])[:MAX_TEXT]
    return hidden if hidden.isprintable() else repr(hidden)[1:-1]


def shown(value: object, depth: int = 2) -> Any:
    """Return a value as it may be shown: JSON, bounded, without secrets."""
    result: Any = None
    match value:
        case None | bool() | int():
            result = value
        case float() if isfinite(value):
            result = value
        case bytes() | bytearray() | memoryview():
            result = f"{len(value)} bytes"
        case BaseException():
            result = _headline(value, full=False)
        case Mapping() if depth:
            result = {
                clean(str(key)): MASK if _SECRET_KEY.search(str(key)) else shown(item, depth - 1)
                for key, item in value.items()
            }
        case list() | tuple() | set() | frozenset() if depth:
            result = [shown(item, depth - 1) for item in value]
        case _:
            result = clean(str(value))
    return result


def _bare(value: object) -> str:
    """Return a value for a line: quoted only where it could be taken for more than one."""
    if isinstance(value, str) and re.fullmatch(r"[^\s\"=]+", value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _headline(error: BaseException, *, full: bool) -> str:
    """Return an exception's type, and its text where that cannot quote a peer."""
    if isinstance(error, OSError) and not full and error.strerror:
        return f"{type(error).__name__}: {clean(error.strerror)}"
    if full or isinstance(error, BoardkeeperError):
        return f"{type(error).__name__}: {clean(str(error))}"
    return type(error).__name__


def _trace(error: BaseException, *, full: bool, depth: int = MAX_DEPTH) -> Iterator[str]:
    """Yield an exception's lines: itself, where it passed, what caused it, what it groups."""
    yield _headline(error, full=full)
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"  at {frame.filename}:{frame.lineno} {frame.name}"
    if not depth:
        return
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for other in (*inner, *([cause] if cause else [])):
        word = "caused by" if other is cause else "holds"
        lines = _trace(other, full=full, depth=depth - 1)
        yield f"{word} {next(lines)}"
        yield from lines
