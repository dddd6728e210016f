"""One LiveKit room of the SDK: joined once, left once, and watched in between.

`connect()` of the SDK must not be cancelled: 15 s later its native part panics and ends the whole
process. So it runs in a task of its own. When `join` is cancelled, this task goes on by itself,
leaves the room should it get in, and whoever joins the same room next waits for it (two at once
with the same identity would throw each other out). Only the end of the event loop cuts it off, and
the process has to end with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from livekit import rtc

from bot.errors import Transient
from bot.livekit import lean
from bot.livekit.auth import Grant
from bot.livekit.inbox import Packet

ANNOUNCE_WITHIN = 2.0
"""Seconds that setting our attributes may take; usually 5 ms."""
PUBLISH_WITHIN = 5.0
"""Seconds that handing a packet over may take; it hangs while the connection is broken."""

_REFUSED = {
    rtc.DisconnectReason.DUPLICATE_IDENTITY: "another process is in the LiveKit room as us",
    rtc.DisconnectReason.PARTICIPANT_REMOVED: "we were removed from the LiveKit room",
}
_ENDED = {
    rtc.DisconnectReason.SERVER_SHUTDOWN: "the LiveKit server shut down",
    rtc.DisconnectReason.ROOM_DELETED: "the LiveKit room was deleted",
    rtc.DisconnectReason.ROOM_CLOSED: "the LiveKit room was closed",
}
_FAILED = {
    "401": "LiveKit did not accept the token",
    "404": "the LiveKit room does not exist, and is not created for us",
    "failed to parse the url": "the address of the LiveKit server is not valid",
    "Connection refused": "no connection to the LiveKit server",
    "timed out": "the LiveKit server did not answer",
}

STAGGER = 0.25
"""Seconds at the most until the next room may begin to connect.

While several rooms gather their ICE candidates at once, each makes all others gather again: 50 at
once ended with 87 open files each, one after the other with 6.
"""

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

_Key = tuple[str, str, str]
_unfinished: dict[_Key, asyncio.Task[None]] = {}
"""What cancelled joins have left running, by SFU, room and identity."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a room ended without us wanting it.

    Attributes:
        refused: somebody wants us out; coming back at once would be a fight.
        reason: a sentence for people.
    """

    refused: bool
    reason: str


class NativeRoom:
    """A room we are in, made by `join`.

    Attributes:
        changed: set whenever one of the following changes; the watcher clears it.
        broken_at: since when (`time.monotonic()`) the SDK has been repairing the connection.
        repairs: how often the SDK has repaired it; packets may have been lost each time.
        ending: why it ended; None while it has not.
    """

    def __init__(
        self, receive: Callable[[Packet], None], on_participant: Callable[[str, bool], None]
    ) -> None:
        self.changed = asyncio.Event()
        self.broken_at: float | None = None
        self.repairs = 0
        self.ending: Ending | None = None
        self._receive = receive
        self._on_participant = on_participant
        self._room: rtc.Room | None = None

    async def connect(self, grant: Grant) -> None:
        """Connect once; never to be cancelled.

        Raises:
            Transient: it failed. The SDK has tried for up to 32 s by then.
        """
        room = rtc.Room()
        room.on("data_received", self._data_received)
        room.on("participant_connected", self._participant_connected)
        room.on("participant_disconnected", self._participant_disconnected)
        room.on("reconnecting", self._reconnecting)
        room.on("reconnected", self._reconnected)
        room.on("disconnected", self._disconnected)
        failure = None
        try:
            await room.connect(grant.url, grant.jwt, lean.ROOM_OPTIONS)
        except rtc.ConnectError as error:
            failure = _why(error.message)
        if failure is not None:
            # Not in the handler: the SDK's text quotes the token and must not be chained.
            raise Transient(failure)
        lean.bind(room, self._deliver)
        self._room = room
        for identity in room.remote_participants:
            self._on_participant(identity, True)

    async def announce(self, attributes: Mapping[str, str]) -> bool:
        """Set our attributes, which has the SFU announce us at once; tells whether it worked."""
        assert self._room is not None
        try:
            async with asyncio.timeout(ANNOUNCE_WITHIN):
                await self._room.local_participant.set_attributes(dict(attributes))
        except TimeoutError:
            return False
        return True

    async def publish(self, data: bytes, *, reliable: bool, to: Sequence[str]) -> None:
        """Hand a packet over to be sent.

        Raises:
            Transient: the SDK did not take it.
        """
        assert self._room is not None
        try:
            async with asyncio.timeout(PUBLISH_WITHIN):
                await self._room.local_participant.publish_data(
                    data, reliable=reliable, destination_identities=list(to)
                )
        except TimeoutError:
            raise Transient("LiveKit took no packet: the connection is broken") from None
        except rtc.participant.PublishDataError:
            raise Transient("LiveKit did not take the packet") from None

    def forget(self) -> None:
        """Tell nobody anything any more."""
        self._receive = lambda _packet: None
        self._on_participant = lambda _identity, _here: None

    async def leave(self) -> None:
        """Disconnect; takes milliseconds even without a server."""
        self.forget()
        room, self._room = self._room, None
        if room is not None:
            room.off("disconnected", self._disconnected)
            await room.disconnect()

    def _deliver(self, identity: str, data: bytes, reliable: bool, topic: str) -> None:  # noqa: FBT001 - lean.Receive
        self._receive(Packet(identity or None, data, reliable, topic, time.monotonic()))

    def _data_received(self, packet: rtc.DataPacket) -> None:
        identity = packet.participant.identity if packet.participant is not None else ""
        reliable = packet.kind == rtc.DataPacketKind.KIND_RELIABLE
        self._deliver(identity, packet.data, reliable, packet.topic or "")

    def _participant_connected(self, participant: rtc.RemoteParticipant) -> None:
        self._on_participant(participant.identity, True)

    def _participant_disconnected(self, participant: rtc.RemoteParticipant) -> None:
        self._on_participant(participant.identity, False)

    def _reconnecting(self) -> None:
        self.broken_at = time.monotonic()
        self.changed.set()

    def _reconnected(self) -> None:
        self.broken_at = None
        self.repairs += 1
        self.changed.set()

    def _disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        refused = _REFUSED.get(reason)
        text = refused or _ENDED.get(reason, "the connection to LiveKit broke")
        self.ending = Ending(refused is not None, text)
        self.changed.set()


async def join(
    grant: Grant,
    receive: Callable[[Packet], None],
    on_participant: Callable[[str, bool], None],
) -> NativeRoom:
    """Join a room, one after the other; may be cancelled.

    Args:
        grant: which one and as whom.
        receive: takes each packet, called by any thread.
        on_participant: is told who is there, comes (True) or goes (False), in the event loop.

    Raises:
        Transient: it failed.
    """
    key = (grant.url, grant.room, grant.identity)
    while (earlier := _unfinished.get(key)) is not None:
        await asyncio.wait({earlier})
    room = NativeRoom(receive, on_participant)
    connecting: asyncio.Task[None] | None = None
    try:
        async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            connecting = asyncio.create_task(room.connect(grant))
            await asyncio.wait({connecting}, timeout=STAGGER)
        await asyncio.shield(connecting)
    except asyncio.CancelledError:
        room.forget()
        # Cancelled itself, the event loop ends and cuts everything off.
        if connecting is not None and not connecting.cancelling():
            _unfinished[key] = asyncio.create_task(_finish(key, room, connecting))
        raise
    return room


async def _finish(key: _Key, room: NativeRoom, connecting: asyncio.Task[None]) -> None:
    """Wait for a connection nobody wants any more, and leave."""
    try:
        await asyncio.wait({connecting})
        if not connecting.cancelled() and connecting.exception() is None:
            await room.leave()
    finally:
        if _unfinished.get(key) is asyncio.current_task():
            del _unfinished[key]


def _why(text: str) -> str:
    """Say why connecting failed; the SDK's own text is not for logs, it may quote the token."""
    return next((why for part, why in _FAILED.items() if part in text), "connecting failed")
