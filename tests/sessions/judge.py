"""What is in the room after a session, and what should be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.whiteboard.causality import missing
from bot.whiteboard.replica import Replica
from bot.whiteboard.unsaved import Cover
from bot.whiteboard.update import Structure, read_update, write_update
from bot.whiteboard.versions import initial
from tests.stack.client.matrix import Event
from tests.stack.client.snapshots import Backlog

Marks = tuple[Cover, Cover]
"""What is brought, and what is deleted."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """A change somebody made."""

    number: int
    what: str
    update: bytes


def read_room(snapshots: Iterable[tuple[Event, Sequence[Event]]]) -> dict[str, bytes]:
    """The data of the complete snapshots of a board by their ids, newest first.

    Args:
        snapshots: with their chunks, all newest first.
    """
    found = {}
    for head, chunks in snapshots:
        backlog = Backlog(head["content"]["m.relates_to"]["event_id"])
        joined = [backlog.add(event) for event in (head, *reversed(chunks))]
        for one in joined:
            if one is not None and one.data is not None:
                found[head["event_id"]] = one.data
    return found


def judge(
    strokes: Sequence[Stroke], heard: Iterable[bytes], complete: Sequence[bytes]
) -> tuple[list[Stroke], list[Stroke]]:
    """What a fresh reader of the room does not see.

    Args:
        strokes: all that were made, in this order.
        heard: the updates that reached the bot.
        complete: the complete snapshots in the room, newest first.

    Returns:
        The lost strokes; those of them that reached the bot or the room with all their causes.
    """
    there = _marks([_read(complete[0] if complete else b"")])
    lost = [one for one in strokes if not _holds(there, read_update(one.update))]
    reached = _marks(map(read_update, (*heard, *complete)))
    numbers = {one.number for one in _with_causes(strokes, reached)}
    return lost, [one for one in lost if one.number in numbers]


def _read(room: bytes) -> Structure:
    """What a fresh reader of the room has, as Yjs integrates it."""
    reader = Replica("0")
    for data in filter(None, (initial("0"), room)):
        reader.integrate(read_update(data))
    reader.commit()
    return read_update(write_update(reader.store.blocks(), reader.store.deletes()))


def _marks(updates: Iterable[Structure]) -> Marks:
    items, deletes = Cover(), Cover()
    for update in updates:
        for client, block in update.blocks.items():
            items.add((client, item.clock, item.clock + item.length) for item in block)
        deletes.add(update.deletes)
    return items, deletes


def _holds(there: Marks, update: Structure) -> bool:
    items, deletes = _marks([update])
    return there[0].holds(items) and there[1].holds(deletes)


def _with_causes(strokes: Iterable[Stroke], reached: Marks) -> list[Stroke]:
    """The strokes of which all is there, that of their causes too."""
    begun = read_update(initial("0"))
    clocks = {client: blocks[-1].end for client, blocks in begun.blocks.items()}
    found = []
    for stroke in strokes:
        update = read_update(stroke.update)
        if _holds(reached, update) and missing(update, clocks) is None:
            found.append(stroke)
            clocks |= {client: blocks[-1].end for client, blocks in update.blocks.items()}
    return found
