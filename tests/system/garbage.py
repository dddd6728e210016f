"""What no NeoBoard client would ever send: packets and room events, the same for the same seed."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pycrdt import Array, Doc, Map

from tests.stack.client import elements
from tests.stack.client.document import BoardDocument
from tests.stack.client.edits import add_element
from tests.stack.client.events import (
    BOARD,
    CHUNK,
    MEMBER,
    PREFIX,
    SNAPSHOT,
    Board,
    chunk_contents,
    cursor_packet,
    focus_packet,
    member_content,
    packet,
    present_packet,
    snapshot_content,
    update_packet,
)

RESERVES_512_MB = bytes.fromhex("ffffff7f")
"""Four bytes that make pycrdt reserve 512 MB (reference/board.md)."""

_LARGEST = 62_000
_WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    3.5,
    2**53,
    10**300,
    "",
    "x" * 3000,
    "\0",
    [],
    [[]],
    {},
    {"a": {}},
)


class Garbage:
    """Packets that are wrong in every way that came to mind.

    Args:
        board: one that exists.
        seed: decides which ones.
    """

    def __init__(self, board: Board, seed: int = 0) -> None:
        self._board = board
        self._random = random.Random(seed)
        self._update = BoardDocument().change(
            add_element(elements.FIRST_SLIDE, elements.new_id(), elements.shape(text="good"))
        )
        self._good = [
            update_packet(board.document_id, self._update),
            cursor_packet(elements.FIRST_SLIDE, 1, 2),
            focus_packet(elements.FIRST_SLIDE),
            present_packet("slide", elements.FIRST_SLIDE),
        ]

    def packets(self, count: int) -> Iterator[bytes]:
        """Make packets."""
        kinds: list[Callable[[], bytes]] = [
            self._noise,
            self._truncated,
            self._flipped,
            self._oversized,
            self._mistyped,
            self._nested,
            self._unknown,
            self._number,
            self._no_update,
            self._broken_update,
            self._foreign_update,
            self._invalid_update,
            self._early_update,
        ]
        yield update_packet(self._board.document_id, RESERVES_512_MB)
        for number in range(1, count):
            yield kinds[number % len(kinds)]()

    def _bytes(self, most: int = 300) -> bytes:
        return self._random.randbytes(self._random.randrange(most))

    def _noise(self) -> bytes:
        return self._bytes(2000)

    def _truncated(self) -> bytes:
        good = self._random.choice(self._good)
        return good[: self._random.randrange(len(good))]

    def _flipped(self) -> bytes:
        bad = bytearray(self._random.choice(self._good))
        for _ in range(self._random.randint(1, 4)):
            bad[self._random.randrange(len(bad))] ^= 1 << self._random.randrange(8)
        return bytes(bad)

    def _oversized(self) -> bytes:
        if self._random.random() < 0.9:
            return self._noise()
        filler = self._random.choice([b" ", b"[", b'"', b"0", self._random.randbytes(64)])
        start = self._random.choice([b"", b'{"type":"', self._good[0][:-2]])
        return (start + filler * _LARGEST)[:_LARGEST]

    def _mistyped(self) -> bytes:
        message = json.loads(self._random.choice(self._good))
        self._spoil(message if self._random.random() < 0.3 else message["content"])
        return json.dumps(message).encode()

    def _spoil(self, found: dict[str, Any]) -> None:
        key = self._random.choice(list(found) or ["new"])
        if isinstance(found.get(key), dict) and self._random.random() < 0.7:
            self._spoil(found[key])
        elif self._random.random() < 0.3:
            found.pop(key, None)
        else:
            found[key] = self._random.choice(_WRONG)

    def _nested(self) -> bytes:
        deep = self._random.choice([100, 2000, 20_000])
        begin, end = self._random.choice([(b"[", b"]"), (b'{"content":', b"}")])
        return (begin * deep + b"1" + end * deep)[:_LARGEST]

    def _unknown(self) -> bytes:
        kind = self._random.choice(["", "x", "document", "cursor_update ", "present_frame\0"])
        return packet(kind, json.loads(self._random.choice(self._good))["content"])

    def _number(self) -> bytes:
        number = self._random.choice(["1e999", "-1e999", "NaN", "Infinity", "9" * 5000, "1e-999"])
        text = '{"type":"%scursor_update","content":{"slideId":"a","position":{"x":%s,"y":0}}}'
        return (text % (PREFIX, number)).encode()

    def _no_update(self) -> bytes:
        data = self._random.choice([self._bytes(), RESERVES_512_MB, self._huge()])
        return update_packet(self._board.document_id, data)

    def _huge(self) -> bytes:
        """An update that announces more than it holds, at any place."""
        at = self._random.randrange(len(self._update))
        return self._update[:at] + bytes.fromhex("ffffffffffffff7f") + self._update[at:]

    def _broken_update(self) -> bytes:
        bad = bytearray(self._update)
        if self._random.random() < 0.5:
            bad[self._random.randrange(len(bad))] ^= 1 << self._random.randrange(8)
        else:
            del bad[self._random.randrange(len(bad)) :]
        return update_packet(self._board.document_id, bytes(bad))

    def _foreign_update(self) -> bytes:
        """A Yjs update that belongs to no board, or a message to no document there is."""
        if self._random.random() < 0.5:
            return update_packet(self._random.choice(["", "$none", "x" * 1024]), self._update)
        root = self._random.choice(["1", "2", "text", ""])
        return update_packet(self._board.document_id, foreign(root))

    def _invalid_update(self) -> bytes:
        """A change of the board that NeoBoard would refuse."""
        element = elements.shape(text="bad")
        element[self._random.choice(list(element))] = self._random.choice([{}, [], 1e308, True])
        edit = add_element(elements.FIRST_SLIDE, elements.new_id(), element)
        return update_packet(self._board.document_id, BoardDocument().change(edit))

    def _early_update(self) -> bytes:
        """A change whose cause never comes."""
        document = BoardDocument()
        first, second = (
            document.change(add_element(elements.FIRST_SLIDE, one, elements.shape(text=one)))
            for one in (elements.new_id(), elements.new_id())
        )
        assert first
        return update_packet(self._board.document_id, second)


def foreign(root: str = "2") -> bytes:
    """A good Yjs document that is no board of any version (or not of this one)."""
    doc: Doc[Any] = Doc()
    found: Map[Any] = doc.get(root, type=Map)
    found["slides"] = Map({"a": Array([1, 2])})
    return bytes(doc.get_update())


def bad_events(board: Board) -> list[tuple[str, dict[str, Any]]]:
    """Timeline events of a board, each wrong in one place: type and content."""
    data = BoardDocument().data
    found: list[tuple[str, dict[str, Any]]] = []
    for kind, good in (
        (SNAPSHOT, snapshot_content(board.document_id, 1)),
        (CHUNK, chunk_contents(board.document_id, "$none", data)[0]),
        ("m.room.message", {"msgtype": "m.text", "body": "!board status"}),
        ("m.room.message", {"msgtype": "m.text", "body": "!board " + "x" * 30_000}),
        ("m.room.redaction", {"redacts": "$none"}),
    ):
        found += [(kind, bad) for bad in spoilt(good)]
    garbage = base64.b64encode(RESERVES_512_MB).decode()
    chunk = chunk_contents(board.document_id, "$none", data)[0]
    return [*found, (CHUNK, chunk | {"data": garbage}), (CHUNK, chunk | {"data": "A" * 60_000})]


def bad_state(board: Board, user_id: str, device_id: str) -> list[tuple[str, str, dict[str, Any]]]:
    """State events of a room, each wrong in one place: type, state key and content."""
    member = member_content(board, device_id, ["http://127.0.0.1:1"], 2**45)
    found = [(MEMBER, f"_{user_id}_BAD{number}", bad) for number, bad in enumerate(spoilt(member))]
    found += [
        (BOARD, f"bad{number}", bad)
        for number, bad in enumerate(spoilt({"documentId": board.document_id}))
    ]
    # Good ones under keys that are somebody else's, or none.
    return [*found, (MEMBER, "", member), (MEMBER, "_@somebody:else_X", member)]


def spoilt(good: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Make contents with one field missing or wrong, as far as a homeserver takes them."""
    for key, value in good.items():
        rest = {name: field for name, field in good.items() if name != key}
        yield rest
        for wrong in _WRONG:
            if wrong not in (3.5, 10**300, 2**53):
                yield rest | {key: wrong}
        if isinstance(value, dict):
            yield from (rest | {key: bad} for bad in spoilt(value))
