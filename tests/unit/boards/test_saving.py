from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bot import metrics
from bot.boards import saving as module
from bot.boards.saving import Saving
from bot.errors import Forbidden, RateLimited, Transient
from bot.whiteboard.board import BoardKey
from bot.whiteboard.document import Document
from bot.whiteboard.item import ANY
from bot.whiteboard.keep import Pace
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE
from bot.whiteboard.unsaved import MAX_CHANGES
from bot.whiteboard.versions import initial
from tests.fakes.rooms import BOT, KEY, MemoryArchive, Server, snapshot, until
from tests.unit.whiteboard.craft import TRUE, any_content, item, seventh, update
from tests.unit.whiteboard.people import Person

QUICK = Pace(grace=0.05, own_grace=0.01, patience=0.2, spacing=0.1, own_spacing=0.1, per_megabyte=0)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_AGAIN", 0.05)


@dataclass
class Sheet:
    key: BoardKey
    board_id: int
    document: Document
    loaded: bool = True
    recording: bool = True


class Desk:
    def __init__(self, pace: Pace | None, tasks: asyncio.TaskGroup) -> None:
        self.server = Server()
        self.archive = MemoryArchive()
        self.board: Any = Sheet(KEY, 7, Document())
        self.alice = Person(5)
        self.whole = True
        self.released = 0
        self.permitted = True
        self.refused: list[bool] = []
        self.saving = Saving(
            self.server,
            BOT,
            self.archive,
            pace,
            ready=self._ready,
            release=self._release,
            permitted=lambda: self.permitted,
            refused=self.refused.append,
            tasks=tasks,
        )

    async def _ready(self, board: Any) -> bool:
        return self.whole

    async def _release(self, board: Any) -> None:
        self.released += 1

    def draws(self, name: str = "a", *, ours: bool = False) -> bytes:
        update = self.alice.add(name)
        self.board.document.apply([update])
        self.saving.changed(self.board, update, ours=ours)
        return update

    @property
    def sent(self) -> list[str]:
        return [event_type for event_type, _ in self.server.sent]


@asynccontextmanager
async def desk(pace: Pace | None = QUICK, *, found: bool = True) -> AsyncIterator[Desk]:
    before = metrics.UNSAVED._value.get()
    async with asyncio.TaskGroup() as tasks:
        here = Desk(pace, tasks)
        if found:
            here.saving.found(here.board)
            await here.saving.recall(here.board)
        yield here
        here.saving.gone(KEY)
    assert metrics.UNSAVED._value.get() == before


async def test_what_nobody_saves_is_saved_once_and_noted_meanwhile() -> None:
    async with desk() as here:
        here.draws()
        assert here.saving.since(KEY) is not None
        await until(lambda: here.archive.texts.get("unsaved.7") == "1")
        await until(lambda: here.archive.texts["unsaved.7"] == "")
        assert here.sent == [SNAPSHOT_TYPE, CHUNK_TYPE]
        assert here.saving.since(KEY) is None
        assert (here.released, here.refused) == (1, [False])
        await asyncio.sleep(0.15)
        assert len(here.sent) == 2


async def test_what_somebody_else_saves_in_time_is_left_to_him() -> None:
    async with desk(replace(QUICK, patience=100)) as here:
        here.draws()
        here.saving.begun(KEY.document_id, "$s1")
        here.saving.begun("$another", "$s2")
        await asyncio.sleep(0.1)  # longer than the grace
        here.saving.saved(here.board, snapshot(here.alice.state()))
        await until(lambda: here.archive.texts.get("unsaved.7") == "")
        assert here.sent == []


async def test_at_once_when_everybody_has_left() -> None:
    async with desk(Pace(grace=60)) as here:
        here.draws()
        here.saving.alone(KEY, yes=False)
        here.saving.alone(KEY, yes=True)
        await until(lambda: CHUNK_TYPE in here.sent)


async def test_newcomers_lack_what_no_snapshot_has(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(Pace(grace=60)) as here:
        assert here.saving.lacking(here.board) is None
        here.draws("a")
        here.saving.saved(here.board, snapshot(here.alice.state()))
        assert here.saving.lacking(here.board) is None
        here.draws("b")
        carol = Person(9)
        carol.hear(here.alice.state())
        update = here.saving.lacking(here.board)
        assert update is not None
        assert len(update) < len(here.board.document.encode())
        monkeypatch.setattr(module, "MAX_LIVE", len(update) - 1)
        assert here.saving.lacking(here.board) is None
        await until(lambda: CHUNK_TYPE in here.sent)


async def test_our_own_change_is_saved_soon() -> None:
    async with desk(Pace(grace=60, own_grace=0.01)) as here:
        here.draws(ours=True)
        await until(lambda: CHUNK_TYPE in here.sent)


async def test_our_own_change_that_is_not_recorded_is_saved_at_once() -> None:
    async with desk(Pace(grace=60, own_grace=60)) as here:
        here.board.recording = False
        here.draws(ours=True)
        await until(lambda: CHUNK_TYPE in here.sent)


async def test_what_is_written_shows_nothing_that_people_do_not_see() -> None:
    """Of what waits a client would delete the old value, and have no new one."""
    async with desk() as here:
        bob = Person(6, "0", here.draws("a"))
        bob.add("lost")
        here.board.document.apply([bob.write("a", text="waits")])
        assert here.board.document.encode() != here.board.document.snapshot()
        await until(lambda: here.saving.since(KEY) is None)
        [chunk] = [content for kind, content in here.server.sent if kind == CHUNK_TYPE]
        assert b64decode(chunk["data"]) == here.board.document.snapshot()


async def test_an_incomplete_one_begun_while_ours_was_written_is_newer() -> None:
    async with desk(replace(QUICK, spacing=0.01)) as here:
        here.server.slow.add("send_event")
        here.draws("a")
        await until(lambda: here.server.calls["send_event"] == 1)
        here.saving.begun(KEY.document_id, "$incomplete")
        here.server.go.set()
        await until(lambda: here.sent.count(SNAPSHOT_TYPE) == 2)


async def test_what_failed_once_is_no_reason_any_more_when_it_is_done() -> None:
    async with desk(replace(QUICK, spacing=60)) as here:
        here.server.failures["send_event"] = [RateLimited("slowly", 0.1)]
        here.draws("a")
        await until(lambda: (found := here.saving.outlook(KEY)) and found.reason != "waiting")
        here.server.slow.add("send_event")
        await until(lambda: here.server.calls["send_event"] == 2)
        here.draws("b")
        here.server.go.set()
        await until(lambda: CHUNK_TYPE in here.sent)
        await until(lambda: (found := here.saving.outlook(KEY)) and found.reason == "waiting")


async def test_what_came_with_an_older_snapshot_the_newest_may_lack() -> None:
    async with desk(replace(QUICK, grace=60)) as here:
        without = Document().encode()
        here.board.document.apply([here.alice.add("a")])
        here.saving.saved(here.board, snapshot(here.alice.state()))
        assert here.saving.since(KEY) is None
        here.saving.begun(KEY.document_id, "$newest")
        here.saving.saved(here.board, snapshot(without, "$newest"))
        assert here.saving.since(KEY) is not None


async def test_what_comes_while_it_writes_is_saved_by_the_next_one() -> None:
    async with desk() as here:
        here.server.slow.add("send_event")
        here.draws("a")
        await until(lambda: here.server.calls["send_event"] == 1)
        here.draws("b")
        here.server.go.set()
        await until(lambda: here.sent.count(SNAPSHOT_TYPE) == 2)
        await until(lambda: here.saving.since(KEY) is None)


async def test_chunks_that_vanish_are_sent_again() -> None:
    async with desk() as here:
        here.server.vanishing[CHUNK_TYPE] = 1
        here.draws()
        await until(lambda: here.saving.since(KEY) is None)
        assert here.sent == [SNAPSHOT_TYPE, CHUNK_TYPE, CHUNK_TYPE]


async def test_a_room_that_swallows_chunks_is_no_success() -> None:
    async with desk(Pace(grace=0.01, spacing=60)) as here:
        here.server.vanishing[CHUNK_TYPE] = 99
        here.draws()
        await until(lambda: len(here.sent) == 4)
        await asyncio.sleep(0.05)
        assert here.saving.since(KEY) is not None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Transient("gone"), [False]),
        (RateLimited("slowly", 0.05), [False]),
        (Forbidden("no"), [True, False]),
    ],
)
async def test_a_failure_is_tried_again(error: Exception, told: list[bool]) -> None:
    async with desk() as here:
        here.server.failures["send_event"] = [error]
        here.draws()
        await until(lambda: here.saving.since(KEY) is None)
        assert here.refused == told


async def test_where_it_may_not_write_it_writes_nothing_until_it_may() -> None:
    async with desk(Pace(grace=0.01)) as here:
        here.permitted = False
        here.draws()
        await until(lambda: here.refused == [True])
        here.saving.permission_changed()
        await until(lambda: here.refused == [True, True])
        assert here.sent == []
        here.permitted = True
        here.saving.permission_changed()
        await until(lambda: here.saving.since(KEY) is None)
        assert here.refused == [True, True, False]
        assert here.sent == [SNAPSHOT_TYPE, CHUNK_TYPE]


async def test_a_snapshot_of_ours_that_sync_shows_before_it_is_read_back_counts_once() -> None:
    async with desk() as here:
        here.server.slow = {"relations"}
        here.draws()
        await until(lambda: here.server.calls["relations"] == 1)
        here.saving.saved(here.board, snapshot(here.board.document.encode(), "$s1"))
        here.server.go.set()
        await until(lambda: here.refused == [False])


async def test_that_power_levels_change_ends_no_other_wait() -> None:
    async with desk(Pace(grace=0.01)) as here:
        here.server.failures["send_event"] = [RateLimited("slowly", 60.0)]
        here.draws()
        await until(lambda: (found := here.saving.outlook(KEY)) and found.reason != "waiting")
        found = here.saving.outlook(KEY)
        here.saving.permission_changed()
        assert found is not None
        assert here.saving.outlook(KEY) == found


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Transient("gone"), ("failed", "gone")),
        (RateLimited("slowly", 60.0), ("asked_to_wait", "slowly")),
        (Forbidden("no"), ("forbidden", "")),
    ],
)
async def test_why_a_board_is_not_saved_can_be_asked(
    error: Exception, why: tuple[str, str]
) -> None:
    async with desk(Pace(grace=60)) as here:
        found = here.saving.outlook(KEY)
        assert found is not None
        assert (found.since, found.due) == (None, None)
        here.draws()
        found = here.saving.outlook(KEY)
        assert found is not None
        assert found.since is not None
        assert found.due == pytest.approx(found.since + 60, abs=0.01)
        assert (found.reason, found.earlier) == ("waiting", False)
        here.saving.begun(KEY.document_id, "$s1")
        found = here.saving.outlook(KEY)
        assert found is not None
        assert found.reason == "writing"
        here.saving.saved(here.board, snapshot(b"\x00\x00", "$s1"))
        here.server.failures["send_event"] = [error]
        here.saving.alone(KEY, yes=True)
        await until(lambda: (found := here.saving.outlook(KEY)) and found.reason == why[0])
        found = here.saving.outlook(KEY)
        assert found is not None
        assert found.detail == why[1]
        here.saving.saved(here.board, snapshot(here.alice.state()))
        found = here.saving.outlook(KEY)
        assert found is not None
        assert (found.since, found.detail) == (None, "")
        assert here.saving.outlook(BoardKey("!other", "w", "$d")) is None


async def test_that_it_may_not_write_is_said_before_it_has_tried() -> None:
    async with desk(Pace(grace=60)) as here:
        here.permitted = False
        found = here.saving.outlook(KEY)
        assert found is not None
        assert found.reason != "forbidden"  # there is nothing to write
        here.draws()
        found = here.saving.outlook(KEY)
        assert found is not None
        assert found.reason == "forbidden"


async def test_a_board_whose_whole_snapshot_is_searched_for_says_so() -> None:
    async with desk() as here:
        here.whole = False
        here.draws()
        await until(lambda: (found := here.saving.outlook(KEY)) and found.reason == "searching")


async def test_never_an_older_state_over_the_rooms() -> None:
    async with desk() as here:
        here.whole = False
        here.draws()
        await asyncio.sleep(0.1)
        assert here.sent == []
        here.whole = True
        await until(lambda: CHUNK_TYPE in here.sent)


async def test_what_cannot_be_shown_yet_is_not_written_again_and_again() -> None:
    async with desk(Pace(grace=0.01, spacing=0.01)) as here:
        cause, effect = here.alice.add("a"), here.alice.add("b")
        here.saving.changed(here.board, cause)  # the document does not have it
        await until(lambda: here.sent.count(SNAPSHOT_TYPE) == 1)
        await asyncio.sleep(0.1)
        assert here.sent.count(SNAPSHOT_TYPE) == 1
        here.board.document.apply([cause, effect])
        here.saving.saved(here.board, snapshot(here.alice.state()))
        assert here.saving.since(KEY) is None


async def test_an_earlier_life_did_not_come_to_it() -> None:
    async with desk(found=False) as here:
        here.archive.texts["unsaved.7"] = "1"
        here.board.document.apply([here.alice.add("a")])
        here.saving.found(here.board)
        await here.saving.recall(here.board)
        found = here.saving.outlook(KEY)
        assert found is not None
        assert found.earlier
        await until(lambda: here.archive.texts["unsaved.7"] == "")
        assert CHUNK_TYPE in here.sent


async def test_an_archive_that_fails_is_no_reason_not_to_save(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with desk(found=False) as here:
        here.archive.broken |= {"get", "set"}
        here.saving.found(here.board)
        await here.saving.recall(here.board)
        here.draws()
        await until(lambda: "could not be noted" in caplog.text)
        assert CHUNK_TYPE in here.sent


async def test_an_observer_never_writes() -> None:
    async with desk(None) as here:
        assert not here.saving.writes
        await here.saving.recall(here.board)
        here.draws(ours=True)
        here.saving.saved(here.board, snapshot(here.alice.state()))
        here.saving.alone(KEY, yes=True)
        assert here.saving.since(KEY) is None
        await asyncio.sleep(0.05)
        assert here.sent == []


async def test_a_snapshot_that_stays_incomplete_is_followed_by_a_complete_one() -> None:
    async with desk() as here:
        here.board.document.apply([here.alice.add("a")])
        here.saving.begun(KEY.document_id, "$s1")
        assert here.saving.since(KEY) is None
        await until(lambda: here.sent == [SNAPSHOT_TYPE, CHUNK_TYPE])
        assert "unsaved.7" not in here.archive.texts
        here.saving.begun(KEY.document_id, "$s2")
        await asyncio.sleep(0.5)
        assert len(here.sent) == 2  # not again so soon
        here.draws("b")
        await until(lambda: here.archive.texts.get("unsaved.7") == "1")
        await until(lambda: here.archive.texts["unsaved.7"] == "")
        assert len(here.sent) == 4


async def test_one_that_becomes_complete_in_time_is_left_to_its_author() -> None:
    async with desk() as here:
        here.saving.begun(KEY.document_id, "$s1")
        here.saving.saved(here.board, snapshot(here.alice.state(), event_id="$s1"))
        await asyncio.sleep(0.4)
        assert here.sent == []


async def test_what_is_in_the_room_need_not_be_written_for_anybody() -> None:
    async with desk(Pace(grace=60)) as here:
        here.saving.needed(here.board)
        here.draws()
        await asyncio.sleep(0.05)
        assert here.sent == []
        here.saving.needed(here.board)
        await until(lambda: CHUNK_TYPE in here.sent)


async def test_a_board_that_is_gone_is_not_saved() -> None:
    async with desk() as here:
        here.draws()
        here.saving.gone(KEY)
        here.saving.gone(KEY)
        await asyncio.sleep(0.1)
        assert here.sent == []


async def test_what_somebody_saves_in_another_version_is_left_until_people_go_on_in_ours() -> None:
    """A copy in the later version is not hidden; one that does not belong there stops nobody."""
    async with desk() as here:
        here.saving.begun(KEY.document_id, "$eve")
        here.draws("a")
        other = replace(snapshot(initial("1")), event_id="$eve")
        here.saving.not_taken(here.board, other)
        await asyncio.sleep(0.3)  # longer than all patience
        await here.saving.rescue(leaving=True)
        assert here.sent == []
        outlook = here.saving.outlook(KEY)
        assert outlook is not None
        assert (outlook.reason, outlook.due) == ("other_version", None)
        assert outlook.since is not None
        here.draws("b")
        await until(lambda: CHUNK_TYPE in here.sent)
        assert here.saving.since(KEY) is None
        # Read again, when nothing newer is there to be read, it is no news.
        here.saving.not_taken(here.board, other)
        here.draws("c")
        await until(lambda: here.sent.count(CHUNK_TYPE) == 2)


async def test_who_saves_in_our_version_again_has_the_bot_save_again() -> None:
    async with desk() as here:
        here.saving.not_taken(here.board, replace(snapshot(initial("1")), event_id="$eve"))
        state = here.alice.state()
        here.draws("a")
        here.saving.not_taken(here.board, replace(snapshot(initial("1")), event_id="$two"))
        older = replace(snapshot(state), event_id="$older")
        here.saving.saved(here.board, older)  # read at a start, after the newest
        await asyncio.sleep(0.3)
        assert here.sent == []
        here.saving.begun(KEY.document_id, "$newer")
        here.saving.saved(here.board, replace(older, event_id="$newer"))
        await until(lambda: CHUNK_TYPE in here.sent)
        late = replace(snapshot(initial("1")), event_id="$late")
        here.saving.not_taken(here.board, late)  # begun before ours, complete after it
        here.draws("b")
        await until(lambda: here.sent.count(CHUNK_TYPE) == 2)


async def test_what_is_beyond_us_is_not_hidden_until_somebody_saves_what_is_not() -> None:
    async with desk() as here:
        here.draws("a")
        here.saving.begun(KEY.document_id, "$large")
        large = replace(snapshot(b"never looked at"), event_id="$large")
        here.saving.not_taken(here.board, large, "it is too large")
        assert "newest snapshot: it is too large" in here.saving.withheld(here.board)
        here.draws("b")  # by somebody who has it, for all we know
        await asyncio.sleep(0.3)
        await here.saving.rescue(leaving=True)
        assert here.sent == []
        outlook = here.saving.outlook(KEY)
        assert outlook is not None
        assert (outlook.reason, outlook.detail, outlook.due) == ("beyond", "it is too large", None)
        assert here.archive.texts["unsaved.7"] == "1"  # what is drawn now, the next start knows too
        here.saving.begun(KEY.document_id, "$newer")
        here.saving.saved(here.board, replace(snapshot(initial("0")), event_id="$newer"))
        assert here.saving.withheld(here.board) == ""
        await until(lambda: CHUNK_TYPE in here.sent)


async def test_a_board_that_is_not_followed_is_of_any_version() -> None:
    async with desk(None) as here:
        here.saving.not_taken(here.board, snapshot(initial("1")))
        assert here.saving.outlook(KEY) is None
        assert here.saving.withheld(here.board) == ""


async def test_a_board_of_a_version_we_do_not_know_is_never_written() -> None:
    async with desk() as here:
        here.draws("a")  # as long as the version was only assumed
        here.board.document.merge_snapshot(seventh())
        assert not here.board.document.supported
        unseen = Person(8).add("b")
        here.board.document.apply([unseen])
        here.saving.changed(here.board, unseen)
        here.archive.texts["unsaved.7"] = "1"
        await here.saving.recall(here.board)
        await asyncio.sleep(0.3)
        await here.saving.rescue(leaving=True)
        assert here.sent == []


async def test_what_can_never_be_shown_is_not_written_again_and_again() -> None:
    """More changes than are told apart: they came together, and are given up together."""
    async with desk(replace(QUICK, spacing=0.02)) as here:
        here.draws("a")
        await until(lambda: here.sent.count(SNAPSHOT_TYPE) == 1)
        for client in range(1000, 1100 + MAX_CHANGES):
            # An item that waits for ever, and a deletion that people would see without it.
            junk = item(ANY, any_content(TRUE), "0", "junk")
            never = update((client, 7, [junk]), deletes=[(5, 0, 9)])
            here.board.document.apply([never])
            here.saving.changed(here.board, never)
        await until(lambda: here.sent.count(SNAPSHOT_TYPE) == 2)
        await until(lambda: here.saving.since(KEY) is None)
        await asyncio.sleep(0.2)
        assert here.sent.count(SNAPSHOT_TYPE) == 2
