"""The JSON packets of the data channel.

A Message is an `Update` (changes a document) or a `Signal` (`CursorMove`, `FocusOn`, `Present`).
On the wire: UTF-8 JSON `{"type": "net.nordeck.whiteboard.<kind>", "content": {...}}`, empty topic,
without time stamps. NeoBoard: docs/model/webrtc-messages; sizes: reference "packet limit".

`decode` runs once per packet of every board, before anything is known about the sender: it is
bounded by the packet's size, and allocates nothing that the packet does not hold.
"""

from __future__ import annotations

import json
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn

from bot.errors import InvalidMessage

PREFIX = "net.nordeck.whiteboard."
MAX_PACKET = 64_000
"""Bytes; LiveKit carries no larger packet, framing included."""

_MAX_BITS = 1023  # what a double can hold

MAX_ID = 1024
"""Characters of a document, slide or frame id; NeoBoard's have 21, Matrix event ids 44."""


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


def _refuse_constant(_: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's JSON reads and JavaScript's does not."""
    raise ValueError


_scan = json.JSONDecoder(parse_constant=_refuse_constant).decode


def decode(packet: bytes) -> Message:
    """Read a packet.

    Raises:
        InvalidMessage: too large, not JSON, of an unknown type, or a field is missing or wrong.
    """
    if len(packet) > MAX_PACKET:
        raise InvalidMessage("larger than a packet can be")
    try:
        parsed = _scan(packet.decode())
    except RecursionError as error:
        raise InvalidMessage("nested too deep") from error
    except ValueError as error:
        raise InvalidMessage("not JSON") from error
    if type(parsed) is not dict:
        raise InvalidMessage("not an object")
    kind, content = parsed.get("type"), parsed.get("content")
    read = _READERS.get(kind) if type(kind) is str else None
    if read is None:
        raise InvalidMessage("unknown type")
    if type(content) is not dict:
        raise InvalidMessage("content is not an object")
    return read(content)


def _id(content: dict[str, Any], key: str) -> str:
    value = content.get(key)
    if type(value) is not str or not 0 < len(value) <= MAX_ID:
        raise InvalidMessage(f"{key} is not an id")
    # JSON can say lone surrogates, which no UTF-8 (archive, Matrix) can hold.
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise InvalidMessage(f"{key} is not Unicode")
    return value


def _coordinate(position: dict[str, Any], key: str) -> float:
    value = position.get(key)
    if type(value) is float:
        number = value
    elif type(value) is int and value.bit_length() <= _MAX_BITS:
        number = float(value)
    else:
        raise InvalidMessage(f"position.{key} is not a number")
    if not isfinite(number):
        raise InvalidMessage(f"position.{key} is not finite")
    return number


def _update(content: dict[str, Any]) -> Update:
    encoded = content.get("data")
    if type(encoded) is not str or not encoded:
        raise InvalidMessage("data is not base64")
    try:
        data = a2b_base64(encoded, strict_mode=True)
    except (Base64Error, ValueError) as error:
        raise InvalidMessage("data is not base64") from error
    return Update(_id(content, "documentId"), data)


def _cursor(content: dict[str, Any]) -> CursorMove:
    position = content.get("position")
    if type(position) is not dict:
        raise InvalidMessage("position is not an object")
    return CursorMove(
        _id(content, "slideId"), _coordinate(position, "x"), _coordinate(position, "y")
    )


def _focus(content: dict[str, Any]) -> FocusOn:
    return FocusOn(_id(content, "slideId"))


def _present(kind: str, content: dict[str, Any]) -> Present:
    if "view" not in content:
        return Present(kind, None)
    view = content["view"]
    if type(view) is not dict:
        raise InvalidMessage("view is not an object")
    edit = view.get("isEditMode")
    if type(edit) is not bool:
        raise InvalidMessage("isEditMode is not a boolean")
    return Present(kind, _id(view, f"{kind}Id"), edit)


def _present_slide(content: dict[str, Any]) -> Present:
    return _present("slide", content)


def _present_frame(content: dict[str, Any]) -> Present:
    return _present("frame", content)


_READERS: dict[str, Callable[[dict[str, Any]], Message]] = {
    f"{PREFIX}document_update": _update,
    f"{PREFIX}cursor_update": _cursor,
    f"{PREFIX}focus_on": _focus,
    f"{PREFIX}present_slide": _present_slide,
    f"{PREFIX}present_frame": _present_frame,
}


def encode(message: Message) -> bytes:
    """Write a packet as NeoBoard writes it.

    Raises:
        InvalidMessage: the packet would exceed `MAX_PACKET`.
    """
    kind, content = _content(message)
    text = json.dumps(
        {"type": PREFIX + kind, "content": content}, ensure_ascii=False, separators=(",", ":")
    )
    packet = text.encode()
    if len(packet) > MAX_PACKET:
        raise InvalidMessage("larger than a packet can be")
    return packet


def _content(message: Message) -> tuple[str, dict[str, Any]]:
    match message:
        case Update(document_id, data):
            encoded = b2a_base64(data, newline=False).decode()
            return "document_update", {"documentId": document_id, "data": encoded}
        case CursorMove(slide_id, x, y):
            position = {"x": _number(x), "y": _number(y)}
            return "cursor_update", {"slideId": slide_id, "position": position}
        case FocusOn(slide_id):
            return "focus_on", {"slideId": slide_id}
        case Present(kind, None, _):
            return f"present_{kind}", {}
    return f"present_{message.kind}", {
        "view": {"isEditMode": message.edit, f"{message.kind}Id": message.target}
    }


def _number(value: float) -> float:
    """Return integral floats as JavaScript writes them: without `.0`."""
    return int(value) if value.is_integer() else value
