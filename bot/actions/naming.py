"""Which room or board somebody means. Pure.

Ids, aliases and names are made by whoever is in some room, so none of them may stand for what is
somebody else's. What a text can mean is told by how it begins:

    12        only a board's number, which is ours
    !…        only a room id        $…   only a document id
    #…        an alias or a name    …    a whiteboard id or a name

Where that fits several, nothing is chosen: all that fit are listed. Only if nothing fits as a
whole may it be the beginning of one id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Protocol, TypeVar

from bot.errors import UsageError
from bot.whiteboard.board import BoardKey

MIN_PREFIX = 4
"""Characters of an id that are enough, if only one begins with them."""
MAX_SHOWN = 20
"""Ids and numbers listed at the most."""


class NamedBoard(Protocol):
    """A board as the archive lists it."""

    @property
    def id(self) -> int:
        """The archive's number."""

    @property
    def key(self) -> BoardKey:
        """Names it."""


_Row = TypeVar("_Row", bound=NamedBoard)


@dataclass(frozen=True, slots=True)
class RoomNames:
    """What one room can be called.

    Attributes:
        room_id: its id.
        name: what people call it; empty without any.
        alias: its address for people; empty without any.
        boards: its boards by number.
    """

    room_id: str
    name: str = ""
    alias: str = ""
    boards: Mapping[int, BoardKey] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """What an operator knows it by."""
        return self.name or self.alias or self.room_id

    @property
    def all(self) -> tuple[str, ...]:
        """Everything it can be called but numbers."""
        boards = [one for key in self.boards.values() for one in _ids(key)]
        return tuple(filter(None, (self.room_id, self.alias, self.name.casefold(), *boards)))


def _ids(key: BoardKey) -> tuple[str, str]:
    return key.whiteboard_id, key.document_id


def find_room(rooms: Sequence[RoomNames], text: str) -> RoomNames:
    """Find the room somebody means.

    Raises:
        UsageError: none or several fit; the text says what to type.
    """
    asked = text.strip()
    for how in (_whole, _beginning):
        fits = [room for room in rooms if _is_called(room, asked, how)]
        if len(fits) == 1:
            return fits[0]
        if fits:
            ids = ", ".join(sorted(room.room_id for room in fits)[:MAX_SHOWN])
            raise UsageError(f"“{text}” fits {len(fits)} rooms: say which, by its id ({ids}).")
    raise UsageError(f"There is no room “{text}” here. {_advice(rooms, asked)}")


def find_board(rows: Sequence[_Row], text: str) -> _Row:
    """Find the board somebody means: its number, whiteboard id, document id or room id.

    Raises:
        UsageError: none or several fit; the text says what to type.
    """
    asked = text.strip()
    for how in (_whole, _beginning):
        fits = [
            row
            for row in rows
            if _is_board(row.id, row.key, asked, how)
            or (asked.startswith("!") and how(row.key.room_id, asked))
        ]
        if len(fits) == 1:
            return fits[0]
        if fits:
            numbers = ", ".join(str(row.id) for row in fits[:MAX_SHOWN])
            raise UsageError(f"“{text}” fits {len(fits)} boards: say which, by number ({numbers}).")
    raise UsageError(f"There is no board “{text}”. “boardkeeper boards” lists them.")


_Fits = Callable[[str, str], bool]


def _whole(called: str, asked: str) -> bool:
    return called == asked


def _beginning(called: str, asked: str) -> bool:
    return len(asked) >= MIN_PREFIX and called.startswith(asked)


def _is_called(room: RoomNames, asked: str, how: _Fits) -> bool:
    boards = any(_is_board(number, key, asked, how) for number, key in room.boards.items())
    if not asked or asked.isdecimal() or asked.startswith("$"):
        return boards
    if asked.startswith("!"):
        return boards or how(room.room_id, asked)
    if asked.startswith("#") and how(room.alias, asked):
        return True
    return boards or (how is _whole and room.name.casefold() == asked.casefold())


def _is_board(number: int, key: BoardKey, asked: str, how: _Fits) -> bool:
    """Return whether a board is called so by something of its own."""
    if asked.isdecimal():
        return str(number) == asked
    if asked.startswith("$"):
        return how(key.document_id, asked)
    if asked.startswith("!") and not key.whiteboard_id.startswith(f"{key.room_id}_"):
        return False  # a room's id is nobody else's; NeoBoard puts it before the board's
    return bool(asked) and not asked.startswith("#") and how(key.whiteboard_id, asked)


def _advice(rooms: Sequence[RoomNames], asked: str) -> str:
    names = {name: room for room in rooms for name in room.all}
    near = get_close_matches(asked.casefold(), {name.casefold() for name in names}, 3, 0.6)
    by_folded = {name.casefold(): room for name, room in names.items()}
    shown = list(dict.fromkeys(by_folded[one].shown for one in near))
    if shown:
        return f"Did you mean {' or '.join(f'“{one}”' for one in shown)}?"
    return "“boardkeeper boards” lists the boards and their rooms."
