from __future__ import annotations

from dataclasses import replace

from bot import recording
from bot.handlers.base import DocumentUpdate, Handler, Presented
from bot.testing import SAMPLE, SimulatedRoom
from tests.unit.testing.sample import HEADER, sample


async def test_the_sample_is_what_its_script_makes() -> None:
    made = await sample()
    with recording.read(SAMPLE) as found:
        assert found.header == HEADER
        assert found.size < 50_000
        kept = list(found.entries)
    assert kept == [replace(one, board_id=0) for one in made]


class Counts(Handler):
    async def on_document_update(self, event: DocumentUpdate) -> None: ...
    async def on_presented(self, event: Presented) -> None: ...


async def test_it_can_be_replayed() -> None:
    async with SimulatedRoom(Counts) as room:
        await room.replay(SAMPLE)
        assert len(room.slides) == 2
        assert room.slides[0].lock == {"userId": "@alice:example.org"}
        notes = [one["text"] for slide in room.slides for one in slide.elements if "text" in one]
        assert notes[1:] == ["Food", "Music", "Games", "Sparklers", "Alice: music", "Bob: food"]
