"""What real clients wrote: the recorded session in tests/data."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.whiteboard.message import Update, decode
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE, Assembler, Snapshot

DATA = Path(__file__).parents[2] / "data"
SESSION = DATA / "neoboard-session"


@dataclass(frozen=True)
class Packet:
    """A packet on the data channel: when (ms), from whom (None: not announced yet), its bytes."""

    ts: float
    sender: str | None
    raw: bytes


def packets(board: str) -> Iterator[Packet]:
    """The packets of a session, in order; `board` is `slides` or `infinite`."""
    for line in (SESSION / board / "livekit.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["ev"] == "data":
            yield Packet(row["t"], row["sender"], row["raw"].encode())


def updates(board: str, until: float = float("inf")) -> list[bytes]:
    """The document updates of a session up to an instant."""
    messages = (decode(packet.raw) for packet in packets(board) if packet.ts <= until)
    return [message.data for message in messages if isinstance(message, Update)]


def timeline(board: str) -> list[dict[str, Any]]:
    """The room's events, in order."""
    events: list[dict[str, Any]] = json.loads((SESSION / board / "timeline.json").read_text())
    return sorted(events, key=lambda event: int(event["origin_server_ts"]))


def snapshots(board: str, until: float = float("inf")) -> list[Snapshot]:
    """The complete snapshots of a session up to an instant, in order."""
    assembler = Assembler()
    made = [
        assembler.add(event, now=0.0)
        for event in timeline(board)
        if event["type"] in {SNAPSHOT_TYPE, CHUNK_TYPE} and event["origin_server_ts"] <= until
    ]
    return [snapshot for snapshot in made if snapshot is not None]


def exported(board: str) -> bytes:
    """What the real client exported."""
    return (SESSION / board / "export.nwb").read_bytes()


def files_of(nwb: bytes) -> dict[str, bytes]:
    """The images in a file, by address."""
    files = json.loads(nwb)["whiteboard"].get("files", [])
    return {file["mxc"]: b64decode(file["data"]) for file in files}
