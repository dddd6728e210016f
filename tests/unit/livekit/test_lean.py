"""The adaptations of the SDK: what they do, and that it is the SDK they were made for."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import inspect
import logging
import os
import resource
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc
from livekit.rtc import _ffi_client, room
from livekit.rtc._proto.ffi_pb2 import FfiEvent
from livekit.rtc._utils import Queue
from livekit.rtc.version import __version__

from bot.livekit import lean
from bot.livekit.lean import _ByHandle, _without_logs

READ: list[Any] = [
    _ffi_client.get_ffi_lib,
    _ffi_client.FfiHandle,
    _ffi_client.FfiQueue,
    _ffi_client.FfiClient,
    room.Room.connect,
    room.Room.disconnect,
    room.Room._listen_task,
    room.Room._on_room_event,
    Queue,
]
READ_SHA256 = "a3f672e8a5ed3558fac439b69875fc0ff0b569d8c1b278c9be6ecab5f7fb46db"


def test_the_sdk_is_the_one_that_was_read() -> None:
    """When this fails, read what has changed, adapt lean.py, and set VERSION and READ_SHA256."""
    text = "".join(inspect.getsource(one) for one in READ)
    text += (
        inspect.getsource(_ffi_client).partition("def ffi_event_callback")[2].partition("def ")[0]
    )
    assert __version__ == lean.VERSION
    assert hashlib.sha256(text.encode()).hexdigest() == READ_SHA256


def room_event(handle: int) -> FfiEvent:
    event = FfiEvent()
    event.room_event.room_handle = handle
    event.room_event.reconnecting.SetInParent()
    return event


def callback(number: int) -> FfiEvent:
    event = FfiEvent()
    event.publish_data.async_id = number
    return event


def data(handle: int, text: bytes, *, identity: str = "ann", reliable: bool = True) -> FfiEvent:
    event = room_event(handle)
    packet = event.room_event.data_packet_received
    packet.participant_identity = identity
    kind = rtc.DataPacketKind
    packet.kind = kind.KIND_RELIABLE if reliable else kind.KIND_LOSSY
    keep = ctypes.create_string_buffer(text, len(text))
    packet.user.topic = "topic"
    packet.user.data.data.data_ptr = ctypes.addressof(keep)
    packet.user.data.data.data_len = len(text)
    KEPT.append(keep)
    return event


KEPT: list[object] = []


async def arrived(queue: Queue[FfiEvent]) -> list[FfiEvent]:
    await asyncio.sleep(0)
    return [queue.get_nowait() for _ in range(queue.qsize())]


def ignore(*_: object) -> None:
    pass


async def test_a_bound_room_hears_its_own_events_only() -> None:
    distribution = _ByHandle()
    bound, other, waiter = (distribution.subscribe() for _ in range(3))
    distribution.bind(1, bound, ignore)
    distribution.bind(2, other, ignore)
    for event in (room_event(1), room_event(2), room_event(3), callback(7)):
        distribution.put(event)
    assert await arrived(bound) == [room_event(1)]
    assert await arrived(other) == [room_event(2)]
    assert await arrived(waiter) == [room_event(3), callback(7)]


async def test_a_room_not_bound_yet_hears_everything_as_in_the_sdk() -> None:
    distribution = _ByHandle()
    joining = distribution.subscribe(filter_fn=lambda event: event.HasField("room_event"))
    distribution.put(room_event(1))
    distribution.put(callback(7))
    distribution.bind(1, joining, ignore)
    distribution.put(room_event(1))
    assert await arrived(joining) == [room_event(1)] * 2


async def test_unsubscribing_frees_bound_and_other_queues() -> None:
    distribution = _ByHandle()
    bound, other, waiter = (distribution.subscribe() for _ in range(3))
    distribution.bind(2, other, ignore)
    distribution.bind(1, bound, ignore)
    distribution.unsubscribe(bound)
    distribution.unsubscribe(bound)
    distribution.put(room_event(1))
    assert await arrived(bound) == []
    assert await arrived(waiter) == [room_event(1)]
    distribution.unsubscribe(waiter)
    distribution.put(room_event(1))
    assert await arrived(waiter) == []


async def test_data_goes_to_its_receiver_at_once() -> None:
    distribution = _ByHandle()
    queue, got = distribution.subscribe(), list[tuple[Any, ...]]()
    distribution.bind(1, queue, lambda *packet: got.append(packet))
    distribution.put(data(1, b"one"))
    distribution.put(data(1, b"two", identity="", reliable=False))
    assert got == [("ann", b"one", True, "topic"), ("", b"two", False, "topic")]
    assert await arrived(queue) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda event: event.data_packet_received.sip_dtmf.SetInParent(),
        lambda event: event.text_stream_opened.SetInParent(),
        lambda event: event.byte_stream_opened.SetInParent(),
    ],
)
async def test_what_a_peer_opens_uninvited_reaches_nobody(spoil: Callable[[Any], None]) -> None:
    distribution = _ByHandle()
    queue, got = distribution.subscribe(), list[Any]()
    distribution.bind(1, queue, lambda *packet: got.append(packet))
    event = room_event(1)
    spoil(event.room_event)
    distribution.put(event)
    assert await arrived(queue) == got == []


def test_an_event_after_the_end_of_the_event_loop_harms_nobody() -> None:
    async def make() -> _ByHandle:
        distribution = _ByHandle()
        distribution.bind(1, distribution.subscribe(), ignore)
        return distribution

    asyncio.run(make()).put(room_event(1))


def test_the_native_library_is_told_to_keep_its_logs() -> None:
    told: list[Sequence[object]] = []

    class Library:
        livekit_ffi_initialize = staticmethod(lambda *given: told.append(given))

    library: Any = Library()
    quiet = _without_logs(library)
    quiet.livekit_ffi_initialize.argtypes = []
    quiet.livekit_ffi_initialize("callback", True, b"python", b"1")
    (callback_, capture, sdk, version) = told[0]
    assert (callback_, sdk, version) == ("callback", b"python", b"1")
    assert isinstance(capture, ctypes.c_bool)
    assert not capture.value


class Client:
    """Stands for the SDK's connection to the native library."""

    _instance: Client | None = None
    instance: Client

    def __init__(self) -> None:
        self._queue: object = None


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    class Fresh(Client):
        pass

    Fresh.instance = Fresh()
    monkeypatch.setattr(_ffi_client, "FfiClient", Fresh)
    monkeypatch.setenv("RUST_LOG", "")
    monkeypatch.delenv("RUST_LOG")
    return Fresh


def test_applied_twice_is_applied_once(client: type[Client]) -> None:
    load = _ffi_client.get_ffi_lib
    assert lean.apply()
    client._instance = client.instance
    first = client.instance._queue
    assert isinstance(first, _ByHandle)
    assert lean.apply()
    assert client.instance._queue is first
    assert _ffi_client.get_ffi_lib is load
    assert os.environ["RUST_LOG"] == "off"


async def test_a_room_is_bound_by_its_handle(client: type[Client]) -> None:
    lean.apply()
    client._instance = client.instance
    distribution = client.instance._queue
    assert isinstance(distribution, _ByHandle)
    queue, got = distribution.subscribe(), list[Any]()
    joined: Any = SimpleNamespace(_ffi_handle=SimpleNamespace(handle=5), _ffi_queue=queue)
    lean.bind(joined, lambda *packet: got.append(packet))
    distribution.put(data(5, b"here"))
    assert got == [("ann", b"here", True, "topic")]


@pytest.mark.usefixtures("client")
def test_an_operator_may_ask_for_the_native_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUST_LOG", "info")
    assert lean.apply()
    assert os.environ["RUST_LOG"] == "info"


@pytest.mark.usefixtures("client")
def test_another_version_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lean, "sdk_version", "1.3.0")
    assert not lean.apply()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_an_sdk_in_use_stays_as_it_is(
    client: type[Client], caplog: pytest.LogCaptureFixture
) -> None:
    client._instance = client.instance
    assert not lean.apply()
    assert "in use" in caplog.text
    lean.bind(rtc.Room(), ignore)  # nothing to bind to


def test_the_file_limit_is_raised_as_far_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    assert lean.raise_file_limit() == 4096
    assert limits == [(4096, 4096)]


def test_a_file_limit_that_cannot_be_raised_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert lean.raise_file_limit() == 1024
