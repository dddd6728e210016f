"""Which boards a room has.

A board is one `net.nordeck.whiteboard` state event: its state key is the whiteboard id (also the
widget's id and the `call_id` of memberships), its content names the document by the event id of a
`net.nordeck.whiteboard.document.create` event. NeoBoard: docs/model/matrix-events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

BOARD_TYPE = "net.nordeck.whiteboard"
CREATE_TYPE = "net.nordeck.whiteboard.document.create"

_MAX_ID = 255  # Matrix: ids and state keys are at most 255 bytes


@dataclass(frozen=True, slots=True)
class BoardKey:
    """Names one board: what every event, entry and export refers to."""

    room_id: str
    whiteboard_id: str
    document_id: str


def read_board(room_id: str, event: Mapping[str, Any]) -> BoardKey | None:
    """Read a `net.nordeck.whiteboard` state event.

    Returns:
        The board, or None when the event removes it (`{}`) or is malformed: NeoBoard treats both
        as "no board here".
    """
    whiteboard_id = event.get("state_key")
    content = event.get("content")
    document_id = content.get("documentId") if isinstance(content, Mapping) else None
    if not _is_id(whiteboard_id) or not _is_id(document_id):
        return None
    return BoardKey(room_id, whiteboard_id, document_id)


def _is_id(value: object) -> TypeGuard[str]:
    if not isinstance(value, str):
        return False
    try:
        return 0 < len(value.encode()) <= _MAX_ID
    except UnicodeEncodeError:
        return False  # JSON can say lone surrogates, which no UTF-8 (archive, Matrix) can hold
