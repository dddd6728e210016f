"""Joining and leaving one room of the SDK, where the SDK fails or hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc

from bot.errors import Transient
from bot.livekit import lean, native
from bot.livekit.auth import Grant
from bot.livekit.inbox import Packet
from bot.livekit.native import Ending, NativeRoom, join

GRANT = Grant("ws://sfu", "secret-token", "room", "me", "", None, may_announce=True)


class SdkRoom:
    """The SDK's room, as far as it is used, in the hands of a test."""

    made: list[SdkRoom]
    error: str | None = None
    hang: asyncio.Event | None = None

    def __init__(self) -> None:
        self.listeners: dict[str, Callable[..., None]] = {}
        self.remote_participants = {"ann": None}
        self.disconnected = 0
        self.calls: list[object] = []
        self.local_participant = self
        self.made.append(self)

    def on(self, event: str, callback: Callable[..., None]) -> None:
        self.listeners[event] = callback

    def off(self, event: str, callback: Callable[..., None]) -> None:
        assert self.listeners.pop(event) == callback

    async def connect(self, url: str, token: str, _: rtc.RoomOptions) -> None:
        self.calls.append((url, token))
        if self.hang is not None:
            await self.hang.wait()
        if self.error is not None:
            raise rtc.ConnectError(self.error)

    async def disconnect(self) -> None:
        self.disconnected += 1

    async def set_attributes(self, attributes: Mapping[str, str]) -> None:
        await self._call(attributes)

    async def publish_data(self, data: bytes, **how: object) -> None:
        await self._call((data, how))

    async def _call(self, what: object) -> None:
        self.calls.append(what)
        if self.hang is not None:
            await self.hang.wait()
        if self.error is not None:
            raise rtc.participant.PublishDataError(self.error)


@pytest.fixture(autouse=True)
def sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[SdkRoom]]:
    class Room(SdkRoom):
        made: list[SdkRoom] = []  # noqa: RUF012

    monkeypatch.setattr(rtc, "Room", Room)
    monkeypatch.setattr(lean, "bind", lambda *_: None)
    yield Room
    assert native._unfinished == {}


async def joined(
    room: str = "room", receive: Callable[[Packet], None] = lambda _: None
) -> NativeRoom:
    return await join(replace(GRANT, room=room), receive, lambda _identity, _here: None)


async def test_it_hears_who_is_there_comes_and_goes(sdk: type[SdkRoom]) -> None:
    seen: list[tuple[str, bool]] = []
    await join(GRANT, lambda _: None, lambda who, here: seen.append((who, here)))
    room = sdk.made[0]
    room.listeners["participant_connected"](SimpleNamespace(identity="bob"))
    room.listeners["participant_disconnected"](SimpleNamespace(identity="ann"))
    assert seen == [("ann", True), ("bob", True), ("ann", False)]
    assert room.calls == [("ws://sfu", "secret-token")]


async def test_packets_of_the_unadapted_sdk_are_the_same(sdk: type[SdkRoom]) -> None:
    got: list[Packet] = []
    await joined(receive=got.append)
    arrive: Any = sdk.made[0].listeners["data_received"]
    kind = rtc.DataPacketKind
    ann: Any = SimpleNamespace(identity="ann")
    arrive(rtc.DataPacket(b"one", kind.KIND_RELIABLE, ann, "topic"))
    arrive(rtc.DataPacket(b"two", kind.KIND_LOSSY, None, None))
    assert [(one.identity, one.data, one.reliable, one.topic) for one in got] == [
        ("ann", b"one", True, "topic"),
        (None, b"two", False, ""),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("client error: 401 Unauthorized - invalid token: secret-token", "not accept the token"),
        ("client error: 404 Not Found - requested room does not exist", "does not exist"),
        ("failed to parse the url: relative URL without a base", "not valid"),
        ("IO error: Connection refused (os error 111)", "no connection"),
        ("signal connection timed out", "did not answer"),
        ("anything else secret-token", "failed"),
    ],
)
async def test_why_it_failed_is_said_without_the_token(
    sdk: type[SdkRoom], text: str, why: str
) -> None:
    sdk.error = text
    with pytest.raises(Transient, match=why) as caught:
        await joined()
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        (rtc.DisconnectReason.DUPLICATE_IDENTITY, Ending(True, "another process")),
        (rtc.DisconnectReason.PARTICIPANT_REMOVED, Ending(True, "removed")),
        (rtc.DisconnectReason.ROOM_DELETED, Ending(False, "deleted")),
        (rtc.DisconnectReason.SERVER_SHUTDOWN, Ending(False, "shut down")),
        (rtc.DisconnectReason.UNKNOWN_REASON, Ending(False, "broke")),
    ],
)
async def test_an_ending_says_whether_we_are_wanted(
    sdk: type[SdkRoom], reason: int, ending: Ending
) -> None:
    room = await joined()
    sdk.made[0].listeners["disconnected"](reason)
    assert room.changed.is_set()
    assert room.ending is not None
    assert room.ending.refused == ending.refused
    assert ending.reason in room.ending.reason


async def test_repairs_are_counted(sdk: type[SdkRoom]) -> None:
    room = await joined()
    sdk.made[0].listeners["reconnecting"]()
    assert room.changed.is_set()
    assert room.broken_at is not None
    room.changed.clear()
    sdk.made[0].listeners["reconnected"]()
    assert room.changed.is_set()
    assert room.repairs == 1
    assert not room.broken_at


async def test_announcing_and_publishing(sdk: type[SdkRoom]) -> None:
    room = await joined()
    assert await room.announce({"a": "b"})
    await room.publish(b"x", reliable=False, to=("ann",))
    how = {"reliable": False, "destination_identities": ["ann"]}
    assert sdk.made[0].calls[1:] == [{"a": "b"}, (b"x", how)]


async def test_the_sdk_not_taking_a_packet_is_ours_to_tell(sdk: type[SdkRoom]) -> None:
    room = await joined()
    sdk.error = "engine: secret"
    with pytest.raises(Transient, match="did not take"):
        await room.publish(b"x", reliable=True, to=())


async def test_the_sdk_hanging_is_not_waited_for(
    sdk: type[SdkRoom], monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await joined()
    monkeypatch.setattr(native, "ANNOUNCE_WITHIN", 0.01)
    monkeypatch.setattr(native, "PUBLISH_WITHIN", 0.01)
    sdk.hang = asyncio.Event()
    assert not await room.announce({"a": "b"})
    with pytest.raises(Transient, match="broken"):
        await room.publish(b"x", reliable=True, to=())


async def test_after_leaving_nobody_is_told_anything(sdk: type[SdkRoom]) -> None:
    told: list[object] = []
    room = await join(GRANT, told.append, lambda who, here: told.append((who, here)))
    await room.leave()
    sdk.made[0].listeners["participant_connected"](SimpleNamespace(identity="late"))
    sdk.made[0].listeners["data_received"](
        rtc.DataPacket(b"late", rtc.DataPacketKind.KIND_LOSSY, None)
    )
    assert told == [("ann", True)]


async def test_a_cancelled_join_tells_nobody_anything(sdk: type[SdkRoom]) -> None:
    sdk.hang = asyncio.Event()
    told: list[object] = []
    joining = asyncio.create_task(
        join(GRANT, told.append, lambda who, here: told.append((who, here)))
    )
    await goes_on()
    await cancelled(joining)
    sdk.hang.set()
    await goes_on()
    assert told == []


async def test_leaving_twice_leaves_once_and_is_no_ending(sdk: type[SdkRoom]) -> None:
    room = await joined()
    await room.leave()
    await room.leave()
    assert sdk.made[0].disconnected == 1
    assert "disconnected" not in sdk.made[0].listeners


async def goes_on() -> None:
    """Let everything come as far as it does by itself, however slow the machine is."""
    for _ in range(50):
        await asyncio.sleep(0)


async def cancelled(joining: asyncio.Task[NativeRoom]) -> None:
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining


async def test_a_cancelled_join_goes_on_and_leaves_and_the_next_waits(sdk: type[SdkRoom]) -> None:
    sdk.hang = asyncio.Event()
    first = asyncio.create_task(joined())
    await goes_on()
    await cancelled(first)
    second = asyncio.create_task(joined())
    await goes_on()
    await cancelled(second)
    third = asyncio.create_task(joined())
    await goes_on()
    assert len(sdk.made) == 1
    sdk.hang.set()
    await third
    assert [room.disconnected for room in sdk.made] == [1, 0]


async def test_a_cancelled_join_that_fails_later_leaves_nothing(sdk: type[SdkRoom]) -> None:
    sdk.hang, sdk.error = asyncio.Event(), "too late"
    joining = asyncio.create_task(joined())
    await goes_on()
    await cancelled(joining)
    sdk.hang.set()
    await goes_on()
    assert [room.disconnected for room in sdk.made] == [0]


async def test_two_joins_of_one_room_may_be_cancelled_at_once(sdk: type[SdkRoom]) -> None:
    sdk.hang = asyncio.Event()
    joining = [asyncio.create_task(joined()) for _ in range(2)]
    await goes_on()
    for one in joining:
        await cancelled(one)
    sdk.hang.set()
    await goes_on()
    assert [room.disconnected for room in sdk.made] == [1, 1]


async def test_rooms_are_joined_one_after_the_other(sdk: type[SdkRoom]) -> None:
    sdk.hang = asyncio.Event()
    joining = [asyncio.create_task(joined(room)) for room in "ab"]
    await goes_on()
    assert len(sdk.made) == 1
    sdk.hang.set()
    await asyncio.gather(*joining)


async def test_a_room_that_hangs_does_not_hold_up_the_next(
    sdk: type[SdkRoom], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "STAGGER", 0.01)
    sdk.hang = hang = asyncio.Event()
    joining = asyncio.create_task(joined("a"))
    await goes_on()
    sdk.hang = None
    await joined("b")
    assert not joining.done()
    hang.set()
    await joining


async def test_a_join_cancelled_before_its_turn_leaves_nothing(sdk: type[SdkRoom]) -> None:
    sdk.hang = asyncio.Event()
    joining = [asyncio.create_task(joined(room)) for room in "ab"]
    await goes_on()
    await cancelled(joining[1])
    sdk.hang.set()
    await joining[0]
    assert len(sdk.made) == 1


def test_the_end_of_the_event_loop_ends_a_join_too(sdk: type[SdkRoom]) -> None:
    async def begin() -> None:
        sdk.hang = asyncio.Event()
        asyncio.create_task(joined())  # noqa: RUF006 - left to the end of the loop
        await goes_on()

    asyncio.run(begin())
