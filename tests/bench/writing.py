"""What the bot writes in an hour of drawing, beside what the clients write. Counted, not timed.

People finish an action every few seconds for an hour of virtual time. Their clients do what real
ones were seen to do: one packet per action, a snapshot 5 s after the first action that is not in
one. The bot's `Keep` says when it saves, and what was drawn is collected and merged for as long as
`Repeating` does it. Cursors are left out on both sides, and nobody comes or goes. Once all clients'
snapshots arrive, once none does (chunks refused, tabs closed): the most the bot ever writes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from bot.boards.repeating import AFTER
from bot.whiteboard.document import Document
from bot.whiteboard.keep import Keep, Pace
from bot.whiteboard.update import merge_updates
from tests.bench.drawing import PEOPLE, Drawing
from tests.bench.results import Result
from tests.stack.client.events import chunk_contents, snapshot_content, update_packet

_HOUR = 3600.0
_EVERY = 10.0
"""Seconds between two actions of one person, on average."""
_SAVED_AFTER = 5.0
_ARRIVES_AFTER = 0.5
_STEP = 0.1
_ID = "$" + "d" * 43


@dataclass(slots=True)
class Written:
    """What somebody wrote: packets to LiveKit, events to the homeserver, bytes of each."""

    packets: int = 0
    packet_bytes: int = 0
    events: int = 0
    event_bytes: int = 0

    def publish(self, updates: Sequence[bytes]) -> None:
        """Count a packet."""
        self.packets += 1
        self.packet_bytes += len(update_packet(_ID, merge_updates(updates)))

    def save(self, state: bytes) -> None:
        """Count a snapshot's events, by their contents."""
        contents = chunk_contents(_ID, _ID, state)
        for content in (snapshot_content(_ID, len(contents)), *contents):
            self.events += 1
            self.event_bytes += len(json.dumps(content))


class _Hour:
    """An hour on one board.

    Args:
        they_save: whether the clients' snapshots get into the room.
    """

    def __init__(self, *, they_save: bool) -> None:
        self.clients, self.bot = Written(), Written()
        self._they_save = they_save
        self._document = Document()
        self._keep = Keep(Pace())
        self._since: float | None = None
        self._saves: dict[int, float] = {}  # who is about to save: when
        self._open: tuple[float, float] | None = None  # a snapshot on its way: begun, complete
        self._repeat: list[bytes] = []
        self._repeat_at = 0.0

    def run(self) -> None:
        """Let it pass."""
        pick = Random(8)
        drawing = Drawing(seed=8)
        likely = _STEP / _EVERY
        for step in range(int(_HOUR / _STEP)):
            now = step * _STEP
            for person in range(PEOPLE):
                if pick.random() < likely:
                    self._drawn(person, drawing.draw(1), now)
            self._clients_save(now)
            self._bot_writes(now)

    def _drawn(self, person: int, updates: list[bytes], now: float) -> None:
        for update in updates:
            self._document.apply([update])
            self.clients.publish([update])
            self._saves.setdefault(person, now + _SAVED_AFTER)
            self._note(now)
            if not self._repeat:
                self._repeat_at = now + AFTER
            self._repeat.append(update)

    def _note(self, since: float | None) -> None:
        if since is None or self._since is None:
            self._since = since
            self._keep.unsaved(since)

    def _clients_save(self, now: float) -> None:
        for person in [one for one, at in self._saves.items() if at <= now]:
            del self._saves[person]
            self.clients.save(self._document.encode())
            if self._they_save:
                self._keep.begun(_ID, now)
                self._open = now, now + _ARRIVES_AFTER
        if self._open is not None and self._open[1] <= now:
            begun, self._open = self._open[0], None
            self._keep.ended(_ID)
            # What was drawn while it was on its way has a saver of its own.
            later = [at - _SAVED_AFTER for at in self._saves.values() if at - _SAVED_AFTER > begun]
            self._note(None)
            if later:
                self._note(min(later))

    def _bot_writes(self, now: float) -> None:
        if self._repeat and self._repeat_at <= now:
            self.bot.publish(self._repeat)
            self._repeat = []
        due = self._keep.due(now)
        if due is not None and due <= now:
            state = self._document.encode()
            self.bot.save(state)
            self._keep.wrote(len(state), now)
            self._note(None)


def measure() -> list[Result]:
    """Count both hours."""
    calm, worst = _Hour(they_save=True), _Hour(they_save=False)
    for hour in (calm, worst):
        hour.run()
    return [
        _result("write_packets", "packets/h", calm.bot.packets, calm.clients.packets),
        _result("write_packets_kB", "kB/h", calm.bot.packet_bytes, calm.clients.packet_bytes, 1e3),
        _result("write_events", "events/h", calm.bot.events, calm.clients.events),
        _result("write_events_kB", "kB/h", calm.bot.event_bytes, calm.clients.event_bytes, 1e3),
        _result("write_events_alone", "events/h", worst.bot.events, worst.clients.events),
        _result(
            "write_events_alone_kB", "kB/h", worst.bot.event_bytes, worst.clients.event_bytes, 1e3
        ),
    ]


def _result(name: str, unit: str, bot: int, clients: int, scale: float = 1.0) -> Result:
    return Result(name, unit, ours=[bot / scale], reference=[clients / scale])
