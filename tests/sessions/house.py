"""The bot in a session: its real Room, with its real Presence, on servers in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.errors import Transient
from bot.matrix.batches import RoomBatch
from bot.presence.presence import Presence
from bot.presence.setting import Setting
from bot.rooms.room import Room
from bot.rooms.shared import Inbox, Shared
from bot.rtc.membership import Focus
from bot.rtc.timing import Timing
from bot.whiteboard.keep import Pace
from bot.whiteboard.message import Update, decode
from tests.fakes.rooms import (
    BOT,
    DEVICE,
    KEY,
    ROOM,
    MemoryArchive,
    board_event,
    member,
    services,
)
from tests.sessions.homeserver import Event, Homeserver
from tests.sessions.script import MAX_PEOPLE
from tests.sessions.sfu import Seat, Sfu

LINGER = 60.0
ANNOUNCED = 0.045
"""Seconds: it sets an attribute after connecting."""
CONNECTING = 0.3
MAX_PAYLOAD = 63_000

Output = list[bytes | str]
"""What the bot wrote, in order: updates, and the event ids of its snapshots."""

POWER = {
    "type": "m.room.power_levels",
    "state_key": "",
    "sender": BOT,
    "content": {"users": {BOT: 0}, "events": {"org.matrix.msc3401.call.member": 0}},
}


@dataclass(frozen=True, slots=True)
class Heard:
    """A packet."""

    identity: str | None
    data: bytes
    at: float


class Wire:
    """A connection of the bot's.

    Attributes:
        heard: the updates that the bot took from it, over all connections.
        wrote: the updates it sent go there.
    """

    def __init__(
        self,
        sfu: Sfu,
        changed: Callable[[], None],
        participant: Callable[[str, bool], None],
        log: tuple[list[bytes], Output],
    ) -> None:
        self.connected = self.refused = False
        self.heard, self.wrote = log
        self._sfu, self._changed = sfu, changed
        self._inbox: asyncio.Queue[Heard] = asyncio.Queue()
        self._seat = Seat(f"{BOT}:{DEVICE}", self._hear, participant)

    async def run(self) -> None:
        await asyncio.sleep(CONNECTING)
        self.connected = True
        self._sfu.join(self._seat, ANNOUNCED)
        self._changed()

    def _hear(self, sender: str | None, data: bytes) -> None:
        self._inbox.put_nowait(Heard(sender, data, asyncio.get_running_loop().time()))

    async def packets(self) -> Sequence[Heard]:
        packets = [await self._inbox.get()]
        while not self._inbox.empty():
            packets.append(self._inbox.get_nowait())
        for packet in packets:
            message = decode(packet.data)
            assert isinstance(message, Update)
            self.heard.append(message.data)
        return packets

    async def publish(self, data: bytes, *, reliable: bool, to: Sequence[str] = ()) -> None:
        if not self.connected or len(data) > MAX_PAYLOAD:
            raise Transient("not sent")
        message = decode(data)
        assert isinstance(message, Update)
        self.wrote.append(message.data)
        self._sfu.send(self._seat, data, reliable=reliable, to=to)

    async def close(self) -> None:
        self.connected = False
        self._sfu.leave(self._seat)


class Places:
    """Room for everything."""

    def claim(self, room_id: str, whiteboard_id: str) -> bool:
        return True

    def release(self, room_id: str, whiteboard_id: str) -> None:
        """Take it back."""


class House:
    """The bot.

    Attributes:
        heard: the updates it heard, in order.
    """

    def __init__(self, homeserver: Homeserver, sfu: Sfu, wrote: Output) -> None:
        self.heard: list[bytes] = []
        self._wrote = wrote
        self._homeserver, self._sfu = homeserver, sfu
        self._inbox: Inbox = asyncio.Queue()
        archive, opened = MemoryArchive(), asyncio.Event()
        opened.set()
        self._shared = Shared(
            homeserver=homeserver,
            archive=archive,
            services=services(archive, [], now_ts=lambda: homeserver.now_ts),
            own_user=BOT,
            own_device=DEVICE,
            presence=lambda room: Presence(room, self._setting()),
            always=False,
            linger=LINGER,
            pace=Pace(),
            prefix="!board",
            power=50,
            languages=("en",),
            open=opened,
            tell_repairs=True,
        )
        self.room = Room(ROOM, self._shared, replaced=lambda _old, _new: None)

    def _setting(self) -> Setting:
        return Setting(
            homeserver=self._homeserver,
            own_user=BOT,
            own_device=DEVICE,
            connect=lambda _room, _url, changed, participant, _seat=None: Wire(
                self._sfu, changed, participant, (self.heard, self._wrote)
            ),
            delayed=lambda: True,
            own_foci=lambda: [Focus("https://sfu.here")],
            allowed=lambda _: True,
            configured_foci=[],
            timing=Timing,
            sfu_grace=20.0,
            now_ts=lambda: self._homeserver.now_ts,
            admission=Places(),
        )

    async def live(self) -> None:
        """Be in the room until cancelled."""
        people = [member(f"@p{number}:here") for number in range(MAX_PEOPLE)]
        self._put(state=(POWER, member(BOT), board_event(), *people))
        self._homeserver.follow(self._take)
        await self.room.run(self._inbox)

    def _take(self, event: Event) -> None:
        self._put(timeline=(event,))

    def _put(self, state: tuple[Any, ...] = (), timeline: tuple[Any, ...] = ()) -> None:
        handled = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait((RoomBatch(ROOM, "join", state, timeline), handled))

    @property
    def settled(self) -> bool:
        """Whether it thinks that the room has everything."""
        return self.room.boards.saving.since(KEY) is None
