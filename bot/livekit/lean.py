"""Makes many LiveKit rooms cheap in one process: leaves out what the SDK does and we do not need.

1. Candidates are gathered once (`ROOM_OPTIONS`), not continually.
2. The native library keeps its logs to itself. The SDK has each of them (thousands a second for
   50 idle rooms) carried through a Python callback. They also hold tokens: a server's refusal of
   one quotes it. `RUST_LOG` in the environment brings them back, on standard error.
3. A native event goes to the room it is about. The SDK offers every event to every room, which
   grows with rooms squared, although each carries the handle of its room. A room bound so hears
   its room events and nothing else: enough for data, not for publishing tracks or answering RPCs.
4. Data packets go from the native thread to their receiver at once. In the SDK they wait in a
   queue without a bound, and pass three tasks and queues of the event loop.

All but the first reach into the SDK, so they apply to the one version they were written for. With
another one the SDK works as it comes, only dearer.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass

from livekit import rtc
from livekit.rtc import _ffi_client
from livekit.rtc._proto.ffi_pb2 import FfiEvent
from livekit.rtc._proto.room_pb2 import DataPacketReceived, RoomEvent
from livekit.rtc._utils import Queue
from livekit.rtc.version import __version__ as sdk_version

# ruff: noqa: SLF001 - this is the one module that reaches into the SDK

VERSION = "1.2.0"
"""The SDK these adaptations are made for."""

ROOM_OPTIONS = rtc.RoomOptions(
    auto_subscribe=False,
    rtc_config=rtc.RtcConfiguration(
        continual_gathering_policy=rtc.ContinualGatheringPolicy.GATHER_ONCE
    ),
)
"""Options of a room that carries data only."""

Receive = Callable[[str, bytes, bool, str], None]
"""Takes a packet: sender's identity (empty: not announced yet), data, whether reliable, topic.

Called by threads of the native library; must neither wait nor raise.
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Bound:
    queue: Queue[FfiEvent]
    loop: asyncio.AbstractEventLoop
    receive: Receive


class _ByHandle(_ffi_client.FfiQueue[FfiEvent]):
    """The SDK's distribution of native events, with a direct way to each bound room."""

    def __init__(self) -> None:
        super().__init__()
        self._rooms: dict[int, _Bound] = {}

    def bind(self, handle: int, queue: Queue[FfiEvent], receive: Receive) -> None:
        """From now on a queue that is subscribed gets the events of this room only."""
        with self._lock:
            loop = next(loop for one, loop, _ in self._subscribers if one is queue)
            super().unsubscribe(queue)
            self._rooms[handle] = _Bound(queue, loop, receive)

    def put(self, item: FfiEvent) -> None:
        """Hand an event on; called by the native library's threads."""
        room = None
        if item.WhichOneof("message") == "room_event":
            room = self._rooms.get(item.room_event.room_handle)
        if room is None:
            super().put(item)
        elif not _taken(item.room_event, room.receive):
            try:
                room.loop.call_soon_threadsafe(room.queue.put_nowait, item)
            except RuntimeError:
                _log.debug("a LiveKit event came after the end of the event loop")

    def unsubscribe(self, queue: Queue[FfiEvent]) -> None:
        """Forget a queue, bound or not."""
        with self._lock:
            for handle, bound in list(self._rooms.items()):
                if bound.queue is queue:
                    del self._rooms[handle]
            super().unsubscribe(queue)


def apply() -> bool:
    """Adapt the SDK; to be called before the first room, more calls change nothing.

    Returns:
        Whether it is adapted. If not, it is of another version or in use already.
    """
    if isinstance(_distribution(), _ByHandle):
        return True
    if sdk_version != VERSION:
        _log.warning(
            "the LiveKit SDK has another version than we know: many rooms will be expensive",
            extra={"version": sdk_version, "known": VERSION},
        )
        return False
    if _ffi_client.FfiClient._instance is not None:
        _log.warning("the LiveKit SDK is in use already and stays as it is")
        return False
    # The library reads it once, when it is initialised.
    os.environ.setdefault("RUST_LOG", "off")
    load = _ffi_client.get_ffi_lib
    _ffi_client.get_ffi_lib = lambda: _without_logs(load())
    try:
        _ffi_client.FfiClient.instance._queue = _ByHandle()
    finally:
        _ffi_client.get_ffi_lib = load
    return True


def bind(room: rtc.Room, receive: Receive) -> None:
    """Give a connected room its direct way; does nothing where the SDK is not adapted.

    Packets that came before it, and all where the SDK is not adapted, are `data_received` events
    of the room.
    """
    distribution = _distribution()
    if isinstance(distribution, _ByHandle):
        assert room._ffi_handle is not None
        distribution.bind(room._ffi_handle.handle, room._ffi_queue, receive)


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one.

    Returns:
        The limit now; a room takes about 20 to 60 files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # an unlimited hard limit may exceed the kernel's own
        return soft
    return hard


def _distribution() -> object:
    client = _ffi_client.FfiClient._instance
    return None if client is None else client._queue


def _without_logs(library: ctypes.CDLL) -> ctypes.CDLL:
    initialize = library.livekit_ffi_initialize

    def quietly(callback: object, _capture: object, sdk: bytes, version: bytes) -> None:
        initialize(callback, ctypes.c_bool(False), sdk, version)

    library.livekit_ffi_initialize = quietly  # type: ignore[attr-defined]
    return library


def _taken(event: RoomEvent, receive: Receive) -> bool:
    """Deal with what the room itself has no part in; tells whether this was such an event."""
    match event.WhichOneof("message"):
        case "data_packet_received":
            _deliver(event.data_packet_received, receive)
        case "text_stream_opened":  # a peer's, and its name would end up in a log
            _ffi_client.FfiHandle(event.text_stream_opened.reader.handle.id).dispose()
        case "byte_stream_opened":
            _ffi_client.FfiHandle(event.byte_stream_opened.reader.handle.id).dispose()
        case _:
            return False
    return True


def _deliver(packet: DataPacketReceived, receive: Receive) -> None:
    if packet.WhichOneof("value") != "user":
        return
    buffer = packet.user.data
    data = ctypes.string_at(buffer.data.data_ptr, buffer.data.data_len)
    _ffi_client.FfiHandle(buffer.handle.id).dispose()
    reliable = packet.kind == rtc.DataPacketKind.KIND_RELIABLE
    receive(packet.participant_identity, data, reliable, packet.user.topic)
