"""Items: what a Yjs document is made of, and their contents as bytes.

Contents stay encoded: most are never looked at, and what a document hands on should be what it got.
Source: yjs 13.6 `src/structs/*`.
"""

from __future__ import annotations

from collections.abc import Iterator
from json import JSONDecoder
from typing import TYPE_CHECKING, Final, NoReturn

from bot.errors import InvalidUpdate
from bot.whiteboard.lib0 import (
    ODD,
    check_objects,
    number,
    pass_value,
    stretch,
    text,
    write_number,
    write_text,
)

if TYPE_CHECKING:
    from mypy_extensions import i64

GC: Final = 0
DELETED: Final = 1
JSON: Final = 2
BINARY: Final = 3
STRING: Final = 4
EMBED: Final = 5
FORMAT: Final = 6
TYPE: Final = 7
ANY: Final = 8
DOC: Final = 9
SKIP: Final = 10
GONE: Final = frozenset({GC, DELETED})
"""Kinds that have no content any more."""
ARRAY: Final = 0
MAP: Final = 1
TEXT: Final = 2
XML_ELEMENT: Final = 3
XML_FRAGMENT: Final = 4
XML_HOOK: Final = 5
XML_TEXT: Final = 6
ITEM_BYTES: Final = 24
"""What an item counts towards a document's size besides its content."""

Id = tuple[int, int]
"""Client and clock."""


class Item:
    """A struct: a piece of content with its place, or (GC) only the clocks it once took.

    Attributes:
        kind: GC … DOC.
        client, clock, length: its ids are (client, clock) … (client, clock + length - 1).
        origin: the id it was inserted after; right_origin: before.
        parent: where it is; before it is integrated a root's name, an id, or None (where its
            origin is), afterwards the shared type.
        sub: its key, in a map.
        content: encoded.
        left, right: neighbours in its parent's list, or in the history of its key.
        shared: the shared type that it is (TYPE).
        deleted: its content is gone.
    """

    __slots__ = (
        "client",
        "clock",
        "content",
        "deleted",
        "kind",
        "left",
        "length",
        "origin",
        "parent",
        "right",
        "right_origin",
        "shared",
        "sub",
    )

    kind: i64
    client: i64
    clock: i64
    length: i64
    origin: Id | None
    right_origin: Id | None
    parent: Shared | str | Id | None
    sub: str | None
    left: Item | None
    right: Item | None
    shared: Shared | None

    def __init__(self, kind: i64, client: i64, clock: i64) -> None:
        self.kind = kind
        self.client = client
        self.clock = clock
        self.length = 0
        self.content = b""
        self.deleted = False
        self.origin = self.right_origin = self.parent = self.sub = None
        self.left = self.right = self.shared = None

    @property
    def end(self) -> i64:
        """The clock after its last."""
        return self.clock + self.length


class Shared:
    """A shared type: a map's entries, or a list that begins with `start`.

    Attributes:
        kind: ARRAY … XML_TEXT.
        name: a root's name; else empty.
        item: the item that it is the content of; None for a root.
        start: its first item, deleted ones included.
        entries: per key the latest item, deleted ones included, in the order keys came up.
        depth: how many shared types it is in.
    """

    __slots__ = ("depth", "entries", "item", "kind", "name", "start")

    def __init__(self, kind: int, name: str, item: Item | None, depth: int) -> None:
        self.kind = kind
        self.name = name
        self.item = item
        self.depth = depth
        self.start: Item | None = None
        self.entries: dict[str, Item] = {}


# -- contents -------------------------------------------------------------------------------------


def _measure_json(data: bytes, position: i64) -> tuple[i64, i64]:
    count, position = number(data, position)
    for _ in range(count):
        position = _pass_json(data, position, or_undefined=True)
    return count, position


def _measure_string(data: bytes, position: i64) -> tuple[i64, i64]:
    string, position = text(data, position)
    # JavaScript counts UTF-16 units.
    return len(string) if string.isascii() else len(string.encode("utf-16-le")) // 2, position


def _pass_json(data: bytes, position: i64, *, or_undefined: bool = False) -> i64:
    """Pass over a text that yjs will parse: what it cannot parse, it refuses as a whole."""
    encoded, position = text(data, position)
    try:
        if not (or_undefined and encoded == "undefined"):
            _json.decode(encoded)
    except (ValueError, RecursionError) as error:
        raise InvalidUpdate("a text is not JSON") from error
    return position


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError


_json = JSONDecoder(parse_constant=_refuse_constant)


def _measure_type(data: bytes, position: i64) -> tuple[i64, i64]:
    kind, position = number(data, position)
    if kind > XML_TEXT:
        raise InvalidUpdate("unknown shared type")
    if kind in {XML_ELEMENT, XML_HOOK}:
        position = text(data, position)[1]
    return 1, position


def _measure_any(data: bytes, position: i64) -> tuple[i64, i64]:
    count, position = number(data, position)
    start = position
    for _ in range(count):
        position = pass_value(data, position)
    check_objects(data, start, position, count)
    return count, position


def _measure_doc(data: bytes, position: i64) -> tuple[i64, i64]:
    start = text(data, position)[1]
    position = pass_value(data, start)
    if data.find(ODD, start, position) >= 0:
        raise InvalidUpdate("a subdocument cannot be written again")
    return 1, position


def measure(  # noqa: PLR0911 - one per kind of content
    kind: i64, data: bytes, position: i64
) -> tuple[i64, i64]:
    """Check a content; return how many clocks it takes and the position after it.

    Raises:
        InvalidUpdate: it is none.
    """
    if kind == ANY:
        return _measure_any(data, position)
    if kind == TYPE:
        return _measure_type(data, position)
    if kind == STRING:
        return _measure_string(data, position)
    if kind in (GC, DELETED, SKIP):
        return number(data, position)
    if kind == JSON:
        return _measure_json(data, position)
    if kind == BINARY:
        return 1, stretch(data, position)[1]
    if kind == EMBED:
        return 1, _pass_json(data, position)
    if kind == FORMAT:
        return 1, _pass_json(data, text(data, position)[1])
    if kind == DOC:
        return _measure_doc(data, position)
    raise InvalidUpdate("unknown kind of struct")


def cut_content(item: Item, offset: int) -> tuple[bytes, bytes]:
    """Cut an item's content in two, `offset` clocks from its start.

    Only contents that can be longer than one clock can be cut.
    """
    data = item.content
    if item.kind in GONE:
        return write_number(offset), write_number(item.length - offset)
    if item.kind == STRING:
        units = text(data, 0)[0].encode("utf-16-le")
        # As in yjs: a character that is cut in two becomes two replacement characters.
        halves = units[: 2 * offset], units[2 * offset :]
        left, right = (half.decode("utf-16-le", "replace") for half in halves)
        return write_text(left), write_text(right)
    count, start = number(data, 0)
    position = start
    for _ in range(offset):
        position = pass_value(data, position) if item.kind == ANY else text(data, position)[1]
    return (
        write_number(offset) + data[start:position],
        write_number(count - offset) + data[position:],
    )


def clock_of(item: Item) -> i64:
    """Return the item's first clock."""
    return item.clock


def unlink(item: Item) -> None:
    """Take an item out from between its neighbours; it was the last one put there."""
    if not isinstance(item.parent, Shared):
        return  # collected at once
    if item.left is not None:
        item.left.right = item.right
    elif item.sub is None:
        item.parent.start = item.right
    if item.right is not None:
        item.right.left = item.left
    elif item.sub is not None:
        if item.left is not None:
            item.parent.entries[item.sub] = item.left
        else:
            del item.parent.entries[item.sub]


def collect(item: Item) -> None:
    """Leave of an item nothing but the clocks it takes."""
    item.kind, item.deleted, item.content = GC, True, write_number(item.length)
    item.origin = item.right_origin = item.parent = item.sub = None
    item.left = item.right = item.shared = None


def children(shared: Shared, *, history: bool = False) -> Iterator[Item]:
    """Return the items in a shared type; of keys the latest only, unless with history."""
    item = shared.start
    while item is not None:
        yield item
        item = item.right
    for latest in shared.entries.values():
        entry: Item | None = latest
        while entry is not None:
            yield entry
            entry = entry.left if history else None
