"""The bounded queue of a live lane.

At its bound the document updates in it are merged into one, and of cursors, focus and presenting
only each sender's latest stays.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from bot.handlers.base import CursorMoved, DocumentUpdate, Event, Focused, Presented
from bot.handlers.events import merged


@dataclass(slots=True)
class Tally:
    """What happened in the live lanes of one handler so far.

    Attributes:
        dropped: events lost because a queue was full of what cannot be condensed.
        condensed: events that a later or a merged one stands for.
        failures: calls that failed.
        last_error: its kind and where; empty without any.
        last_error_ts: when, ms since 1970.
    """

    dropped: int = 0
    condensed: int = 0
    failures: int = 0
    last_error: str = ""
    last_error_ts: int | None = None


class Queue:
    """A lane's bounded queue.

    Args:
        tally: counts what is condensed and dropped.
        limit: events; at it the queue is condensed.
        max_bytes: of update bytes held; likewise, or at twice what was left then.
    """

    def __init__(
        self, tally: Tally | None = None, *, limit: int = 1000, max_bytes: int = 8 * 2**20
    ) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._bound = max_bytes  # where it is condensed next: it may not become smaller by that
        self._tally = tally or Tally()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def oldest_ts(self) -> int | None:
        """When the event happened that waits longest, ms since 1970; None when none waits."""
        return self._events[0].ts if self._events else None

    def put(self, event: Event) -> None:
        """Add an event; condense first when the queue is full."""
        self._events.append(event)
        self._bytes += _size(event)
        if len(self._events) > self._limit or self._bytes > self._bound:
            self._condense()

    def take(self) -> Event:
        """Remove and return the oldest event.

        Raises:
            IndexError: the queue is empty.
        """
        event = self._events.popleft()
        self._bytes -= _size(event)
        if self._bytes <= self._max_bytes:
            self._bound = self._max_bytes
        return event

    def _condense(self) -> None:
        """Merge updates, keep each sender's latest signal, then drop the oldest if need be."""
        updates = [event for event in self._events if isinstance(event, DocumentUpdate)]
        latest = {_signal(event): event for event in self._events if _signal(event)}
        kept: deque[Event] = deque()
        for event in self._events:
            if isinstance(event, DocumentUpdate):
                if event is updates[-1]:
                    kept.append(merged(updates))
            elif not _signal(event) or latest[_signal(event)] is event:
                kept.append(event)
        self._tally.condensed += len(self._events) - len(kept)
        while len(kept) > self._limit:
            kept.popleft()
            self._tally.dropped += 1
        self._events = kept
        # The merged update is what the board holds at the most: bounded by the document's size.
        # Merging it again with every stroke would hold up who brings them.
        self._bytes = sum(map(_size, kept))
        self._bound = max(self._max_bytes, 2 * self._bytes)


def _size(event: Event) -> int:
    return len(event.update) if isinstance(event, DocumentUpdate) else 0


def _signal(event: Event) -> tuple[type[Event], str | None] | None:
    if isinstance(event, CursorMoved | Focused | Presented):
        return type(event), event.sender
    return None
