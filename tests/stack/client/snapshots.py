"""Snapshots as a NeoBoard client puts them together from the room's events."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.stack.client.events import CHUNK, SNAPSHOT


@dataclass(slots=True)
class Snapshot:
    """A snapshot with the chunks seen of it; whoever sent them."""

    event_id: str
    sender: str
    ts: int
    chunk_count: int
    chunks: dict[int, bytes] = field(default_factory=dict)

    @property
    def data(self) -> bytes | None:
        """The document, when it is complete."""
        if len(self.chunks) != self.chunk_count:
            return None
        return b"".join(self.chunks[number] for number in sorted(self.chunks))


class Backlog:
    """Gathers the snapshots of one document as their events come, in any order.

    Args:
        document_id: of the board.
    """

    def __init__(self, document_id: str) -> None:
        self._document_id = document_id
        self._snapshots: dict[str, Snapshot] = {}
        self._early: dict[str, list[Mapping[str, Any]]] = {}
        self._accepted_ts = 0

    def add(self, event: Mapping[str, Any]) -> Snapshot | None:
        """Takes a snapshot or chunk event; returns the snapshot that it completes."""
        parent = _parent(event)
        if event["origin_server_ts"] <= self._accepted_ts or parent is None:
            return None
        if event["type"] == SNAPSHOT:
            return self._announced(event) if parent == self._document_id else None
        if event["type"] != CHUNK or event["content"].get("documentId") != self._document_id:
            return None
        if parent in self._snapshots:
            return self._filled(self._snapshots[parent], event)
        self._early.setdefault(parent, []).append(event)
        return None

    def accept(self, snapshot: Snapshot) -> None:
        """Says that a snapshot was good: what is not newer does not count any more."""
        self._accepted_ts = max(self._accepted_ts, snapshot.ts)
        for old in [old for old in self._snapshots.values() if old.ts <= self._accepted_ts]:
            del self._snapshots[old.event_id]
            self._early.pop(old.event_id, None)

    def _announced(self, event: Mapping[str, Any]) -> Snapshot | None:
        count = event["content"].get("chunkCount")
        if not isinstance(count, int) or event["event_id"] in self._snapshots:
            return None
        snapshot = Snapshot(event["event_id"], event["sender"], event["origin_server_ts"], count)
        self._snapshots[snapshot.event_id] = snapshot
        complete = None
        for chunk in self._early.pop(snapshot.event_id, []):
            complete = self._filled(snapshot, chunk) or complete
        return complete

    def _filled(self, snapshot: Snapshot, event: Mapping[str, Any]) -> Snapshot | None:
        number, data = event["content"].get("sequenceNumber"), _data(event)
        if type(number) is not int or number < 0 or not data or number in snapshot.chunks:
            return None
        snapshot.chunks[number] = data
        return snapshot if snapshot.data is not None else None


def _parent(event: Mapping[str, Any]) -> str | None:
    relation = event["content"].get("m.relates_to")
    if not isinstance(relation, dict) or relation.get("rel_type") != "m.reference":
        return None
    parent = relation.get("event_id")
    return parent if isinstance(parent, str) else None


def _data(event: Mapping[str, Any]) -> bytes:
    data = event["content"].get("data")
    try:
        return base64.b64decode(data, validate=True) if isinstance(data, str) else b""
    except binascii.Error:
        return b""
