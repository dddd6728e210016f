"""Recordings without what people wrote and who they are; what they drew, and how, stays.

Yjs updates are rewritten item by item: ids, clocks, lengths, places and deletions stay, contents
are replaced by such of the same kind and length (`masks`). So the entries replay to a document of
the same shape. A value that replaces another does not say which field it is of, only what it comes
after: so everything is learned first, then rewritten.
"""

from __future__ import annotations

import re
from dataclasses import replace

from bot.errors import InvalidMessage, InvalidUpdate
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.item import (
    ANY,
    BINARY,
    DOC,
    EMBED,
    FORMAT,
    GONE,
    JSON,
    STRING,
    XML_ELEMENT,
    XML_HOOK,
    Id,
    Item,
)
from bot.whiteboard.lib0 import copy_value, number, stretch, text, write_number, write_text
from bot.whiteboard.lines import MAX_TS, Header
from bot.whiteboard.masks import Masks, masked
from bot.whiteboard.message import CursorMove, FocusOn, Present, Signal, Update, decode, encode
from bot.whiteboard.update import read_update, write_update

BEGIN_TS = 1_767_225_600_000
"""When every anonymised recording begins: 2026-01-01 00:00:00 UTC, ms since 1970."""

_VERSION = re.compile(r"0|[1-9][0-9]{0,2}")  # also one that is to come
_UPDATES = frozenset({Kind.UPDATE, Kind.REFUSED, Kind.SNAPSHOT, Kind.BASELINE})


def anonymous_header(version: str | None, token: str) -> Header:
    """Return the header of an anonymised recording.

    Args:
        version: of the document.
        token: tells it from others, so that an archive can hold several.
    """
    room_id = f"!board-{token}:anonymised.invalid"
    board = BoardKey(room_id, f"whiteboard-{token}", f"$document-{token}")
    return Header(board, version, BEGIN_TS, anonymised=True)


class Anonymiser:
    """Anonymises the entries of one board: all are learned first, then all are rewritten.

    Attributes:
        left_out: entries that could not be rewritten: what is neither an update nor a packet.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self._masks = Masks()
        self._begin_ts: int | None = None
        # Per last id of an item the key it is under, or whose key that is; None: no key.
        self._keys: dict[Id, str | Id | None] = {}

    def learn(self, entry: Entry) -> None:
        """Learn under which keys an entry puts things."""
        if entry.kind not in _UPDATES:
            return
        try:
            update = read_update(entry.data)
        except InvalidUpdate:
            return
        for items in update.blocks.values():
            for item in items:
                at = (item.client, item.end - 1)
                # What was refused may be something else than what then came under the same ids.
                if entry.kind is not Kind.REFUSED or at not in self._keys:
                    self._keys[at] = item.origin if item.sub is None else item.sub

    def rewrite(self, entry: Entry) -> Entry | None:
        """Return an entry as it can be handed on; None, and it is counted, when that cannot be."""
        try:
            in_update = entry.kind in _UPDATES
            data = self._update(entry.data) if in_update else self._packet(entry.data)
        except (InvalidMessage, InvalidUpdate):
            self.left_out += 1
            return None
        if self._begin_ts is None:
            self._begin_ts = entry.ts
        sender, device = entry.sender, entry.device
        return replace(
            entry,
            # The homeserver's clock may have been set back.
            ts=min(BEGIN_TS + max(0, entry.ts - self._begin_ts), MAX_TS),
            sender=self._masks.person(sender) if sender else None,
            device=self._masks.device(sender, device) if device else None,
            data=data,
        )

    # -- packets -------------------------------------------------------------------------------

    def _packet(self, data: bytes) -> bytes:
        message = decode(data)
        if isinstance(message, Update):
            raise InvalidMessage("it is no signal")
        return encode(self._signal(message))

    def _signal(self, signal: Signal) -> Signal:
        if isinstance(signal, CursorMove):
            return CursorMove(self._masks.id(signal.slide_id), signal.x, signal.y)
        if isinstance(signal, FocusOn):
            return FocusOn(self._masks.id(signal.slide_id))
        target = None if signal.target is None else self._masks.id(signal.target)
        return Present(signal.kind, target, signal.edit)

    # -- updates -------------------------------------------------------------------------------

    def _update(self, data: bytes) -> bytes:
        update = read_update(data)
        for items in update.blocks.values():
            for item in items:
                self._rewrite(item)
        return write_update(update.blocks, update.deletes)

    def _rewrite(self, item: Item) -> None:
        item.content = self._content(item, self._key(item))
        if item.sub is not None:
            item.sub = self._masks.id(item.sub)
        if isinstance(item.parent, str) and not _VERSION.fullmatch(item.parent):
            item.parent = self._masks.id(item.parent)

    def _key(self, item: Item) -> str | None:
        """Return the key that an item is under."""
        if item.sub is not None or item.origin is None:
            return item.sub
        at, passed = item.origin, []
        while isinstance(key := self._keys.get(at), tuple):
            passed.append(at)
            self._keys[at] = None  # ends circles, which only refused updates make
            at = key
        for one in passed:  # lists are long: the next one asks for it again
            self._keys[one] = key
        return key

    def _content(self, item: Item, key: str | None) -> bytes:  # noqa: PLR0911 - one per kind
        data = item.content
        if item.kind in GONE:
            return data
        if item.kind == ANY:
            return self._values(data, key)
        if item.kind == STRING:
            return write_text(masked(text(data, 0)[0]))
        if item.kind == BINARY:
            start, stop = stretch(data, 0)
            return data[:start] + bytes(stop - start)
        if item.kind == JSON:
            return write_number(item.length) + _NULL * item.length
        if item.kind == EMBED:
            return _NULL
        if item.kind == FORMAT:
            return write_text(self._masks.id(text(data, 0)[0])) + _NULL
        if item.kind == DOC:
            name, position = text(data, 0)
            return write_text(self._masks.id(name)) + self._value(data, position, key)[0]
        return self._type(data)

    def _values(self, data: bytes, key: str | None) -> bytes:
        count, position = number(data, 0)
        copied = [data[:position]]
        for _ in range(count):
            one, position = self._value(data, position, key)
            copied.append(one)
        return b"".join(copied)

    def _value(self, data: bytes, position: int, key: str | None) -> tuple[bytes, int]:
        return copy_value(data, position, key, self._masks.id, self._masks.text)

    def _type(self, data: bytes) -> bytes:
        kind, position = number(data, 0)
        if kind not in {XML_ELEMENT, XML_HOOK}:
            return data
        return data[:position] + write_text(self._masks.id(text(data, position)[0]))


_NULL = write_text("null")
