"""A handler with other settings in some rooms: one instance for each, all under one name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from bot.handlers.base import Event, Handler, NoSettings
from bot.handlers.recorded import SOURCES

H = TypeVar("H", bound=Handler)


class ByRoom(Handler):
    """Stands for the instances of one handler; lanes take the one of their room (`in_room`).

    Args:
        usual: the one of all rooms but those named.
        rooms: instances by room id.
    """

    def __init__(self, usual: Handler, rooms: Mapping[str, Handler]) -> None:
        super().__init__(usual.settings)
        self._usual = usual
        self._rooms = rooms

    def wants(self) -> frozenset[type[Event]]:
        """Return what any of the instances wants."""
        return frozenset[type[Event]]().union(*(one.wants() for one in self.instances()))

    def of(self, room_id: str) -> Handler:
        """Return a room's instance."""
        return self._rooms.get(room_id, self._usual)

    def instances(self) -> Iterator[Handler]:
        """Yield each instance once."""
        yield from {id(one): one for one in (self._usual, *self._rooms.values())}.values()


class Off(Handler):
    """Stands for a handler in a room where it is off: what is recorded there passes it by.

    So when it is on again, nothing of the time when it was off is told.

    Args:
        usual: the one that is off.
    """

    def __init__(self, usual: Handler) -> None:
        super().__init__(NoSettings())
        self._events = usual.wants() & SOURCES.keys() if usual.durable else frozenset()

    def wants(self) -> frozenset[type[Event]]:
        """Return what is recorded and the handler would be given."""
        return self._events


def like(kind: type[H], other: type[Handler]) -> type[H]:
    """Return a class whose handlers are told in the way of another one's."""
    told = {
        name: getattr(other, name)
        for name in ("api", "asks_changes", "durable", "batch", "collect")
    }
    return type(kind.__name__, (kind,), told)


def in_room(handler: Handler, room_id: str) -> Handler:
    """Return the instance of a handler for a room."""
    return handler.of(room_id) if isinstance(handler, ByRoom) else handler


def instances(handler: Handler) -> Iterator[Handler]:
    """Yield the instances that a handler consists of; most often itself."""
    if isinstance(handler, ByRoom):
        yield from handler.instances()
    else:
        yield handler
