"""A recorded session of real clients: what they sent, in order, ready to be sent again."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.stack.client.events import CHUNK, CREATE, PREFIX, SNAPSHOT, stringify
from tests.stack.client.members import read_identity
from tests.stack.client.yjs import replace_text

UPDATE = PREFIX + "document_update"
_TURN = 0.2  # with two busy cores packets took up to 0.09 s
UNKNOWN = "?"
"""Stands for a sender that was not announced yet."""


@dataclass(frozen=True, slots=True)
class SentPacket:
    """One packet of the data channel.

    Attributes:
        ts: when it was received, ms since 1970.
        sender: localpart of who sent it, or `UNKNOWN`.
        type: without `net.nordeck.whiteboard.`.
        payload: the packet.
        reliable: whether it came through the reliable channel.
    """

    ts: float
    sender: str
    type: str
    payload: bytes
    reliable: bool

    @property
    def update(self) -> bytes | None:
        """The change of the document, when it is one."""
        if self.type != "document_update":
            return None
        return base64.b64decode(json.loads(self.payload)["content"]["data"])


@dataclass(frozen=True, slots=True)
class SentSnapshot:
    """One snapshot; `ts` is when its last chunk was written."""

    ts: float
    sender: str
    data: bytes


Sent = SentPacket | SentSnapshot


@dataclass(frozen=True, slots=True)
class Recording:
    """What people sent on one board.

    Attributes:
        version: of the document: `0` or `1`.
        document_id: as the packets name it.
        sent: packets and snapshots in the order of their times.
        files: picture address → bytes, from the client's export.
        export: the client's export.
    """

    version: str
    document_id: str
    sent: Sequence[Sent]
    files: Mapping[str, bytes]
    export: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Recording:
        """Reads livekit.jsonl, timeline.json and export.nwb of a folder."""
        export = json.loads((folder / "export.nwb").read_bytes())
        rows = [json.loads(line) for line in (folder / "livekit.jsonl").read_text().splitlines()]
        events = json.loads((folder / "timeline.json").read_bytes())
        packets = [_packet(row) for row in rows if row["ev"] == "data"]
        document_id = next(event["event_id"] for event in events if event["type"] == CREATE)
        return cls(
            version=str(int(export["version"].rpartition("@v")[2]) - 1),
            document_id=document_id,
            sent=sorted([*packets, *_snapshots(events)], key=lambda one: one.ts),
            files={
                file["mxc"]: base64.b64decode(file["data"])
                for file in export["whiteboard"].get("files", [])
            },
            export=export,
        )

    def of(
        self, people: Sequence[str], until_ts: float | None = None, *, snapshots: bool = True
    ) -> list[Sent]:
        """What these people sent up to and including an instant."""
        return [
            one
            for one in self.sent
            if one.sender in people
            and (until_ts is None or one.ts <= until_ts)
            and (snapshots or isinstance(one, SentPacket))
        ]

    def moved(self, one: Sent, document_id: str, pictures: Mapping[str, str]) -> Sent:
        """The same for another document whose pictures have other addresses.

        Every other byte stays as recorded, except that the lengths of the texts follow.
        """
        if isinstance(one, SentSnapshot):
            return replace(one, data=_with_pictures(one.data, pictures))
        payload = one.payload
        if one.update is not None:
            message = json.loads(payload)
            message["content"]["documentId"] = document_id
            data = _with_pictures(one.update, pictures)
            message["content"]["data"] = base64.b64encode(data).decode()
            payload = stringify(message).encode()
        return replace(one, payload=payload)


def pauses(sent: Sequence[Sent], speed: float, longest: float | None) -> list[float]:
    """Seconds to wait before each of them, by its time.

    Updates of different people keep some distance whatever the speed: LiveKit keeps the order of
    what one person sends only, and an update that overtakes what it builds on may be invalid to
    those who receive it.

    Args:
        sent: in order.
        speed: how many times faster than recorded; infinity means no other pauses.
        longest: seconds; a longer pause becomes this long.
    """
    found: list[float] = []
    author = ""
    before = sent[0].ts if sent else 0.0
    for one in sent:
        pause = (one.ts - before) / 1000 / speed
        pause = pause if longest is None else min(pause, longest)
        if isinstance(one, SentPacket) and one.update is not None:
            pause = max(pause, _TURN) if author not in ("", one.sender) else pause
            author = one.sender
        found.append(pause)
        before = one.ts
    return found


def _with_pictures(data: bytes, pictures: Mapping[str, str]) -> bytes:
    for old, new in pictures.items():
        data = replace_text(data, old, new)
    return data


def _packet(row: Mapping[str, Any]) -> SentPacket:
    return SentPacket(
        ts=row["t"],
        sender=_localpart((read_identity(row["sender"] or "") or ("", ""))[0]),
        type=row["type"].removeprefix(PREFIX),
        payload=row["raw"].encode(),
        reliable=row["kind"] == "KIND_RELIABLE",
    )


def _snapshots(events: Sequence[Mapping[str, Any]]) -> list[SentSnapshot]:
    found = []
    for event in events:
        if event["type"] != SNAPSHOT:
            continue
        chunks = [
            chunk
            for chunk in events
            if chunk["type"] == CHUNK
            and chunk["content"]["m.relates_to"]["event_id"] == event["event_id"]
        ]
        assert len(chunks) == event["content"]["chunkCount"]
        chunks.sort(key=lambda chunk: int(chunk["content"]["sequenceNumber"]))
        data = b"".join(base64.b64decode(chunk["content"]["data"]) for chunk in chunks)
        ts = max(chunk["origin_server_ts"] for chunk in chunks)
        found.append(SentSnapshot(ts, _localpart(event["sender"]), data))
    return found


def _localpart(user_id: str) -> str:
    return user_id.removeprefix("@").partition(":")[0] or UNKNOWN
