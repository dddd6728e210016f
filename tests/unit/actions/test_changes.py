from __future__ import annotations

import asyncio
import json
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.actions import changes, rewriting
from bot.actions.rewriting import Changed, Order, Place, Tools, new_id
from bot.boards.board import Board
from bot.errors import InvalidNwb, Transient, UsageError
from bot.handlers.base import Event
from bot.services import Arrival
from bot.whiteboard import edit
from bot.whiteboard.board import BoardKey
from bot.whiteboard.comparison import Counts, Difference
from bot.whiteboard.document import Document
from bot.whiteboard.message import Message, Update
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE
from bot.whiteboard.versions import initial
from tests.fakes.rooms import (
    ALICE,
    BOT,
    KEY,
    OTHER,
    MemoryArchive,
    NotMending,
    Server,
    services,
    snapshot,
    until,
)
from tests.unit.whiteboard.people import Person, loaded, plain, shape

QUICKSTART = Path(__file__).parents[2] / "data/quickstart-pack.nwb"
PNG = b"\x89PNG\r\n\x1a\n..."
NOW = Order()
DRY = Order(dry=True)
FORCED = Order(forced=True)


class Media(Server):
    """A homeserver that also stores files."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[tuple[bytes, str]] = []

    async def upload(self, data: bytes, mime: str) -> str:
        await self._do("upload")
        self.stored.append((data, mime))
        return f"mxc://here/{len(self.stored)}"


class Desk:
    """Two boards of a room, and what is needed to change them. A second passes per stroke."""

    writes = True

    def __init__(self) -> None:
        self.archive = MemoryArchive()
        self.server = Media()
        self.told: list[Event] = []
        self.published: list[bytes] = []
        self.unsaved: list[bytes] = []
        self.own_user = BOT
        self.power_levels: Mapping[str, Any] = {}
        self.now = 1_800_000_000_000
        self.version = "0"
        self.on_disk = True
        self.boards = {key: self._board(key, row) for row, key in enumerate((KEY, OTHER), 1)}
        self.people = {key: Person(7) for key in self.boards}
        self.tools = Tools(
            archive=self.archive,
            homeserver=self.server,
            place=self.place,
            empty=lambda: Document(default_version=self.version),
            now_ts=lambda: self.now,
            committed=self._is_committed,
            own_user=BOT,
        )

    def _board(self, key: BoardKey, row: int) -> Board:
        more = {"now_ts": lambda: self.now}
        board = Board(
            key,
            row,
            services(self.archive, self.told, **more),
            publish=self._send,
            heard=lambda _: None,
            saving=self,
            repeat=lambda _: None,
            mending=NotMending(),
        )
        board.complete = True
        return board

    async def _is_committed(self) -> bool:
        return self.on_disk

    async def _send(self, message: Message) -> None:
        assert isinstance(message, Update)
        self.published.append(message.data)

    def changed(self, board: Board, update: bytes, *, ours: bool = False) -> None:
        self.unsaved.append(update)

    async def noted(self, board: Board) -> None:
        """It is."""

    def saved(self, board: Board, snapshot: object, ids: object = None) -> None: ...

    def not_taken(self, board: Board, snapshot: object, beyond: str) -> None: ...

    def withheld(self, board: Board) -> str:
        return ""

    def power(self, user: str) -> int:
        return {BOT: 10}.get(user, 0)

    @asynccontextmanager
    async def place(self, key: BoardKey) -> AsyncIterator[Place]:
        board = self.boards[key]
        await board.load()
        yield Place(board, self, self.writes)

    async def draws(self, *updates: bytes, key: BoardKey = KEY) -> None:
        await self.boards[key].load()
        for update in updates:
            self.now += 1000
            message = Update(key.document_id, update)
            self.boards[key].ingest([Arrival(message, ALICE, "AD", self.now, update)])

    def shown(self, key: BoardKey = KEY) -> list[list[str]]:
        slides = self.boards[key].document.content()["slides"]
        return [[one.get("text", one.get("mxc")) for one in slide["elements"]] for slide in slides]

    async def restore(self, at: int, slide: int | None = None, order: Order = NOW) -> Changed:
        self.now += 1000
        return await changes.restore_instant(self.tools, KEY, at, slide, order)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_board_is_restored_live_recorded_and_saved_and_that_is_undone(desk: Desk) -> None:
    alice = desk.people[KEY]
    await desk.draws(alice.add("a", text="a"), alice.add("b", text="b"))
    before = desk.now
    await desk.draws(alice.remove("a"), alice.write("b", text="new"))

    would = await desk.restore(before, order=DRY)
    assert would == Changed(Difference(Counts(0, 1, 0), Counts(1, 1, 0)), anything=True)
    assert desk.shown() == [["new"]]
    assert desk.published == []

    done = await desk.restore(before)
    assert done.difference == would.difference
    assert desk.shown() == [["a", "b"]]
    assert desk.published == desk.unsaved[-1:]
    alice.hear(*desk.published)
    assert [one["text"] for one in alice.content()["slides"][0]["elements"]] == ["a", "b"]
    assert desk.archive.entries[-1].sender is None
    assert (await desk.restore(before)) == Changed(Difference(), anything=False)

    assert done.undo_ts is not None
    await desk.restore(done.undo_ts)
    assert desk.shown() == [["new"]]


async def test_what_came_from_a_server_whose_clock_is_ahead_comes_back_too(desk: Desk) -> None:
    await desk.draws(Person(8).add("b", text="b"))
    alice, board = desk.people[KEY], desk.boards[KEY]
    alice.add("a", text="a")
    await board.merge_snapshot(snapshot(alice.state(), ts=desk.now + 3_600_000))
    desk.now += 1000
    cleared = await changes.import_nwb(desk.tools, KEY, nwb(), append=False, order=NOW)
    assert desk.shown() == []
    assert cleared.undo_ts is not None
    await desk.restore(cleared.undo_ts)
    assert sorted(desk.shown()[0]) == ["a", "b"]


async def test_nothing_of_it_can_be_undone_from_the_archive_while_paused(desk: Desk) -> None:
    alice = desk.people[KEY]
    await desk.draws(alice.add("a"))
    before = desk.now
    await desk.draws(alice.remove("a"))
    desk.boards[KEY].recording = False
    assert (await desk.restore(before)).undo_ts is None


async def test_what_is_not_on_disk_is_not_promised_back(desk: Desk) -> None:
    """Else what the archive lacks would be gone with what is undone."""
    await desk.draws(desk.people[KEY].add("a", text="a"))
    desk.on_disk = False
    done = await changes.import_nwb(desk.tools, KEY, nwb(), append=False, order=NOW)
    assert (done.anything, done.undo_ts) == (True, None)


@pytest.mark.parametrize("on_for", [1000, None])
async def test_of_an_instant_in_a_pause_it_is_not_claimed_to_know_the_board(
    desk: Desk, on_for: int | None
) -> None:
    await desk.draws(desk.people[KEY].add("a", text="a"))
    began = desk.now + 100
    desk.archive.paused.append((began, None if on_for is None else began + on_for))
    await desk.draws(desk.people[KEY].add("b", text="b"))
    with pytest.raises(UsageError, match=r"Recording (was paused then|has been paused since)"):
        await desk.restore(began + 50)
    assert desk.shown() == [["a", "b"]]
    assert (await desk.restore(began + 50, order=FORCED)).anything
    assert desk.shown() == [["a"]]
    await desk.restore(began - 100)
    if on_for is not None:
        await desk.restore(began + on_for)
        assert desk.shown() == [["a", "b"]]


async def test_one_slide_comes_back_in_its_place_or_as_a_new_one(desk: Desk) -> None:
    alice = desk.people[KEY]
    await desk.draws(alice.add("a", text="a"))
    await changes.import_nwb(desk.tools, KEY, nwb(["x"], ["y"]), append=True, order=NOW)
    alice.hear(*desk.published)
    full = desk.now
    await desk.draws(alice.write("a", text="new"))
    second = desk.boards[KEY].document.content()["slides"][1]["id"]
    await desk.draws(alice.do(lambda: alice.root["slides"].pop(second)))
    assert desk.shown() == [["new"], ["y"]]

    assert (await desk.restore(full, 2)).difference.slides == Counts(added=1)
    assert desk.shown() == [["new"], ["x"], ["y"]]
    assert (await desk.restore(full, 1)).difference.slides == Counts(changed=1)
    assert desk.shown() == [["a"], ["x"], ["y"]]
    for number in (0, 4):
        with pytest.raises(UsageError, match="the board had 3"):
            await desk.restore(full, number)


async def test_a_snapshot_of_the_room_is_restored(desk: Desk) -> None:
    alice = desk.people[KEY]
    await desk.draws(alice.add("a", text="a"))
    desk.server.has_snapshot(alice.state(), "$first")
    desk.server.has_snapshot(b"", "$later")
    await desk.draws(alice.write("a", text="new"))
    await changes.restore_snapshot(desk.tools, KEY, "$first", None, NOW)
    assert desk.shown() == [["a"]]
    with pytest.raises(UsageError, match="no such snapshot"):
        await changes.restore_snapshot(desk.tools, KEY, "$other", None, NOW)


@pytest.mark.parametrize("bad", [b"no update", None])
async def test_a_snapshot_that_is_no_board_does_not_clear_one(
    desk: Desk, bad: bytes | None
) -> None:
    await desk.draws(desk.people[KEY].add("a", text="a"))
    alice = Person(9)
    alice.add("star", kind="star")
    desk.server.has_snapshot(bad or alice.state(), "$bad")
    with pytest.raises(UsageError, match="no board that could be restored"):
        await changes.restore_snapshot(desk.tools, KEY, "$bad", None, FORCED)
    assert desk.shown() == [["a"]]


async def test_a_snapshot_of_another_version_is_not_restored(desk: Desk) -> None:
    await desk.draws(desk.people[KEY].add("a", text="a"))
    desk.server.has_snapshot(Person(9, "1").state(), "$canvas")
    with pytest.raises(UsageError, match="infinite canvas"):
        await changes.restore_snapshot(desk.tools, KEY, "$canvas", None, FORCED)
    assert desk.shown() == [["a"]]


async def test_what_is_recorded_and_cannot_be_read_back_does_not_clear_a_board(desk: Desk) -> None:
    await desk.draws(desk.people[KEY].add("a", text="a"))
    await desk.archive.save_checkpoint(1, 9, desk.now, b"of a time when more was taken")
    with pytest.raises(UsageError, match="cannot be read back"):
        await desk.restore(desk.now)
    assert desk.shown() == [["a"]]


async def test_what_speaks_against_it_is_said_before_anything_is_done(desk: Desk) -> None:
    alice = desk.people[KEY]
    await desk.draws(alice.add("a", text="a"))
    before = desk.now
    with pytest.raises(UsageError, match="Nothing is recorded"):
        await desk.restore(5)
    await desk.draws(alice.do(lambda: alice.slide.update({"lock": {"userId": ALICE}})))
    await desk.draws(alice.write("a", text="new"))
    with pytest.raises(UsageError, match=r"Locked slides would change \(1\)"):
        await desk.restore(before, order=DRY)
    with pytest.raises(UsageError, match=r"Locked slides would change \(1\)"):
        await desk.restore(before)
    assert (await desk.restore(before, order=Order(forced=True, dry=True))).anything

    desk.power_levels = {"events": {CHUNK_TYPE: 50}, "events_default": "x"}
    with pytest.raises(UsageError, match="power level 50"):
        await desk.restore(before, order=FORCED)
    desk.power_levels = {"events_default": 20}
    with pytest.raises(UsageError, match="power level 20"):
        await desk.restore(before, order=DRY)
    desk.power_levels = {}
    desk.writes = False
    with pytest.raises(UsageError, match="observe"):
        await desk.restore(before, order=DRY)
    assert desk.shown() == [["new"]]


async def test_with_a_gap_one_is_asked(desk: Desk) -> None:
    alice = desk.people[KEY]
    await desk.draws(alice.add("a", text="a"))
    lost, waits = alice.add("b", text="b"), alice.write("b", text="B")
    await desk.draws(waits)
    before = desk.now
    with pytest.raises(UsageError, match="Of that instant"):
        await desk.restore(before)
    with pytest.raises(UsageError, match="On this board"):
        await desk.restore(before - 1)
    with pytest.raises(UsageError, match="to be cloned"):
        await changes.clone(desk.tools, KEY, OTHER, NOW)
    await changes.import_nwb(desk.tools, KEY, nwb(["x"]), append=False, order=FORCED)
    alice.hear(*desk.published)
    await desk.draws(lost)
    assert desk.shown() == [["x"]]
    assert [one["text"] for one in alice.content()["slides"][0]["elements"]] == ["x"]


def nwb(*slides: Sequence[str | dict[str, Any]], version: int = 1, **more: Any) -> bytes:
    board = [
        {"elements": [plain(shape(text=one)) if isinstance(one, str) else one for one in elements]}
        for elements in slides
    ]
    whiteboard = {"slides": board, **more}
    name = f"net.nordeck.whiteboard@v{version}"
    return json.dumps({"version": name, "whiteboard": whiteboard}).encode()


def image(mxc: str) -> dict[str, Any]:
    return {"type": "image", "position": {"x": 0, "y": 0}, "mxc": mxc, "fileName": "f"}


def files(**contents: bytes) -> list[dict[str, str]]:
    return [
        {"mxc": f"mxc://there/{name}", "data": b64encode(data).decode()}
        for name, data in contents.items()
    ]


async def test_images_are_stored_again_and_those_nobody_has_become_placeholders(
    desk: Desk,
) -> None:
    pictures = [image("mxc://there/a"), image("mxc://there/gone"), image("mxc://there/a")]
    data = nwb(pictures, files=files(a=PNG, unused=PNG))
    would = await changes.import_nwb(desk.tools, KEY, data, append=False, order=DRY)
    assert desk.server.stored == []
    done = await changes.import_nwb(desk.tools, KEY, data, append=False, order=NOW)
    assert desk.server.stored == [(PNG, "image/png")]
    assert desk.shown() == [["mxc://here/1", "", "mxc://here/1"]]
    assert (would.difference, would.missing_images) == (done.difference, 1)


async def test_an_image_that_cannot_be_stored_leaves_the_board_alone(desk: Desk) -> None:
    good = nwb([image("mxc://there/a")], files=files(a=PNG))
    desk.server.failures["upload"] = [Transient("not now")]
    with pytest.raises(Transient):
        await changes.import_nwb(desk.tools, KEY, good, append=False, order=NOW)
    wrong = nwb([image("mxc://there/a")], files=files(a=b"MZ"))
    with pytest.raises(UsageError, match="no GIF, JPEG, PNG or SVG"):
        await changes.import_nwb(desk.tools, KEY, wrong, append=False, order=NOW)
    with pytest.raises(InvalidNwb):
        await changes.import_nwb(desk.tools, KEY, b"", append=False, order=NOW)
    assert (desk.published, desk.shown()) == ([], [[]])


async def test_an_image_that_neoboard_finds_too_large_is_not_stored(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MAX_IMAGE", len(PNG) - 1)
    data = nwb([image("mxc://there/a")], files=files(a=PNG))
    with pytest.raises(UsageError, match="at most 25 MiB"):
        await changes.import_nwb(desk.tools, KEY, data, append=False, order=NOW)
    assert desk.server.stored == []


async def test_locks_of_a_file_become_ours(desk: Desk) -> None:
    file = json.loads(nwb(["x"]))
    file["whiteboard"]["slides"][0]["lock"] = {}
    data = json.dumps(file).encode()
    await changes.import_nwb(desk.tools, KEY, data, append=False, order=NOW)
    assert desk.boards[KEY].document.content()["slides"][0]["lock"] == {"userId": BOT}
    again = await changes.import_nwb(desk.tools, KEY, data, append=False, order=NOW)
    assert not again.anything


async def test_an_infinite_canvas_and_slides_do_not_mix(desk: Desk) -> None:
    with pytest.raises(UsageError, match="infinite canvas"):
        await changes.import_nwb(desk.tools, KEY, nwb(["x"], version=2), append=False, order=DRY)
    frame = {"type": "frame", "position": {"x": 0, "y": 0}}
    canvas = nwb(["x", frame, frame], version=2)
    board = desk.boards[OTHER]
    await board.load()
    board.document.merge_snapshot(initial("1"))
    with pytest.raises(UsageError, match="nothing can be appended"):
        await changes.import_nwb(desk.tools, OTHER, canvas, append=True, order=DRY)
    await changes.import_nwb(desk.tools, OTHER, canvas, append=False, order=NOW)
    (slide,) = board.document.content()["slides"]
    assert slide["frameElementIds"] == [one["id"] for one in slide["elements"][1:]]


async def test_a_board_of_an_unknown_version_is_left_alone(desk: Desk) -> None:
    await desk.boards[OTHER].load()
    desk.boards[OTHER].document.merge_snapshot(b"\x01\x01\x01\x00\x27\x01\x01\x39\x01\x61\x01\x00")
    with pytest.raises(UsageError, match="newer NeoBoard"):
        await changes.import_nwb(desk.tools, OTHER, nwb(["x"]), append=False, order=DRY)
    with pytest.raises(UsageError, match="newer NeoBoard"):
        await changes.clone(desk.tools, OTHER, KEY, FORCED)


async def test_a_board_is_cloned_with_its_locks(desk: Desk) -> None:
    await changes.import_nwb(desk.tools, KEY, QUICKSTART.read_bytes(), append=False, order=Order())
    done = await changes.clone(desk.tools, KEY, OTHER, NOW)
    assert done.difference.elements == Counts(added=220)
    assert done.undo_ts is None  # nothing of it was recorded before
    assert desk.shown(OTHER) == desk.shown(KEY)
    assert not (await changes.clone(desk.tools, KEY, OTHER, NOW)).anything
    assert (
        desk.boards[OTHER].document.content()["slides"][0]["id"]
        != (desk.boards[KEY].document.content()["slides"][0]["id"])
    )


async def test_a_snapshot_is_written_when_told(desk: Desk) -> None:
    await desk.draws(desk.people[KEY].add("a", text="a"))
    size = await changes.write_snapshot(desk.tools, KEY)
    assert [kind for kind, _ in desk.server.sent] == [SNAPSHOT_TYPE, CHUNK_TYPE]
    assert size == len(desk.boards[KEY].document.snapshot())
    assert loaded(desk.boards[KEY].document.snapshot()) == desk.boards[KEY].document.content()
    desk.writes = False
    with pytest.raises(UsageError, match="observe"):
        await changes.write_snapshot(desk.tools, KEY)


def test_ids_look_as_neoboards() -> None:
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert {len(one) for one in ids} == {21}


async def test_a_lock_that_comes_meanwhile_is_honoured(desk: Desk) -> None:
    """Before the last part, the only one that shows anything."""
    alice = desk.people[KEY]
    await desk.draws(alice.add("a", text="a"))
    before = desk.now
    await desk.draws(alice.write("a", text="new"))

    async def locks(board: Board) -> None:
        update = alice.do(lambda: alice.slide.update({"lock": {"userId": ALICE}}))
        await desk.draws(update)

    desk.noted = locks  # type: ignore[method-assign] # awaited before anything is applied
    with pytest.raises(UsageError, match=r"Locked slides would change \(1\)"):
        await desk.restore(before)
    assert desk.shown() == [["new"]]
    assert desk.published == []
    assert (await desk.restore(before, order=FORCED)).anything
    assert desk.shown() == [["a"]]


async def test_power_that_is_taken_meanwhile_is_missed(desk: Desk) -> None:
    alice = desk.people[KEY]
    await desk.draws(alice.add("a", text="a"))
    before = desk.now
    await desk.draws(alice.write("a", text="new"))

    async def refused(board: Board) -> None:
        desk.power_levels = {"events_default": 50}

    desk.noted = refused  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="power level 50"):
        await desk.restore(before)
    assert desk.shown() == [["new"]]


async def test_a_board_that_is_removed_meanwhile_is_said_to_be_gone(desk: Desk) -> None:
    await desk.draws(Person(7).add("a", text="a"))
    before = desk.now
    await desk.draws(Person(8).add("b", text="b"))
    desk.archive.slow.add("all_entries")
    restoring = asyncio.create_task(desk.restore(before))
    await until(lambda: desk.archive.calls["all_entries"] == 2)  # one was to load the board
    await desk.boards[KEY].unload()
    desk.archive.go.set()
    with pytest.raises(UsageError, match="removed from its room meanwhile"):
        await restoring
    assert desk.published == []


async def test_large_boards_are_compared_and_rewritten_beside_the_event_loop(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = desk.people[KEY]
    await desk.draws(alice.add("a", text="a"))
    before = desk.now
    await desk.draws(alice.remove("a"))
    threads = set()

    def difference(was: Any, will: Any) -> Difference:
        threads.add(threading.current_thread())
        return Difference()

    def rewrite(*args: Any, **more: Any) -> list[bytes]:
        threads.add(threading.current_thread())
        return edit.rewrite(*args, **more)

    monkeypatch.setattr(rewriting, "difference", difference)
    monkeypatch.setattr(rewriting, "rewrite", rewrite)
    await desk.restore(before)
    assert desk.shown() == [["a"]]
    assert threading.main_thread() not in threads
