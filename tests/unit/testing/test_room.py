from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from bot.errors import ConfigError, UsageError
from bot.handlers.base import (
    BoardFound,
    Context,
    CursorMoved,
    DocumentUpdate,
    Event,
    Focused,
    Handler,
    Presented,
    RecordingChanged,
    SessionChanged,
    SnapshotSeen,
)
from bot.testing import Person, SimulatedRoom


@dataclass(frozen=True)
class Settings:
    loud: bool = False


class Shout(Handler):
    settings_type = Settings

    async def on_document_update(self, event: DocumentUpdate) -> None:
        kinds = [one.kind for one in event.changes.elements]
        await self.context.post(event.board.room_id, f"{event.sender} {' '.join(kinds)}")


async def test_a_handler_is_told_what_people_do() -> None:
    async with SimulatedRoom(Shout, settings={"loud": True}) as room:
        assert room.handler.settings.loud
        alice = await room.join("@alice:example.org", power=50)
        await alice.draw(text="Hello")
        await room.settle()
        assert [post.text for post in room.posts] == ["@alice:example.org added"]
        assert room.content == alice.content


async def test_it_takes_milliseconds_and_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"settings\.lou"):
        SimulatedRoom(Shout, settings={"lou": True})
    with pytest.raises(UsageError, match="no event for on_update"):
        SimulatedRoom(Wrong)


class Wrong(Handler):
    async def on_update(self, event: DocumentUpdate) -> None: ...


class Fails(Handler):
    async def on_focused(self, event: Focused) -> None:
        raise ZeroDivisionError

    async def on_document_update(self, event: DocumentUpdate) -> None:
        self.context.spawn(self.late())

    async def late(self) -> None:
        raise KeyError


async def test_what_a_handler_raises_fails_the_test() -> None:
    with pytest.raises(ZeroDivisionError):
        async with SimulatedRoom(Fails) as room:
            await (await room.join("@alice:example.org")).focus()
    async with SimulatedRoom(Fails, raises=False) as room:
        alice = await room.join("@alice:example.org")
        await alice.focus()
        await room.settle()
        assert [type(one.error) for one in room.failures] == [ZeroDivisionError]
        await alice.draw()
        await room.until(lambda: len(room.failures) == 2)
        assert room.failures[1].event is None


class StartFails(Handler):
    async def start(self, context: Context) -> None:
        raise LookupError


async def test_a_handler_that_cannot_start_says_why() -> None:
    with pytest.raises(LookupError):
        async with SimulatedRoom(StartFails):
            pass


class All(Handler):
    async def on_board_found(self, event: BoardFound) -> None: ...
    async def on_session_changed(self, event: SessionChanged) -> None: ...
    async def on_document_update(self, event: DocumentUpdate) -> None: ...
    async def on_snapshot_seen(self, event: SnapshotSeen) -> None: ...
    async def on_cursor_moved(self, event: CursorMoved) -> None: ...
    async def on_focused(self, event: Focused) -> None: ...
    async def on_presented(self, event: Presented) -> None: ...
    async def on_recording_changed(self, event: RecordingChanged) -> None: ...


async def test_every_event_there_is() -> None:
    async with SimulatedRoom(All) as room:
        alice = await room.join("@alice:example.org")
        bob = await room.join("@bob:example.org")
        await alice.cursor(1, 2)
        await bob.focus()
        await alice.present(edit=True)
        await alice.present(None)
        await alice.draw()
        await room.pause()
        await room.settle()
        await room.resume()
        await bob.leave()
        await room.settle()
        assert [type(one).__name__ for one in room.told] == [
            "BoardFound",
            "SessionChanged",
            "SessionChanged",
            "CursorMoved",
            "Focused",
            "Presented",
            "Presented",
            "DocumentUpdate",
            "RecordingChanged",
            "SnapshotSeen",
            "RecordingChanged",
            "SessionChanged",
        ]
        assert isinstance(room.told[-1], SessionChanged)
        assert [one.user_id for one in room.told[-1].participants] == ["@alice:example.org"]


async def draw_all(alice: Person) -> None:
    shape = await alice.draw("ellipse", text="shape", fillColor="#ff0000")
    note = await alice.note("note", at=(300, 300))
    line = await alice.line((10, 10), (20, 5), (30, 30))
    image = await alice.image()
    await alice.write(note, "other words")
    await alice.move(shape, 5, 6)
    await alice.change(image, width=10)
    await alice.remove(line)
    second = await alice.add_slide()
    await alice.note("over there", slide=second)
    third = await alice.add_slide()
    await alice.remove_slide(third)
    await alice.lock(second)


async def test_what_people_can_draw() -> None:
    async with SimulatedRoom(All) as room:
        alice = await room.join("@alice:example.org")
        await draw_all(alice)
        await room.settle()
        first, second = room.slides
        assert room.content == alice.content
        assert [one["type"] for one in first.elements] == ["shape", "shape", "image"]
        assert first.elements[0]["position"] == {"x": 5, "y": 6}
        assert first.elements[1]["text"] == "other words"
        assert second.lock == {"userId": "@alice:example.org"}
        await alice.unlock(1)
        await room.settle()
        assert room.slides[1].lock is None
        with pytest.raises(UsageError, match="no such element"):
            await alice.move("nothing", 1, 1)


async def test_an_infinite_canvas_has_frames() -> None:
    async with SimulatedRoom(All, version="1") as room:
        alice = await room.join("@alice:example.org")
        frame = {"id": "f1", "type": "frame", "position": {"x": 0, "y": 0}}
        await alice.show([alice.slides[0].put(frame)])
        await alice.present("f1")
        await room.settle()
        assert room.slides[0].frame_ids == ("f1",)
        assert isinstance(room.told[-2], Presented)
        assert (room.told[-2].kind, room.told[-2].target) == ("frame", "f1")


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_gets_lost_all_end_with_the_same(seed: int) -> None:
    async with SimulatedRoom(All, seed=seed, loss=0.3, duplication=0.3, reordering=0.3) as room:
        alice = await room.join("@alice:example.org")
        bob = await room.join("@bob:example.org")
        for number in range(8):
            await alice.note(f"a{number}")
            await bob.note(f"b{number}")
        await room.settle()
        assert room.content == alice.content == bob.content
        assert len(room.slides[0].elements) == 16


async def test_the_same_seed_is_the_same_simulation() -> None:
    async def told() -> list[Event]:
        async with SimulatedRoom(All, seed=7, loss=0.2, reordering=0.2) as room:
            await draw_all(await room.join("@alice:example.org"))
            await room.settle()
            return room.told

    assert await told() == await told()


async def test_who_comes_late_has_what_is_there() -> None:
    async with SimulatedRoom(All) as room:
        alice = await room.join("@alice:example.org")
        await alice.note("saved")
        await room.settle()
        await alice.note("not saved yet")
        late = await room.join("@late:example.org")
        await room.settle()
        assert late.content == room.content == alice.content
        await alice.note("more")
        assert late.content == alice.content


class Changing(Handler):
    async def on_document_update(self, event: DocumentUpdate) -> None:
        if event.sender is None:
            return
        board = await self.context.board(event.board)
        assert board is not None
        first, *others = board.slides()
        assert await board.rewrite([first.without(first.elements[0]["id"]), *others])


async def test_what_a_handler_changes_people_see() -> None:
    async with SimulatedRoom(Changing) as room:
        alice = await room.join("@alice:example.org")
        bob = await room.join("@bob:example.org")
        await alice.note("away with it")
        await room.settle()
        assert room.slides[0].elements == alice.slides[0].elements == bob.slides[0].elements == ()
        assert [one.sender for one in room.told if isinstance(one, DocumentUpdate)] == [
            "@alice:example.org",
            None,
        ]


class Asking(Handler):
    async def start(self, context: Context) -> None:
        await super().start(context)
        assert await context.store.get("starts") == (await context.store.get("starts") or None)
        await context.store.set("starts", (await context.store.get("starts") or "") + "I")


async def test_what_a_context_gives() -> None:
    async with SimulatedRoom(Asking) as room:
        context = room.context
        await room.join("@alice:example.org", power=50)
        assert context.power(room.key.room_id, "@alice:example.org") == 50
        room.set_power("@alice:example.org", 0)
        assert context.power(room.key.room_id, "@alice:example.org") == 0
        assert context.find(room.key.room_id) == room.key
        assert context.find("!other:example.org") is None
        assert await context.board(replace(room.key, document_id="$other")) is None
        before = context.now_ts()
        room.clock.advance(60)
        assert context.now_ts() == before + 60_000
        context.metrics.count("asked")
        await room.crash_and_restart()
        assert await room.context.store.get("starts") == "II"
