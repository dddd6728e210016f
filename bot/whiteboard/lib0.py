"""The encoding that Yjs is written in: numbers, texts, values.

    number  7 bits a byte, lowest first; the eighth says that more follow
    text    length in bytes, UTF-8
    value   a tag, then what the tag asks for (`pass_value`)

Reading trusts nothing: what is counted is really there, texts are UTF-8, numbers fit into 53 bits.
Functions take the bytes and a position and return the position after what they read; they raise
IndexError or UnicodeDecodeError where the bytes end too early or are no text, which `read_update`
turns into InvalidUpdate. Source: lib0 `decoding.js`, `encoding.js`.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, pack, unpack_from
from typing import TYPE_CHECKING, Any, Final

from bot.errors import InvalidUpdate
from bot.whiteboard.objects import PROTO, UNDEFINED, Inheriting

if TYPE_CHECKING:
    from mypy_extensions import i64  # an int; compiled (setup.py) one of the machine's

MAX_NUMBER: Final = 2**53 - 1
MAX_DEPTH: Final = 64
"""Levels of objects and lists within one value; NeoBoard uses two."""


_BYTES: Final = 116
_LIST: Final = 117
_OBJECT: Final = 118
_TEXT: Final = 119
_TRUE: Final = 120
_FALSE: Final = 121
_BIGINT: Final = 122
_DOUBLE: Final = 123
_FLOAT: Final = 124
_INTEGER: Final = 125
_NULL: Final = 126
_UNDEFINED: Final = 127
_SIZES: Final = {_TRUE: 1, _FALSE: 1, _BIGINT: 9, _DOUBLE: 9, _FLOAT: 5, _NULL: 1, _UNDEFINED: 1}
_SIZE: Final = bytes(_SIZES.get(tag, 0) for tag in range(0x100))
"""Per tag, how many bytes such a value takes with its tag; 0 where that differs."""
ODD: Final = PROTO.encode() + bytes([_BYTES])
"""An object may have bytes as its prototype only where this is found."""


def number(data: bytes, position: i64) -> tuple[i64, i64]:
    """Read a number; return it and the position after it."""
    byte: i64 = data[position]
    if byte < 0x80:
        return byte, position + 1
    value = byte & 0x7F
    shift: i64 = 7
    while True:
        position += 1
        byte = data[position]
        if byte < 0x80:
            value |= byte << shift
            if value > MAX_NUMBER:
                raise InvalidUpdate("a number is too large")
            return value, position + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > 49:
            raise InvalidUpdate("a number is too long")


def stretch(data: bytes, position: i64) -> tuple[i64, i64]:
    """Read a length; return where the bytes that it measures begin and end."""
    length, position = number(data, position)
    stop = position + length
    if stop > len(data):
        raise IndexError
    return position, stop


def text(data: bytes, position: i64) -> tuple[str, i64]:
    """Read a text; return it and the position after it."""
    length: i64 = data[position]
    if length < 0x80:
        position += 1
        stop = position + length
        if stop > len(data):
            raise IndexError
    else:
        position, stop = stretch(data, position)
    return data[position:stop].decode(), stop


def pass_value(data: bytes, position: i64, depth: i64 = MAX_DEPTH) -> i64:
    """Pass over a value, checking it; return the position after it."""
    tag: i64 = data[position]
    size: i64 = _SIZE[tag]
    if size:
        return position + size
    if tag == _TEXT:
        return text(data, position + 1)[1]
    if tag == _INTEGER:
        return number(data, position + 1)[1]  # its sign is one of the bits
    if tag == _BYTES:
        return stretch(data, position + 1)[1]
    if tag not in (_OBJECT, _LIST):
        raise InvalidUpdate("unknown kind of value")
    if not depth:
        raise InvalidUpdate("a value is nested too deep")
    count, position = number(data, position + 1)
    for _ in range(count):
        if tag == _OBJECT:
            position = text(data, position)[1]
        position = pass_value(data, position, depth - 1)
    return position


def check_objects(data: bytes, start: i64, stop: i64, count: i64) -> None:
    """Check that JavaScript can put the objects together that so many values hold.

    Raises:
        InvalidUpdate: it cannot, and so reads nothing of the update.
    """
    if count == 1 and not _LIST <= data[start] <= _OBJECT:
        return  # by far the commonest
    position = start if data.find(ODD, start, stop) >= 0 else stop
    while position < stop:
        position = value(data, position)[1]


def copy_value(
    data: bytes,
    position: i64,
    field: str | None,
    rename: Callable[[str], str],
    rewrite: Callable[[str | None, str], str],
) -> tuple[bytes, i64]:
    """Copy a value that was passed over before, with other texts in it and bytes zeroed.

    Args:
        data: holds it.
        position: where it is.
        field: the key that it stands under; None where that is not known.
        rename: gives the keys of objects.
        rewrite: gives texts, after the key that each stands under.

    Returns:
        The copy, and the position after the value.
    """
    start, tag = position, data[position]
    if tag == _TEXT:
        found, position = text(data, position + 1)
        return data[start : start + 1] + write_text(rewrite(field, found)), position
    if tag == _BYTES:
        inner, position = stretch(data, position + 1)
        return data[start:inner] + bytes(position - inner), position
    if tag not in (_OBJECT, _LIST):
        position = pass_value(data, position)
        return data[start:position], position
    count, position = number(data, position + 1)
    copied = [data[start:position]]
    for _ in range(count):
        inside = field
        if tag == _OBJECT:
            inside, position = text(data, position)
            copied.append(write_text(rename(inside)))
        one, position = copy_value(data, position, inside, rename, rewrite)
        copied.append(one)
    return b"".join(copied), position


def value(data: bytes, position: i64) -> tuple[Any, i64]:  # noqa: PLR0911 - one per kind of value
    """Read a value that was passed over before; return it and the position after it.

    Returns:
        Numbers as `float`, a BigInt as `int`, null as None, undefined as `UNDEFINED` (within lists
        it is None), an object as a dictionary if it has no prototype of its own.
    """
    tag: i64 = data[position]
    position += 1
    if tag == _DOUBLE:
        return _double(data, position)[0], position + 8
    if tag == _TEXT:
        return text(data, position)
    if tag == _INTEGER:
        return _integer(data, position)
    if tag == _OBJECT:
        return _object(data, position)
    if tag == _LIST:
        return _list(data, position)
    if tag == _BYTES:
        start, stop = stretch(data, position)
        return data[start:stop], stop
    if tag == _FLOAT:
        return _float(data, position)[0], position + 4
    if tag == _BIGINT:
        return _bigint(data, position)[0], position + 8
    return _CONSTANTS[tag], position


_double: Final = Struct(">d").unpack_from
_float: Final = Struct(">f").unpack_from
_bigint: Final = Struct(">q").unpack_from
_CONSTANTS: Final = {_TRUE: True, _FALSE: False, _NULL: None, _UNDEFINED: UNDEFINED}


def _integer(data: bytes, position: i64) -> tuple[float, i64]:
    bits, position = number(data, position)
    # The first byte holds 6 bits, and the sign in its seventh.
    magnitude = (bits & 0x3F) | (bits >> 7 << 6)
    return float(-magnitude if bits & 0x40 else magnitude), position


def _object(data: bytes, position: i64) -> tuple[dict[str, Any] | Inheriting, i64]:
    count, position = number(data, position)
    found: dict[str, Any] = {}
    inheriting: Inheriting | None = None
    for _ in range(count):
        key, position = text(data, position)
        item, position = value(data, position)
        if inheriting is None and key == PROTO:
            inheriting = Inheriting(found, plain=True)
        if inheriting is not None:
            inheriting.assign(key, item)
        else:
            found[key] = item
    return found if inheriting is None else inheriting, position


def _list(data: bytes, position: i64) -> tuple[list[Any], i64]:
    count, position = number(data, position)
    found = []
    for _ in range(count):
        item, position = value(data, position)
        found.append(None if item is UNDEFINED else item)
    return found, position


def write_number(value: int) -> bytes:
    """Write a number."""
    if value < 0x80:
        return _SMALL[value]
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


_SMALL: Final = [bytes([value]) for value in range(0x80)]


def write_text(value: str) -> bytes:
    """Write a text."""
    encoded = value.encode()
    return write_number(len(encoded)) + encoded


def write_value(value: Any) -> bytes:
    """Write a value as yjs does: texts, truth values, numbers, null, objects and lists of them."""
    if isinstance(value, str):
        return bytes([_TEXT]) + write_text(value)
    if value is None:
        return bytes([_NULL])
    if isinstance(value, bool):
        return bytes([_TRUE if value else _FALSE])
    if isinstance(value, float | int):
        return _write_number(float(value))
    if isinstance(value, dict):
        written = [bytes([_OBJECT]), write_number(len(value))]
        for key, item in value.items():
            written += [write_text(key), write_value(item)]
    else:
        written = [bytes([_LIST]), write_number(len(value)), *map(write_value, value)]
    return b"".join(written)


def _write_number(value: float) -> bytes:
    if value.is_integer() and abs(value) < 2**31:
        magnitude = int(abs(value))
        sign = 0x40 if value < 0 else 0
        first, rest = magnitude & 0x3F | sign, magnitude >> 6
        return bytes([_INTEGER]) + (
            bytes([first | 0x80]) + write_number(rest) if rest else bytes([first])
        )
    try:
        short = pack(">f", value)
    except OverflowError:
        return bytes([_DOUBLE]) + pack(">d", value)
    if unpack_from(">f", short)[0] == value:
        return bytes([_FLOAT]) + short
    return bytes([_DOUBLE]) + pack(">d", value)
