"""A keeper over real HTTP, with a homeserver that answers it well unless told otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from bot.matrix.client import Homeserver
from bot.presence.forms import LegacyForm
from bot.presence.keeper import Keeper
from bot.rtc.legacy import join_content, member_key
from bot.rtc.membership import Focus
from bot.rtc.own import OwnMembership, Status
from bot.rtc.timing import Timing
from tests.fakes.homeserver import Answer, FakeHomeserver, Seen
from tests.fakes.rooms import until
from tests.unit.matrix.conftest import ME

ROOM = "!room:example.org"
KEY = member_key(ME, "DEV")
DELAY = "org.matrix.msc4140.delay"
SECRET_ID = "syd_VerySecretId"
QUICK = Timing(refresh=0.2, delay=1.6, attempt=0.1, request=1.0, retry=0.1, rate_limited=0.2)


class Wire:
    """A keeper, its client, and the homeserver that answers it well unless told otherwise."""

    def __init__(self, fake: FakeHomeserver, hs: Homeserver, timing: Timing) -> None:
        self.fake = fake
        self.hs = hs
        self.statuses: list[Status] = []
        self.supported = True
        self.scheduling: list[Answer] = []
        self.headers: dict[str, str] = {}
        fake.on("PUT", "", self._put)
        fake.on("GET", "/delayed_events", self._plain(delayed_events=[]))
        for action in ("restart", "send", "cancel"):
            fake.on("POST", f"/{action}", self._plain())
        form = LegacyForm(
            hs,
            ROOM,
            KEY,
            (ME, "DEV"),
            "board",
            content=lambda expires_ts, created_ts: join_content(
                "board", "DEV", ROOM, [Focus("https://sfu")], expires_ts, created_ts
            ),
            now_ts=hs.server_ts,
        )
        self.keeper = Keeper(
            form,
            OwnMembership(timing),
            supported=lambda: self.supported,
            changed=self.statuses.append,
        )

    def _plain(self, **body: Any) -> Callable[[Seen], Answer]:
        return lambda _: Answer(body=body, headers=self.headers)

    def _put(self, seen: Seen) -> Answer:
        if DELAY not in seen.query:
            return Answer(body={"event_id": "$state"}, headers=self.headers)
        if self.scheduling:
            return self.scheduling.pop(0)
        return Answer(body={"delay_id": SECRET_ID}, headers=self.headers)

    @property
    def puts(self) -> list[Seen]:
        return [seen for seen in self.fake.seen if seen.method == "PUT"]

    @property
    def delays(self) -> list[str]:
        return [seen.query[DELAY] for seen in self.puts if DELAY in seen.query]

    @property
    def states(self) -> list[Any]:
        return [seen.body for seen in self.puts if DELAY not in seen.query]

    async def join(self, status: Status = Status.JOINED) -> None:
        self.keeper.join()
        await until(lambda: self.statuses[-1:] == [status], 5)


@asynccontextmanager
async def wire(fake: FakeHomeserver, hs: Homeserver, timing: Timing = QUICK) -> AsyncIterator[Wire]:
    here = Wire(fake, hs, timing)
    task = asyncio.create_task(here.keeper.run())
    try:
        yield here
    finally:
        task.cancel()
        await asyncio.wait([task])
