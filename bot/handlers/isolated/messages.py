"""What the bot and a handler in a thread or process of its own say to each other."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.errors import Transient, UsageError
from bot.handlers.base import TryLater
from bot.handlers.calling import Elsewhere, kind_of, where

MAX_MESSAGE = 64 * 2**20
"""Bytes of one message between processes."""
HEAD = 4
"""Bytes before each message that say how long it is."""

_MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """What a handler raised.

    Attributes:
        kind: the class.
        where: file and line.
        text: of TryLater, and where the operator is told why it did not start; else empty.
        later: whether the same may be taken later.
        after: seconds until then; None without a word on it.
    """

    kind: str
    where: str
    text: str = ""
    later: bool = False
    after: float | None = None

    @classmethod
    def of(cls, error: BaseException, *, text: bool = False) -> Failure:
        """Say what was raised; with its text only where that may be shown."""
        kind, place = kind_of(error), where(error)
        if isinstance(error, TryLater):
            return cls(kind, place, str(error)[:_MAX_TEXT], later=True, after=error.after)
        if isinstance(error, Transient):
            said = f"{kind} at {place}"
            return cls(kind, place, said, later=True, after=error.retry_after)
        return cls(kind, place, str(error)[:_MAX_TEXT] if text else "")

    def error(self) -> Exception:
        """Return it as what a lane understands."""
        if self.later:
            return TryLater(self.text, self.after)
        return Elsewhere(self.kind, self.where, self.text)


# -- to the handler ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """The first one to a process.

    Attributes:
        use: how the handler's class is found.
        settings: pickled, because their class is there only when that is loaded.
        name: the handler's.
        level: from which level on is logged.
        levels: likewise, of single loggers.
    """

    use: str
    settings: bytes
    name: str
    level: int
    levels: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Call:
    """Call a method of the handler."""

    number: int
    method: str
    argument: Any


@dataclass(frozen=True, slots=True)
class Cancel:
    """The deadline of a call is over."""

    number: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What an `Ask` returned or raised."""

    number: int
    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the handler and end."""


# -- from the handler ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The handler has started, or could not.

    Attributes:
        collect: as the handler has set it.
        failure: why not.
    """

    collect: float = 0.0
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A call has been begun: if the worker dies now, it may be why."""

    number: int


@dataclass(frozen=True, slots=True)
class Done:
    """A call has ended."""

    number: int
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Something of the context is wanted (`desk`)."""

    number: int
    what: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Logged:
    """A line for the log."""

    logger: str
    level: int
    text: str
    extra: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Broke:
    """What the handler had spawned has failed."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Stopped:
    """The last one: the handler has stopped."""

    failure: Failure | None = None


def packed(message: object) -> bytes:
    """Return a message as bytes with their length before them.

    Raises:
        UsageError: it is too large, or holds what cannot be sent to another process.
    """
    try:
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        text = f"a {type(message).__name__} cannot be sent to another process: {kind_of(error)}"
        raise UsageError(text) from error
    if len(data) > MAX_MESSAGE:
        raise UsageError(f"a {type(message).__name__} is too large for another process")
    return len(data).to_bytes(HEAD, "big") + data
