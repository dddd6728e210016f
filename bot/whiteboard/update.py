"""Reads the structure of an encoded Yjs update (v1) without applying it.

Two uses. It says what an update brings and what it builds on, so that a Document can feed its live
`Doc` in causal order only. And it is the guard in front of pycrdt, which trusts counts and lengths
(the 4 bytes `ffffff7f` make it reserve 512 MB), takes strings for UTF-8 unseen, and recurses as
deep as it is told: everything that pycrdt is given went through `read_update` first.

    update     = blocks(count, block…) deletes(count, client(id, count, (clock, length)…)…)
    block      = count, client id, first clock, struct…
    struct     = info byte (5 bits kind, 3 bits what follows), references, content
    references = origin id?, right origin id?; without both: parent (root name or id), map key?

Numbers are varints of 7 bits a byte, ids are (client, clock). Source: yjs 13.6
`src/utils/UpdateDecoder.js`, `src/structs/*`, lib0 `decoding.js`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bot.errors import InvalidUpdate

MAX_CLIENT = 2**53 - 1
MAX_CLOCK = 2**31 - 1  # pycrdt calculates with signed 32 bits
MAX_DEPTH = 64
"""Levels of objects and lists within one value; NeoBoard uses two."""
MAX_VALUES = 4_000_000
MAX_STRUCTS = 1_000_000
MAX_SUBDOCUMENTS = 16
"""Per update. In memory a value takes 24 bytes, a struct 250, a subdocument more, while they can
be 1, 2 and 10 bytes long in an update; boards have a struct per 30 bytes and no subdocuments."""

GC, DELETED, JSON, BINARY, STRING, EMBED, FORMAT, TYPE, ANY, DOC, SKIP = range(11)
_XML_ELEMENT, _XML_HOOK, _LAST_TYPE = 3, 5, 6

Id = tuple[int, int]
"""Client and clock."""


@dataclass(frozen=True, slots=True)
class Struct:
    """One struct of an update, for those who look closer.

    Attributes:
        kind: GC … SKIP.
        client: whose.
        clock: its first clock.
        length: how many clocks it takes.
        refers: the ids it cannot do without, except its own client's.
        parent: id of the type it is in; None when that is a root, or the one its origin is in.
        origin: id of any item that has the same parent; None when `parent` or a root says it.
        start: where it begins in the update's bytes.
        stop: where it ends.
    """

    kind: int
    client: int
    clock: int
    length: int
    refers: tuple[Id, ...]
    parent: Id | None
    origin: Id | None
    start: int
    stop: int


@dataclass(slots=True)
class Structure:
    """What an update brings and needs.

    Attributes:
        blocks: per client, the first clock and the one after the last.
        needs: per client, the clock up to which its structs are referred to. Includes what the
            update itself may bring; not an own client's references, which are always to the past.
        deletes: ranges (client, first clock, clock after the last).
        roots: names of root types.
        skips: whether pieces are left out in the middle.
        types: how many shared types are made.
        nulls: where in the bytes top-level values are null (which pycrdt reads as undefined).
        structs: how many.
        values: how many values.
        subdocuments: how many.
        details: the structs, when asked for.
    """

    blocks: dict[int, tuple[int, int]] = field(default_factory=dict)
    needs: dict[int, int] = field(default_factory=dict)
    deletes: list[tuple[int, int, int]] = field(default_factory=list)
    roots: set[str] = field(default_factory=set)
    skips: bool = False
    types: int = 0
    nulls: list[int] = field(default_factory=list)
    structs: int = 0
    values: int = 0
    subdocuments: int = 0
    details: list[Struct] | None = None


def read_update(data: bytes, *, details: bool = False) -> Structure:
    """Read an update.

    Args:
        data: encoded, version 1; size is for the caller to bound.
        details: whether `details` is wanted.

    Raises:
        InvalidUpdate: not an update, or one that yjs would not write, or it exceeds a bound.
    """
    found = Structure(details=[] if details else None)
    try:
        position = _blocks(data, found)
        position = _deletes(data, position, found)
    except IndexError as error:
        raise InvalidUpdate("ends too early") from error
    except UnicodeDecodeError as error:
        raise InvalidUpdate("a text is not UTF-8") from error
    if position != len(data):
        raise InvalidUpdate("goes on after its end")
    return found


def _blocks(data: bytes, found: Structure) -> int:
    count, position = _varint(data, 0)
    blocks = found.blocks
    for _ in range(count):
        structs, position = _varint(data, position)
        client, position = _varint(data, position)
        first, position = _varint(data, position)
        if client in blocks or not structs:
            raise InvalidUpdate("a client's block is empty or there twice")
        found.structs += structs
        if found.structs > MAX_STRUCTS:
            raise InvalidUpdate("too many structs")
        clock = first
        for _ in range(structs):
            clock, position = _struct(data, position, client, clock, found)
        blocks[client] = (first, clock)
    return position


def _struct(data: bytes, position: int, client: int, clock: int, found: Structure) -> Id:
    """Read one struct; return the clock and the position after it."""
    start = position
    info = data[position]
    kind = info & 31
    position += 1
    refers: tuple[Id, ...] = ()
    parent = origin = None
    if kind not in {GC, SKIP}:
        origin, parent, refers, position = _references(data, position, info, found)
        for ref_client, ref_clock in refers:
            if ref_client == client:
                if ref_clock >= clock:
                    raise InvalidUpdate("builds on its own future")
            elif found.needs.get(ref_client, 0) <= ref_clock:
                found.needs[ref_client] = ref_clock + 1
    read = _CONTENTS.get(kind)
    if read is None:
        raise InvalidUpdate("unknown kind of struct")
    length, position = read(data, position, found)
    if not 0 < length <= MAX_CLOCK - clock:
        raise InvalidUpdate("a struct's length is out of bounds")
    if found.details is not None:
        found.details.append(
            Struct(kind, client, clock, length, refers, parent, origin, start, position)
        )
    return clock + length, position


def _references(
    data: bytes, position: int, info: int, found: Structure
) -> tuple[Id | None, Id | None, tuple[Id, ...], int]:
    """Read what an item refers to: origin, parent, all, and the position after them."""
    if info & 0xC0:
        client, position = _varint(data, position)
        clock, position = _varint(data, position)
        origin = (client, clock)
        if info & 0xC0 != 0xC0:
            return origin, None, (origin,), position
        client, position = _varint(data, position)
        clock, position = _varint(data, position)
        return origin, None, (origin, (client, clock)), position
    parent = None
    by_name, position = _varint(data, position)
    if by_name == 1:
        name, position = _text(data, position)
        found.roots.add(name)
    elif by_name == 0:
        client, position = _varint(data, position)
        clock, position = _varint(data, position)
        parent = (client, clock)
    else:
        raise InvalidUpdate("a parent is neither a root nor an id")
    if info & 0x20:
        _, position = _text(data, position)
    return None, parent, () if parent is None else (parent,), position


def _deletes(data: bytes, position: int, found: Structure) -> int:
    clients, position = _varint(data, position)
    for _ in range(clients):
        client, position = _varint(data, position)
        ranges, position = _varint(data, position)
        for _ in range(ranges):
            clock, position = _varint(data, position)
            length, position = _varint(data, position)
            if length > MAX_CLOCK - clock:
                raise InvalidUpdate("a deleted range is out of bounds")
            if length:
                found.deletes.append((client, clock, clock + length))
    return position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Read an unsigned number; return it and the position after it."""
    byte = data[position]
    if byte < 0x80:
        return byte, position + 1
    value = byte & 0x7F
    shift = 7
    while True:
        position += 1
        byte = data[position]
        if byte < 0x80:
            value |= byte << shift
            if value > MAX_CLIENT:
                raise InvalidUpdate("a number is too large")
            return value, position + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > 49:
            raise InvalidUpdate("a number is too long")


def _stretch(data: bytes, position: int) -> tuple[int, int]:
    """Read a length; return where the bytes it measures begin and end."""
    length, position = _varint(data, position)
    stop = position + length
    if stop > len(data):
        raise InvalidUpdate("ends too early")
    return position, stop


def _text(data: bytes, position: int) -> tuple[str, int]:
    start, stop = _stretch(data, position)
    return data[start:stop].decode(), stop


# -- contents: each returns how many clocks it takes, and the position after it ------------------


def _length_content(data: bytes, position: int, _: Structure) -> Id:
    return _varint(data, position)


def _skip_content(data: bytes, position: int, found: Structure) -> Id:
    found.skips = True
    return _varint(data, position)


def _json_content(data: bytes, position: int, found: Structure) -> Id:
    count, position = _varint(data, position)
    for _ in range(count):
        _, position = _text(data, position)
    _count_values(found, count)
    return count, position


def _binary_content(data: bytes, position: int, _: Structure) -> Id:
    return 1, _stretch(data, position)[1]


def _string_content(data: bytes, position: int, _: Structure) -> Id:
    text, position = _text(data, position)
    # JavaScript counts UTF-16 units.
    length = len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
    return length, position


def _embed_content(data: bytes, position: int, _: Structure) -> Id:
    return 1, _text(data, position)[1]


def _format_content(data: bytes, position: int, _: Structure) -> Id:
    return 1, _text(data, _text(data, position)[1])[1]


def _type_content(data: bytes, position: int, found: Structure) -> Id:
    kind, position = _varint(data, position)
    if kind > _LAST_TYPE:
        raise InvalidUpdate("unknown shared type")
    if kind in {_XML_ELEMENT, _XML_HOOK}:
        _, position = _text(data, position)
    found.types += 1
    return 1, position


def _any_content(data: bytes, position: int, found: Structure) -> Id:
    count, position = _varint(data, position)
    for _ in range(count):
        if data[position] == _NULL:
            found.nulls.append(position)
        position = _value(data, position, MAX_DEPTH, found)
    return count, position


def _doc_content(data: bytes, position: int, found: Structure) -> Id:
    found.subdocuments += 1
    if found.subdocuments > MAX_SUBDOCUMENTS:
        raise InvalidUpdate("too many subdocuments")
    _, position = _text(data, position)
    return 1, _value(data, position, MAX_DEPTH, found)


_CONTENTS: dict[int, Callable[[bytes, int, Structure], Id]] = {
    GC: _length_content,
    DELETED: _length_content,
    JSON: _json_content,
    BINARY: _binary_content,
    STRING: _string_content,
    EMBED: _embed_content,
    FORMAT: _format_content,
    TYPE: _type_content,
    ANY: _any_content,
    DOC: _doc_content,
    SKIP: _skip_content,
}


# -- values (lib0 "any") -------------------------------------------------------------------------

_BYTES, _LIST, _OBJECT, _TEXT, _INTEGER, _NULL = 116, 117, 118, 119, 125, 126
# Tags of values whose size is fixed: true, false, BigInt, double, float, null, undefined.
_FIXED = {120: 1, 121: 1, 122: 9, 123: 9, 124: 5, 126: 1, 127: 1}


def _value(data: bytes, position: int, depth: int, found: Structure) -> int:
    """Pass over a value; return the position after it."""
    tag = data[position]
    if tag == _TEXT:
        return _text(data, position + 1)[1]
    if tag == _INTEGER:
        return _varint(data, position + 1)[1]  # its sign is one of the bits
    fixed = _FIXED.get(tag)
    if fixed is not None:
        return position + fixed
    if tag == _BYTES:
        return _stretch(data, position + 1)[1]
    if tag not in {_OBJECT, _LIST}:
        raise InvalidUpdate("unknown kind of value")
    if not depth:
        raise InvalidUpdate("a value is nested too deep")
    count, position = _varint(data, position + 1)
    _count_values(found, count)
    for _ in range(count):
        if tag == _OBJECT:
            _, position = _text(data, position)
        position = _value(data, position, depth - 1, found)
    return position


def _count_values(found: Structure, count: int) -> None:
    found.values += count
    if found.values > MAX_VALUES:
        raise InvalidUpdate("too many values")
