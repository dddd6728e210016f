"""Encoded Yjs updates (v1): read into items, and written from items.

    update     = blocks(count, block…), deletions(count, client(id, count, (clock, length)…)…)
    block      = count, client id, first clock, struct…
    struct     = info byte (5 bits kind, 3 bits what follows), references, content
    references = origin id?, right origin id?; without both: parent (root name or id), map key?

An id is (client, clock). A struct of length n takes n clocks. Reading is the guard in front of
everything else: what `read_update` returns is what yjs could have written, as far as that can be
seen without the document, and within bounds. Source: yjs 13.6 `src/structs/*`,
`src/utils/{encoding,updates}.js`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from bot.errors import InvalidUpdate
from bot.whiteboard.breath import take_breath
from bot.whiteboard.item import GC, SKIP, Id, Item, Shared, clock_of, cut_content, measure
from bot.whiteboard.lib0 import number, text, write_number, write_text

if TYPE_CHECKING:
    from mypy_extensions import i64

MAX_CLOCK: Final = 2**31 - 1
MAX_STRUCTS: Final = 500_000
"""Per update: boards have a struct per 30 bytes; one takes about 300 in memory."""
MAX_RANGES: Final = 200_000
"""Deleted ranges per update: two bytes say one, which takes 500 in memory until it is merged."""
MAX_CONTENT: Final = 4 * 1024 * 1024
"""Bytes of one struct's content."""

_ORIGIN: Final = 0x80
_RIGHT_ORIGIN: Final = 0x40
_SUB: Final = 0x20

_BREATH: Final = 0xFF
"""After so many items others may run."""

Range = tuple[int, int, int]
"""Client, first clock, clock after the last."""


class Structure:
    """What an update brings and needs.

    Args:
        blocks: per client its items, in order of their clocks.
        deletes: what it deletes.

    Attributes:
        blocks, deletes: see above.
        needs: per client, the clock up to which others' items refer to it (what the update itself
            brings included).
        roots: names of root types.
        gaps: whether items are missing between those that are there.
        size: bytes.
    """

    __slots__ = ("blocks", "deletes", "gaps", "needs", "roots", "size")

    def __init__(self, blocks: dict[int, list[Item]], deletes: list[Range]) -> None:
        self.blocks = blocks
        self.deletes = deletes
        self.needs: dict[int, int] = {}
        self.roots: set[str] = set()
        self.gaps = False
        self.size = 0

    @property
    def weight(self) -> int:
        """How many items and deleted ranges it has."""
        weight = len(self.deletes)
        for items in self.blocks.values():
            weight += len(items)
        return weight


def read_update(data: bytes) -> Structure:
    """Read an update.

    Raises:
        InvalidUpdate: not an update, or one that yjs would not write, or it exceeds a bound.
    """
    found = Structure({}, [])
    found.size = len(data)
    try:
        position = _read_blocks(data, found)
        position = _read_deletes(data, position, found)
    except IndexError as error:
        raise InvalidUpdate("ends too early") from error
    except UnicodeDecodeError as error:
        raise InvalidUpdate("a text is not UTF-8") from error
    if position != len(data):
        raise InvalidUpdate("goes on after its end")
    return found


def _read_blocks(data: bytes, found: Structure) -> i64:
    count, position = number(data, 0)
    structs: i64 = 0
    for _ in range(count):
        length, position = number(data, position)
        structs += length
        client, position = number(data, position)
        clock, position = number(data, position)
        if not length or client in found.blocks or structs > MAX_STRUCTS:
            raise InvalidUpdate("a block is empty, or there twice, or there are too many structs")
        items, position = _read_items(data, position, (length, client, clock), found)
        if items:
            found.blocks[client] = items
    return position


def _read_items(
    data: bytes, position: i64, block: tuple[i64, i64, i64], found: Structure
) -> tuple[list[Item], i64]:
    count, client, clock = block
    items: list[Item] = []
    skipped = False
    for at in range(count):
        if at & _BREATH == _BREATH:
            take_breath()
        info: i64 = data[position]
        kind = info & 31
        position += 1
        item = Item(kind, client, clock)
        if kind not in (GC, SKIP):  # these have no references
            position = _read_references(data, position, info, item, found)
        length, after = measure(kind, data, position)
        clock += length
        if not length or clock > MAX_CLOCK or after - position > MAX_CONTENT:
            raise InvalidUpdate("a struct's length is out of bounds")
        if kind == SKIP:
            skipped = bool(items)  # else it says nothing
        else:
            found.gaps = found.gaps or skipped
            item.length = length
            item.content = data[position:after]
            items.append(item)
        position = after
    return items, position


def _read_references(data: bytes, position: i64, info: i64, item: Item, found: Structure) -> i64:
    if info & _ORIGIN:
        item.origin, position = _read_id(data, position, item, found)
    if info & _RIGHT_ORIGIN:
        item.right_origin, position = _read_id(data, position, item, found)
    if info & (_ORIGIN | _RIGHT_ORIGIN):
        return position
    by_name, position = number(data, position)
    if by_name == 1:
        name, position = text(data, position)
        found.roots.add(name)
        item.parent = name
    elif by_name == 0:
        item.parent, position = _read_id(data, position, item, found)
    else:
        raise InvalidUpdate("a parent is neither a root nor an id")
    if info & _SUB:
        item.sub, position = text(data, position)
    return position


def _read_id(data: bytes, position: i64, item: Item, found: Structure) -> tuple[Id, i64]:
    client, position = number(data, position)
    clock, position = number(data, position)
    if client == item.client:
        if clock >= item.clock:
            raise InvalidUpdate("builds on its own future")
    elif found.needs.get(client, 0) <= clock:
        found.needs[client] = clock + 1
    return (client, clock), position


def _read_deletes(data: bytes, position: i64, found: Structure) -> i64:
    clients, position = number(data, position)
    count: i64 = 0
    for _ in range(clients):
        client, position = number(data, position)
        ranges, position = number(data, position)
        count += max(ranges, 1)
        if count > MAX_RANGES:
            raise InvalidUpdate("too many deleted ranges")
        for _ in range(ranges):
            clock, position = number(data, position)
            length, position = number(data, position)
            if clock + length > MAX_CLOCK:
                raise InvalidUpdate("a deleted range is out of bounds")
            if length:
                found.deletes.append((client, clock, clock + length))
    return position


# -- writing -------------------------------------------------------------------------------------


def write_update(
    blocks: Mapping[int, Iterable[Item]],
    deletes: Iterable[Range],
    since: Mapping[int, int] | None = None,
) -> bytes:
    """Write an update.

    Args:
        blocks: per client items in order of their clocks. They may overlap (what was written
            before is left out) and leave gaps.
        deletes: in any order; may overlap.
        since: per client, the clock up to which items are left out.
    """
    written = []
    # Higher ids first, as yjs does it.
    for client in sorted(blocks, reverse=True):
        block = _write_block(client, blocks[client], since.get(client, 0) if since else 0)
        if block:
            written.append(block)
    return b"".join([write_number(len(written)), *written, _write_deletes(deletes)])


def _write_block(client: int, items: Iterable[Item], position: int) -> bytes:
    structs: list[bytes] = []
    first = position
    for item in items:
        end = item.clock + item.length
        if end <= position:
            continue
        offset = max(0, position - item.clock)
        if not structs:
            first = item.clock + offset
        elif item.clock > position:
            structs.append(_SKIP_INFO + write_number(item.clock - position))
        structs.append(write_item(item, offset))
        position = end
    if not structs:
        return b""
    head = write_number(len(structs)) + write_number(client) + write_number(first)
    return b"".join([head, *structs])


_SKIP_INFO = bytes([SKIP])


def write_item(item: Item, offset: int = 0) -> bytes:
    """Write an item, without its first `offset` clocks."""
    content = cut_content(item, offset)[1] if offset else item.content
    if item.kind == GC:
        return b"\0" + content
    origin = (item.client, item.clock + offset - 1) if offset else item.origin
    info = item.kind
    parts = [b""]
    if origin is not None:
        info |= _ORIGIN
        parts.append(_write_id(origin))
    if item.right_origin is not None:
        info |= _RIGHT_ORIGIN
        parts.append(_write_id(item.right_origin))
    if item.sub is not None:
        info |= _SUB
    if origin is None and item.right_origin is None:
        parts.append(_write_parent(item.parent))
        if item.sub is not None:
            parts.append(write_text(item.sub))
    parts.append(content)
    parts[0] = bytes([info])
    return b"".join(parts)


def _write_id(one: Id) -> bytes:
    return write_number(one[0]) + write_number(one[1])


def _write_parent(parent: Shared | str | Id | None) -> bytes:
    if isinstance(parent, str):
        return b"\1" + write_text(parent)
    if isinstance(parent, tuple):
        return b"\0" + _write_id(parent)
    assert parent is not None  # without an origin there always is one
    if parent.item is None:
        return b"\1" + write_text(parent.name)
    return b"\0" + _write_id((parent.item.client, parent.item.clock))


def _write_deletes(deletes: Iterable[Range]) -> bytes:
    clients: dict[int, list[list[int]]] = {}
    for client, start, stop in sorted(deletes):
        ranges = clients.setdefault(client, [])
        if ranges and start <= ranges[-1][1]:
            ranges[-1][1] = max(stop, ranges[-1][1])
        else:
            ranges.append([start, stop])
    written = [write_number(len(clients))]
    for client in sorted(clients, reverse=True):
        written += [write_number(client), write_number(len(clients[client]))]
        for start, stop in clients[client]:
            written += [write_number(start), write_number(stop - start)]
    return b"".join(written)


def merge_updates(updates: Iterable[bytes]) -> bytes:
    """Merge updates into one that says the same; it has gaps where they leave some.

    Raises:
        InvalidUpdate: one of them is none.
    """
    blocks: dict[int, list[Item]] = {}
    deletes: list[Range] = []
    for update in updates:
        found = read_update(update)
        deletes += found.deletes
        for client, items in found.blocks.items():
            blocks.setdefault(client, []).extend(items)
    for items in blocks.values():
        items.sort(key=clock_of)
    return write_update(blocks, deletes)


def read_state_vector(data: bytes) -> dict[int, int]:
    """Read a state vector: per client, the clock after the last item known.

    Raises:
        InvalidUpdate: it is none.
    """
    try:
        count, position = number(data, 0)
        clocks = {}
        for _ in range(count):
            client, position = number(data, position)
            clocks[client], position = number(data, position)
    except IndexError as error:
        raise InvalidUpdate("ends too early") from error
    return clocks


def write_state_vector(clocks: Mapping[int, int]) -> bytes:
    """Write a state vector."""
    written = [write_number(len(clocks))]
    for client in sorted(clocks, reverse=True):
        written += [write_number(client), write_number(clocks[client])]
    return b"".join(written)
