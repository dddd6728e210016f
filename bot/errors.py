"""Every error that crosses a module border, as one tree.

BoardkeeperError
├── ConfigError             the configuration has mistakes (all of them, with path and line)
├── UsageError              what was asked for cannot be done; the text says what to do instead
├── Refused                 something a room, a peer or a file holds is not acceptable
│   ├── InvalidMessage      a packet is not a NeoBoard message
│   ├── InvalidUpdate       bytes are not a Yjs update, or exceed a bound
│   ├── InvalidNwb          a file is not a board, or exceeds a bound
│   ├── InvalidRecording    a file is not a recording, is cut off or damaged, or exceeds a bound
│   ├── InvalidSnapshot     a snapshot or chunk event, or what they add up to, is malformed
│   └── InvalidMembership   a membership event is malformed (an *empty* one is not: that is a leave)
├── ServerError             a server did not do what it was asked
│   ├── Transient           worth trying again: no network, a time-out, a 5xx
│   │   └── RateLimited     429 or M_LIMIT_EXCEEDED; `retry_after` is the server's word
│   ├── NotFound            404 M_NOT_FOUND
│   ├── Forbidden           403: power level, ban, policy
│   ├── AuthLost            401 M_UNKNOWN_TOKEN: nothing will work any more
│   │   └── LoginRefused    the configured account cannot be used; the text says what to change
│   ├── Unsupported         the server does not know the feature
│   ├── DelayTooLarge       the delay of a delayed event exceeds the server's maximum
│   └── TooManyDelayed      the account has as many delayed events as the server allows
└── StoreError              the archive cannot be read or written

Shells classify once (STYLE, habit 7): nothing above `matrix/`, `livekit/` and `store/` sees a
library's exception. Texts never hold board content, tokens or delay ids.
"""

from __future__ import annotations

from dataclasses import dataclass


class BoardkeeperError(Exception):
    """Base of every error of ours."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a configuration file.

    Attributes:
        path: where, in dotted form (`rtc.delay`); empty for the file as a whole.
        line: 1-based line in the file; 0 when the value did not come from the file.
        text: what is wrong and what to do.
    """

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.path + ': ' if self.path else ''}{self.text}"


class ConfigError(BoardkeeperError):
    """Raised when a configuration has mistakes; carries all of them."""

    def __init__(self, source: str, mistakes: list[Mistake]) -> None:
        self.source = source
        self.mistakes = mistakes
        super().__init__("\n".join(f"{source}: {mistake}" for mistake in mistakes))


class UsageError(BoardkeeperError):
    """Raised when a request cannot be met; the text says what to do instead."""


class Refused(BoardkeeperError):
    """Raised when something from a room or a peer is not acceptable."""


class InvalidMessage(Refused):
    """Raised when a packet is not a NeoBoard message."""


class InvalidUpdate(Refused):
    """Raised when bytes are not a Yjs update or exceed a bound."""


class InvalidNwb(Refused):
    """Raised when a file is not a board or exceeds a bound; the text says where."""


class InvalidRecording(Refused):
    """Raised when a file is not a whole recording or exceeds a bound; the text says where."""


class InvalidSnapshot(Refused):
    """Raised when a snapshot or chunk event, or their sum, is malformed."""


class InvalidMembership(Refused):
    """Raised when a membership event is malformed."""


class ServerError(BoardkeeperError):
    """Raised when a server did not do what it was asked."""


class Transient(ServerError):
    """Raised when the same request may succeed later.

    Attributes:
        retry_after: seconds the server asked to wait; None when it did not say.
    """

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(text)


class RateLimited(Transient):
    """Raised on 429 or M_LIMIT_EXCEEDED.

    Attributes:
        exact: seconds as the answer's body says them: finer than the header, which counts whole
            ones and decides how long to wait; None when it does not say.
    """

    def __init__(
        self, text: str, retry_after: float | None = None, exact: float | None = None
    ) -> None:
        self.exact = exact
        super().__init__(text, retry_after)


class NotFound(ServerError):
    """Raised on 404 M_NOT_FOUND."""


class Forbidden(ServerError):
    """Raised on 403."""


class AuthLost(ServerError):
    """Raised when the access token is no longer valid: the program ends."""


class LoginRefused(AuthLost):
    """Raised when the homeserver does not accept what the configuration says of the account."""


class Unsupported(ServerError):
    """Raised when the server does not know the feature asked for."""


class DelayTooLarge(ServerError):
    """Raised when a delay exceeds the server's maximum.

    Attributes:
        max_delay_ms: the maximum, when the server said it.
    """

    def __init__(self, text: str, max_delay_ms: int | None = None) -> None:
        self.max_delay_ms = max_delay_ms
        super().__init__(text)


class TooManyDelayed(ServerError):
    """Raised when the account has as many delayed events as the server allows."""


class StoreError(BoardkeeperError):
    """Raised when the archive cannot be read or written."""
