"""Handlers as their authors write them: told what changed, they change the board themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.stack.bot import until
from tests.stack.client import edits, elements
from tests.stack.client.elements import FIRST_SLIDE
from tests.stack.stack import Stack
from tests.system.drawing import BY_HAND
from tests.system.people import QUICK, Meeting, logged, meeting

HANDLERS = '''
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.handlers.base import Changes, DocumentUpdate, Event, Handler


@dataclass(frozen=True)
class Where:
    file: str


class Tells(Handler):
    api = 1
    settings_type = Where

    async def tell(self, event: Event, changes: Changes) -> None:
        content = await self.context.content_at(event)
        names = [one["id"] for slide in content["slides"] for one in slide["elements"]]
        line = {"sender": event.sender, "seq": event.seq, **asdict(changes), "names": names}
        with Path(self.settings.file).open("a") as file:
            file.write(json.dumps(line) + "\\n")


class Shouts(Tells):
    """Live: whoever puts a sticky note there sees it shouted, and what power he has."""

    async def on_document_update(self, event: DocumentUpdate) -> None:
        await self.tell(event, event.changes)
        board = await self.context.board(event.board)
        was = board.slides()
        slides = {slide.id: slide for slide in was}
        for one in event.changes.elements:
            slide = slides.get(one.slide_id)
            element = slide.element(one.element_id) if slide else None
            if event.sender and one.kind == "added" and element and element.get("stickyNote"):
                power = self.context.power(event.board.room_id, event.sender)
                text = f"{element['text'].upper()} {power}"
                slides[slide.id] = slide.put({**element, "text": text})
                await board.rewrite(list(slides.values()), was=was)
                self.context.metrics.count("shouted")


class Follows(Tells):
    """Durable: told the same from the recording."""

    durable = True

    async def on_document_update(self, event: DocumentUpdate) -> None:
        await self.tell(event, await self.context.changes(event))
'''


def told(file: Path) -> list[dict[str, Any]]:
    """Return what a handler has been told."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def short(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what changed, by kind."""
    by_kind = sorted((one["kind"], one["element_id"]) for one in line["elements"])
    slides = (line[f"slides_{what}"] for what in ("added", "removed", "moved", "changed"))
    return (by_kind, *slides)


def texts(here: Meeting) -> list[str]:
    """Return the texts that Alice sees on the first slide."""
    return [one["text"] for one in here.alice.document.content()["slides"][0]["elements"]]


async def test_a_handler_is_told_what_changed_and_changes_the_board(
    stack: Stack, tmp_path: Path
) -> None:
    live, durable = tmp_path / "live.jsonl", tmp_path / "durable.jsonl"
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "tells.py").write_text(HANDLERS)
    handlers = [
        {"use": "record"},
        {"use": "log"},
        {"use": "tells.py:Shouts", "settings": {"file": str(live)}},
        {"use": "tells.py:Follows", "settings": {"file": str(durable)}},
    ]
    async with meeting(stack, tmp_path, {**QUICK, "handlers": handlers}, habits=BY_HAND) as here:
        seen = await says_what_is_done(here, live)
        await until(
            lambda: [short(one) for one in told(durable)][-len(seen) :] == seen,
            30,
            "the recording does not tell the same",
            here.bot,
        )
        await shouts(here, live)
        numbers = await here.bot.metrics()
        name = 'boardkeeper_handler_events_total{handler="Shouts",name="shouted"}'
        assert numbers[name] == 1
        assert not logged(here.bot, "a handler failed on an event; its lane goes on")


async def says_what_is_done(here: Meeting, live: Path) -> list[tuple[Any, ...]]:
    """Alice does one thing after the other; returns what the live handler said of it."""
    alice = here.alice
    a = await alice.draw(elements.shape(text="a"))
    b = await alice.draw(elements.shape(text="b"))
    position = {"position": {"x": 700, "y": 500}}
    await alice.change(edits.change_element(FIRST_SLIDE, a, position))
    await alice.change(edits.reorder_element(FIRST_SLIDE, a, 1))
    await alice.change(edits.add_slide("second", [("c", elements.shape(text="c"))]))
    await alice.change(edits.reorder_slide("second", 0))
    await alice.change(edits.lock_slide("second", alice.user.user_id))
    await alice.change(edits.delete_element(FIRST_SLIDE, b))
    await alice.change(edits.delete_slide("second"))
    done = [
        ([("added", a)], [], [], [], []),
        ([("added", b)], [], [], [], []),
        ([("changed", a)], [], [], [], []),
        ([], [], [], [], [FIRST_SLIDE]),
        ([("added", "c")], ["second"], [], [], []),
        ([], [], [], ["second"], []),
        ([], [], [], [], ["second"]),
        ([("removed", b)], [], [], [], []),
        ([("removed", "c")], [], ["second"], [], []),
    ]
    await until(lambda: len(told(live)) >= len(done), 30, "not everything is told", here.bot)
    lines = told(live)
    assert [short(one) for one in lines] == done
    assert {one["sender"] for one in lines} == {alice.user.user_id}
    assert lines[-1]["names"] == [a]
    return done


async def shouts(here: Meeting, live: Path) -> None:
    """Alice puts a sticky note on the board; everybody sees what the handler makes of it."""
    note = await here.alice.draw(elements.note("hear me"))
    await until(
        lambda: texts(here)[-1].startswith("HEAR ME "), 30, "alice does not see it", here.bot
    )
    power = 2**53 - 1 if await created_late(here) else 100
    assert texts(here)[-1] == f"HEAR ME {power}"
    await until(lambda: short(told(live)[-1])[0] == [("changed", note)], 30, "own change", here.bot)
    assert told(live)[-1]["sender"] is None


async def created_late(here: Meeting) -> bool:
    """Return whether the room's version lets who created it stand above all others."""
    event = await here.state_event("m.room.create", "")
    return event is not None and int(event["content"]["room_version"]) >= 12
