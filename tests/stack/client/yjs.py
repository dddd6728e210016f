"""Looks into encoded Yjs updates (v1) without applying them.

Needed for three things that pycrdt cannot tell: whether `null` was written (it reads `undefined`
as None too), which roots there are, and whether bytes announce more than they hold (four bytes
make pycrdt reserve 512 MB).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

_MAX_DEPTH = 64
_MAX_CLOCK = 2**31 - 1  # pycrdt calculates with signed 32 bits
_GC, _DELETED, _SKIP, _ANY = 0, 1, 10, 8
_HAS_ORIGIN, _HAS_RIGHT_ORIGIN, _HAS_PARENT_SUB = 0x80, 0x40, 0x20
_NULL, _INTEGER, _STRING, _OBJECT, _ARRAY, _BINARY = 126, 125, 119, 118, 117, 116
# undefined, float32, float64, bigint, false, true
_FIXED = {127: 0, 126: 0, 124: 4, 123: 8, 122: 8, 121: 0, 120: 0}


@dataclass(slots=True)
class Glance:
    """What an update holds.

    Attributes:
        clocks: client → the clock after its last struct.
        deleted: client → ranges of clocks that are deleted, sorted, apart from each other.
        structs: how many structs there are that bring something.
        roots: names of root types that are written to.
        has_null: whether a `null` is written as a value of its own.
    """

    clocks: dict[int, int] = field(default_factory=dict)
    deleted: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    structs: int = 0
    roots: set[str] = field(default_factory=set)
    has_null: bool = False

    def more_than(self, other: Glance) -> bool:
        """Whether this holds something that the other does not."""
        ahead = any(clock > other.clocks.get(client, 0) for client, clock in self.clocks.items())
        return ahead or any(
            not _within(ranges, other.deleted.get(client, []))
            for client, ranges in self.deleted.items()
        )


def glance(update: bytes) -> Glance:
    """Reads the structure of an update.

    Raises:
        ValueError: it is malformed, or announces more than it holds.
    """
    reader = _Reader(update)
    found = Glance()
    for _ in range(reader.count()):
        structs, client, clock = reader.count(), reader.number(), reader.number()
        for _ in range(structs):
            clock = _bounded(clock + _read_struct(reader, found))
        found.clocks[client] = clock
    for _ in range(reader.count()):
        client = reader.number()
        ranges = [reader.range() for _ in range(reader.count())]
        found.deleted[client] = _joined(ranges)
    return found


def _bounded(clock: int) -> int:
    if clock > _MAX_CLOCK:
        raise ValueError("a clock is too high")
    return clock


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _within(ranges: list[tuple[int, int]], others: list[tuple[int, int]]) -> bool:
    return all(
        any(other[0] <= start and end <= other[1] for other in others) for start, end in ranges
    )


def replace_text(update: bytes, old: str, new: str) -> bytes:
    """Puts another text wherever a value of the document is exactly this text.

    Nothing in an update counts bytes except the length before each text, so this is all it takes.
    """
    return update.replace(_text_value(old), _text_value(new))


def _text_value(text: str) -> bytes:
    data = text.encode()
    return bytes([_STRING]) + _number(len(data)) + data


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_struct(reader: _Reader, found: Glance) -> int:
    """Reads one struct; returns how many clock ticks it takes."""
    info = reader.byte()
    kind = info & 0x1F
    if kind in (_GC, _SKIP):
        found.structs += kind == _GC
        return reader.number()
    found.structs += 1
    if info & _HAS_ORIGIN:
        reader.id()
    if info & _HAS_RIGHT_ORIGIN:
        reader.id()
    if not info & (_HAS_ORIGIN | _HAS_RIGHT_ORIGIN):
        if reader.number() == 1:
            found.roots.add(reader.text())
        else:
            reader.id()
        if info & _HAS_PARENT_SUB:
            reader.text()
    return _read_content(reader, kind, found)


def _read_content(reader: _Reader, kind: int, found: Glance) -> int:
    if kind == _DELETED:
        return reader.number()
    if kind == _ANY:
        values = reader.count()
        for _ in range(values):
            found.has_null |= reader.peek() == _NULL
            reader.value()
        return values
    read = _CONTENT.get(kind)
    if read is None:
        raise ValueError("unknown content")
    return read(reader)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        if self._at >= len(self._data):
            raise ValueError("it ends too early")
        self._at += 1
        return self._data[self._at - 1]

    def peek(self) -> int:
        return self._data[self._at] if self._at < len(self._data) else -1

    def skip(self, length: int) -> bytes:
        found = self._data[self._at : self._at + length]
        if len(found) < length:
            raise ValueError("it ends too early")
        self._at += length
        return found

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number is too long")

    def count(self) -> int:
        """A number of things that take at least a byte each."""
        value = self.number()
        if value > len(self._data) - self._at:
            raise ValueError("it announces more than it holds")
        return value

    def id(self) -> None:
        self.number()
        self.number()

    def range(self) -> tuple[int, int]:
        start = self.number()
        return start, _bounded(start + self.number())

    def text(self) -> str:
        return self.skip(self.count()).decode()

    def value(self, depth: int = 0) -> None:
        kind = self.byte()
        if depth > _MAX_DEPTH:
            raise ValueError("values are nested too deep")
        if kind in _FIXED:
            self.skip(_FIXED[kind])
        elif kind == _INTEGER:
            while self.byte() >= 0x80:
                pass
        elif kind in (_STRING, _BINARY):
            self.skip(self.count())
        elif kind in (_OBJECT, _ARRAY):
            for _ in range(self.count()):
                if kind == _OBJECT:
                    self.text()
                self.value(depth + 1)
        else:
            raise ValueError("unknown value")


def _texts(reader: _Reader) -> int:
    count = reader.count()
    for _ in range(count):
        reader.text()
    return count


def _text(reader: _Reader) -> int:
    # Clocks count UTF-16 code units, as JavaScript does.
    return len(reader.text().encode("utf-16-le")) // 2


def _one(*parts: Callable[[_Reader], object]) -> Callable[[_Reader], int]:
    def read(reader: _Reader) -> int:
        for part in parts:
            part(reader)
        return 1

    return read


def _type(reader: _Reader) -> int:
    if reader.number() in (3, 5):  # XML elements and hooks have a name
        reader.text()
    return 1


_CONTENT: dict[int, Callable[[_Reader], int]] = {
    2: _texts,
    3: _one(_Reader.text),
    4: _text,
    5: _one(_Reader.text),
    6: _one(_Reader.text, _Reader.text),
    7: _type,
    9: _one(_Reader.text, _Reader.value),
}
