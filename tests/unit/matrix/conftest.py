from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.matrix.client import Homeserver
from tests.fakes.homeserver import FakeHomeserver, MemoryTokens

ME = "@bot:example.org"


@pytest.fixture
async def fake() -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver.start() as running:
        yield running


@pytest.fixture
def tokens() -> MemoryTokens:
    return MemoryTokens()


@pytest.fixture
async def hs(fake: FakeHomeserver, tokens: MemoryTokens) -> AsyncIterator[Homeserver]:
    async with Homeserver(fake.url, ME, "DEV", access_token="sesame", tokens=tokens) as opened:
        opened.transport.token = "sesame"
        yield opened
