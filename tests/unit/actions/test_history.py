"""Boards as they were at an event, from a real archive."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.actions import history as module
from bot.actions.history import History
from bot.errors import Transient, UsageError
from bot.handlers.base import CursorMoved, DocumentUpdate, Event
from bot.handlers.recorded import event_of
from bot.store.archive import Archive
from bot.whiteboard.document import Document
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.touched import compared
from tests.fakes.rooms import ALICE, KEY, OTHER, until
from tests.unit.whiteboard.people import Person


class Past:
    """A board with a history."""

    def __init__(self, archive: Archive, board_id: int) -> None:
        self.archive = archive
        self.board_id = board_id
        self.alice = Person(7)
        self.events: list[DocumentUpdate] = []
        self.contents: list[Any] = []
        self.documents = 0
        self.settled = 0
        self.history = History(archive, empty=self._empty, committed=self._settle)

    def _empty(self) -> Document:
        self.documents += 1
        return Document()

    async def _settle(self) -> bool:
        self.settled += 1
        return True

    async def happened(self, update: bytes, kind: Kind = Kind.UPDATE) -> DocumentUpdate:
        """Something is recorded; each at another millisecond."""
        ts = 1000 + len(self.events)
        entry = Entry(self.board_id, ts, kind, ALICE, "AD", update)
        (seq,) = await self.archive.append([entry])
        event = DocumentUpdate(KEY, ts, ALICE, update, seq=seq)
        self.events.append(event)
        self.contents.append(self.alice.content())
        return event

    async def drawn(self, count: int) -> None:
        for number in range(count):
            await self.happened(self.alice.add(f"e{number}", text="x"))


@asynccontextmanager
async def past(folder: Path) -> AsyncIterator[Past]:
    async with Archive(folder) as archive:
        yield Past(archive, await archive.board_id(KEY, 1))


async def test_the_board_is_read_as_it_was_after_each_event_in_any_order(tmp_path: Path) -> None:
    async with past(tmp_path) as here:
        await here.drawn(12)
        await here.happened(here.alice.remove("e3"))
        await here.happened(here.alice.state(), Kind.SNAPSHOT)
        for at in (5, 6, 13, 2, 0, 12):
            assert await here.history.content_at(here.events[at]) == here.contents[at]
        assert here.documents == 3  # begun anew only when asked about what was before
        live = DocumentUpdate(KEY, here.events[7].ts, ALICE, b"")
        assert await here.history.content_at(live) == here.contents[7]
        assert here.settled == 1
        cursor = CursorMoved(KEY, here.events[7].ts, ALICE, "s", 1, 2, seq=here.events[7].seq)
        assert await here.history.content_at(cursor) == here.contents[7]


async def test_what_each_event_changed_is_told_one_after_the_other(tmp_path: Path) -> None:
    async with past(tmp_path) as here:
        await here.drawn(5)
        await here.happened(here.alice.write("e1", text="y"))
        await here.happened(here.alice.remove("e3"))
        before = Document().content()
        for event, content in zip(here.events, here.contents, strict=True):
            changes = await here.history.changes(event)
            assert changes == compared(before, content).changes()
            assert await here.history.changes(event) == changes  # asked again, or given again
            before = content
        assert here.documents == 1
        first = await here.history.changes(here.events[0])
        assert [one.kind for one in first.elements] == ["added"]


async def test_a_checkpoint_that_may_hold_more_is_not_begun_with(tmp_path: Path) -> None:
    async with past(tmp_path) as here:
        await here.drawn(4)
        seqs = [event.seq for event in here.events]
        await here.archive.save_checkpoint(
            here.board_id, seqs[1] or 0, here.events[3].ts, here.alice.state()
        )
        assert await here.history.content_at(here.events[2]) == here.contents[2]
        assert await here.history.content_at(here.events[3]) == here.contents[3]
        late = DocumentUpdate(KEY, here.events[3].ts + 9, ALICE, b"", seq=seqs[0])
        # A snapshot may say any time: then it is the number that tells.
        assert await here.history.content_at(late) == here.contents[0]
        live = DocumentUpdate(KEY, here.events[3].ts + 9, ALICE, b"")
        assert await here.history.content_at(live) == here.contents[3]


async def test_what_cannot_be_read_back_is_no_empty_board(tmp_path: Path) -> None:
    async with past(tmp_path) as here:
        await here.drawn(2)
        first, second = here.events
        await here.archive.save_checkpoint(here.board_id, first.seq or 0, first.ts, b"\xff")
        with pytest.raises(UsageError, match="cannot be read back"):
            await here.history.content_at(second)
        assert await here.history.content_at(first) == here.contents[0]  # without it


async def test_what_is_not_recorded_is_said(tmp_path: Path) -> None:
    async with past(tmp_path) as here:
        await here.drawn(1)
        for event in (
            DocumentUpdate(OTHER, 1000, ALICE, b"", seq=1),
            DocumentUpdate(KEY, 1, ALICE, b""),
            DocumentUpdate(KEY, 1, ALICE, b"", seq=0),
        ):
            with pytest.raises(UsageError, match="nothing is recorded"):
                await here.history.content_at(event)
        with pytest.raises(UsageError, match="nothing is recorded"):
            await here.history.changes(DocumentUpdate(KEY, 1000, ALICE, b"", seq=99))
        with pytest.raises(UsageError, match="asks_changes"):
            await here.history.changes(DocumentUpdate(KEY, 1000, ALICE, b""))


async def test_a_live_event_knows_what_it_changed() -> None:
    document = Document()
    document.notes.on = True
    (outcome,) = document.apply([Person(7).add("a")])
    event = DocumentUpdate(KEY, 1, ALICE, b"", touched=outcome.touched)
    nothing: Any = None
    asked = History(nothing, empty=Document, committed=nothing)
    assert await asked.changes(event) == event.changes


async def test_documents_are_not_kept_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 1)
    monkeypatch.setattr(module, "KEPT_FOR", 0.05)
    monkeypatch.setattr(module, "IN_PLACE", 10)  # all in threads
    async with past(tmp_path) as here:
        await here.drawn(3)
        other = await here.archive.board_id(OTHER, 1)
        (seq,) = await here.archive.append(
            [Entry(other, 5, Kind.UPDATE, ALICE, "AD", Person(9).add("z"))]
        )
        for _ in range(2):
            await here.history.content_at(here.events[2])
            await here.history.content_at(DocumentUpdate(OTHER, 5, ALICE, b"", seq=seq))
        assert here.documents == 4
        await asyncio.gather(*(here.history.content_at(here.events[2]) for _ in range(3)))
        assert here.documents == 5
        await until(lambda: not here.history.kept)
        await here.history.content_at(here.events[2])
        assert here.documents == 6


async def test_a_recorded_event_as_a_handler_gets_it(tmp_path: Path) -> None:
    async with past(tmp_path) as here:
        await here.drawn(2)
        kinds: Counter[str] = Counter()
        for entry in await here.archive.entries(here.board_id):
            event: Event | None = event_of(entry, KEY, replayed=True)
            assert isinstance(event, DocumentUpdate)
            with pytest.raises(UsageError, match="has to be read"):
                _ = event.changes
            kinds.update(one.kind for one in (await here.history.changes(event)).elements)
        assert kinds == {"added": 2}


async def test_who_waits_long_for_others_asks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which a durable lane does not count against the event."""
    monkeypatch.setattr(module, "LONGEST_TURN", 0.01)
    async with past(tmp_path) as here:
        await here.drawn(1)
        async with here.history._turn():
            with pytest.raises(Transient, match="for other boards"):
                await here.history.changes(here.events[0])
        assert await here.history.changes(here.events[0])
