from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot import recording
from bot.errors import InvalidRecording, UsageError
from bot.handlers.base import CursorMoved, DocumentUpdate, Event, Handler, SessionChanged, TryLater
from bot.recording import Header
from bot.testing import SimulatedRoom
from bot.testing.room import KEY
from bot.whiteboard.entry import Entry, Kind


class Durable(Handler):
    durable = True

    async def on_document_update(self, event: DocumentUpdate) -> None:
        changes = await self.context.changes(event)
        await self.context.store.set("last", f"{event.seq} {len(changes.elements)}")


def numbers(room: SimulatedRoom[Durable]) -> list[int | None]:
    return [one.seq for one in room.told]


async def test_a_crash_gives_the_last_events_again() -> None:
    async with SimulatedRoom(Durable) as room:
        alice = await room.join("@alice:example.org")
        for number in range(3):
            await alice.note(f"{number}")
        await room.settle()
        assert numbers(room) == [1, 2, 3]
        before = room.handler
        await room.crash_and_restart()
        assert room.handler is not before
        await room.settle()
        assert numbers(room) == [1, 2, 3, 3]
        await alice.note("more")
        await room.settle()
        await room.crash_and_restart(again=2)
        await room.settle()
        assert numbers(room) == [1, 2, 3, 3, 4, 3, 4]
        assert await room.context.store.get("last") == "4 1"
        assert room.content == alice.content


async def test_what_happens_while_it_is_down_comes_with_a_snapshot() -> None:
    async with SimulatedRoom(Durable) as room:
        alice = await room.join("@alice:example.org")
        await alice.note("before")
        await room.settle()
        await room.crash(again=0)
        with pytest.raises(UsageError, match="does not run"):
            await room.settle()
        await alice.note("meanwhile")
        await alice.leave()
        late = await room.join("@late:example.org")
        await room.restart()
        await room.settle()
        assert numbers(room) == [1, 2]
        assert room.content == late.content == alice.content


async def test_it_may_end_while_it_is_down() -> None:
    async with SimulatedRoom(Durable) as room:
        await room.crash()


class Picky(Handler):
    durable = True
    broken = True

    async def on_document_update(self, event: DocumentUpdate) -> None:
        if type(self).broken:
            raise TryLater("the receiver is down", after=1000)


async def test_what_is_put_off_is_given_again_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    async with SimulatedRoom(Picky) as room:
        alice = await room.join("@alice:example.org")
        await alice.note("1")
        await room.settle()
        await room.retry()
        assert len(room.told) == len(room.failures) == 2
        assert all(one.postponed for one in room.failures)
        monkeypatch.setattr(Picky, "broken", False)
        await room.retry()
        await room.retry()  # nothing is put off
        assert len(room.told) == 3


class Batches(Handler):
    durable = True
    batch = 10

    async def on_batch(self, events: Sequence[Event]) -> None:
        if len(events) == 1:
            raise ZeroDivisionError


async def test_batches() -> None:
    async with SimulatedRoom(Batches, raises=False) as room:
        alice = await room.join("@alice:example.org")
        await alice.note("1")
        await room.settle()
        assert [type(one.error) for one in room.failures] == [ZeroDivisionError]
        with pytest.raises(UsageError, match="no durable handler"):
            async with SimulatedRoom(Listens) as other:
                await other.retry()


class Endless(Handler):
    async def on_document_update(self, event: DocumentUpdate) -> None:
        await asyncio.Event().wait()


async def test_a_handler_that_does_not_end_is_said() -> None:
    async with SimulatedRoom(Endless) as room:
        alice = await room.join("@alice:example.org")
        await alice.note("1")
        with pytest.raises(TimeoutError, match=r"busy after 0\.1 s"):
            await room.settle(within=0.1)
        await room.crash()


class Stops(Handler):
    async def on_document_update(self, event: DocumentUpdate) -> None: ...

    async def stop(self) -> None:
        raise LookupError


async def test_what_it_raises_at_its_end() -> None:
    with pytest.raises(LookupError):
        async with SimulatedRoom(Stops):
            pass


class Listens(Handler):
    async def on_document_update(self, event: DocumentUpdate) -> None: ...
    async def on_cursor_moved(self, event: CursorMoved) -> None: ...
    async def on_session_changed(self, event: SessionChanged) -> None: ...


async def entries() -> list[Entry]:
    """What the archive of a simulated room holds."""
    async with SimulatedRoom(Durable) as room:
        alice = await room.join("@alice:example.org")
        await alice.note("1")
        await alice.cursor(3, 4)
        await alice.note("2")
        await room.settle()
        return await room.recorded()


async def test_recordings_happen_again(tmp_path: Path) -> None:
    path = tmp_path / "one.bkrec"
    kept = await entries()
    broken = Entry(0, kept[-1].ts + 1, Kind.FOCUS, None, None, b"nothing")
    whole = Entry(0, kept[-1].ts + 2, Kind.BASELINE, None, None, kept[0].data)
    recording.write(path, Header(KEY, "0", 1), [*kept, broken, whole])
    async with SimulatedRoom(Listens) as room:
        await room.replay(path, speed=1000)
        assert [type(one).__name__ for one in room.told] == [
            "SessionChanged",
            "DocumentUpdate",
            "CursorMoved",
            "DocumentUpdate",
        ]
        assert [one.ts for one in room.told[1:]] == [one.ts for one in kept]
        assert [one["text"] for one in room.slides[0].elements] == ["1", "2"]
        assert room.clock.ts == whole.ts


async def test_recordings_of_another_version_or_none(tmp_path: Path) -> None:
    path = tmp_path / "one.bkrec"
    recording.write(path, Header(KEY, "1", 1), [])
    async with SimulatedRoom(Listens) as room:
        with pytest.raises(UsageError, match="version='1'"):
            await room.replay(path)
        path.write_bytes(b"none")
        with pytest.raises(InvalidRecording):
            await room.replay(path)
