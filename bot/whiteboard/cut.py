"""Cuts an update in two: what can be integrated now, and what has to wait.

Yjs integrates of an update what it can, struct by struct, and keeps the rest. pycrdt does not wait
with all of the rest: of bytes with a gap it also integrates some structs behind the gap, and what
fills the gap later is then lost (measured: the state vector says 12, a map key of clock 23 is
there). So bytes with a gap are never given to it, only what is cut off in front of the gap.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import dropwhile

from bot.whiteboard.update import DELETED, GC, SKIP, Id, Struct, read_update

_Parts = dict[int, list[Struct]]
_Ranges = dict[int, list[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Cut:
    """An update in two; what the document has already is in neither.

    Attributes:
        head: what builds on nothing that is missing; may be empty.
        rest: what has to wait; may be empty.
        wants: ids; when the document has one of them, more of the rest can be integrated.
    """

    head: bytes
    rest: bytes
    wants: tuple[Id, ...]


def cut(data: bytes, clocks: Mapping[int, int]) -> Cut:
    """Cut an update at what a document has.

    Args:
        data: of any origin.
        clocks: the document's: client → clock after the last struct it has.

    One deviation from Yjs: while structs wait, deletions of what is not deleted yet wait with them.
    A new value of a field deletes the old one; Yjs, which does that at once, shows the field as
    missing until the new value can be integrated.

    Raises:
        InvalidUpdate: not an update.
    """
    found = read_update(data, details=True)
    assert found.details is not None
    queues: _Parts = {}
    for struct in found.details:
        queues.setdefault(struct.client, []).append(struct)
    reach, taken, wants = _integrate(queues, dict(clocks))
    head: _Parts = {}
    rest: _Parts = {}
    for client, structs in queues.items():
        known = clocks.get(client, 0)
        head[client] = [one for one in structs[: taken[client]] if _end(one) > known]
        # A gap in front says nothing.
        rest[client] = list(dropwhile(lambda one: one.kind == SKIP, structs[taken[client] :]))
    now, later = _deletions(found.deletes, reach, _dead(queues) if any(rest.values()) else None)
    wants += [(who, start) for who, ranges in later.items() for start, _ in ranges]
    return Cut(
        _write(data, head, now),
        _write(data, rest, later),
        tuple((who, clock) for who, clock in wants if clock >= reach.get(who, 0)),
    )


def _dead(queues: _Parts) -> _Ranges:
    """Return what comes as deleted already."""
    return {
        client: [(one.clock, _end(one)) for one in structs if one.kind in {GC, DELETED}]
        for client, structs in queues.items()
    }


def _deletions(
    deletes: Iterable[tuple[int, int, int]], reach: Mapping[int, int], dead: _Ranges | None
) -> tuple[_Ranges, _Ranges]:
    """Divide the deletions into those to be done now and those that wait.

    Args:
        deletes: client, first clock, clock after the last.
        reach: client → the clock reached.
        dead: what may be deleted now; None means all.
    """
    now: _Ranges = {}
    later: _Ranges = {}
    for client, first, stop in deletes:
        start, end = first, min(stop, reach.get(client, 0))
        ranges = [(start, end)] if dead is None else dead.get(client, [])
        for place in range(max(0, bisect_left(ranges, (start, 0)) - 1), len(ranges)):
            left, right = max(start, ranges[place][0]), min(end, ranges[place][1])
            if ranges[place][0] >= end:
                break
            if left < right:
                now.setdefault(client, []).append((left, right))
                if start < left:
                    later.setdefault(client, []).append((start, left))
                start = right
        if start < stop:
            later.setdefault(client, []).append((start, stop))
    return now, later


def _integrate(
    queues: _Parts, reach: dict[int, int]
) -> tuple[dict[int, int], dict[int, int], list[Id]]:
    """Go through all structs as Yjs would integrate them.

    Returns:
        Client → the clock reached, client → how many of its structs were passed, and the ids that
        are missing for more.
    """
    taken = dict.fromkeys(queues, 0)
    gaps: list[Id] = []
    waiting: dict[int, list[tuple[int, int]]] = {}
    ready = list(queues)
    while ready:
        client = ready.pop()
        structs = queues[client]
        while taken[client] < len(structs):
            struct = structs[taken[client]]
            if _end(struct) > reach.get(client, 0):
                if struct.kind == SKIP or struct.clock > reach.get(client, 0):
                    gaps.append((client, reach.get(client, 0)))
                    break
                missing = _missing(struct, reach)
                if missing is not None:
                    heappush(waiting.setdefault(missing[0], []), (missing[1], client))
                    break
                reach[client] = _end(struct)
            taken[client] += 1
        woken = waiting.get(client, [])
        while woken and woken[0][0] < reach.get(client, 0):
            ready.append(heappop(woken)[1])
    missed = [(who, clock) for who, heap in waiting.items() for clock, _ in heap]
    return reach, taken, gaps + missed


def _missing(struct: Struct, reach: Mapping[int, int]) -> Id | None:
    for client, clock in struct.refers:
        if client != struct.client and clock >= reach.get(client, 0):
            return client, clock
    return None


def _end(struct: Struct) -> int:
    return struct.clock + struct.length


def _write(data: bytes, parts: _Parts, deletes: _Ranges) -> bytes:
    """Return an update of these structs and deletions; nothing when there are none."""
    parts = {client: structs for client, structs in parts.items() if structs}
    if not parts and not deletes:
        return b""
    written = bytearray(_varint(len(parts)))
    # Yjs writes the higher client ids first; whoever reads sorts anyway.
    for client, structs in sorted(parts.items(), reverse=True):
        for number in (len(structs), client, structs[0].clock):
            written += _varint(number)
        written += data[structs[0].start : structs[-1].stop]
    written += _varint(len(deletes))
    for client, ranges in deletes.items():
        written += _varint(client) + _varint(len(ranges)) + _ranges(ranges)
    return bytes(written)


def _ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(_varint(start) + _varint(stop - start) for start, stop in ranges)


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
