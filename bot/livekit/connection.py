"""One LiveKit room joined on one focus, kept joined until closed.

    CONNECTING ──► CONNECTED ◄──► RECONNECTING     the SDK repairs the connection itself
      ▲   │            │               │
      │   ▼            ▼               ▼ after `patience`
      │   └─────────► LOST ◄───────────┘           we start over, with a new token
      └── 0.5–30 s ────┘
      └── 60–90 s ── REFUSED ◄── CONNECTED         somebody wants us out: no fight

    any ──► CLOSED

The SDK's own repair gives up only after 15 to 34 s, and cannot succeed where the SFU has forgotten
the room and only the JWT service may create it again. So it gets a few seconds, then we start over.

`CONNECTED` is told again after each repair by the SDK: packets may have been lost (measured: 1 of
40), and whoever hears it sends and asks for what may be missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from bot import metrics
from bot.backoff import backoff
from bot.errors import AuthLost, ServerError, Transient, UsageError
from bot.livekit import native
from bot.livekit.auth import Grant
from bot.livekit.inbox import Inbox, Packet
from bot.livekit.native import Ending

MAX_DATA = 63_000
"""Bytes of one packet; LiveKit carries 64,000 with its own framing."""
LONGEST_WAIT = 30.0
"""Seconds between two tries at the most."""
STEADY = 10.0
"""Seconds that a connection stands until the next one that breaks is a new matter."""
UNHEARD_FOR = 4.0
"""Seconds until others hear somebody who may not announce himself."""

_LONGEST_ASKED = 600.0
_FLUSH = 0.1
_LEAVE_WITHIN = 0.5
_CLOSE_WITHIN = 0.8


class State(Enum):
    """Where a connection stands; the values are the words for people."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    LOST = "lost"
    REFUSED = "refused"
    CLOSED = "closed"


class JoinedRoom(Protocol):
    """A room we are in; see `native.NativeRoom`."""

    changed: asyncio.Event
    broken_at: float | None
    repairs: int
    ending: Ending | None

    async def announce(self, attributes: Mapping[str, str]) -> bool:
        """Set our attributes."""

    async def publish(self, data: bytes, *, reliable: bool, to: Sequence[str]) -> None:
        """Send a packet."""

    async def leave(self) -> None:
        """Disconnect."""


Join = Callable[
    [Grant, Callable[[Packet], None], Callable[[str, bool], None]], Awaitable[JoinedRoom]
]


class Connection:
    """Joins a LiveKit room and stays until closed.

    Attributes:
        state: where it stands.
        connected_at: since when (`time.monotonic()`) the room is joined; None while it is not.
        audible_at: from when on others hear us; None while not connected. In the future where we
            may not announce ourselves: hold changes back until then, or send the state then.
    """

    def __init__(
        self,
        grant: Callable[[], Awaitable[Grant]],
        *,
        on_state: Callable[[State, str], None],
        attributes: Mapping[str, str],
        on_participant: Callable[[str, bool], None] = lambda _identity, _here: None,
        inbox_limit: int = 10_000,
        inbox_bytes: int = 32 * 1024 * 1024,
        patience: float = 5.0,
        refused_for: float = 60.0,
        random: Callable[[], float] = random.random,
        join: Join = native.join,
    ) -> None:
        """Prepare; made in the event loop that runs it.

        Args:
            grant: gets a fresh token; its `ServerError`s are retried, `AuthLost` ends the run.
            on_state: hears each state and, where something went wrong, why, in words for people.
            attributes: set on our participant at once, which has others hear us at once.
            on_participant: hears identities come (True) and go (False); all go when the room does.
            inbox_limit: packets kept at the most until they are taken.
            inbox_bytes: of their data at the most.
            patience: seconds that the SDK has to repair a broken connection.
            refused_for: seconds to stay away, at least, when somebody wants us out.
            random: in [0, 1).
            join: joins a room.
        """
        self.state = State.CONNECTING
        self.connected_at: float | None = None
        self.audible_at: float | None = None
        self._grant = grant
        self._on_state = on_state
        self._on_participant = on_participant
        self._attributes = attributes
        self._inbox = Inbox(inbox_limit, inbox_bytes)
        self._patience = patience
        self._refused_for = refused_for
        self._random = random
        self._join = join
        self._room: JoinedRoom | None = None
        self._present: set[str] = set()
        self._published_at = float("-inf")
        self._keeping: asyncio.Task[None] | None = None
        self._closing = False
        self._counted: State | None = None  # as what, in the metrics

    @property
    def connected(self) -> bool:
        """Whether packets come and go."""
        return self._room is not None and self.state is State.CONNECTED

    @property
    def refused(self) -> bool:
        """Whether we stay away, as somebody wants us out."""
        return self.state is State.REFUSED

    @property
    def received(self) -> int:
        """Packets taken in since it was made."""
        return self._inbox.received

    @property
    def dropped(self) -> int:
        """Packets dropped since it was made, for want of room in the inbox."""
        return self._inbox.dropped

    def participants(self) -> set[str]:
        """Return the LiveKit identities in the room, without ours and those not announced yet."""
        return set(self._present)

    async def run(self) -> None:
        """Join, and join again, until closed or cancelled; once only.

        Raises:
            AuthLost: by `grant`.
        """
        if self._closing:
            return
        self._keeping = asyncio.create_task(self._keep())
        try:
            await self._keeping
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closing or (task is not None and task.cancelling()):
                raise
        finally:
            self._closing = True
            self._enter(State.CLOSED)

    async def packets(self) -> list[Packet]:
        """Wait for packets and return the oldest, in order of arrival; for one task only.

        They may be of an earlier joining of the room. After `close` it returns what is left and
        then waits for ever: cancel it.
        """
        return await self._inbox.take()

    async def publish(self, data: bytes, *, reliable: bool, to: Sequence[str] = ()) -> None:
        """Send a packet with an empty topic; returns when it is queued, not when it arrives.

        Args:
            data: at most `MAX_DATA` bytes.
            reliable: NeoBoard sends everything unreliably, and takes both.
            to: identities; none means all.

        Raises:
            Transient: there is no connection now.
            UsageError: it is too large.
        """
        if len(data) > MAX_DATA:
            raise UsageError(f"A packet holds at most {MAX_DATA} bytes: write a snapshot instead.")
        if self._room is None or not self.connected:
            raise Transient("not connected to LiveKit")
        await self._room.publish(data, reliable=reliable, to=to)
        self._published_at = time.monotonic()

    async def close(self) -> None:
        """Leave the room and end `run`, within a second."""
        if self.connected and time.monotonic() - self._published_at < 1.0:
            await asyncio.sleep(_FLUSH)
        self._closing = True
        if self._keeping is None:
            self._enter(State.CLOSED)
            return
        self._keeping.cancel()
        await asyncio.wait({self._keeping}, timeout=_CLOSE_WITHIN)

    async def _keep(self) -> None:
        waits = backoff(self._random, cap=LONGEST_WAIT)
        while True:
            self._enter(State.CONNECTING)
            try:
                grant = await self._grant()
                room = await self._join(grant, self._inbox.put, self._participant)
            except AuthLost:
                raise
            except ServerError as error:
                self._enter(State.LOST, str(error))
                asked = error.retry_after if isinstance(error, Transient) else None
                await asyncio.sleep(max(next(waits), min(asked or 0.0, _LONGEST_ASKED)))
                continue
            except Exception as error:  # noqa: BLE001 - any member may name a service of his own
                self._enter(State.LOST, f"the service made us fail ({type(error).__name__})")
                await asyncio.sleep(next(waits))
                continue
            joined_at = time.monotonic()
            ending = await self._hold(room, grant)
            if time.monotonic() - joined_at >= STEADY:
                waits = backoff(self._random, cap=LONGEST_WAIT)
            if ending.refused:
                self._enter(State.REFUSED, ending.reason)
                await asyncio.sleep(self._refused_for * (1 + self._random() / 2))
            else:
                self._enter(State.LOST, ending.reason)
                await asyncio.sleep(next(waits))

    async def _hold(self, room: JoinedRoom, grant: Grant) -> Ending:
        """Stay in a room until it ends, and leave it."""
        repairs = -1
        try:
            while True:
                room.changed.clear()
                if room.ending is not None:
                    return room.ending
                if room.broken_at is not None:
                    self._enter(State.RECONNECTING)
                elif room.repairs != repairs:
                    repairs = room.repairs
                    await self._stand(room, grant)
                try:
                    async with asyncio.timeout(self._patience_left(room)):
                        await room.changed.wait()
                except TimeoutError:
                    return Ending(refused=False, reason="the connection to LiveKit broke")
        finally:
            self._room = self.connected_at = self.audible_at = None
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LEAVE_WITHIN):
                        await asyncio.shield(room.leave())
            finally:
                for identity in list(self._present):
                    self._participant(identity, False)

    async def _stand(self, room: JoinedRoom, grant: Grant) -> None:
        """Announce ourselves, then say that we are there."""
        # Where it is not allowed, it seems to work all the same.
        announced = grant.may_announce and await room.announce(self._attributes)
        if room.ending is None and room.broken_at is None:
            now = time.monotonic()
            self._room = room
            self.connected_at = self.connected_at or now
            self.audible_at = now if announced else now + UNHEARD_FOR
            self._enter(State.CONNECTED)

    def _patience_left(self, room: JoinedRoom) -> float | None:
        if room.broken_at is None:
            return None
        return max(0.0, room.broken_at + self._patience - time.monotonic())

    def _participant(self, identity: str, here: bool) -> None:  # noqa: FBT001 - a callback
        if here:
            self._present.add(identity)
        else:
            self._present.discard(identity)
        self._on_participant(identity, here)

    def _enter(self, state: State, reason: str = "") -> None:
        self.state = state
        if self._counted is not None:
            metrics.CONNECTIONS.labels(self._counted.value).dec()
        self._counted = None if state is State.CLOSED else state
        if self._counted is not None:
            metrics.CONNECTIONS.labels(state.value).inc()
        self._on_state(state, reason)
