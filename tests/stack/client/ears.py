"""What a NeoBoard client makes of the packets it receives."""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.stack.client.document import BoardDocument, Refused
from tests.stack.client.events import PREFIX, Board
from tests.stack.client.link import Link
from tests.stack.client.members import read_identity

_CURSOR_STAYS = 5.0

Sender = Callable[[str], tuple[str, str] | None]


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where somebody's cursor was last seen."""

    slide_id: str
    x: float
    y: float
    at: float


@dataclass(frozen=True, slots=True)
class Presentation:
    """What somebody presents: a slide or frame."""

    user_id: str
    device_id: str
    target: str
    edit: bool


class Ears:
    """What has been heard on one board.

    Args:
        link: what happens to packets before they are heard.
        sender: finds user and device by a LiveKit identity; None: it is nobody's.

    Attributes:
        heard: (user id, type without prefix) → packets that counted.
        dropped: reason → packets that did not.
        presentation: what is presented by somebody else.
        slide: where somebody brought all to.
    """

    def __init__(
        self, board: Board, document: BoardDocument, link: Link, sender: Sender = read_identity
    ) -> None:
        self._board = board
        self._document = document
        self._link = link
        self._sender = sender
        self._cursors: dict[str, Cursor] = {}
        self.heard: Counter[tuple[str, str]] = Counter()
        self.dropped: Counter[str] = Counter()
        self.presentation: Presentation | None = None
        self.slide: str | None = None

    @property
    def cursors(self) -> dict[str, Cursor]:
        """User id → cursor; one that has not moved for 5 s is not shown."""
        seen = time.monotonic() - _CURSOR_STAYS
        return {user: cursor for user, cursor in self._cursors.items() if cursor.at > seen}

    def hear(self, identity: str | None, payload: bytes, reliable: bool = False) -> None:  # noqa: FBT001, FBT002 - as it comes from the channel
        """Takes one packet from the connection; what was sent reliably is never lost."""
        if reliable:
            self._hear(identity, payload)
            return
        for heard in self._link.offer((identity, payload)):
            self._hear(*heard)

    def gone(self, user_id: str, device_id: str) -> None:
        """Says that a member has left: his presentation is over."""
        shown = self.presentation
        if shown is not None and (shown.user_id, shown.device_id) == (user_id, device_id):
            self.presentation = None

    def _hear(self, identity: str | None, payload: bytes) -> None:
        if identity is None:
            self.dropped["sender not announced"] += 1
            return
        sender, message = self._sender(identity), _message(payload)
        if sender is None or message is None:
            self.dropped["no sender" if sender is None else "no message"] += 1
            return
        kind = message["type"].removeprefix(PREFIX)
        refused = self._act(sender, kind, message["content"])
        if refused:
            self.dropped[refused] += 1
        else:
            self.heard[sender[0], kind] += 1

    def _act(self, sender: tuple[str, str], kind: str, content: Mapping[str, Any]) -> str:
        """Does what a message says; returns why not, or nothing."""
        try:
            match kind:
                case "document_update":
                    return self._update(content)
                case "cursor_update":
                    position = content["position"]
                    now = time.monotonic()
                    cursor = Cursor(content["slideId"], position["x"], position["y"], now)
                    self._cursors[sender[0]] = cursor
                case "focus_on":
                    self.slide = content["slideId"]
                case "present_slide" | "present_frame":
                    self.presentation = _presentation(sender, kind, content)
                case _:
                    return "unknown type"
        except (KeyError, TypeError):
            return "bad content"
        return ""

    def _update(self, content: Mapping[str, Any]) -> str:
        if content["documentId"] != self._board.document_id:
            return "another document"
        try:
            self._document.receive(base64.b64decode(content["data"], validate=True))
        except (binascii.Error, Refused):
            return "invalid update"
        return ""


def _message(payload: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return None
    # Empty to JavaScript: an empty object is not, so the end of a presentation passes.
    return message if isinstance(message.get("content"), dict) else None


def _presentation(
    sender: tuple[str, str], kind: str, content: Mapping[str, Any]
) -> Presentation | None:
    if "view" not in content:
        return None
    view = content["view"]
    return Presentation(*sender, view[kind.removeprefix("present_") + "Id"], view["isEditMode"])
