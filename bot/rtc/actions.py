"""What `own.OwnMembership` asks for, what it is told: values only, for one keeper to carry out.

Delay ids are secrets (whoever holds one may manage the event), so no `repr` shows them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import isfinite

from bot import errors

# -- actions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListDelayed:
    """`GET …/delayed_events`, of which those with our room, type and key: answer with Listed."""

    timeout: float


@dataclass(frozen=True, slots=True)
class CancelDelayed:
    """`POST …/delayed_events/{id}/cancel`: answer with Done."""

    delay_id: str = field(repr=False)
    timeout: float


@dataclass(frozen=True, slots=True)
class ScheduleLeave:
    """`PUT …/state/…?org.matrix.msc4140.delay=`, content `{}`: answer with Scheduled.

    Where the server does not announce delayed events the call must not be made, as it might send
    the leave at once: answer with Failed(UNSUPPORTED).
    """

    delay: float
    timeout: float


@dataclass(frozen=True, slots=True)
class SendJoin:
    """`PUT …/state/…` with the membership: answer with Sent.

    Attributes:
        expires: seconds from now, by the homeserver's clock, at which it is to end.
        created_ts: for the content; None in a join.
    """

    expires: float
    created_ts: int | None
    timeout: float


@dataclass(frozen=True, slots=True)
class Restart:
    """`POST …/delayed_events/{id}/restart`: answer with Done."""

    delay_id: str = field(repr=False)
    timeout: float


@dataclass(frozen=True, slots=True)
class SendDelayed:
    """`POST …/delayed_events/{id}/send`, the quickest leave: answer with Done."""

    delay_id: str = field(repr=False)
    timeout: float


@dataclass(frozen=True, slots=True)
class ClearState:
    """`PUT …/state/…` with `{}`: answer with Done."""

    timeout: float


Action = ListDelayed | CancelDelayed | ScheduleLeave | SendJoin | Restart | SendDelayed | ClearState

# -- outcomes --------------------------------------------------------------------------------


class Kind(Enum):
    """Why an action failed (docs/matrixrtc.md, 2.5)."""

    TIMEOUT = "timeout"
    """Our own bound passed: whether the server did it is unknown."""
    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    AUTH_LOST = "auth_lost"
    UNSUPPORTED = "unsupported"
    DELAY_TOO_LARGE = "delay_too_large"
    TOO_MANY = "too_many"
    REFUSED = "refused"
    """Anything else the server says no with."""


@dataclass(frozen=True, slots=True)
class Done:
    """It was done."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The delayed events that would change our key, whoever scheduled them."""

    delay_ids: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The leave is armed."""

    delay_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sent:
    """The membership is in the room."""

    event_id: str


@dataclass(frozen=True, slots=True)
class Failed:
    """It was not done, or nobody knows.

    Attributes:
        kind: why.
        retry_after: seconds the server asked to wait.
        max_delay: seconds; the largest delay the server takes.
    """

    kind: Kind
    retry_after: float | None = None
    max_delay: float | None = None


Outcome = Done | Listed | Scheduled | Sent | Failed


@dataclass(frozen=True, slots=True)
class Shown:
    """What sync shows under our key.

    Attributes:
        event_id: of the state event.
        by_us: the sender is our user.
        created_ts: when the membership began, ms; None when what is there is not ours.
        delay_id: of the delayed event that this was; only its sender is told.
        replaces: the event that stood there before, when the server says.
    """

    event_id: str
    by_us: bool
    created_ts: int | None
    delay_id: str | None = field(default=None, repr=False)
    replaces: str | None = None


# Subclasses first: RateLimited is a Transient.
_KINDS: tuple[tuple[type[Exception], Kind], ...] = (
    (errors.RateLimited, Kind.RATE_LIMITED),
    (errors.Transient, Kind.TRANSIENT),
    (errors.NotFound, Kind.NOT_FOUND),
    (errors.Forbidden, Kind.FORBIDDEN),
    (errors.AuthLost, Kind.AUTH_LOST),
    (errors.Unsupported, Kind.UNSUPPORTED),
    (errors.DelayTooLarge, Kind.DELAY_TOO_LARGE),
    (errors.TooManyDelayed, Kind.TOO_MANY),
    (TimeoutError, Kind.TIMEOUT),
    (errors.ServerError, Kind.REFUSED),
)


def outcome_of(error: errors.ServerError | TimeoutError) -> Failed:
    """Return the outcome that an error of the Matrix shell, or of our own time-out, stands for."""
    kind = next(kind for cls, kind in _KINDS if isinstance(error, cls))
    retry_after = max_delay = None
    if isinstance(error, errors.Transient):
        retry_after = error.retry_after
        if retry_after is not None and not (isfinite(retry_after) and retry_after >= 0):
            retry_after = None  # a hint that says nothing
    elif isinstance(error, errors.DelayTooLarge) and error.max_delay_ms is not None:
        max_delay = error.max_delay_ms / 1000
    return Failed(kind, retry_after, max_delay)
