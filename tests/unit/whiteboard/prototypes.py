"""Boards of objects that inherit, as nobody draws them: the same ones for the same seed.

What NeoBoard needs of a board lies in prototypes of prototypes, or not; what is in the way of it
lies before it, or behind. Prototypes are shared maps, plain objects, lists, bytes, null.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from bot.whiteboard.item import ANY, ARRAY, BINARY, DOC, MAP, TYPE, Id
from bot.whiteboard.lib0 import write_number, write_text
from bot.whiteboard.versions import initial
from tests.unit.whiteboard.craft import (
    NULL,
    ONE,
    TRUE,
    UNDEFINED,
    X,
    any_content,
    item,
    text_value,
    update,
)

FIRST = "IN4h74suMiIAK4AVMAdl_"
BYTES = b"\x74\x02ab"
LEAVES = (UNDEFINED, NULL, ONE, TRUE, X, text_value(""), BYTES, b"\x74\x00", b"\x75\x00")
IDS = ("a", "a", "b", "__proto__", "constructor", "toString", "hasOwnProperty", "")
ODD_KEYS = (
    *("length", "buffer", "BYTES_PER_ELEMENT"),
    *("constructor", "toString", "hasOwnProperty", "valueOf", "x"),
)


@dataclass(slots=True)
class Odd:
    """An object to be: a shared map or a plain one.

    Attributes:
        shared: which of them; within a plain one all is plain.
        pairs: of keys and what is assigned to them, in this order.
    """

    shared: bool
    pairs: list[tuple[str, Node]]


@dataclass(frozen=True, slots=True)
class Ids:
    """A list of ids to be."""

    shared: bool
    ids: tuple[str, ...] = ()


Node = bytes | Odd | Ids
"""Bytes are a value as it is written."""


class Maker:
    """Makes one thing after the other.

    Args:
        random: decides.
        version: of the board.
    """

    def __init__(self, random: Random, version: str) -> None:
        self._random = random
        self._version = version

    def _chance(self, part: float) -> bool:
        return self._random.random() < part

    def _odd(self, fields: dict[str, Node], depth: int = 0) -> Odd:
        """An object of these fields, some of which it inherits, or loses."""
        pick = self._random
        pairs: list[tuple[str, Node]] = list(fields.items())
        pick.shuffle(pairs)
        if pairs and self._chance(0.1):
            pairs.pop()
        if pairs and self._chance(0.1):
            pairs[0] = (pairs[0][0], pick.choice(LEAVES))
        if self._chance(0.1):
            pairs.append((pick.choice(ODD_KEYS), pick.choice(LEAVES)))
        if depth < 3 and self._chance(0.35):
            some = pick.randrange(len(pairs) + 1)
            inherited, pairs = dict(pairs[:some]), pairs[some:]
            if inherited and self._chance(0.3):  # what shadows it
                key = pick.choice(sorted(inherited))
                pairs.append((key, pick.choice([*LEAVES, inherited[key]])))
            pairs.append(("__proto__", self._prototype(inherited, depth)))
            if self._chance(0.1):
                again: Node = NULL if self._chance(0.5) else self._odd({}, depth + 1)
                pairs.append(("__proto__", again))
            pick.shuffle(pairs)
        return Odd(self._chance(0.6), pairs)

    def _prototype(self, fields: dict[str, Node], depth: int) -> Node:
        if self._chance(0.2):
            return self._random.choice(LEAVES)
        return self._odd(fields, depth + 1)

    def point(self) -> Node:
        return self._odd({"x": ONE, "y": ONE})

    def lock(self) -> Node:
        return self._odd({"userId": X})

    def ids(self) -> Node:
        many = self._random.choices(IDS, k=self._random.choice([0, 0, 1]))
        return Ids(self._chance(0.7), tuple(many))

    def element(self) -> Node:
        fields: dict[str, Node] = {"position": self.point(), "type": text_value("frame")}
        if self._chance(0.5):
            fields |= {"type": text_value("path"), "kind": text_value("line"), "strokeColor": X}
            fields["points"] = b"\x75\x00"
        return self._odd(fields)

    def elements(self) -> Node:
        few = self._random.choices(IDS, k=self._random.choice([0, 1, 1, 2]))
        return self._odd({one: self.element() for one in few})

    def slide(self) -> Node:
        fields = {"elements": self.elements(), "elementIds": self.ids()}
        if self._version == "1" or self._chance(0.1):
            fields["frameElementIds"] = self.ids()
        if self._chance(0.3):
            fields["lock"] = self.lock()
        return self._odd(fields)

    def slides(self) -> Node:
        few = self._random.choices(IDS, k=self._random.choice([0, 1, 1, 2]))
        return self._odd({one: self.slide() for one in few})

    def under(self, path: tuple[str, ...]) -> tuple[str, Node]:
        """A key of the map at a path, and something for it."""
        pick = self._random
        keys: dict[str, Node]
        if self._chance(0.1):
            return pick.choice(ODD_KEYS), pick.choice(LEAVES)
        match [one for one in path if one != "__proto__"]:
            case []:
                keys = {"slides": self.slides(), "slideIds": self.ids()}
            case ["slides"]:
                keys = {pick.choice(IDS): self.slide()}
            case ["slides", _]:
                keys = {
                    "elements": self.elements(),
                    "elementIds": self.ids(),
                    "frameElementIds": self.ids(),
                    "lock": self.lock(),
                }
            case ["slides", _, "elements"]:
                keys = {pick.choice(IDS): self.element()}
            case ["slides", _, "elements", _]:
                keys = {"position": self.point(), "type": text_value("frame"), "points": ONE}
            case ["slides", _, "lock"]:
                keys = {"userId": X}
            case _:
                keys = {"x": ONE, "y": ONE}
        if self._chance(0.25):
            return "__proto__", self._prototype(keys, 0)
        key = pick.choice(sorted(keys))
        return key, pick.choice(LEAVES) if self._chance(0.2) else keys[key]


@dataclass(slots=True)
class _There:
    """What a document has: its maps, and the last item under each key of them."""

    maps: dict[tuple[str, ...], str | Id]
    last: dict[tuple[str | Id, str], Id] = field(default_factory=dict)


class Hostile:
    """Writes updates of a board one after the other, each of another client.

    Args:
        seed: the same one writes the same.
        version: of the board.
    """

    def __init__(self, seed: int, version: str = "0") -> None:
        self._random = Random(seed)
        self._maker = Maker(self._random, version)
        self.first = initial(version)
        slide = ("slides", FIRST)
        self._there = _There(
            {
                (): version,
                ("slides",): (0, 0),
                slide: (0, 1),
                (*slide, "elements"): (0, 2),
            },
            {
                (version, "slides"): (0, 0),
                (version, "slideIds"): (0, 4),
                ((0, 0), FIRST): (0, 1),
                ((0, 1), "elements"): (0, 2),
                ((0, 1), "elementIds"): (0, 3),
            },
        )
        self._before = self._there
        self._client = 10

    def write(self) -> bytes:
        """The next update; follow with `forget` if nobody takes it."""
        self._before = _There(dict(self._there.maps), dict(self._there.last))
        self._client += 1
        structs: list[bytes] = []
        deletes: list[tuple[int, int, int]] = []
        for _ in range(self._random.choice([1, 1, 2])):
            path = self._random.choice(list(self._there.maps))
            parent = self._there.maps[path]
            if self._random.random() < 0.15:
                self._delete(path, parent, deletes)
            else:
                key, node = self._maker.under(path)
                structs += self._put(path, parent, key, node, len(structs))
        blocks = [(self._client, 0, structs)] if structs else []
        return update(*blocks, deletes=deletes)

    def forget(self) -> None:
        """Forget what was written last."""
        self._there = self._before

    def _delete(
        self, path: tuple[str, ...], parent: str | Id, deletes: list[tuple[int, int, int]]
    ) -> None:
        keys = sorted(key for holder, key in self._there.last if holder == parent)
        if keys:
            key = self._random.choice(keys)
            client, clock = self._there.last[parent, key]
            if client != self._client:
                deletes.append((client, clock, 1))
                self._leave((*path, key))

    def _leave(self, path: tuple[str, ...]) -> None:
        """The maps at and under a path are no more."""
        maps = self._there.maps
        for one in [one for one in maps if one[: len(path)] == path]:
            del maps[one]

    def _put(
        self, path: tuple[str, ...], parent: str | Id, key: str, node: Node, clock: int
    ) -> Iterator[bytes]:
        kind, content, inner = self._content(node)
        here = (self._client, clock)
        there = self._there.last.get((parent, key))
        # Who has an origin needs no parent.
        yield item(kind, content, None if there else parent, key if not there else None, there)
        self._leave((*path, key))
        self._there.last[parent, key] = here
        if kind == TYPE and content == bytes([MAP]):
            self._there.maps[*path, key] = here
        clock += 1
        for each, one in inner:
            made = list(self._put((*path, key), here, each, one, clock))
            clock += len(made)
            yield from made

    def _content(self, node: Node) -> tuple[int, bytes, list[tuple[str, Node]]]:
        if isinstance(node, Odd) and node.shared:
            return TYPE, bytes([MAP]), list(dict(node.pairs).items())
        if isinstance(node, Ids) and node.shared and not node.ids:
            return TYPE, bytes([ARRAY]), []
        if node == BYTES:
            return BINARY, b"\2ab", []
        if node == TRUE and self._random.random() < 0.3:
            return DOC, write_text("id") + b"\x76\x00", []
        return ANY, any_content(plain(node)), []


def plain(node: Node) -> bytes:
    """A thing as a plain value."""
    if isinstance(node, bytes):
        return node
    if isinstance(node, Ids):
        return b"\x75" + write_number(len(node.ids)) + b"".join(map(text_value, node.ids))
    written = b"".join(write_text(key) + plain(one) for key, one in node.pairs)
    return b"\x76" + write_number(len(node.pairs)) + written
