from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from bot.control import steering
from bot.control.steering import Steering
from bot.errors import Forbidden, UsageError
from bot.presence.admission import Admission
from bot.rooms.host import Host
from bot.web.server import Component
from bot.whiteboard.form import FORM
from tests.fakes.rooms import ALICE, BOT, DEVICE, NOW, ROOM, board_event, on_board, until
from tests.unit.rooms.test_host import INVITED, WHOLE, Hotel, hotel


class _Numbers:
    async def statistics(self) -> Any:
        return SimpleNamespace(entries=3, file_bytes=100)


class Desk:
    """A bot with one room, and what the operator tells it."""

    def __init__(self, here: Hotel) -> None:
        self.here = here
        self.host: Host | None = here.host
        self.flushed = 0
        self.busy = 0
        values: dict[str, Any] = {
            "components": lambda: {"archive": Component(True, "recording")},
            "open": here.house.shared.open,
            "orders": None,
            "flush": self.flush,
            "busy": lambda: self.busy,
            "saved": list,
            "handlers": self.handlers,
            "past": self,
        }
        known = Steering.__init__.__annotations__
        self.steering = Steering(
            lambda: (BOT, DEVICE),
            lambda: self.host,
            _Numbers(),
            Admission(5.0, None, stretch=False, clock=lambda: 0.0),
            **{name: value for name, value in values.items() if name in known},
        )

    async def flush(self) -> None:
        self.flushed += 1

    async def read(self, room_id: str, *, until_ts: int, anew: bool) -> dict[str, Any]:
        return {"room": room_id, "until_ts": until_ts, "anew": anew, "done": True}

    async def handlers(self, request: Mapping[str, Any]) -> Any:
        return request

    async def does(self, command: str, **values: object) -> Any:
        return await self.steering.answer({"command": command, **values})


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    async with hotel() as here:
        named = {
            "type": "m.room.name",
            "state_key": "",
            "sender": ALICE,
            "content": {"name": "Plan\u202e\nning"},
        }
        await (await here.says(*WHOLE, board_event(), named, on_board(ALICE, "AD")))
        [room] = here.host.rooms
        await until(lambda: "w1" in room.boards.found)
        await until(lambda: here.house.made and here.house.made[-1].running)
        yield Desk(here)


async def test_status_and_sessions() -> None:
    async with desk() as here:
        found = await here.does("status")
        assert (found["rooms"], found["boards"], found["attended"]) == (1, 1, 1)
        assert found["merger"] == FORM
        assert (found["entries"], found["logged_in"], found["draining"]) == (3, True, False)
        assert found["admission"]["capacity"] is None
        shown = await here.does("sessions", room="planning")
        assert shown["now_ts"] == NOW  # the homeserver's, as all times beside it are
        assert (shown["room"], shown["name"]) == (ROOM, "Planning")  # nothing that disturbs
        [session] = shown["sessions"]
        assert (session["board"], session["members"][0]["user_id"]) == (1, ALICE)
        assert here.here.house.archive.rooms[ROOM].name == "Planning"


@pytest.mark.parametrize(
    "request_", [{}, {"command": "fly"}, {"command": "pause"}, {"command": "pause", "room": 1}]
)
async def test_what_it_does_not_know(request_: dict[str, Any]) -> None:
    async with desk() as here:
        with pytest.raises(UsageError, match="does not know that command"):
            await here.steering.answer(request_)


async def test_a_rooms_past_is_read_unless_nothing_is_recorded_there() -> None:
    async with desk() as here:
        asked = {"room": ROOM, "until_ts": 5, "anew": True}
        done = {"now_ts": NOW, "done": True}
        assert await here.does("history", **asked) == {"recording": True, **done, **asked}
        await here.does("pause", room=ROOM)
        assert await here.does("history", **asked) == {"recording": False, **done}
        with pytest.raises(UsageError, match="does not know that command"):
            await here.does("history", room=ROOM)


async def test_pause_and_resume_tell_the_room() -> None:
    async with desk() as here:
        assert await here.does("pause", room=ROOM) == {
            "room": ROOM,
            "shown": "Planning",
            "changed": True,
            "recording": False,
        }
        assert "Recording is paused" in here.here.server.notices[-1]
        assert (await here.does("pause", room=ROOM))["changed"] is False
        assert (await here.does("resume", room="1"))["recording"] is True
        assert "Recording goes on" in here.here.server.notices[-1]


async def test_a_room_that_cannot_be_left_goes_on() -> None:
    async with desk() as here:
        here.here.server.failures["leave"] = [Forbidden("no")]
        with pytest.raises(UsageError, match="Planning could not be left: no"):
            await here.does("leave", room="1")
        await until(lambda: len(here.here.house.made) == 2)  # it takes part again
        assert (await here.does("leave", room="1"))["changed"]
        with pytest.raises(UsageError, match="There is no room"):
            await here.does("leave", room="1")


async def test_drain_leaves_waits_and_holds_invites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "DRAIN_WITHIN", 0.3)
    async with desk() as here:
        here.busy = 1
        found = await here.does("drain", on=True)
        assert (found["done"], found["left"]["handlers"]) == (False, 1)
        assert found["left"]["connections"] == 0
        here.busy = 0
        assert (await here.does("drain", on=True))["done"]
        assert here.flushed == 1
        assert (await here.does("status"))["draining"]
        await (await here.here.says(on_board(ALICE, "AD2"), whole=False))
        assert len(here.here.house.made) == 1
        joined = len(here.here.server.joined)
        invite = SimpleNamespace(room_id="!new:here", kind="invite", state=(INVITED,))
        handled = await here.here.host.deliver(invite)
        await asyncio.sleep(0.05)
        assert not handled.done()
        assert await here.does("drain", on=False) == {"draining": False}
        await handled
        assert len(here.here.server.joined) == joined + 1
        await until(lambda: len(here.here.house.made) == 2)


async def test_before_it_is_logged_in() -> None:
    async with desk() as here:
        here.host = None
        assert (await here.does("status"))["logged_in"] is False
        with pytest.raises(UsageError, match="not logged in yet"):
            await here.does("pause", room="1")
        assert (await here.does("drain", on=True))["done"]
        assert await here.does("drain", on=False) == {"draining": False}
