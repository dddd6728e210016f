"""Updates written by hand, also such as yjs would never write; and at random."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from bot.whiteboard.item import ANY, ARRAY, DELETED, DOC, FORMAT, GC, MAP, STRING, TEXT, TYPE, Id
from bot.whiteboard.lib0 import write_number, write_text
from bot.whiteboard.versions import initial

UNDEFINED, NULL, TRUE, ONE, X = b"\x7f", b"\x7e", b"\x78", b"\x7d\x01", b"\x77\x01x"
"""Values."""


def seventh() -> bytes:
    """Return a state of a version that NeoBoard may have one day."""
    return update((9, 0, [item(TYPE, write_number(MAP), "7", "slides")]))


def any_content(*values: bytes) -> bytes:
    return write_number(len(values)) + b"".join(values)


def text_value(text: str) -> bytes:
    return b"\x77" + write_text(text)


def item(
    kind: int,
    content: bytes,
    parent: str | Id | None = None,
    sub: str | None = None,
    origin: Id | None = None,
    right: Id | None = None,
) -> bytes:
    info = kind | (0x80 if origin else 0) | (0x40 if right else 0) | (0 if sub is None else 0x20)
    written = bytes([info]) + b"".join(
        write_number(one[0]) + write_number(one[1]) for one in (origin, right) if one
    )
    if not origin and not right:
        if isinstance(parent, str):
            written += b"\1" + write_text(parent)
        else:
            assert parent is not None
            written += b"\0" + write_number(parent[0]) + write_number(parent[1])
        written += b"" if sub is None else write_text(sub)
    return written + content


def update(
    *blocks: tuple[int, int, Sequence[bytes]], deletes: Iterable[tuple[int, int, int]] = ()
) -> bytes:
    """Blocks are (client, first clock, structs), deletes (client, first clock, length)."""
    written = write_number(len(blocks))
    for client, clock, structs in blocks:
        written += write_number(len(structs)) + write_number(client) + write_number(clock)
        written += b"".join(structs)
    ranges = list(deletes)
    written += write_number(len(ranges))
    for client, clock, length in ranges:
        written += b"".join(map(write_number, (client, 1, clock, length)))
    return written


_KEYS = [
    "slides",
    "slideIds",
    "elements",
    "elementIds",
    "lock",
    "type",
    "text",
    "__proto__",
    "",
    "a",
]
_VALUES = [
    *(UNDEFINED, NULL, TRUE, ONE, X),
    *map(text_value, ["shape", "frame", "line", "", "IN4h74suMiIAK4AVMAdl_"]),
    b"\x76\x02\x01x\x7d\x01\x01y\x7c\x3f\x80\x00\x00",  # a position
    b"\x76\x01\x06userId" + X,
    b"\x75\x01" + X,
    b"\x74\x01a",
    b"\x7a" + bytes(8),
    b"\x7b\x7f\xf8" + bytes(6),  # NaN
]
_FRAME = ({"type": text_value("frame"), "position": _VALUES[10]},)


class Scribbler:
    """Writes well-formed updates that know what is there, but not what makes sense.

    Args:
        seed: the same one writes the same.
        sane: whether neighbours are where the item is, and keys hold one value, as in yjs.
    """

    def __init__(self, seed: int, *, sane: bool) -> None:
        self.random = Random(seed)
        self.sane = sane
        self.first = initial("0")
        self._clocks: dict[int, int] = {0: 6}
        # First id, length, parent, key, kind, kind of shared type.
        self._there: list[tuple[Id, int, str | Id, str | None, int, int]] = [
            ((0, 0), 1, "0", "slides", TYPE, MAP),
            ((0, 1), 1, (0, 0), "IN4h74suMiIAK4AVMAdl_", TYPE, MAP),
            ((0, 2), 1, (0, 1), "elements", TYPE, MAP),
            ((0, 3), 1, (0, 1), "elementIds", TYPE, ARRAY),
            ((0, 4), 1, "0", "slideIds", TYPE, ARRAY),
            ((0, 5), 1, (0, 4), None, ANY, -1),
        ]

    def write(self) -> bytes:
        """The next update."""
        pick = self.random
        clients = pick.sample([1, 2, 77, 2**32 - 1], pick.choice([1, 1, 1, 2, 3]))
        blocks = []
        for client in clients:
            first = self._clocks.get(client, 0)
            structs = [
                struct for _ in range(pick.randrange(1, 5)) for struct in self._structs(client)
            ]
            blocks.append((client, first, structs))
        deletes = []
        for client in pick.sample(sorted(self._clocks), pick.choice([0, 0, 1, 2])):
            start = pick.randrange(self._clocks[client])
            length = pick.randrange(1, min(5, self._clocks[client] - start) + 1)
            deletes.append((client, start, length))
        return update(*blocks, deletes=deletes)

    def _structs(self, client: int) -> list[bytes]:
        if self.random.random() < 0.2:
            return self._element(client)
        return [self._struct(client)]

    def _element(self, client: int) -> list[bytes]:
        clock = self._clocks.get(client, 0)
        name = f"e{client}{clock}"
        structs = [item(TYPE, b"\1", (0, 2), name)]
        self._note(client, 1, (0, 2), name, TYPE, MAP)
        for key, one in self.random.choice(_FRAME).items():
            structs.append(item(ANY, any_content(one), (client, clock), key))
            self._note(client, 1, (client, clock), key, ANY, -1)
        structs.append(item(ANY, any_content(text_value(name)), (0, 3)))
        self._note(client, 1, (0, 3), None, ANY, -1)
        return structs

    def _struct(self, client: int) -> bytes:
        pick = self.random
        kind, content, length, shared = self._content()
        if kind == GC:
            self._note(client, length, "0", None, GC, -1)
            return b"\0" + content
        origin = right = None
        if pick.random() < 0.5:
            there = pick.choice(self._there)
            origin = self._id(there)
            if there[3] is None and pick.random() < 0.4:
                same = [one for one in self._there if one[2:4] == there[2:4] and one is not there]
                right = self._id(pick.choice(same)) if same else None
        if not self.sane and pick.random() < 0.2:
            right = self._id(pick.choice(self._there))
        if origin or right:
            _, _, parent, sub, _, _ = next(
                one for one in self._there if self._has(one, origin or right)
            )
        else:
            holders = [one for one in self._there if one[4] == TYPE or not self.sane]
            holder = pick.choice(holders)
            parent = holder[0] if pick.random() < 0.7 else "0"
            sub = pick.choice(_KEYS) if parent == "0" or holder[5] == MAP else None
        if sub is not None and self.sane and length > 1:
            kind, content, length, shared = ANY, any_content(pick.choice(_VALUES)), 1, -1
        self._note(client, length, parent, sub, kind, shared)
        return item(kind, content, parent, sub, origin, right)

    def _content(self) -> tuple[int, bytes, int, int]:
        pick = self.random
        length = pick.choice([1, 1, 2, 3])
        values = any_content(*(pick.choice(_VALUES) for _ in range(length)))
        shared = pick.choice([ARRAY, MAP, MAP, TEXT])
        string = pick.choice(["a", "hé", "a😀b"])
        units = len(string.encode("utf-16-le")) // 2
        return pick.choice(
            [
                (ANY, values, length, -1),
                (ANY, any_content(pick.choice(_VALUES)), 1, -1),
                (TYPE, bytes([shared]), 1, shared),
                (DELETED, write_number(length), length, -1),
                (GC, write_number(length), length, -1),
                (STRING, write_text(string), units, -1),
                (FORMAT, write_text("b") + write_text("true"), 1, -1),
                (DOC, write_text("id") + NULL, 1, -1),
            ]
        )

    def _note(
        self, client: int, length: int, parent: str | Id, sub: str | None, kind: int, shared: int
    ) -> None:
        clock = self._clocks.get(client, 0)
        self._there.append(((client, clock), length, parent, sub, kind, shared))
        self._clocks[client] = clock + length

    def _id(self, there: tuple[Id, int, str | Id, str | None, int, int]) -> Id:
        (client, clock), length = there[:2]
        last = self.sane and there[3] is not None
        return client, clock + (length - 1 if last else self.random.randrange(length))

    @staticmethod
    def _has(there: tuple[Id, int, str | Id, str | None, int, int], one: Id | None) -> bool:
        assert one is not None
        return there[0][0] == one[0] and there[0][1] <= one[1] < there[0][1] + there[1]
