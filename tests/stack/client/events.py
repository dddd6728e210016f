"""What a NeoBoard client writes, field by field as recorded: packets and events."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PREFIX = "net.nordeck.whiteboard."
BOARD = "net.nordeck.whiteboard"
CREATE = "net.nordeck.whiteboard.document.create"
SNAPSHOT = "net.nordeck.whiteboard.document.snapshot"
CHUNK = "net.nordeck.whiteboard.document.chunk"
MEMBER = "org.matrix.msc3401.call.member"
WIDGET = "im.vector.modular.widgets"
LAYOUT = "io.element.widgets.layout"

DELAY = "org.matrix.msc4140.delay"
STICKY_FOR = "org.matrix.msc4354.sticky_duration_ms"
LEAVE_AFTER_MS = 8000
EXPIRES_AFTER_MS = 14_400_000
CHUNK_BYTES = 34_000

_WIDGET_URL = (
    "#/?theme=$org.matrix.msc2873.client_theme"
    "&matrix_user_id=$matrix_user_id"
    "&matrix_display_name=$matrix_display_name"
    "&matrix_avatar_url=$matrix_avatar_url"
    "&matrix_room_id=$matrix_room_id"
    "&matrix_client_id=$org.matrix.msc2873.client_id"
    "&matrix_client_language=$org.matrix.msc2873.client_language"
    "&matrix_base_url=$org.matrix.msc4039.matrix_base_url"
    "&matrix_device_id=$org.matrix.msc3819.matrix_device_id"
)


@dataclass(frozen=True, slots=True)
class Board:
    """One whiteboard of a room, as the events name it."""

    room_id: str
    whiteboard_id: str
    document_id: str


def stringify(value: object) -> str:
    """JSON as JavaScript writes it: no spaces, no `.0`, text as it is."""
    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def packet(kind: str, content: Mapping[str, Any]) -> bytes:
    """A message of the data channel."""
    return stringify({"type": PREFIX + kind, "content": content}).encode()


def update_packet(document_id: str, update: bytes) -> bytes:
    """A change of the document."""
    data = base64.b64encode(update).decode()
    return packet("document_update", {"documentId": document_id, "data": data})


def cursor_packet(slide_id: str, x: float, y: float) -> bytes:
    """Where the cursor is."""
    return packet("cursor_update", {"slideId": slide_id, "position": {"x": x, "y": y}})


def focus_packet(slide_id: str) -> bytes:
    """Bring all here."""
    return packet("focus_on", {"slideId": slide_id})


def present_packet(kind: str, target: str | None, *, edit: bool = False) -> bytes:
    """A presentation starts or moves, or ends when there is no target; kind: slide or frame."""
    view = {"view": {"isEditMode": edit, f"{kind}Id": target}} if target is not None else {}
    return packet(f"present_{kind}", view)


def room_request(name: str) -> dict[str, Any]:
    """The body of createRoom as the standalone client sends it."""
    return {"name": name, "power_level_content_override": {"events": {MEMBER: 0}}}


def whiteboard_id(room_id: str) -> str:
    """The state key of a board that the standalone client made."""
    return f"{room_id}_whiteboard"


def widget_content(base_url: str) -> dict[str, Any]:
    """The widget that shows the board, under the state key `neoboard`."""
    return {"type": BOARD, "url": base_url + _WIDGET_URL, "name": "NeoBoard"}


LAYOUT_CONTENT = {"widgets": {"neoboard": {"container": "center"}}}


def member_key(user_id: str, device_id: str) -> str:
    """The state key of a membership."""
    return f"_{user_id}_{device_id}"


def member_content(
    board: Board, device_id: str, focus_urls: Sequence[str], expires_ts: int
) -> dict[str, Any]:
    """A membership, joined."""
    return {
        "application": BOARD,
        "call_id": board.whiteboard_id,
        "device_id": device_id,
        "focus_active": {"type": "livekit", "focus_selection": "oldest_membership"},
        "foci_preferred": [
            {"type": "livekit", "livekit_service_url": url, "livekit_alias": board.room_id}
            for url in focus_urls
        ],
        "scope": "m.room",
        "expires": expires_ts,
    }


def snapshot_content(document_id: str, chunk_count: int) -> dict[str, Any]:
    """A snapshot, announced."""
    return {"chunkCount": chunk_count, "m.relates_to": _reference(document_id)}


def chunk_contents(document_id: str, snapshot_id: str, data: bytes) -> list[dict[str, Any]]:
    """The chunks of a snapshot."""
    return [
        {
            "documentId": document_id,
            "sequenceNumber": number,
            "data": base64.b64encode(data[start : start + CHUNK_BYTES]).decode(),
            "m.relates_to": _reference(snapshot_id),
        }
        for number, start in enumerate(range(0, len(data), CHUNK_BYTES))
    ]


def chunk_count(data: bytes) -> int:
    """How many chunks these bytes take."""
    return -(-len(data) // CHUNK_BYTES)


def _reference(event_id: str) -> dict[str, str]:
    return {"rel_type": "m.reference", "event_id": event_id}
