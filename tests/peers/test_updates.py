"""Our reader of Yjs updates and Yjs' own decoder see the same in them."""

from __future__ import annotations

from typing import Any

import pytest

from bot.whiteboard.item import Id, Shared
from bot.whiteboard.update import Structure, read_update, write_update
from tests.peers.yjs import Yjs

BATCHES, EACH = 10, 1000


@pytest.mark.parametrize("batch", range(BATCHES))
def test_ten_thousand_updates_are_read_as_yjs_reads_them(yjs: Yjs, batch: int) -> None:
    updates = yjs.generate(20261121 + batch, EACH)
    assert len(updates) == EACH
    kinds: set[int] = set()
    largest = 0
    for update, theirs in zip(updates, yjs.decode(updates), strict=True):
        ours = read_update(update)
        assert structs(ours) == by_client(theirs["structs"])
        assert sorted(ours.deletes) == sorted(map(tuple, theirs["deletes"]))
        blocks = ours.blocks.items()
        assert {client: items[0].clock for client, items in blocks} == dict(theirs["from"])
        assert {client: items[-1].end for client, items in blocks} == dict(theirs["to"])
        assert from_the_start(ours) == dict(theirs["stateVector"])
        kinds |= {one.kind for items in ours.blocks.values() for one in items}
        largest = max(largest, *(items[-1].end for _, items in blocks), 0)
    assert largest > 2**31 - 10**6
    assert kinds == {0, 1, 3, 4, 5, 6, 7, 8, 9}  # all that Yjs still writes


@pytest.mark.parametrize("batch", range(2))
def test_what_we_write_again_says_the_same_to_yjs(yjs: Yjs, batch: int) -> None:
    updates = yjs.generate(7 + batch, EACH)
    again = []
    for update in updates:
        found = read_update(update)
        again.append(write_update(found.blocks, found.deletes))
    for before, after in zip(yjs.decode(updates), yjs.decode(again), strict=True):
        assert by_client(before["structs"]) == by_client(after["structs"])
        assert merged(before["deletes"]) == merged(after["deletes"])


def from_the_start(update: Structure) -> dict[int, int]:
    """How far each client's items go without a gap, of clients whose first one is there."""
    clocks: dict[int, int] = {}
    for client, items in update.blocks.items():
        for one in items:
            if one.clock == clocks.get(client, 0):
                clocks[client] = one.end
    return clocks


def structs(update: Structure) -> dict[int, list[list[Any]]]:
    return {
        client: [
            [
                client,
                one.clock,
                one.length,
                one.kind,
                pair(one.origin),
                pair(one.right_origin),
                parent(one.parent),
                one.sub,
            ]
            for one in items
        ]
        for client, items in update.blocks.items()
    }


def parent(found: Shared | str | Id | None) -> str | list[int] | None:
    assert not isinstance(found, Shared)  # nothing is integrated
    return list(found) if isinstance(found, tuple) else found


def pair(one: Id | None) -> list[int] | None:
    return None if one is None else list(one)


def by_client(found: list[list[Any]]) -> dict[int, list[list[Any]]]:
    sorted_: dict[int, list[list[Any]]] = {}
    for one in found:
        sorted_.setdefault(one[0], []).append(one)
    return sorted_


def merged(ranges: list[list[int]]) -> list[list[int]]:
    """The same ids as the fewest ranges."""
    found: list[list[int]] = []
    for client, start, stop in sorted(ranges):
        if found and found[-1][0] == client and start <= found[-1][2]:
            found[-1][2] = max(stop, found[-1][2])
        else:
            found.append([client, start, stop])
    return found
