"""What an earlier life of the bot left scheduled is sent at the start, and nothing else."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from bot.account import send_left_over
from bot.errors import NotFound, Transient
from bot.matrix.client import Homeserver
from bot.matrix.delayed import DelayedEvent

LEGACY, STICKY = "org.matrix.msc3401.call.member", "org.matrix.msc4143.rtc.member"
SLOT = "net.nordeck.whiteboard#w1"


class Server:
    user_id, device_id = "@bot:here", "DEV"

    def __init__(self, *events: DelayedEvent) -> None:
        self.events = events
        self.failing: Exception | None = None
        self.refusing: dict[str, Exception] = {}
        self.sent: list[str] = []

    async def delayed_events(self) -> Any:
        if self.failing is not None:
            raise self.failing
        return self.events

    async def send_delayed(self, delay_id: str) -> None:
        if delay_id in self.refusing:
            raise self.refusing[delay_id]
        self.sent.append(delay_id)


def state(delay_id: str, key: str, kind: str = LEGACY) -> DelayedEvent:
    return DelayedEvent(delay_id, "!r", kind, key)


def leave(
    delay_id: str, device: str | None = "DEV", slot: str | None = SLOT, key: str | None = "m1"
) -> DelayedEvent:
    return DelayedEvent(delay_id, "!r", STICKY, None, key, slot, device)


@pytest.mark.scenario("M42", "X05")
async def test_m42_what_is_ours_is_sent() -> None:
    server = Server(
        state("plain", "_@bot:here_DEV"),
        state("suffixed", "_@bot:here_DEV_net.nordeck.whiteboardw2"),
        state("a longer device", "_@bot:here_DEVICE"),
        state("another type", "_@bot:here_DEV", "m.room.topic"),
        leave("sticky"),
        leave("another device", "DEVICE"),
        leave("no device", None),
        leave("another application", slot="m.call#ROOM"),
        leave("no slot", slot=None),
        leave("not sticky", key=None),
    )
    await send_left_over(cast("Homeserver", server))
    assert server.sent == ["plain", "suffixed", "sticky"]


@pytest.mark.scenario("M42")
async def test_m42_what_cannot_be_sent_holds_nothing_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    server = Server(leave("secret1"), leave("secret2"), leave("secret3"))
    server.refusing = {"secret1": NotFound("gone"), "secret2": Transient("down")}
    await send_left_over(cast("Homeserver", server))
    assert server.sent == ["secret3"]
    assert [one.getMessage() for one in caplog.records] == [
        "a leave of an earlier run could not be sent"
    ]
    server.failing = Transient("down")
    await send_left_over(cast("Homeserver", server))
    assert caplog.records[-1].getMessage() == "delayed events of an earlier run could not be read"
    assert "secret" not in caplog.text
