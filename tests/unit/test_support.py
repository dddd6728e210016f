from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf

import pytest

from bot import support
from bot.errors import Transient
from bot.support import Support


@dataclass
class Found:
    supported: bool
    max_delay_ms: int | None = None
    max_scheduled: int | None = None
    sticky: bool = False


class Server:
    def __init__(self, *answers: Found | Transient) -> None:
        self.answers = list(answers)

    async def delayed_support(self) -> Found:
        answer = self.answers.pop(0)
        if isinstance(answer, Transient):
            raise answer
        return answer


async def test_a_server_that_can_do_it_later_is_noticed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(support, "EVERY", 0.001)
    monkeypatch.setattr(support, "RARELY", 0.001)
    server = Server(
        Found(supported=False),
        Transient("down"),
        Found(True, 7500, 100),
        Found(True, 7500, 100, sticky=True),
    )
    found = Support(server)
    await found.read()
    assert (found.delayed, found.max_delay, found.max_scheduled) == (False, inf, None)
    assert "set max_event_delay_duration in homeserver.yaml" in caplog.text
    polling = asyncio.create_task(found.poll())
    while not found.delayed:
        assert not found.sticky
        await asyncio.sleep(0)
    assert (found.max_delay, found.max_scheduled) == (7.5, 100)
    while not found.sticky:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)  # it asks no more
    polling.cancel()
