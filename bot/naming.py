"""Which room somebody means: by id, alias, name, or a board's number or id. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from bot.errors import UsageError

MIN_PREFIX = 4
"""Characters of an id that are enough, if only one room's begins with them."""


@dataclass(frozen=True, slots=True)
class RoomNames:
    """What one room can be called.

    Attributes:
        room_id: its id.
        name: what people call it; empty without any.
        alias: its address for people; empty without any.
        boards: of each of its boards the number, whiteboard id and document id.
    """

    room_id: str
    name: str = ""
    alias: str = ""
    boards: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """What an operator knows it by."""
        return self.name or self.alias or self.room_id

    @property
    def all(self) -> tuple[str, ...]:
        """Everything it can be called."""
        names = (self.room_id, self.alias, self.name.casefold(), *self.boards)
        return tuple(filter(None, names))


def find_room(rooms: Sequence[RoomNames], text: str) -> RoomNames:
    """Find the room somebody means.

    Raises:
        UsageError: none or several fit; the text says what to type.
    """
    asked = text.strip()
    # A room must not be able to take another one's place by its name: ids and aliases go first.
    for fits in (
        [room for room in rooms if asked == room.room_id],
        [room for room in rooms if asked in {room.room_id, room.alias, *room.boards} - {""}],
        [room for room in rooms if room.name and room.name.casefold() == asked.casefold()],
        [room for room in rooms if _begins(room, asked)],
    ):
        if len(fits) == 1:
            return fits[0]
        if fits:
            ids = ", ".join(sorted(room.room_id for room in fits)[:5])
            raise UsageError(f"“{text}” fits {len(fits)} rooms: say which, by its id ({ids}).")
    raise UsageError(f"There is no room “{text}” here. {_advice(rooms, asked)}")


def _begins(room: RoomNames, asked: str) -> bool:
    return len(asked) >= MIN_PREFIX and any(
        one.startswith(asked) for one in (room.room_id, room.alias, *room.boards)
    )


def _advice(rooms: Sequence[RoomNames], asked: str) -> str:
    names = {name: room for room in rooms for name in room.all if not name.isdigit()}
    near = get_close_matches(asked.casefold(), {name.casefold() for name in names}, 3, 0.6)
    by_folded = {name.casefold(): room for name, room in names.items()}
    shown = list(dict.fromkeys(by_folded[one].shown for one in near))
    if shown:
        return f"Did you mean {' or '.join(f'“{one}”' for one in shown)}?"
    return "“boardkeeper boards” lists the boards and their rooms."
