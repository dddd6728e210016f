"""How the limit of restarts is found, on a limiter that counts as Synapse's does."""

from __future__ import annotations

from math import inf

import pytest

from bot.errors import NotFound, RateLimited, Transient
from bot.matrix.probe import FIRST, MORE, ROUNDS, restart_rate


class Limiter:
    """A leaking bucket in front of nothing; time passes when somebody sleeps."""

    def __init__(self, rate: float, burst: int, *, filled: float = 0.0, exact: bool = True) -> None:
        self.rate, self.burst, self.level, self.exact = rate, burst, filled, exact
        self.calls = 0
        self.slept: list[float] = []

    async def restart_delayed(self, delay_id: str) -> None:
        self.calls += 1
        self._pass(0.001)
        if self.level > self.burst - 1:
            wait = (self.level - self.burst + 1) / self.rate
            raise RateLimited("slow down", 1.0, wait if self.exact else None)
        self.level += 1
        raise NotFound("there is none")

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
        self.level = max(0.0, self.level - seconds * self.rate)


@pytest.fixture
def limiter(monkeypatch: pytest.MonkeyPatch) -> Limiter:
    made = Limiter(1.0, 5)
    monkeypatch.setattr("bot.matrix.probe.asyncio.sleep", made.sleep)
    return made


@pytest.mark.parametrize("rate", [0.2, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("filled", [0.0, 2.4, 4.9])
async def test_the_rate_is_found_whatever_was_used_before(
    limiter: Limiter, rate: float, filled: float
) -> None:
    limiter.rate, limiter.level = rate, filled
    found = await restart_rate(limiter)
    # Quick leaks are overrated a little, and a long wait is not waited for.
    assert found > 0.9 * rate
    assert found < 1.2 * rate or not 0.5 < rate < 10
    assert limiter.calls <= FIRST + 2 * ROUNDS


async def test_a_generous_burst_is_found(limiter: Limiter) -> None:
    limiter.burst = 20
    assert await restart_rate(limiter) == pytest.approx(1.0, rel=0.1)


async def test_no_limit(limiter: Limiter) -> None:
    limiter.burst = 1000
    assert await restart_rate(limiter) == inf
    assert limiter.calls == FIRST + MORE
    assert limiter.slept == []


async def test_without_an_exact_hint_the_header_counts(limiter: Limiter) -> None:
    limiter.exact = False
    assert await restart_rate(limiter) == 1.0


async def test_without_any_hint_one_a_second_is_assumed(limiter: Limiter) -> None:
    class Curt:
        async def restart_delayed(self, delay_id: str) -> None:
            raise RateLimited("no")

    assert await restart_rate(Curt()) == 1.0


async def test_an_event_of_that_name_is_no_refusal(limiter: Limiter) -> None:
    class Odd:
        async def restart_delayed(self, delay_id: str) -> None:
            pass

    assert await restart_rate(Odd()) == inf


async def test_a_homeserver_that_is_away_is_no_answer(limiter: Limiter) -> None:
    class Away:
        async def restart_delayed(self, delay_id: str) -> None:
            raise Transient("away")

    with pytest.raises(Transient):
        await restart_rate(Away())
