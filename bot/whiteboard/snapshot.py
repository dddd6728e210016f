"""Snapshots: a document's whole state, written to the room as events.

    net.nordeck.whiteboard.document.snapshot {chunkCount}  --m.reference-->  the document's event
    net.nordeck.whiteboard.document.chunk {documentId, sequenceNumber, data}
                                                           --m.reference-->  the snapshot's event

The `Assembler` makes a Snapshot out of its events. NeoBoard asks only that as many distinct
sequence numbers are there as announced; anybody's chunks count. We ask more: all by the
snapshot's own sender, numbered 0..n-1 (a stranger's chunk must not change somebody's snapshot).
NeoBoard: docs/model/matrix-events; `documentSnapshotApi`.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.errors import InvalidSnapshot

SNAPSHOT_TYPE = "net.nordeck.whiteboard.document.snapshot"
CHUNK_TYPE = "net.nordeck.whiteboard.document.chunk"

CHUNK_BYTES = 34_000
"""Raw bytes of a chunk: 45,336 in base64, below Matrix' 64 KiB even when encrypted."""

MAX_BYTES = 20 * 1024 * 1024
"""Bytes of a snapshot that is taken in at all."""

_DONE = 256  # completed snapshots remembered, so that duplicates of their events are harmless


@dataclass(frozen=True, slots=True)
class SnapshotEvent:
    """Announces a snapshot of `chunk_count` chunks."""

    event_id: str
    sender: str
    ts: int
    document_id: str
    chunk_count: int


@dataclass(frozen=True, slots=True)
class ChunkEvent:
    """One piece of a snapshot."""

    sender: str
    document_id: str
    snapshot_id: str
    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A complete snapshot.

    Attributes:
        event_id: of the snapshot event.
        sender: who wrote it.
        ts: the snapshot event's `origin_server_ts`, ms.
        document_id: the document it is of.
        data: the whole state, an encoded Yjs update; not looked at yet. Of one that is larger than
            it may be, some of it that is: whoever is given it can tell.
    """

    event_id: str
    sender: str
    ts: int
    document_id: str
    data: bytes


def split(data: bytes) -> list[bytes]:
    """Cut a state into the data of its chunks; at least one."""
    return [data[start : start + CHUNK_BYTES] for start in range(0, len(data) or 1, CHUNK_BYTES)]


def snapshot_content(document_id: str, chunk_count: int) -> dict[str, Any]:
    """Return the content of a snapshot event."""
    return {"chunkCount": chunk_count, "m.relates_to": _reference(document_id)}


def chunk_content(document_id: str, snapshot_id: str, number: int, data: bytes) -> dict[str, Any]:
    """Return the content of a chunk event; `number` counts from 0."""
    return {
        "documentId": document_id,
        "sequenceNumber": number,
        "data": b2a_base64(data, newline=False).decode(),
        "m.relates_to": _reference(snapshot_id),
    }


def _reference(event_id: str) -> dict[str, str]:
    return {"rel_type": "m.reference", "event_id": event_id}


def read_snapshot(event: Mapping[str, Any]) -> SnapshotEvent:
    """Read a snapshot event.

    Raises:
        InvalidSnapshot: a field is missing or wrong (a redacted one has none).
    """
    content = _content(event, SNAPSHOT_TYPE)
    return SnapshotEvent(
        event_id=_text(event, "event_id"),
        sender=_text(event, "sender"),
        ts=_count(event, "origin_server_ts"),
        document_id=_target(content),
        chunk_count=_count(content, "chunkCount", least=1),
    )


def read_chunk(event: Mapping[str, Any]) -> ChunkEvent:
    """Read a chunk event.

    Raises:
        InvalidSnapshot: a field is missing or wrong, or the data is not padded base64.
    """
    content = _content(event, CHUNK_TYPE)
    try:
        data = a2b_base64(_text(content, "data"), strict_mode=True)
    except (Base64Error, ValueError) as error:
        raise InvalidSnapshot("data is not base64") from error
    return ChunkEvent(
        sender=_text(event, "sender"),
        document_id=_text(content, "documentId"),
        snapshot_id=_target(content),
        number=_count(content, "sequenceNumber"),
        data=data,
    )


def _content(event: Mapping[str, Any], event_type: str) -> Mapping[str, Any]:
    content = event.get("content")
    if event.get("type") != event_type or not isinstance(content, Mapping):
        raise InvalidSnapshot("not such an event")
    return content


def _text(mapping: Mapping[str, Any], key: str) -> str:
    value = mapping.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidSnapshot(f"{key} is missing")
    return value


def _count(mapping: Mapping[str, Any], key: str, *, least: int = 0) -> int:
    value = mapping.get(key)
    if type(value) is not int or not least <= value < 2**53:
        raise InvalidSnapshot(f"{key} is not a count")
    return value


def _target(content: Mapping[str, Any]) -> str:
    relation = content.get("m.relates_to")
    if not isinstance(relation, Mapping) or relation.get("rel_type") != "m.reference":
        raise InvalidSnapshot("refers to nothing")
    return _text(relation, "event_id")


@dataclass(slots=True)
class _Open:
    """A snapshot that is not complete; its event may still be missing."""

    since: float
    event: SnapshotEvent | None = None
    chunks: dict[int, bytes] = field(default_factory=dict)
    size: int = 0


_Key = tuple[str, str, str]  # snapshot id, sender, document id: who differs never meets


class Assembler:
    """Makes Snapshots out of snapshot and chunk events, in whatever order they come.

    Bounded: when too much is open, the oldest of whoever has most open goes first, so that a
    flood by one sender does not cost the snapshots of others.

    Args:
        max_bytes: of one snapshot; all open ones together may have twice as many.
        max_open: snapshots open at once.
        max_age: seconds after which an open one is given up.
    """

    def __init__(
        self, max_bytes: int = MAX_BYTES, max_open: int = 64, max_age: float = 3600.0
    ) -> None:
        self._max_bytes = max_bytes
        self._max_chunks = max_bytes // 1024 + 1  # 33 times what NeoBoard's size of chunk needs
        self._max_open = max_open
        self._max_age = max_age
        self._open: dict[_Key, _Open] = {}  # in order of `since`
        self._done: dict[_Key, None] = {}
        self._size = 0

    def add(self, event: Mapping[str, Any], now: float) -> Snapshot | None:
        """Take a snapshot or chunk event.

        Args:
            event: raw; duplicates are harmless.
            now: monotonic seconds.

        Returns:
            The Snapshot, when this event completes one, or makes it larger than it may be.

        Raises:
            InvalidSnapshot: the event is malformed, or what it belongs to exceeds the bounds.
        """
        self._forget_old(now)
        if event.get("type") == CHUNK_TYPE:
            chunk = read_chunk(event)
            if chunk.number >= self._max_chunks:
                raise InvalidSnapshot("numbered beyond what a snapshot may have")
            key = (chunk.snapshot_id, chunk.sender, chunk.document_id)
            opened = self._opened(key, now)
            if opened is not None:
                self._keep(key, opened, chunk.number, chunk.data)
        else:
            announced = read_snapshot(event)
            if announced.chunk_count > self._max_chunks:
                raise InvalidSnapshot("announces too many chunks")
            key = (announced.event_id, announced.sender, announced.document_id)
            opened = self._opened(key, now)
            if opened is not None:
                opened.event = announced
        return self._complete(key)

    def missing(self, snapshot_id: str) -> frozenset[int]:
        """Return the numbers of the chunks an announced snapshot lacks; empty when unknown."""
        for key, opened in self._open.items():
            if key[0] == snapshot_id and opened.event is not None:
                return frozenset(range(opened.event.chunk_count)) - opened.chunks.keys()
        return frozenset()

    def _opened(self, key: _Key, now: float) -> _Open | None:
        if key in self._done:
            return None
        opened = self._open.get(key)
        if opened is None:
            opened = self._open[key] = _Open(since=now)
            if len(self._open) > self._max_open:
                self._give_up_one()
        return opened

    def _keep(self, key: _Key, opened: _Open, number: int, data: bytes) -> None:
        if number in opened.chunks:
            return  # the first one counts, as in NeoBoard
        opened.chunks[number] = data
        opened.size += len(data)
        self._size += len(data)
        if opened.size > self._max_bytes and not self._is_too_large(opened):
            self._drop(key)
            raise InvalidSnapshot("larger than a snapshot may be")
        while self._size > 2 * self._max_bytes:
            self._give_up_one()

    def _is_too_large(self, opened: _Open) -> bool:
        """Return whether it is a snapshot, as far as that can be told, and not too many chunks."""
        count = 0 if opened.event is None else opened.event.chunk_count
        its_own = sum(len(data) for number, data in opened.chunks.items() if number < count)
        return its_own > self._max_bytes

    def _complete(self, key: _Key) -> Snapshot | None:
        opened = self._open.get(key)
        if opened is None or opened.event is None:
            return None
        numbers = range(opened.event.chunk_count)
        missing = len(opened.chunks) < len(numbers) or any(n not in opened.chunks for n in numbers)
        if missing and opened.size <= self._max_bytes:
            return None
        event = opened.event
        data = b"".join(opened.chunks[n] for n in sorted(opened.chunks) if n in numbers)
        self._drop(key)
        self._done[key] = None
        if len(self._done) > _DONE:
            del self._done[next(iter(self._done))]
        return Snapshot(event.event_id, event.sender, event.ts, event.document_id, data)

    def _forget_old(self, now: float) -> None:
        while self._open:
            key, opened = next(iter(self._open.items()))
            if now - opened.since < self._max_age:
                return
            self._drop(key)

    def _give_up_one(self) -> None:
        held: dict[str, int] = {}
        for (_, sender, _), opened in self._open.items():
            held[sender] = held.get(sender, 0) + opened.size + CHUNK_BYTES
        most = max(held, key=held.__getitem__)
        self._drop(next(key for key in self._open if key[1] == most))

    def _drop(self, key: _Key) -> None:
        self._size -= self._open.pop(key).size
