from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.errors import Forbidden, NotFound, ServerError, Transient, Unsupported
from bot.presence import foci as module
from bot.presence.foci import ABSENT_FOR, Foci
from bot.rtc.membership import Focus

OWN, OTHER = Focus("https://own"), Focus("https://other")


def listed(*foci: Focus) -> list[dict[str, str]]:
    return [{"type": "livekit", "livekit_service_url": one.service_url} for one in foci]


class Server:
    def __init__(self) -> None:
        self.transports: Any = NotFound("no such endpoint")
        self.well_known: Any = {"org.matrix.msc4143.rtc_foci": listed(OWN)}
        self.asked: list[str] = []
        self.now = 0.0
        self.changes = 0
        self.foci = Foci(self, "https://hs/wk", clock=lambda: self.now, changed=self._changed)

    async def rtc_transports(self) -> dict[str, Any]:
        self.asked.append("transports")
        found: dict[str, Any] = self._answer(self.transports)
        return found

    async def well_known_foci(self, url_override: str | None = None) -> dict[str, Any] | None:
        self.asked.append(str(url_override))
        found: dict[str, Any] | None = self._answer(self.well_known)
        return found

    def _answer(self, answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _changed(self) -> None:
        self.changes += 1


@pytest.mark.scenario("F21")
async def test_the_homeservers_own_word_comes_first() -> None:
    server = Server()
    server.transports = {"rtc_transports": listed(OTHER, OWN)}
    await server.foci.read()
    assert server.foci.current == [OTHER, OWN]


@pytest.mark.scenario("F21")
@pytest.mark.parametrize("absent", [NotFound, Unsupported])
async def test_a_homeserver_without_the_endpoint_is_not_asked_for_a_day(
    absent: type[ServerError], caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    server.transports = absent("404, as Synapse says it with M_UNRECOGNIZED")
    for server.now in (0.0, 60.0, ABSENT_FOR - 1):
        await server.foci.read()
    assert server.asked == ["transports", *["https://hs/wk"] * 3]
    assert not caplog.records
    assert server.foci.current == [OWN]
    server.transports = {"rtc_transports": listed(OTHER)}
    server.now = ABSENT_FOR
    await server.foci.read()
    assert server.foci.current == [OTHER, OWN]
    server.transports = NotFound("a proxy in between has lost its way")
    await server.foci.read()
    assert server.foci.current == [OTHER, OWN]
    assert server.asked.count("transports") == 3
    server.transports = {"rtc_transports": []}  # found again, and changed
    server.now += 60
    await server.foci.read()
    assert server.foci.current == [OWN]


@pytest.mark.scenario("F02")
@pytest.mark.parametrize("error", [Transient("down"), Forbidden("no")])
async def test_what_cannot_be_read_keeps_what_it_said(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    server.transports = {"rtc_transports": listed(OTHER)}
    await server.foci.read()
    server.transports = server.well_known = error
    await server.foci.read()
    assert server.foci.current == [OTHER, OWN]
    assert server.changes == 1
    assert "transports cannot be read" in caplog.text
    assert "well-known file cannot be read" in caplog.text
    server.well_known = None  # it was taken down
    await server.foci.read()
    assert server.foci.current == [OTHER]


@pytest.mark.scenario("F17")
def test_the_list_is_read_every_minute_at_least() -> None:
    assert module.EVERY <= 60


@pytest.mark.scenario("F17")
async def test_a_change_is_seen_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.001)
    server = Server()
    await server.foci.read()
    polling = asyncio.create_task(server.foci.poll())
    server.well_known = {"m.rtc_foci": listed(OTHER)}
    async with asyncio.timeout(15):
        while server.changes < 2:
            await asyncio.sleep(0.001)
    polling.cancel()
    assert server.foci.current == [OTHER]
