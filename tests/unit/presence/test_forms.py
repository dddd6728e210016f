"""The sticky form of our own membership, and a Keeper that keeps one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from bot.errors import Forbidden
from bot.presence.forms import StickyForm
from bot.presence.keeper import Keeper
from bot.rtc import sticky
from bot.rtc.membership import Focus
from bot.rtc.own import OwnMembership, Status
from bot.rtc.timing import Timing
from bot.rtc.timing import sticky as sticky_timing
from tests.fakes.rooms import BOT, DEVICE, NOW, ROOM, until

TYPE = "org.matrix.msc4143.rtc.member"


class Server:
    """Takes note of sticky events; the rest of a homeserver is not asked for."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, Any], int]] = []
        self.armed: dict[str, tuple[dict[str, Any], int, int]] = {}
        self.listed: list[Any] = []
        self.refuses = 0
        self.transactions: list[str] = []
        self._count = 0

    async def send_sticky(
        self,
        room_id: str,
        event_type: str,
        content: Any,
        duration_ms: int,
        *,
        txn_id: str,
        **_: float,
    ) -> str:
        await asyncio.sleep(0)
        self.transactions.append(txn_id)
        if self.refuses:
            self.refuses -= 1
            raise Forbidden("no")
        self.sent.append((room_id, event_type, dict(content), duration_ms))
        return f"$sticky{len(self.sent)}"

    async def schedule_sticky(
        self,
        room_id: str,
        event_type: str,
        content: Any,
        duration_ms: int,
        delay_ms: int,
        *,
        timeout: float,
    ) -> str:
        await asyncio.sleep(0)
        assert (room_id, event_type) == (ROOM, TYPE)
        self._count += 1
        self.armed[f"delay{self._count}"] = (dict(content), duration_ms, delay_ms)
        return f"delay{self._count}"

    async def restart_delayed(self, delay_id: str, *, timeout: float) -> None:
        await asyncio.sleep(0)

    async def cancel_delayed(self, delay_id: str, *, timeout: float) -> None:
        await asyncio.sleep(0)
        self.armed.pop(delay_id, None)

    async def delayed_events(self, *, timeout: float) -> list[Any]:
        await asyncio.sleep(0)
        return self.listed

    @property
    def memberships(self) -> list[str]:
        return [content["member"]["membership"] for _, _, content, _ in self.sent]


class Kept:
    def __init__(self, *, supported: bool = True) -> None:
        self.server = Server()
        self.seen: list[Status] = []
        self.form = StickyForm(
            self.server,  # type: ignore[arg-type]
            ROOM,
            (BOT, DEVICE),
            "w1",
            "m1",
            lambda: sticky.join_content(
                call_id="w1",
                whose=(BOT, DEVICE),
                member_id="m1",
                foci=[Focus("https://sfu.here")],
                spelling="livekit",
            ),
        )
        self.keeper = Keeper(
            self.form,
            OwnMembership(sticky_timing(Timing(), 0.0), once=True),
            supported=lambda: supported,
            changed=self.seen.append,
        )


@asynccontextmanager
async def kept(*, supported: bool = True) -> AsyncIterator[Kept]:
    here = Kept(supported=supported)
    task = asyncio.create_task(here.keeper.run())
    try:
        yield here
    finally:
        task.cancel()
        await asyncio.wait([task])


def event(content: dict[str, Any], event_id: str, **values: Any) -> dict[str, Any]:
    return {
        "type": TYPE,
        "event_id": event_id,
        "sender": BOT,
        "origin_server_ts": NOW,
        "msc4354_sticky": {"duration_ms": 3_600_000},
        "content": content,
    } | values


@pytest.mark.scenario("M01", "M02", "M29")
async def test_m01_m02_m29_sticky_it_joins_renews_and_leaves() -> None:
    async with kept() as here:
        here.keeper.join()
        await until(lambda: Status.JOINED in here.seen)
        [(room_id, kind, content, duration)] = here.server.sent
        assert (room_id, kind, duration) == (ROOM, TYPE, 3_600_000)
        assert content == {
            "slot_id": "net.nordeck.whiteboard#w1",
            "member": {
                "id": "m1",
                "membership": "join",
                "user_id": BOT,
                "device_id": DEVICE,
            },
            "application": {"type": "net.nordeck.whiteboard", "whiteboard_id": "w1"},
            "transports": {
                "published": [{"type": "livekit", "livekit_service_url": "https://sfu.here"}],
                "can_subscribe": ["livekit"],
            },
            "versions": [],
            "msc4354_sticky_key": "m1",
        }
        leave = {
            "slot_id": "net.nordeck.whiteboard#w1",
            "member": {"id": "m1", "membership": "leave", "device_id": DEVICE},
            "leave_reason": {"code": "delayed_leave"},
            "msc4354_sticky_key": "m1",
        }
        assert here.server.armed == {"delay1": (leave, 3_600_000, 18_000)}
        here.keeper.own_state(event(content, "$sticky1"))
        here.keeper.renew()
        await until(lambda: list(here.server.armed) == ["delay2"])
        assert here.server.sent[1][2] == content
        here.keeper.leave()
        await asyncio.wait_for(here.keeper.left(), 15)
        sent = here.server.sent[2]
        assert sent[2] == leave | {"leave_reason": {"code": "leave"}}
        assert sent[3] == 3_600_000
        assert here.server.armed == {}
        await until(lambda: here.seen[-1] is Status.ENDED)


@pytest.mark.scenario("M15")
async def test_m15_sticky_without_delayed_events_it_sticks_for_five_minutes() -> None:
    async with kept(supported=False) as here:
        here.keeper.join()
        await until(lambda: Status.DEGRADED in here.seen)
        assert here.server.sent[0][3] == 300_000
        assert here.server.armed == {}
        here.keeper.leave()
        await asyncio.wait_for(here.keeper.left(), 15)
        assert here.server.sent[1][3] == 3_600_000


@pytest.mark.scenario("M38")
async def test_m38_sticky_a_leave_of_ours_in_the_room_is_the_end() -> None:
    async with kept() as here:
        here.keeper.join()
        await until(lambda: Status.JOINED in here.seen)
        leave = here.server.armed["delay1"][0]
        other = leave | {"msc4354_sticky_key": "m2", "member": leave["member"] | {"id": "m2"}}
        here.keeper.own_state(event(other, "$another"))
        here.keeper.own_state(event(leave, "$somebodys", sender="@alice:here"))
        assert not here.keeper.machine.ended
        unsigned = {"org.matrix.msc4140.delay_id": "delay1"}
        here.keeper.own_state(event(leave, "$gone", unsigned=unsigned))
        assert here.keeper.machine.ended
        await until(lambda: here.seen[-1] is Status.ENDED)
        assert here.server.memberships == ["join"]


@pytest.mark.scenario("M37")
@pytest.mark.parametrize("form", [{"redacts": "$sticky1"}, {"content": {"redacts": "$sticky1"}}])
async def test_m37_sticky_redacted_it_leaves_for_good(form: dict[str, Any]) -> None:
    async with kept() as here:
        redaction = {"type": "m.room.redaction", "event_id": "$r", "sender": "@admin:here"}
        assert here.form.shown(redaction | form) is None  # nothing of ours is there
        here.keeper.join()
        await until(lambda: Status.JOINED in here.seen)
        assert here.form.shown(redaction | {"redacts": "$another", "content": 7}) is None
        here.keeper.own_state(redaction | form)
        await asyncio.wait_for(here.keeper.left(), 15)
        assert here.server.memberships == ["join", "leave"]
        assert here.server.armed == {}


@pytest.mark.scenario("M45")
async def test_m45_sticky_refused_it_waits_for_permission() -> None:
    async with kept() as here:
        here.server.refuses = 1
        here.keeper.join()
        await until(lambda: Status.FORBIDDEN in here.seen)
        here.keeper.permission_changed()
        await until(lambda: Status.JOINED in here.seen)


def test_delayed_leaves_of_this_member_id_are_its_own() -> None:
    @dataclass
    class Listed:
        room_id: str = ROOM
        type: str = TYPE
        sticky_key: str | None = "m1"
        delay_id: str = "d"
        state_key: str | None = None

    form = Kept().form
    assert form.is_ours(Listed())
    for other in (Listed(room_id="!r"), Listed(type="t"), Listed(sticky_key="m2")):
        assert not form.is_ours(other)


async def test_what_was_not_answered_is_not_sent_twice() -> None:
    """An event sent twice is in the room twice, unless it is the same transaction."""
    here = Kept()
    here.server.refuses = 1
    with pytest.raises(Forbidden):
        await here.form.send_join(3600.0, None, timeout=1.0)
    await here.form.send_join(3600.0, None, timeout=1.0)
    await here.form.send_join(3600.0, None, timeout=1.0)
    await here.form.send_leave(timeout=1.0)
    await here.form.send_leave(timeout=1.0)
    tried, again, renewed, left, still = here.server.transactions
    assert tried == again
    assert left == still
    assert len({again, renewed, left}) == 3
