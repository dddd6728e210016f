"""The JSON packets of the data channel.

A Message is an `Update` (changes a document) or a `Signal` (`CursorMove`, `FocusOn`, `Present`).
On the wire: UTF-8 JSON `{"type": "net.nordeck.whiteboard.<kind>", "content": {...}}`, empty topic,
without time stamps. NeoBoard: docs/model/webrtc-messages; sizes: reference "packet limit".
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "net.nordeck.whiteboard."
MAX_PACKET = 64_000
"""Bytes; LiveKit carries no larger packet, framing included."""


@dataclass(frozen=True, slots=True)
class Update:
    """A change of a document: the raw encoded Yjs update (v1)."""

    document_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class CursorMove:
    """Where a person's cursor is, in slide coordinates (0..1920 × 0..1080 in slides mode)."""

    slide_id: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class FocusOn:
    """Bring all here: every client switches to this slide."""

    slide_id: str


@dataclass(frozen=True, slots=True)
class Present:
    """A presentation started, moved or (`target` None) ended.

    Attributes:
        kind: `slide` in slides mode, `frame` on the infinite canvas.
        target: id of the slide or frame shown; None when the presentation ends.
        edit: whether the audience may edit meanwhile.
    """

    kind: str
    target: str | None
    edit: bool = False


Signal = CursorMove | FocusOn | Present
Message = Update | Signal
