from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any

import pytest

from bot.boards import board as module
from bot.boards import holding
from bot.boards.board import Board
from bot.errors import InvalidUpdate, StoreError, Transient, UsageError
from bot.handlers.base import CursorMoved, DocumentUpdate, Event, Focused, Presented, SnapshotSeen
from bot.handlers.events import merged
from bot.patience import Patience
from bot.services import Arrival
from bot.whiteboard.document import Document
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.item import ANY
from bot.whiteboard.message import CursorMove, FocusOn, Message, Present, Signal, Update
from bot.whiteboard.replay import DOCUMENT_KINDS, apply_entry
from bot.whiteboard.snapshot import Snapshot
from bot.whiteboard.versions import initial
from tests.fakes.rooms import ALICE, KEY, NOW, MemoryArchive, drawn, services, snapshot, until
from tests.unit.whiteboard.craft import TRUE, any_content, item, update
from tests.unit.whiteboard.people import Person, texts


class Desk:
    """A board with all that belongs to it."""

    def __init__(self, archive: MemoryArchive | None = None, **values: Any) -> None:
        self.archive = archive or MemoryArchive()
        self.told: list[Event] = []
        self.published: list[Message] = []
        self.noted_at: list[int] = []
        self.writes = True
        self.unsaved: list[tuple[bytes, bool]] = []
        self.seen: list[str] = []
        self.read_already: list[bool] = []
        self.others: list[str] = []
        self.beyond = ""
        self.blocked: list[bytes] = []
        self.repeated: list[bytes] = []
        self.passed: list[Arrival] = []
        self.board = Board(
            KEY,
            1,
            services(self.archive, self.told, **values),
            publish=self._send,
            heard=self.passed.append,
            saving=self,
            repeat=self.repeated.append,
            mending=self,
        )

    async def _send(self, message: Message) -> None:
        self.published.append(message)

    def changed(self, _: Board, update: bytes, *, ours: bool = False) -> None:
        self.unsaved.append((update, ours))

    async def noted(self, board: Board) -> None:
        self.noted_at.append(len(self.archive.entries))

    def saved(self, _: Board, snapshot: Snapshot, ids: object = None) -> None:
        self.seen.append(snapshot.event_id)
        self.read_already.append(ids is not None)

    def not_taken(self, _: Board, snapshot: Snapshot, beyond: str) -> None:
        self.others.append(snapshot.event_id)
        self.beyond = beyond

    def withheld(self, _: Board) -> str:
        return self.beyond

    def applying(self, _: Board) -> AbstractContextManager[None]:
        return nullcontext()

    def refused(self, _: Board, update: bytes) -> None:
        self.blocked.append(update)

    async def replayed(self) -> Document:
        """What an export makes of the archive."""
        document = Document()
        checkpoint = await self.archive.checkpoint(1)
        if checkpoint is not None:
            document.merge_snapshot(checkpoint.data)
        async for entry in self.archive.all_entries(
            1, after_seq=checkpoint.seq if checkpoint else 0, kinds=DOCUMENT_KINDS
        ):
            apply_entry(document, entry)
        return document


def signalled(signal: Signal) -> Arrival:
    return Arrival(signal, ALICE, "AD", NOW, b"packet")


async def test_what_is_of_another_version_changes_nothing_and_blocks_nobody() -> None:
    desk, alice, later = Desk(), Person(7), Person(8, "1")
    await desk.board.merge_snapshot(snapshot(alice.state()))
    assert not await desk.board.merge_snapshot(snapshot(later.state(), "$other"))
    desk.board.ingest([drawn(initial("1")), drawn(alice.add("a"))])
    assert (desk.others, desk.blocked) == (["$other"], [])
    assert list(texts(desk.board.document)) == ["a"]
    invalid = alice.add("b", kind="star")
    desk.board.ingest([drawn(invalid)])
    assert desk.blocked == [invalid]


@pytest.mark.parametrize("bound", [60, 2**24])
async def test_what_people_may_have_and_we_cannot_take_in_is_not_written_over(bound: int) -> None:
    """A snapshot that is too large, or of a NeoBoard that knows more kinds."""
    desk, alice = Desk(max_document=bound), Person(7)
    desk.board.complete = True  # an older one is merged in
    alice.add("a", kind="star")
    assert not await desk.board.merge_snapshot(snapshot(alice.state(), "$beyond"))
    assert desk.others == ["$beyond"]
    assert desk.beyond in {"the snapshot is too large", "shape: kind is not acceptable"}
    with pytest.raises(Transient, match=desk.beyond):
        await desk.board.change(Person(8).add("b"))
    assert desk.published == []


async def test_what_arrives_is_applied_recorded_and_told() -> None:
    desk, alice = Desk(), Person(7)
    update = alice.add("a", text="one")
    await desk.board.load()
    desk.board.ingest([drawn(update)])
    assert texts(desk.board.document) == {"a": "one"}
    assert desk.archive.entries == [Entry(1, NOW, Kind.UPDATE, ALICE, "AD", update, 1)]
    assert desk.told == [DocumentUpdate(KEY, NOW, ALICE, update)]


async def test_what_changed_is_told_where_handlers_ask() -> None:
    desk, alice = Desk(noting=True), Person(7)
    await desk.board.load()
    desk.board.ingest([drawn(alice.add("a")), drawn(alice.add("b"))])
    desk.board.complete = True
    await desk.board.change(alice.remove("a"))
    alice.add("c")
    await desk.board.merge_snapshot(snapshot(alice.state()))
    updates = [event for event in desk.told if isinstance(event, DocumentUpdate)]
    told = [[(one.element_id, one.kind) for one in event.changes.elements] for event in updates]
    assert told == [[("a", "added")], [("b", "added")], [("a", "removed")], [("c", "added")]]
    elements = [(one.element_id, one.kind) for one in merged(updates).changes.elements]
    assert elements == [("b", "added"), ("c", "added")]
    await desk.board.unload()
    await desk.board.load()
    desk.board.ingest([drawn(alice.add("d"))])
    event = desk.told[-1]
    assert isinstance(event, DocumentUpdate)
    assert event.changes

    silent = Desk()
    await silent.board.load()
    silent.board.ingest([drawn(alice.state())])
    event = silent.told[0]
    assert isinstance(event, DocumentUpdate)
    with pytest.raises(UsageError, match="asks_changes"):
        _ = event.changes
    assert merged([updates[0], event]).touched is None


async def test_what_is_refused_is_kept_apart_and_not_told() -> None:
    desk = Desk()
    await desk.board.load()
    desk.board.ingest([drawn(b"nonsense")])
    assert desk.archive.kinds() == ["refused"]
    assert desk.told == []


async def test_signals_become_entries_and_events() -> None:
    desk = Desk()
    await desk.board.load()
    signals = (CursorMove("s", 1.0, 2.0), FocusOn("s"), Present("slide", "s", edit=True))
    desk.board.ingest([signalled(signal) for signal in signals])
    assert desk.archive.kinds() == ["cursor", "focus", "present"]
    assert {entry.data for entry in desk.archive.entries} == {b"packet"}
    assert desk.told == [
        CursorMoved(KEY, NOW, ALICE, "s", 1.0, 2.0),
        Focused(KEY, NOW, ALICE, "s"),
        Presented(KEY, NOW, ALICE, "slide", "s", edit=True),
    ]


async def test_cursors_are_recorded_only_if_wished() -> None:
    desk = Desk(cursors=False)
    await desk.board.load()
    desk.board.ingest([signalled(CursorMove("s", 1.0, 2.0)), signalled(FocusOn("s"))])
    assert desk.archive.kinds() == ["focus"]
    assert len(desk.told) == 2


async def test_a_board_that_is_not_recorded_leaves_nothing_behind() -> None:
    desk, alice = Desk(recording=False), Person(7)
    await desk.board.load()
    desk.board.ingest([drawn(alice.add("a")), signalled(FocusOn("s"))])
    await desk.board.merge_snapshot(snapshot(alice.state()))
    await desk.board.unload()
    assert not desk.board.loaded
    assert (desk.archive.entries, desk.archive.seen, desk.archive.checkpoints) == ([], {}, {})


async def test_concurrent_loads_are_one() -> None:
    desk = Desk()
    await asyncio.gather(*(desk.board.load() for _ in range(5)))
    assert desk.archive.calls["checkpoint"] == 1


async def test_freed_and_loaded_again_it_holds_the_same() -> None:
    desk, alice = Desk(), Person(7)
    await desk.board.load()
    desk.board.ingest([drawn(alice.add("a"))])
    desk.board.last_seq = 1
    await desk.board.unload()
    assert not desk.board.loaded
    await desk.board.load()
    desk.board.ingest([drawn(alice.add("b"))])
    assert set(texts(desk.board.document)) == {"a", "b"}


async def test_freed_unchanged_without_a_checkpoint_it_is_whole_when_loaded_again() -> None:
    """A life that was killed left entries, and no checkpoint."""
    alice = Person(7)
    before = Desk()
    await before.board.load()
    before.board.ingest([drawn(alice.add("a"))])
    desk = Desk(before.archive)
    for _ in range(2):
        await desk.board.load()
        assert set(texts(desk.board.document)) == {"a"}
        await desk.board.unload()
        assert not desk.board.loaded
    await desk.board.load()
    desk.board.ingest([drawn(alice.add("b"))])
    desk.board.last_seq = 2
    await desk.board.unload()
    assert set(texts(await desk.replayed())) == {"a", "b"}


async def test_what_comes_while_a_checkpoint_is_written_is_not_freed_with_the_document() -> None:
    desk, alice = Desk(), Person(7)
    await desk.board.load()
    desk.board.ingest([drawn(alice.add("a"))])
    desk.archive.slow.add("save_checkpoint")
    freeing = asyncio.create_task(desk.board.unload())
    await until(lambda: desk.archive.calls["save_checkpoint"])
    desk.board.ingest([drawn(alice.add("b"))])
    desk.archive.entries.pop()  # not committed yet: nobody can read it back
    desk.archive.go.set()
    await freeing
    await desk.board.load()
    assert set(texts(desk.board.document)) == {"a", "b"}


async def test_a_checkpoint_that_cannot_be_written_keeps_the_document() -> None:
    desk = Desk()
    await desk.board.load()
    desk.board.ingest([drawn(Person(7).add("a"))])
    desk.archive.broken.add("save_checkpoint")
    await desk.board.unload()
    assert desk.board.loaded
    desk.archive.broken.clear()
    await desk.board.unload()
    assert not desk.board.loaded


async def test_checkpoints_are_due_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 2)
    desk, alice = Desk(), Person(7)
    assert not desk.board.checkpoint_due
    await desk.board.load()
    desk.board.ingest([drawn(alice.add("a")), drawn(alice.add("b"))])
    assert desk.board.checkpoint_due
    assert await desk.board.checkpoint()
    assert not desk.board.checkpoint_due
    assert set(texts(await desk.replayed())) == {"a", "b"}


async def test_a_snapshot_is_merged_recorded_and_noted() -> None:
    desk, alice = Desk(), Person(7)
    alice.add("a")
    assert await desk.board.merge_snapshot(snapshot(alice.state()))
    assert desk.board.complete
    assert desk.archive.kinds() == ["snapshot"]
    assert desk.archive.seen == {"$s1": (ALICE, NOW)}
    assert [type(event) for event in desk.told] == [DocumentUpdate, SnapshotSeen]
    assert await desk.board.merge_snapshot(snapshot(alice.state(), "$s2"))  # nothing new
    assert desk.archive.kinds() == ["snapshot"]
    assert [type(event) for event in desk.told[2:]] == [SnapshotSeen]


async def test_a_snapshot_of_a_server_whose_clock_is_ahead_happened_when_it_came() -> None:
    desk, alice = Desk(), Person(7)
    alice.add("a")
    assert await desk.board.merge_snapshot(snapshot(alice.state(), ts=NOW + 3_600_000))
    assert [entry.ts for entry in desk.archive.entries] == [NOW]
    assert desk.archive.seen == {"$s1": (ALICE, NOW)}
    assert {event.ts for event in desk.told} == {NOW}


async def test_while_a_large_snapshot_is_merged_the_board_can_be_read_and_packets_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "IN_PLACE", 10)
    desk, alice = Desk(), Person(7)
    await desk.board.load()
    desk.board.ingest([drawn(Person(8).add("before"))])
    for number in range(150):
        alice.add(f"e{number}")
    merging = asyncio.create_task(desk.board.merge_snapshot(snapshot(alice.state())))
    late, seen, before = Person(9).add("late"), 0, desk.board.document
    await asyncio.sleep(0)
    desk.board.ingest([drawn(late)])
    while desk.board.document is before:
        assert set(texts(before)) == {"before"}
        assert desk.board.document.version == "0"
        seen += 1
        await asyncio.sleep(0.005)
    assert seen
    assert await merging
    assert len(texts(desk.board.document)) == 152
    assert not await desk.board.merge_snapshot(snapshot(b"nonsense, and longer"))
    assert len(texts(desk.board.document)) == 152
    assert desk.read_already == [True]  # not once more by the event loop


async def test_what_people_send_while_a_large_snapshot_is_merged_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "IN_PLACE", 10)
    monkeypatch.setattr(holding, "MAX_COUNT", 3)
    desk, alice, bob = Desk(), Person(7), Person(8)
    await desk.board.load()
    for number in range(20):
        alice.add(f"e{number}")
    for names, complete in (("ab", True), ("cdef", False)):
        merging = asyncio.create_task(desk.board.merge_snapshot(snapshot(alice.state())))
        await asyncio.sleep(0)
        for name in names:
            desk.board.ingest([signalled(CursorMove("s", 1.0, 2.0)), drawn(bob.add(name))])
        assert await merging
        # Cursors go first. What of changes is lost may be in a snapshot that is newer still.
        assert desk.board.complete == complete
        alice.add(names)
    assert set("abcde") <= set(texts(desk.board.document))
    assert "f" not in texts(desk.board.document)
    assert await desk.board.merge_snapshot(snapshot(alice.state()))
    assert desk.board.complete


async def test_what_is_held_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "MAX_BYTES", 25)
    cursor = signalled(CursorMove("s", 1.0, 2.0))
    focus = signalled(FocusOn("s"))
    held = holding.Holding()
    held.add([focus, cursor, cursor])  # 6 bytes each
    assert len(held.messages) == 3
    held.add([focus, focus])
    assert held.messages == [focus] * 3
    held.add([focus] * 3)
    assert held.messages == [focus] * 4
    assert not held.lost


async def test_a_snapshot_that_is_no_document_is_refused() -> None:
    desk = Desk()
    assert not await desk.board.merge_snapshot(snapshot(b"nonsense"))
    assert (desk.board.complete, desk.archive.entries, desk.told) == (False, [], [])


async def test_a_snapshot_of_a_pause_has_no_author_and_no_time() -> None:
    desk, alice = Desk(), Person(7)
    alice.add("a")
    assert await desk.board.merge_snapshot(snapshot(alice.state(), ts=5), anonymous=True)
    [entry] = desk.archive.entries
    assert (entry.kind, entry.sender, entry.device, entry.ts) == (Kind.BASELINE, None, None, NOW)
    assert desk.archive.seen == {"$s1": ("", 0)}


@pytest.mark.parametrize("committed", [True, False])
async def test_a_snapshot_is_noted_only_once_it_is_on_disk(*, committed: bool) -> None:
    async def answer() -> bool:
        return committed

    desk, alice = Desk(committed=answer), Person(7)
    alice.add("a")
    desk.archive.broken.add("saw_snapshot")
    assert await desk.board.merge_snapshot(snapshot(alice.state()))
    assert desk.archive.calls["saw_snapshot"] == int(committed)
    assert desk.archive.seen == {}


async def test_a_recording_that_lost_something_is_mended() -> None:
    lost: set[int] = set()
    desk = Desk(lacks=lost.__contains__)
    desk.board.mend()
    await desk.board.load()
    desk.board.mend()
    assert desk.archive.entries == []
    lost.add(1)
    desk.board.mend()
    assert desk.archive.kinds() == ["baseline"]


async def test_resumed_it_begins_with_one_baseline_of_all() -> None:
    desk, alice = Desk(), Person(7)
    await desk.board.load()
    desk.board.ingest([drawn(alice.add("before"))])
    await desk.board.checkpoint()
    desk.board.recording = False
    desk.board.ingest([drawn(alice.add("paused"))])
    await desk.board.resume()
    desk.board.ingest([drawn(alice.add("after"))])
    assert desk.archive.kinds() == ["update", "baseline", "update"]
    assert desk.archive.entries[1].sender is None
    assert set(texts(await desk.replayed())) == {"before", "paused", "after"}


async def test_freed_while_paused_it_still_resumes_with_what_was_recorded() -> None:
    desk, alice = Desk(), Person(7)
    await desk.board.load()
    desk.board.ingest([drawn(alice.add("before"))])
    desk.board.last_seq = 1
    desk.board.recording = False
    await desk.board.unload()
    await desk.board.load()
    assert texts(desk.board.document) == {}  # nothing of the archive while paused
    await desk.board.resume()
    assert set(texts(desk.board.document)) == {"before"}


async def test_a_resume_that_fails_loses_nothing_that_is_in_memory() -> None:
    desk, alice = Desk(), Person(7)
    await desk.board.load()
    desk.board.recording = False
    desk.board.ingest([drawn(alice.add("a"))])
    desk.archive.broken.add("checkpoint")
    with pytest.raises(StoreError):
        await desk.board.resume()
    assert not desk.board.recording
    assert set(texts(desk.board.document)) == {"a"}


async def test_where_the_bot_only_observes_nothing_is_changed() -> None:
    desk = Desk()
    desk.writes = False
    await desk.board.load()
    desk.board.complete = True
    with pytest.raises(UsageError, match="observe"):
        await desk.board.change(Person(7).add("a"))
    assert (desk.published, desk.archive.entries) == ([], [])


async def test_what_people_draw_is_to_be_saved_until_a_snapshot_is_seen() -> None:
    desk, alice = Desk(), Person(7)
    await desk.board.load()
    update = alice.add("a")
    desk.board.ingest([drawn(update), drawn(update), drawn(b"nonsense")])
    assert desk.unsaved == [(update, False)]
    assert desk.repeated == [update]
    await desk.board.merge_snapshot(snapshot(alice.state(), "$s7"))
    assert desk.seen == ["$s7"]


async def test_a_change_of_our_own_is_applied_recorded_published_and_saved() -> None:
    desk, update = Desk(), Person(7).add("a")
    with pytest.raises(Transient):
        await desk.board.change(update)
    desk.board.complete = True
    assert await desk.board.change(update)
    assert not await desk.board.change(update)
    assert desk.archive.kinds() == ["update"]
    assert desk.noted_at[:2] == [0, 0]  # before it is recorded, and that before it is published
    assert desk.archive.entries[0].sender is None
    assert desk.published == [Update(KEY.document_id, update)]
    assert desk.unsaved == [(update, True)]
    with pytest.raises(InvalidUpdate):
        await desk.board.change(b"nonsense")


async def test_people_see_a_change_of_our_own_only_once_it_is_on_disk() -> None:
    on_disk = asyncio.Event()

    async def committed() -> bool:
        return await on_disk.wait()

    desk, update = Desk(committed=committed), Person(7).add("a")
    desk.board.complete = True
    changing = asyncio.create_task(desk.board.change(update))
    await until(lambda: desk.archive.kinds() == ["update"])
    await asyncio.sleep(0.01)
    assert desk.published == []
    on_disk.set()
    assert await changing
    assert desk.published == [Update(KEY.document_id, update)]


async def test_who_wastes_too_much_is_recorded_untried_and_read_back_so() -> None:
    spent = count()
    desk = Desk(patience=Patience(lambda: 0.0, lambda: float(next(spent))))
    alice, bad = Person(7), update((9, 0, [item(ANY, any_content(TRUE), "0", "slideIds")]))
    await desk.board.load()
    desk.board.ingest([drawn(bad), drawn(alice.add("a")), drawn(bad)])
    assert [entry.kind for entry in desk.archive.entries] == [Kind.REFUSED] * 3
    assert [entry.data for entry in desk.archive.entries] == [bad, alice.sent[0], bad]
    assert desk.board.document.lost == 2
    assert (desk.unsaved, desk.repeated, desk.told) == ([], [], [])
    assert texts(await desk.replayed()) == {}


async def test_what_people_do_is_passed_on_once_it_is_taken() -> None:
    desk = Desk()
    await desk.board.load()
    alice = Person(1)
    update = drawn(alice.add("a"))
    desk.board.ingest([update, update, drawn(b"\xff"), signalled(CursorMove("s", 1.0, 2.0))])
    taken = [type(one.message).__name__ for one in desk.passed]
    assert taken == ["Update", "CursorMove"]  # neither what is known nor what is refused
