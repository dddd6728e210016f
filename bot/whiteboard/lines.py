"""A recording as lines of JSON: a header, one line per entry, a trailer.

    {"format":"boardkeeper-recording","version":1,"room_id":…,"whiteboard_id":…,"document_id":…,
     "whiteboard_version":"0","exported_ts":…,"anonymised":false}
    {"seq":1,"ts":…,"kind":"update","sender":"@anna:…","device":"ABCD","data":"base64"}
    {"entries":1,"sha256":"…"}

Entries are numbered from 1, in their order. The trailer counts them and holds the SHA-256 of all
lines before it, so that whatever is cut off, missing or changed is found. Reading trusts nothing.
"""

from __future__ import annotations

import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from bot.errors import InvalidRecording
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry, Kind

FORMAT = "boardkeeper-recording"
VERSION = 1
MAX_DATA = 64 * 2**20
"""Bytes of one entry: a board's whole document is one."""
MAX_NAME = 65_536
"""Characters of a sender or device; a Matrix event holds no more."""
MAX_LINE = MAX_DATA // 3 * 4 + 2**20
MAX_ID = 255
"""Bytes of a room, whiteboard or document id, as in Matrix."""
MAX_TS = 2**53
MAX_ENTRIES = 100_000_000

_KINDS: Mapping[str, Kind] = {kind.value: kind for kind in Kind}
_NAMES: Mapping[Kind, str] = {kind: kind.value for kind in Kind}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DOCUMENT_VERSION = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Header:
    """What a recording is of.

    Attributes:
        board: names it; made up if anonymised.
        version: of the document, `"0"` slides or `"1"` infinite canvas; None when not known.
        exported_ts: when it was written, ms since 1970.
        anonymised: whether people, ids, texts and times are not those that were.
    """

    board: BoardKey
    version: str | None
    exported_ts: int
    anonymised: bool = False


@dataclass(frozen=True, slots=True)
class Trailer:
    """The last line.

    Attributes:
        entries: how many there are.
        sha256: of all lines before this one, in hexadecimal.
    """

    entries: int
    sha256: str


# -- writing -------------------------------------------------------------------------------------


def header_line(header: Header) -> bytes:
    """Write the header.

    Raises:
        InvalidRecording: it holds what no reader would take.
    """
    line = _line(
        {
            "format": FORMAT,
            "version": VERSION,
            "room_id": header.board.room_id,
            "whiteboard_id": header.board.whiteboard_id,
            "document_id": header.board.document_id,
            "whiteboard_version": header.version,
            "exported_ts": header.exported_ts,
            "anonymised": header.anonymised,
        }
    )
    read_header(line)
    return line


def entry_line(entry: Entry, seq: int) -> bytes:
    """Write an entry under a number of its own.

    Raises:
        InvalidRecording: it holds what no reader would take.
    """
    fields = {
        "seq": _count(seq, "seq", MAX_ENTRIES),
        "ts": _count(entry.ts, "ts", MAX_TS),
        "kind": _NAMES[entry.kind],
        "sender": _name(entry.sender, "sender"),
        "device": _name(entry.device, "device"),
    }
    if len(entry.data) > MAX_DATA:
        raise InvalidRecording(f"data is larger than {MAX_DATA // 2**20} MiB")
    # Base64 needs no escapes; the encoder would look for them in every byte.
    head = _line(fields)[:-2]
    return b'%b,"data":"%b"}\n' % (head, b2a_base64(entry.data, newline=False))


def trailer_line(trailer: Trailer) -> bytes:
    """Write the trailer."""
    return _line({"entries": trailer.entries, "sha256": trailer.sha256})


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


# -- reading -------------------------------------------------------------------------------------

_HEADER = {
    "format",
    "version",
    "room_id",
    "whiteboard_id",
    "document_id",
    "whiteboard_version",
    "exported_ts",
    "anonymised",
}
_ENTRY = {"seq", "ts", "kind", "sender", "device", "data"}
_TRAILER = {"entries", "sha256"}


def read_header(line: bytes) -> Header:
    """Read the first line.

    Raises:
        InvalidRecording: it is none, or a newer boardkeeper wrote it.
    """
    fields = _object(line)
    if fields.get("format") != FORMAT:
        raise InvalidRecording("it is not the header of a recording")
    if type(fields.get("version")) is not int or fields["version"] != VERSION:
        raise InvalidRecording(f"its version is not {VERSION}, which is all this boardkeeper reads")
    _fields(fields, _HEADER)
    version, anonymised = fields["whiteboard_version"], fields["anonymised"]
    if version is not None and not (type(version) is str and _DOCUMENT_VERSION.fullmatch(version)):
        raise InvalidRecording("whiteboard_version is none")
    if type(anonymised) is not bool:
        raise InvalidRecording("anonymised is not true or false")
    names = ("room_id", "whiteboard_id", "document_id")
    board = BoardKey(*(_id(fields[name], name) for name in names))
    return Header(board, version, _count(fields["exported_ts"], "exported_ts", MAX_TS), anonymised)


def read_line(line: bytes, seq: int) -> Entry | Trailer:
    """Read a line after the first.

    Args:
        line: at most `MAX_LINE` bytes.
        seq: what the next entry is numbered.

    Returns:
        An entry, which is of board 0 (a file knows no archive's numbers), or the trailer.

    Raises:
        InvalidRecording: it is neither.
    """
    fields = _object(line)
    if "sha256" in fields:
        return _trailer(fields)
    _fields(fields, _ENTRY)
    kind, data = fields["kind"], fields["data"]
    if type(kind) is not str or kind not in _KINDS:
        raise InvalidRecording("kind is none that there is")
    if type(fields["seq"]) is not int or fields["seq"] != seq or seq > MAX_ENTRIES:
        raise InvalidRecording(f"seq is not {seq}")
    return Entry(
        0,
        _count(fields["ts"], "ts", MAX_TS),
        _KINDS[kind],
        _name(fields["sender"], "sender"),
        _name(fields["device"], "device"),
        _base64(data),
        seq,
    )


def _trailer(fields: Mapping[str, Any]) -> Trailer:
    _fields(fields, _TRAILER)
    sha256 = fields["sha256"]
    if type(sha256) is not str or not _SHA256.fullmatch(sha256):
        raise InvalidRecording("sha256 is not a checksum")
    return Trailer(_count(fields["entries"], "entries", MAX_ENTRIES), sha256)


def _object(line: bytes) -> dict[str, Any]:
    try:
        fields = _decode(line.decode())
    except (ValueError, RecursionError):
        raise InvalidRecording("it is not JSON") from None
    if type(fields) is not dict:
        raise InvalidRecording("it is not a JSON object")
    return fields


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _fields(fields: Mapping[str, Any], wanted: set[str]) -> None:
    if fields.keys() != wanted:
        missing = sorted(wanted - fields.keys())
        raise InvalidRecording(f"{missing[0]} is missing" if missing else "it has unknown fields")


def _count(value: Any, name: str, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise InvalidRecording(f"{name} is not a number from 0 to {most}")
    return value


def _name(value: Any, name: str) -> str | None:
    if value is None:
        return None
    if type(value) is not str or len(value) > MAX_NAME or not _is_unicode(value):
        raise InvalidRecording(f"{name} is not a text of at most {MAX_NAME} characters")
    return value


def _id(value: Any, name: str) -> str:
    # Printable: ids are shown on terminals.
    if type(value) is str and value.isprintable() and 0 < len(value.encode()) <= MAX_ID:
        return value
    raise InvalidRecording(f"{name} is not an id")


def _is_unicode(value: str) -> bool:
    """Return whether UTF-8 can hold it: JSON can say lone surrogates."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _base64(value: Any) -> bytes:
    if type(value) is str and len(value) <= MAX_DATA // 3 * 4 + 4:
        try:
            return a2b_base64(value, strict_mode=True)
        except (Base64Error, ValueError):
            pass
    raise InvalidRecording("data is not base64")
