"""Packets to measure with: what a NeoBoard client sends while somebody drags an element."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from pycrdt import Doc, Map

from tests.stack.client import edits, elements, events
from tests.stack.client.document import Root, initial

_LENGTH = 4


def dragging(document_id: str, count: int) -> list[bytes]:
    """One element drawn, then moved on and on: real updates, each built on the one before.

    Args:
        document_id: of the board.
        count: packets, of some 200 bytes each.
    """
    doc: Doc[Any] = Doc(client_id=secrets.randbits(31) or 1)
    doc.apply_update(initial("0"))
    root: Root = doc.get("0", type=Map)
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    slide, element = elements.FIRST_SLIDE, elements.new_id()
    with doc.transaction():
        edits.add_element(slide, element, elements.shape())(root)
    for number in range(count - 1):
        position = {"x": number % 1600, "y": number % 900}
        with doc.transaction():
            edits.change_element(slide, element, {"position": position})(root)
    doc.unobserve(subscription)
    return [events.update_packet(document_id, update) for update in updates]


def pointing(count: int) -> list[bytes]:
    """A cursor that moves."""
    return [events.cursor_packet(elements.FIRST_SLIDE, number, number) for number in range(count)]


def write(path: Path, packets: list[bytes]) -> None:
    """Keeps packets in a file, each after its length."""
    path.write_bytes(b"".join(len(one).to_bytes(_LENGTH, "big") + one for one in packets))


def read(path: Path) -> list[bytes]:
    """The packets of a file."""
    data, packets, at = path.read_bytes(), [], 0
    while at < len(data):
        start = at + _LENGTH
        at = start + int.from_bytes(data[at:start], "big")
        packets.append(data[start:at])
    return packets
