"""What errors mean to the machine; nothing shows a delay id."""

from __future__ import annotations

import pytest

from bot import errors
from bot.rtc.actions import (
    CancelDelayed,
    Failed,
    Kind,
    Listed,
    Restart,
    Scheduled,
    SendDelayed,
    outcome_of,
)


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (TimeoutError(), Failed(Kind.TIMEOUT)),
        (errors.Transient("5xx"), Failed(Kind.TRANSIENT)),
        (errors.Transient("503", 7.0), Failed(Kind.TRANSIENT, retry_after=7.0)),
        (errors.RateLimited("429", 0.5), Failed(Kind.RATE_LIMITED, retry_after=0.5)),
        (errors.RateLimited("429", float("nan")), Failed(Kind.RATE_LIMITED)),
        (errors.RateLimited("429", -1.0), Failed(Kind.RATE_LIMITED)),
        (errors.NotFound("404"), Failed(Kind.NOT_FOUND)),
        (errors.Forbidden("403"), Failed(Kind.FORBIDDEN)),
        (errors.AuthLost("401"), Failed(Kind.AUTH_LOST)),
        (errors.Unsupported("flag"), Failed(Kind.UNSUPPORTED)),
        (errors.DelayTooLarge("400"), Failed(Kind.DELAY_TOO_LARGE)),
        (errors.DelayTooLarge("400", 7500), Failed(Kind.DELAY_TOO_LARGE, max_delay=7.5)),
        (errors.TooManyDelayed("429"), Failed(Kind.TOO_MANY)),
        (errors.ServerError("601"), Failed(Kind.REFUSED)),
    ],
)
def test_outcome_of(error: errors.ServerError | TimeoutError, failed: Failed) -> None:
    assert outcome_of(error) == failed


def test_m56_no_delay_id_in_any_text() -> None:
    for value in (
        CancelDelayed("syd_secret", 1.0),
        Restart("syd_secret", 1.0),
        SendDelayed("syd_secret", 1.0),
        Listed(("syd_secret",)),
        Scheduled("syd_secret"),
    ):
        assert "syd_secret" not in repr(value)
