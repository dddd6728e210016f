"""Hearing: packets of a connection become messages with a name.

Everything from peers is bounded here before it is decoded (DESIGN rule 5), and named by the room's
memberships alone (rule 4): who is in no membership has no name, and nothing is guessed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Protocol

from bot import metrics
from bot.errors import InvalidMessage
from bot.presence.nameless import Nameless
from bot.services import Arrival, Origin
from bot.whiteboard.message import Message, Update, decode

UNKNOWN_FOR = 4.0
"""Seconds a packet waits for the membership of its sender, which may be on its way."""
STRANGE_FOR = 30.0
"""Likewise where without one nobody is heard at all: it may come from another server."""
MAX_UNKNOWN = 2_000
"""Packets that wait so at the most; beyond, the oldest have waited long enough."""
MAX_UNKNOWN_BYTES = 8 * 2**20
"""Bytes of them, likewise."""
WINDOW = 4
"""Seconds over which a sender's packets are counted: after a stall of the network those of several
seconds come at once."""
MAX_IN_WINDOW = 20_000
"""Packets taken of one sender in that time; the rest is dropped and counted."""

Names = Mapping[str, tuple[str, str]]
"""Who is behind a LiveKit identity: user id and device id."""


class Packet(Protocol):
    """A packet as the connection hands it over."""

    @property
    def identity(self) -> str | None:
        """The LiveKit identity of its sender; None while the server has not announced him."""

    @property
    def data(self) -> bytes:
        """Its bytes."""

    @property
    def at(self) -> float:
        """When it arrived, monotonic seconds."""


class Hearing:
    """Turns packets into arrivals.

    Args:
        names: computes who is behind each identity now.
        deliver: takes the arrivals, in order.
        now_ts: ms by the homeserver's clock.
        origin: what the connection tells of them.
        strangers: whether those are heard who are in no membership, without a name. Clients of the
            legacy profile do that; to those of the sticky one nobody speaks but its members.
    """

    def __init__(
        self,
        names: Callable[[], Names],
        deliver: Callable[[Sequence[Arrival]], None],
        now_ts: Callable[[], int],
        origin: Origin,
        *,
        strangers: bool = True,
    ) -> None:
        self._compute_names = names
        self._deliver = deliver
        self._now_ts = now_ts
        self._origin = origin
        self._strangers = strangers
        self._patience = UNKNOWN_FOR if strangers else STRANGE_FOR
        self._gone: dict[str, tuple[tuple[str, str], float]] = {}
        self._nameless: Nameless[Packet] = Nameless()
        self._known: Names = {}
        self._changed_at: float | None = monotonic()  # when they may have, if not looked at since
        self._waiting: deque[tuple[Packet, Message]] = deque()
        self._rates: dict[str | None, int] = {}
        self._window = 0

    @property
    def due(self) -> float | None:
        """When a waiting packet has waited long enough, monotonic; None when none waits."""
        named = self._waiting[0][0].at + self._patience if self._waiting else None
        nameless = self._nameless.due
        return named if nameless is None else min(nameless, named or nameless)

    def memberships_changed(self) -> None:
        """Name senders anew from now on; what those sent who have just gone is still theirs."""
        if self._changed_at is None:
            self._changed_at = monotonic()

    def came(self, identity: str) -> None:
        """Hear of somebody whom the server has announced just now."""
        self._nameless.came(identity, monotonic())

    def take(self, packets: Sequence[Packet]) -> None:
        """Take packets in the order they arrived."""
        self.settle()  # first what came earlier, perhaps of the same sender
        arrivals = []
        for packet in packets:
            message = self._read(packet)
            if message is None:
                continue
            if packet.identity is None and not self._strangers:
                self._keep_nameless(packet, message)
            elif packet.identity is not None and self._name(packet.identity) is None:
                self._waiting.append((packet, message))
            else:
                arrivals.append(self._arrival(packet, message))
        size = sum(len(packet.data) for packet, _ in self._waiting)
        while len(self._waiting) > MAX_UNKNOWN or size > MAX_UNKNOWN_BYTES:
            packet, message = self._waiting.popleft()
            size -= len(packet.data)
            arrivals.append(self._arrival(packet, message))
        self._hand_over(arrivals)

    def settle(self) -> None:
        """Let packets go whose sender is known by now, or that have waited long enough."""
        if not self._waiting and self._nameless.due is None:
            return
        late = monotonic() - self._patience
        arrivals: list[Arrival] = []
        still: deque[tuple[Packet, Message]] = deque()
        for packet, message in self._waiting:
            if packet.at <= late or self._name(packet.identity) is not None:
                arrivals.append(self._arrival(packet, message))
            else:
                still.append((packet, message))
        self._waiting = still
        self._hand_over(arrivals)
        self._settle_nameless()

    def _hand_over(self, arrivals: Sequence[Arrival]) -> None:
        heard = [one for one in arrivals if self._strangers or one.sender is not None]
        if len(heard) < len(arrivals):
            metrics.PACKETS.labels("stranger").inc(len(arrivals) - len(heard))
        if heard:
            self._deliver(heard)

    def _keep_nameless(self, packet: Packet, message: Message) -> None:
        if not isinstance(message, Update) or not self._nameless.keep(packet, message):
            metrics.PACKETS.labels("stranger").inc()

    def _settle_nameless(self) -> None:
        heard, strangers = self._nameless.take(
            monotonic(), lambda identity: self._name(identity) is not None
        )
        metrics.PACKETS.labels("stranger").inc(strangers)
        if heard:
            self._deliver([self._arrival(packet, message) for packet, message in heard])

    def _read(self, packet: Packet) -> Message | None:
        window = int(packet.at) // WINDOW
        if window != self._window:
            self._window = window
            self._rates.clear()
        seen = self._rates[packet.identity] = self._rates.get(packet.identity, 0) + 1
        if seen > MAX_IN_WINDOW:
            metrics.PACKETS.labels("too_many").inc()
            return None
        try:
            return decode(packet.data)
        except InvalidMessage:
            metrics.PACKETS.labels("invalid").inc()
            return None

    @property
    def names(self) -> Names:
        """Who is behind each identity, as of the last change of memberships."""
        if self._changed_at is not None:
            before, self._known = self._known, self._compute_names()
            until, self._changed_at = self._changed_at + UNKNOWN_FOR, None
            now = monotonic()
            self._gone = {who: gone for who, gone in self._gone.items() if gone[1] > now}
            self._gone |= {who: (before[who], until) for who in before.keys() - self._known.keys()}
        return self._known

    def _name(self, identity: str | None) -> tuple[str, str] | None:
        """Return who is behind an identity, or was until just now."""
        if identity is None:
            return None
        known = self.names.get(identity)
        gone = self._gone.get(identity) if known is None else None
        return gone[0] if gone is not None and gone[1] > monotonic() else known

    def _arrival(self, packet: Packet, message: Message) -> Arrival:
        user, device = self._name(packet.identity) or (None, None)
        age_ms = int((monotonic() - packet.at) * 1000)
        return Arrival(message, user, device, self._now_ts() - age_ms, packet.data, self._origin)
