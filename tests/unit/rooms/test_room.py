from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bot import metrics
from bot.errors import Forbidden, ServerError, StoreError, Transient
from bot.handlers.base import BoardFound, BoardGone, Event, SessionChanged
from bot.matrix.batches import RoomBatch
from bot.rooms import remembered
from bot.rooms.room import Room
from bot.rooms.shared import Inbox, Shared
from bot.rtc.life import ALONE, Life
from bot.rtc.membership import LEGACY
from bot.store.rows import RoomRow
from bot.whiteboard.keep import Pace
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE
from tests.fakes.rooms import (
    ALICE,
    BOT,
    DEVICE,
    KEY,
    NOW,
    OTHER,
    ROOM,
    MemoryArchive,
    Server,
    board_event,
    drawn,
    member,
    off_board,
    on_board,
    services,
    snapshot_events,
    until,
)
from tests.unit.rooms.test_sessions import Taking
from tests.unit.rtc import seats
from tests.unit.whiteboard.people import Person

POWER = {
    "type": "m.room.power_levels",
    "state_key": "",
    "sender": ALICE,
    "content": {"users": {ALICE: 100}},
}


def said(text: str, sender: str = ALICE) -> dict[str, Any]:
    return {
        "type": "m.room.message",
        "sender": sender,
        "content": {"msgtype": "m.text", "body": text},
    }


class Noting(Taking):
    """A Presence that also notes what it hears of the room."""

    def __init__(self) -> None:
        super().__init__()
        self.own: list[dict[str, Any]] = []
        self.permissions = 0

    def own_state(self, event: Any) -> None:
        self.own.append(event)

    def permission_changed(self) -> None:
        self.permissions += 1


class House:
    """One Room and everything around it."""

    def __init__(self, *, linger: float = 0.0, life: Life = ALONE, **values: Any) -> None:
        self.archive = MemoryArchive()
        self.server = Server()
        self.told: list[Event] = []
        self.made: list[Noting] = []
        self.replaced: list[tuple[str, str]] = []
        self.inbox: Inbox = asyncio.Queue()
        self.shared = Shared(
            homeserver=self.server,
            archive=self.archive,
            services=services(self.archive, self.told, **values),
            own_user=BOT,
            own_device=DEVICE,
            presence=self.make,
            always=False,
            linger=linger,
            pace=Pace(),
            prefix="!board",
            power=50,
            languages=("en",),
            open=asyncio.Event(),
            life=life,
        )
        self.shared.open.set()
        self.room = Room(ROOM, self.shared, replaced=lambda *ids: self.replaced.append(ids))
        self.running: asyncio.Task[None]

    def make(self, _: Room) -> Noting:
        self.made.append(Noting())
        return self.made[-1]

    def put(self, *timeline: dict[str, Any], **values: Any) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        kind, state = values.get("kind", "join"), values.get("state", ())
        more = {"sticky": values.get("sticky", ()), "gap": values.get("gap", False)}
        batch = RoomBatch(ROOM, kind, state, timeline, **more)
        self.inbox.put_nowait((batch, done))
        return done

    async def says(self, *timeline: dict[str, Any], **values: Any) -> None:
        await self.put(*timeline, **values)

    async def begin(self, *events: dict[str, Any]) -> None:
        await self.says(state=(POWER, member(BOT), member(ALICE), *events))

    async def board(self) -> Any:
        await until(lambda: "w1" in self.room.boards.found)
        return self.room.boards.found["w1"]

    async def presence(self) -> Noting:
        await until(lambda: self.made and self.made[-1].running)
        return self.made[-1]


@asynccontextmanager
async def house(**values: Any) -> AsyncIterator[House]:
    def gauges() -> list[float | None]:
        names = ("boards", "participants", "presences")
        return [metrics.REGISTRY.get_sample_value(f"boardkeeper_{name}") for name in names]

    before = gauges()
    here = House(**values)
    here.running = asyncio.create_task(here.room.run(here.inbox))
    try:
        await asyncio.sleep(0)
        yield here
    finally:
        here.running.cancel()
        await asyncio.wait([here.running])
    assert gauges() == before


async def ended(here: House) -> None:
    async with asyncio.timeout(15):
        await asyncio.shield(here.running)


async def test_it_introduces_itself_once() -> None:
    async with house() as here:
        await here.begin()
        await here.says()
        [hello] = here.server.notices
        assert "I record" in hello
        assert here.archive.rooms[ROOM].noticed


async def test_where_it_may_not_write_it_introduces_itself_when_powers_have_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.rooms.conversation.GREET_AGAIN", 0.0)
    async with house() as here:
        here.server.failures["send_notice"] = [Forbidden("no")]
        await here.begin()
        await until(lambda: here.server.calls["send_notice"])
        for _ in range(5):
            await here.says()
        assert (here.server.calls["send_notice"], here.server.notices) == (1, [])
        await here.says(POWER)
        await until(lambda: here.server.notices)
        await until(lambda: here.archive.rooms[ROOM].noticed)


async def test_where_nothing_is_recorded_it_says_so() -> None:
    async with house(recording=False) as here:
        await here.begin()
        await until(lambda: here.server.notices)
        assert "I do not record" in here.server.notices[0]


async def test_a_room_that_was_told_is_not_told_again() -> None:
    async with house() as here:
        here.archive.rooms[ROOM] = RoomRow(ROOM, "", False, True, 0)
        await here.begin()
        assert here.server.notices == []


async def test_a_board_and_people_on_it() -> None:
    async with house() as here:
        await here.begin(board_event())
        board = await here.board()
        await until(lambda: any(isinstance(event, BoardFound) for event in here.told))
        await here.says(on_board())
        await here.presence()
        status = here.room.status()
        assert (status.recording, status.boards, status.present) == (True, 1, True)
        here.room.deliver([drawn(Person(7).add("a"))])
        assert here.archive.kinds() == ["update"]
        assert here.archive.memberships == [("_@alice:here_AD", "$m1")]
        await here.says(off_board())
        assert not here.room.sessions.taking_part
        assert not board.loaded


async def test_who_sits_down_with_sticky_events_is_there_until_they_leave() -> None:
    def said(content: dict[str, Any], event_id: str, ts: int) -> dict[str, Any]:
        content["slot_id"] = "net.nordeck.whiteboard#w1"
        return seats.event(content, ALICE, event_id=event_id, origin_server_ts=ts)

    join, leave = said(seats.join(), "$join", NOW - 9), said(seats.leave(), "$leave", NOW - 5)
    async with house() as here:
        await here.begin(board_event())
        await here.board()
        await here.says(sticky=(join,))
        assert [one.event_id for one in here.room.state.live(NOW)] == ["$join"]
        await here.presence()
        await here.says(leave, sticky=(join,))
        kept = [event_id for _, event_id in here.archive.memberships]
        assert kept == [join["event_id"], join["event_id"], leave["event_id"]]
        assert here.room.state.live(NOW) == []
        await here.says(said(seats.join("two"), "$again", NOW - 2))
        assert [one.event_id for one in here.room.state.live(NOW)] == ["$again"]


async def test_two_boards_found_at_once_are_both_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is found while the first is being loaded."""
    async with house() as here:
        here.archive.slow.add("checkpoint")
        await here.begin(
            board_event(), board_event(OTHER), on_board(), on_board(device="A2", call_id="w2")
        )
        await until(lambda: len(here.room.boards.found) == 2)
        here.archive.go.set()
        presence = await here.presence()
        await until(lambda: presence.wants[-1] == {"w1", "w2"})


async def test_a_board_found_while_looking_is_looked_at_next() -> None:
    async with house() as here:
        await here.begin(board_event(), on_board(), on_board(device="A2", call_id="w2"))
        presence = await here.presence()
        await until(lambda: any(isinstance(event, BoardFound) for event in here.told))
        board = await here.board()
        board._since_checkpoint = 10_000
        here.archive.slow.add("save_checkpoint")
        here.room.look_soon()
        await until(lambda: here.archive.calls["save_checkpoint"])
        await here.says(board_event(OTHER))  # found by a task of its own
        here.archive.go.set()
        await until(lambda: presence.wants[-1] == {"w1", "w2"})


async def test_memberships_that_expire_are_seen_without_an_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with house() as here:
        await here.begin(board_event(), on_board(expires=NOW + 1))
        presence = await here.presence()
        object.__setattr__(here.shared.services, "now_ts", lambda: NOW + 2)
        await until(presence.closes.is_set)


async def test_a_removed_board_is_gone() -> None:
    async with house() as here:
        await here.begin(board_event(), on_board())
        await here.board()
        await here.presence()
        await here.says(board_event(content={}))
        assert here.room.boards.found == {}
        assert isinstance(here.told[-1], BoardGone)
        assert not here.room.sessions.taking_part


@pytest.mark.parametrize("how", ["leave", "ban"])
async def test_sent_away_it_ends_and_introduces_itself_when_it_comes_again(how: str) -> None:
    async with house() as here:
        await here.begin(board_event(), on_board())
        await here.presence()
        batch = {"kind": "leave"} if how == "leave" else {"state": (member(BOT, how),)}
        await here.says(**batch)
        await ended(here)
        assert here.archive.gone == [1]
        assert not here.archive.rooms[ROOM].noticed
        assert isinstance(here.told[-1], BoardGone)


async def test_an_archive_that_does_not_number_boards_holds_up_no_leaving() -> None:
    async with house() as here:
        here.archive.broken.add("board_id")
        await here.begin(board_event())
        await until(lambda: here.archive.calls["board_id"])
        await here.says(kind="leave")
        await ended(here)


async def test_a_snapshot_waiting_to_be_written_holds_up_no_leaving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with house() as here:
        await here.begin(board_event())
        board = await here.board()
        await until(lambda: board.complete or not board.loaded)
        here.room.boards.saving.changed(board, Person(7).add("a"), ours=True)
        await here.says(kind="leave")
        await ended(here)


async def test_encrypted_rooms_are_left() -> None:
    async with house() as here:
        await here.begin({**POWER, "type": "m.room.encryption", "content": {}})
        await ended(here)
        assert here.server.left == [(ROOM, None)]
        assert "encrypted" in here.server.notices[0]


async def test_an_upgraded_room_is_left_to_its_successor() -> None:
    async with house() as here:
        await here.begin(
            {**POWER, "type": "m.room.tombstone", "content": {"replacement_room": "!new"}}
        )
        await ended(here)
        assert here.replaced == [(ROOM, "!new")]


async def test_it_pauses_and_resumes() -> None:
    async with house() as here:
        await here.begin(board_event())
        board = await here.board()
        await here.says(said("!board pause"))
        await here.says(said("!board pause"), on_board())
        assert here.archive.rooms[ROOM].paused
        assert not board.recording
        assert here.archive.memberships == []
        await here.says(said("!board resume"))
        await here.says(said("!board resume"))
        assert here.archive.kinds() == ["baseline"]
        assert here.archive.rooms[ROOM] == RoomRow(ROOM, "", False, True, NOW)
        words = [notice.split()[0] for notice in here.server.notices[1:]]
        assert words == ["Recording", "Nothing", "Recording", "Nothing"]


async def test_a_paused_room_is_paused_from_its_first_event_on() -> None:
    async with house() as here:
        here.archive.rooms[ROOM] = RoomRow(ROOM, "", True, True, 0)
        await here.begin(board_event(), on_board())
        assert not (await here.board()).recording
        assert here.archive.memberships == []


async def test_what_the_archive_cannot_keep_is_said_or_logged_and_kept_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "KEEP_AGAIN", 0.001)
    async with house() as here:
        here.archive.broken |= {"set_room", "saw_memberships"}
        await here.begin(board_event(), on_board())
        await here.says(said("!board pause"))
        assert "cannot write to my archive" in here.server.notices[-1]
        assert not (await here.board()).recording
        await until(lambda: "a pause could not be kept; trying again" in caplog.text)
        here.archive.broken.discard("set_room")
        await until(lambda: ROOM in here.archive.rooms and here.archive.rooms[ROOM].paused)
    assert "memberships could not be kept" in caplog.text
    assert "what is to be kept of a room" in caplog.text


async def test_it_leaves_when_told_and_says_nothing_afterwards() -> None:
    async with house() as here:
        done = here.put(said("!board leave"), state=(POWER, member(BOT), member(ALICE)))
        await done
        await ended(here)
        assert [notice.split(".")[0] for notice in here.server.notices] == ["Goodbye"]
        assert here.server.left == [(ROOM, None)]


async def test_while_it_leaves_nobody_brings_it_back() -> None:
    async with house() as here:
        await here.begin(board_event(), on_board())
        await here.presence()
        here.server.slow.add("leave")
        leaving = here.put(said("!board leave"))
        await until(lambda: here.server.calls["leave"])
        here.room.look_soon()
        await asyncio.sleep(0.005)
        assert len(here.made) == 1
        here.server.go.set()
        await leaving
        await ended(here)


async def test_what_the_bot_says_itself_is_no_command() -> None:
    async with house() as here:
        await here.begin()
        await here.says(said("!board leave", BOT), {"type": "m.reaction", "content": {}})
        assert here.server.left == []


async def test_a_membership_of_an_earlier_life_is_cleared() -> None:
    async with house() as here:
        here.server.failures["send_state"] = [Forbidden("no")]
        call = on_board(BOT, DEVICE)
        call["content"] = {**call["content"], "application": "m.call"}
        await here.begin(on_board(BOT, "OLD"), on_board(BOT, DEVICE))
        assert here.server.calls["send_state"] == 1
    async with house() as here:
        await here.begin(on_board(BOT, DEVICE))
        assert here.server.states == [(ROOM, f"_{BOT}_{DEVICE}", {})]
    async with house() as here:
        await here.begin(call)
        assert here.server.states == []


async def test_a_redacted_membership_is_a_leave_and_ours_is_told_to_the_presence() -> None:
    async with house() as here:
        await here.begin(board_event(), on_board())
        presence = await here.presence()
        await here.says(on_board(BOT, DEVICE, event_id="$own"))
        await here.says(
            {"type": "m.room.redaction", "sender": ALICE, "redacts": "$own", "content": {}}
        )
        assert [event["content"] == {} for event in presence.own] == [False, False, True][-2:]
        assert presence.own[-1]["state_key"] == f"_{BOT}_{DEVICE}"
        await here.says(
            {"type": "m.room.redaction", "sender": ALICE, "content": {"redacts": "$m1"}}
        )
        assert not here.room.sessions.taking_part
        await here.says({"type": "m.room.redaction", "redacts": "$own", "content": None})


async def test_a_redacted_board_is_gone() -> None:
    async with house() as here:
        await here.begin({**board_event(), "event_id": "$board"}, on_board())
        await here.board()
        await here.says({"type": "m.room.redaction", "sender": ALICE, "redacts": "$board"})
        assert here.room.boards.found == {}


async def test_refused_it_says_so_once_until_the_power_levels_change() -> None:
    async with house() as here:
        await here.begin(board_event(), on_board())
        presence = await here.presence()
        here.room.forbidden(LEGACY)
        here.room.forbidden(LEGACY)
        await until(lambda: len(here.server.notices) == 2)
        assert "may not announce" in here.server.notices[1]
        await here.says(POWER)
        assert presence.permissions == 1
        here.room.forbidden(LEGACY)
        await until(lambda: len(here.server.notices) == 3)


async def test_people_are_told_once_that_some_are_not_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with house() as here:
        await here.begin(board_event(), on_board())
        for _ in range(3):
            here.room.unheard()
        await until(lambda: len(here.server.notices) == 2)
        assert "which I cannot hear" in here.server.notices[1]
        assert caplog.text.count("are not heard") == 1


async def test_people_are_told_once_that_it_bridges() -> None:
    async with house() as here:
        await here.begin(board_event(), on_board())
        for _ in range(3):
            here.room.bridged()
        await until(lambda: here.archive.texts.get(f"told.bridged.{ROOM}") == "1")
        assert ["two generations" in one for one in here.server.notices] == [False, True]


async def test_snapshots_reach_their_board() -> None:
    async with house() as here:
        await here.begin(board_event())
        await here.board()
        alice = Person(7)
        alice.add("a")
        await here.says(*snapshot_events(alice.state()))
        assert here.archive.kinds() == ["snapshot"]


async def test_closed_it_leaves_but_stays_in_the_room() -> None:
    async with house() as here:
        await here.begin(board_event(), on_board())
        presence = await here.presence()
        await here.room.sessions.close()
        assert presence.closes.is_set()
        await here.says(off_board())
        await here.says(on_board())
        assert len(here.made) == 1
        assert not here.running.done()


@pytest.mark.parametrize("paused", [False, True])
async def test_what_only_the_bot_holds_is_saved_before_it_leaves(*, paused: bool) -> None:
    async with house() as here:
        here.archive.rooms[ROOM] = RoomRow(ROOM, "", paused, True, 0)
        await here.begin(board_event(), on_board())
        board = await here.board()
        await until(lambda: board.complete)
        board.ingest([drawn(Person(7).add("a"))])
        await here.says(said("!board leave"))
        await asyncio.wait([here.running])
        assert [kind for kind, _ in here.server.sent] == [SNAPSHOT_TYPE, CHUNK_TYPE]
        assert here.server.left == [(ROOM, None)]


async def test_before_it_follows_an_upgrade_too() -> None:
    async with house() as here:
        await here.begin(board_event(), on_board())
        board = await here.board()
        await until(lambda: board.complete)
        board.ingest([drawn(Person(7).add("a"))])
        tombstone = {**POWER, "type": "m.room.tombstone", "content": {"replacement_room": "!n"}}
        await here.says(tombstone)
        await asyncio.wait([here.running])
        assert [kind for kind, _ in here.server.sent] == [SNAPSHOT_TYPE, CHUNK_TYPE]


@pytest.mark.parametrize(
    "event",
    [{**POWER, "type": "m.room.encryption", "content": {}}, member(BOT, "leave")],
)
async def test_nothing_is_written_where_that_is_not_possible(event: dict[str, Any]) -> None:
    async with house() as here:
        await here.begin(board_event(), on_board())
        board = await here.board()
        await until(lambda: board.complete)
        board.ingest([drawn(Person(7).add("a"))])
        await here.says(event)
        await asyncio.wait([here.running])
        assert here.server.sent == []


async def test_a_batch_that_breaks_it_counts_as_handled() -> None:
    here = House()
    here.server.failures["leave"] = [Transient("gone")]
    done = here.put(said("!board leave"), state=(POWER, member(ALICE)))
    with pytest.raises(ExceptionGroup):
        await here.room.run(here.inbox)
    assert isinstance(done.exception(), ServerError)


async def test_a_batch_cut_off_by_the_end_counts_as_not_handled() -> None:
    async with house() as here:
        here.server.slow.add("send_notice")
        done = here.put(said("!board pause"), state=(POWER, member(ALICE), member(BOT)))
        await until(lambda: here.server.calls["send_notice"])
        here.running.cancel()
        await asyncio.wait([here.running])
        assert done.cancelled()


async def test_after_a_gap_the_rooms_past_is_not_whole() -> None:
    async with house() as here:
        await here.begin()
        here.archive.whole[ROOM] = 5
        await here.says(said("hello"))
        assert here.archive.whole == {ROOM: 5}
        await here.says(said("hello"), gap=True)
        assert here.archive.whole == {}


async def test_a_room_whose_rest_cannot_be_read_fails() -> None:
    here = House()
    here.archive.broken.add("room")
    with pytest.raises(ExceptionGroup) as caught:
        await here.room.run(here.inbox)
    assert isinstance(caught.value.exceptions[0], StoreError)


async def test_it_begins_with_what_it_is_given_first() -> None:
    here = House()
    first = RoomBatch(ROOM, "join", (member(BOT, "leave"),), ())
    await here.room.run(here.inbox, first)
    assert here.told == []
    assert not any(isinstance(event, SessionChanged) for event in here.told)
    assert KEY.room_id == ROOM
