from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest

from bot.errors import Forbidden, Transient
from bot.matrix.batches import RoomBatch
from bot.rooms import host as module
from bot.rooms.host import Host
from bot.rooms.invites import Policy
from tests.fakes.rooms import (
    ALICE,
    BOT,
    KEY,
    NOW,
    ROOM,
    board_event,
    member,
    off_board,
    on_board,
    until,
)
from tests.unit.rooms.test_room import POWER, House
from tests.unit.rtc import seats

INVITED = {
    "type": "m.room.member",
    "state_key": BOT,
    "sender": ALICE,
    "content": {"membership": "invite"},
}
WHOLE = (POWER, member(BOT), member(ALICE))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "backoff", lambda *_: iter([0.001] * 999))
    monkeypatch.setattr(module, "SETTLE", 0.05)


class Hotel:
    def __init__(self) -> None:
        self.house = House()
        self.server: Any = self.house.server
        self.server.state = list(WHOLE)
        policy = Policy(["@*:here"], [], 9, 99)
        self.host = Host(self.server, self.house.shared, policy)

    async def says(
        self, *state: dict[str, Any], kind: Any = "join", whole: bool = True
    ) -> asyncio.Future[None]:
        return await self.host.deliver(RoomBatch(ROOM, kind, state, (), full_state=whole))


@asynccontextmanager
async def hotel() -> AsyncIterator[Hotel]:
    here = Hotel()
    async with here.host:
        yield here


async def test_an_invite_is_accepted_or_declined() -> None:
    async with hotel() as here:
        await (await here.says(INVITED, kind="invite"))
        assert here.server.joined == [ROOM]
        await (await here.says({**INVITED, "sender": "@x:there"}, kind="invite"))
        assert here.server.left[0][0] == ROOM
        await (await here.says(kind="invite"))  # by nobody
        assert len(here.server.joined) == 1


async def test_an_invite_from_another_server_is_answered_when_that_server_knows_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with hotel() as here:
        with monkeypatch.context() as patch:
            patch.setattr(module, "SETTLE", 1000.0)
            await (await here.says(INVITED, kind="invite"))
        began = monotonic()
        await (await here.says({**INVITED, "sender": "@x:there"}, kind="invite"))
        assert monotonic() - began >= module.SETTLE
        assert len(here.server.left) == 1


async def test_invites_on_their_way_count_as_rooms() -> None:
    async with hotel() as here:
        here.server.slow.add("join")
        invites = [
            RoomBatch(f"!{n}:here", "invite", (INVITED,), (), full_state=False) for n in range(11)
        ]
        for invite in invites:
            await here.host.deliver(invite)
        await until(lambda: len(here.server.left) == 2)
        assert here.server.calls["join"] == 9


@pytest.mark.parametrize(
    ("errors", "joins"),
    [([Transient("gone")], 1), ([Forbidden("no")], 0), ([Transient("")] * 5, 0)],
)
async def test_joining_is_tried_again(errors: list[Exception], joins: int) -> None:
    async with hotel() as here:
        here.server.failures["join"] = errors
        await (await here.says(INVITED, kind="invite"))
        assert len(here.server.joined) == joins


async def test_a_room_begins_and_ends() -> None:
    async with hotel() as here:
        await (await here.says(kind="leave"))
        await (await here.says(*WHOLE, board_event()))
        [room] = here.host.rooms
        await until(lambda: "w1" in room.boards.found)
        assert here.host.find(ROOM) == here.host.find(ROOM, "w1") == KEY
        state = here.host.state(ROOM)
        assert state is not None
        assert state.boards == {"w1": KEY}
        assert here.host.recorded(ROOM, 5)
        room.boards.resumed_ts = 6
        assert not here.host.recorded(ROOM, 5)
        room.boards.paused = True
        assert not here.host.recorded(ROOM, 7)
        room.boards.paused = False
        assert (await here.host.board(KEY)) is room.boards.found["w1"]
        await here.host.close()
        await (await here.says(kind="leave"))
        await until(lambda: not here.host.rooms)
        assert here.host.find(ROOM) is None
        assert here.host.state(ROOM) is None
        assert here.host.recorded(ROOM, 5)  # as far as it knows
        assert await here.host.board(KEY) is None


async def test_batches_after_the_end_count_as_handled() -> None:
    """Else the sync position would stay where it is for the rest of this process."""
    async with hotel() as here:
        await (await here.says(*WHOLE))
        here.house.archive.slow.add("set_room")
        first = await here.says(kind="leave")
        later = await here.says(member(ALICE), whole=False)
        here.house.archive.go.set()
        await asyncio.wait([first, later])
        assert not later.cancelled()


async def test_coming_again_at_once_begins_another_stay() -> None:
    async with hotel() as here:
        await (await here.says(*WHOLE))
        await here.says(kind="leave")
        await (await here.says(*WHOLE, board_event()))
        await until(lambda: here.host.find(ROOM) == KEY)


async def test_an_invite_into_a_room_we_thought_we_were_in_ends_that_stay() -> None:
    async with hotel() as here:
        await (await here.says(*WHOLE))
        await (await here.says(INVITED, kind="invite"))
        assert here.host.rooms == []
        assert here.server.joined == [ROOM]


async def test_a_first_batch_that_is_not_whole_is_completed() -> None:
    async with hotel() as here:
        here.server.state.append(board_event())
        here.server.failures["room_state"] = [Transient("gone")]
        await (await here.says(member(ALICE), whole=False))
        assert here.host.find(ROOM) == KEY


async def test_a_first_batch_of_a_room_we_are_not_in_begins_nothing() -> None:
    async with hotel() as here:
        here.server.failures["room_state"] = [Forbidden("not here")]
        await (await here.says(member(ALICE), whole=False))
        await until(lambda: not here.host.rooms)
        assert here.server.notices == []


async def test_who_is_missing_in_the_first_sync_is_found_by_reading_apart() -> None:
    async with hotel() as here:
        here.server.state += [board_event(), on_board()]
        await (await here.says(*WHOLE, board_event()))
        [room] = here.host.rooms
        await until(lambda: room.state.live(NOW))
        assert here.server.calls["room_state"] == 1


@pytest.mark.scenario("X04")
async def test_state_beside_a_later_timeline_is_not_believed_either() -> None:
    """It is what the sender of the timeline's first event knew, on another server."""
    async with hotel() as here:
        here.server.state += [board_event(), on_board()]
        await (await here.says(*WHOLE, board_event()))
        [room] = here.host.rooms
        await until(lambda: room.state.live(NOW))
        await (await here.says(off_board(), whole=False))
        await until(lambda: here.server.calls["room_state"] == 2 and room.state.live(NOW))
        await (await here.says(whole=False))
        assert here.server.calls["room_state"] == 2


async def test_what_was_read_apart_never_undoes_what_sync_has_brought_since() -> None:
    async with hotel() as here:
        here.server.state += [board_event(), on_board()]
        here.server.slow.add("room_state")
        await (await here.says(*WHOLE, board_event()))
        await until(lambda: here.server.calls["room_state"] == 1)
        here.server.state = [*WHOLE, board_event(), off_board()]
        await (await here.says(off_board(), whole=False))
        here.server.slow.clear()
        here.server.go.set()
        await until(lambda: here.server.calls["room_state"] == 2)
        [room] = here.host.rooms
        await (await here.says(member(ALICE), whole=False))
        assert not room.state.live(NOW)


async def test_what_we_did_ourselves_is_not_read_apart() -> None:
    async with hotel() as here:
        here.server.state = [*WHOLE, board_event(), on_board(), on_board(BOT)]
        await (await here.says(*WHOLE, board_event()))
        [room] = here.host.rooms
        await until(lambda: room.state.live(NOW))
        assert {one.user_id for one in room.state.live(NOW)} == {ALICE}


async def test_a_room_that_is_never_quiet_is_not_read_for_ever() -> None:
    async with hotel() as here:
        here.server.state += [board_event(), on_board()]
        reading = here.server.room_state

        async def disturbed(room_id: str) -> Any:
            state = await reading(room_id)
            await here.says(member(ALICE), whole=False)
            return state

        here.server.room_state = disturbed
        await (await here.says(*WHOLE, board_event()))
        await until(lambda: here.server.calls["room_state"] == module.CONFIRM_TRIES)
        await (await here.says(member(ALICE), whole=False))
        [room] = here.host.rooms
        assert not room.state.live(NOW)


async def test_without_an_answer_what_sync_said_holds(caplog: pytest.LogCaptureFixture) -> None:
    async with hotel() as here:
        here.server.failures["room_state"] = [Forbidden("no")]
        await (await here.says(*WHOLE, board_event()))
        await until(lambda: "could not be read apart" in caplog.text)
        assert here.host.rooms


async def test_a_room_that_fails_is_begun_anew(caplog: pytest.LogCaptureFixture) -> None:
    async with hotel() as here:
        here.house.archive.broken.add("room")
        handled = await here.says(*WHOLE)
        await until(lambda: here.house.archive.calls["room"] > 1)
        here.house.archive.broken.clear()
        await handled
        assert here.host.rooms
    assert "a room failed" in caplog.text


async def test_a_room_that_is_begun_anew_knows_who_sits_there() -> None:
    """What state there is can be read again; sticky events were told once."""
    slot = {"slot_id": "net.nordeck.whiteboard#w1"}
    join = seats.event(seats.join() | slot, ALICE, origin_server_ts=NOW)
    async with hotel() as here:
        await here.says(*WHOLE)
        await here.host.deliver(RoomBatch(ROOM, "join", (), (), sticky=(join,)))
        broken: Any = 7
        failed = await here.host.deliver(RoomBatch(ROOM, "join", (), (broken,)))
        await until(failed.done, 10)
        assert failed.exception()
        await until(lambda: [one for room in here.host.rooms for one in room.state.live(NOW)], 10)


async def test_ended_what_was_not_handled_stays_so() -> None:
    async with hotel() as here:
        here.house.archive.slow.add("room")
        handled = await here.says(*WHOLE)
        await asyncio.sleep(0.002)
    assert handled.cancelled()
