"""The recorded session, drawn again from what was sent: what the real client exported comes out."""

from __future__ import annotations

import json

import pytest

from bot.whiteboard.document import Document
from bot.whiteboard.message import Update, decode
from bot.whiteboard.nwb import export_nwb, images
from bot.whiteboard.verdict import Verdict
from tests.unit.whiteboard.people import loaded
from tests.unit.whiteboard.recorded import exported, files_of, packets, snapshots

# When the export was made, by the recording's clock, and the version. What comes later, and what
# the recording participant drew itself, is not in it.
BOARDS = {"slides": (1795218261000, "0"), "infinite": (1795219195500, "1")}
SENDERS = ("@alice:", "@bob:")


def drawn(board: str) -> list[bytes]:
    until, _ = BOARDS[board]
    messages = [
        decode(packet.raw)
        for packet in packets(board)
        if packet.ts <= until and packet.sender is not None and packet.sender.startswith(SENDERS)
    ]
    return [message.data for message in messages if isinstance(message, Update)]


def nwb(document: Document, board: str) -> bytes:
    return export_nwb(document.content(), BOARDS[board][1], files_of(exported(board)))


@pytest.mark.parametrize("board", BOARDS)
def test_the_live_updates_make_the_export(board: str) -> None:
    document = Document(default_version=BOARDS[board][1])
    updates = drawn(board)
    assert len(updates) > 5
    outcomes = document.apply(updates)
    assert Verdict.REFUSED not in {outcome.verdict for outcome in outcomes}
    assert json.loads(nwb(document, board)) == json.loads(exported(board))


@pytest.mark.parametrize("board", BOARDS)
def test_one_by_one_backwards_and_twice_is_the_same(board: str) -> None:
    document = Document(default_version=BOARDS[board][1])
    updates = drawn(board)
    for update in [*reversed(updates), *updates]:
        document.apply([update])
    assert not document.has_gap
    assert json.loads(nwb(document, board)) == json.loads(exported(board))
    assert loaded(document.encode(), BOARDS[board][1]) == document.content()


@pytest.mark.parametrize("board", BOARDS)
def test_the_snapshots_make_the_export_and_tell_the_version(board: str) -> None:
    until, version = BOARDS[board]
    document = Document(default_version={"0": "1", "1": "0"}[version])
    for snapshot in snapshots(board, until):
        assert document.merge_snapshot(snapshot.data).verdict is not Verdict.REFUSED
    assert document.version == version
    assert json.loads(nwb(document, board)) == json.loads(exported(board))


@pytest.mark.parametrize("board", BOARDS)
def test_the_images_of_the_export_are_those_on_the_board(board: str) -> None:
    document = Document(default_version=BOARDS[board][1])
    document.apply(drawn(board))
    assert set(images(document.content())) == set(files_of(exported(board)))
