"""What the homeserver allows is learned before there is any board."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.errors import NotFound, RateLimited, ServerError, Transient
from bot.limits import PROBES, learn_limits
from bot.presence.admission import Admission


class Server:
    """Answers restarts with errors, in turn; the last one stays."""

    restart_refused: Callable[[float | None], None] | None = None
    schedule_refused: Callable[[], None] | None = None

    def __init__(self, *errors: ServerError) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def restart_delayed(self, delay_id: str) -> None:
        self.calls += 1
        raise self.errors.pop(0) if len(self.errors) > 1 else self.errors[0]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(seconds: float) -> None: ...

    monkeypatch.setattr("bot.limits.asyncio.sleep", sleep)


def admission() -> Admission:
    return Admission(5, None, stretch=False, clock=lambda: 0.0)


async def test_a_limit_is_found_by_trying() -> None:
    made = admission()
    await learn_limits(Server(RateLimited("slow", 1, 1.0)), made, 100, probe=True)
    assert made.capacity == 4


async def test_nothing_is_tried_where_the_operator_knows() -> None:
    made, server = admission(), Server(RateLimited("slow", 1, 1.0))
    await learn_limits(server, made, 100, probe=False)
    assert (made.capacity, server.calls) == (99, 0)


async def test_refusals_from_now_on_are_heard() -> None:
    made, server = admission(), Server(NotFound("none"))
    await learn_limits(server, made, None, probe=True)
    made.claim("a", "w")
    made.claim("b", "w")
    assert server.restart_refused is not None
    for _ in range(5):
        server.restart_refused(10.0)
    assert made.capacity == 1


async def test_a_homeserver_that_is_away_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    made = admission()
    await learn_limits(Server(Transient("away"), NotFound("none")), made, 100, probe=True)
    assert made.capacity == 99
    assert not [line for line in caplog.records if "could not be found out" in line.message]


async def test_in_the_end_it_will_show(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(Transient("away"))
    await learn_limits(server, admission(), 100, probe=True)
    assert server.calls >= PROBES
    assert [line for line in caplog.records if "could not be found out" in line.message]
