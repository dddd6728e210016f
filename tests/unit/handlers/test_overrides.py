"""Handlers with other settings in some rooms."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.config.file import load
from bot.errors import ConfigError
from bot.handlers.base import BoardFound, CursorMoved, DocumentUpdate, Event, Handler
from bot.handlers.lanes import Lanes
from bot.handlers.load import build, problems_of, settings_of
from bot.handlers.rooms import ByRoom, instances, like
from bot.handlers.rooms import Off as OffHandler
from bot.store.archive import Archive
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry, Kind
from tests.unit.handlers.delivering import Here, running, until, until_async

USUAL, LOUD, OFF = (BoardKey(f"!{name}:h", "w", "$d") for name in ("usual", "loud", "off"))

SOURCE = """
from dataclasses import dataclass
from bot.handlers.base import DocumentUpdate, Handler

@dataclass(frozen=True)
class Settings:
    word: str = "hm"
    loud: bool = False

class Shout(Handler):
    settings_type = Settings

    async def on_document_update(self, event: DocumentUpdate) -> None:
        pass

class Broken(Shout):
    def __init__(self, settings):
        raise ValueError("no")
"""

CONFIG = """
homeserver:
  url: https://a.example
  user_id: "@bot:a.example"
  password: s
handlers:
  - use: shout.py:Shout
    settings: {word: hey}
    rooms:
      "!loud:h": {loud: true}
      "!same:h": {word: hey}
      "!loud2:h": {loud: true}
      "!off:h": off
"""


def test_rooms_of_the_same_settings_share_an_instance(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(SOURCE)
    (tmp_path / "config.yaml").write_text(CONFIG)
    entries = load(tmp_path / "config.yaml", {}, settings_of, problems_of).handlers
    [(name, shout)] = build(entries).items()
    assert name == "Shout"
    assert isinstance(shout, ByRoom)
    usual, loud, off = instances(shout)
    assert (usual.settings.word, usual.settings.loud) == ("hey", False)
    assert (loud.settings.word, loud.settings.loud) == ("hey", True)
    assert shout.of("!any:h") is shout.of("!same:h") is usual
    assert shout.of("!loud:h") is shout.of("!loud2:h") is loud
    assert shout.of("!off:h") is off
    assert off.wants() == frozenset()


@pytest.mark.parametrize("use", ["record", "relay"])
def test_what_is_for_all_rooms_says_so(tmp_path: Path, use: str) -> None:
    settings = "{from_room: '!a:b', to_room: '!c:d'}" if use == "relay" else "{}"
    text = CONFIG.partition("handlers:")[0]
    text += f'handlers: [{{use: {use}, settings: {settings}, rooms: {{"!a:b": off}}}}]\n'
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"line 6: handlers\[0\].rooms: {use} has none: "):
        load(tmp_path / "config.yaml", {}, settings_of, problems_of)


def test_one_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(SOURCE)
    (tmp_path / "config.yaml").write_text(CONFIG.replace(":Shout", ":Broken"))
    entries = load(tmp_path / "config.yaml", {}, settings_of, problems_of).handlers
    with pytest.raises(Exception, match=r"“Broken” cannot be made: ValueError at .*: no"):
        build(entries)


@dataclass
class Notes(Handler):
    settings: str = ""
    events: list[Event] = field(default_factory=list)

    async def on_document_update(self, event: DocumentUpdate) -> None:
        self.events.append(event)


class Curious(Notes):
    async def on_cursor_moved(self, event: CursorMoved) -> None:
        self.events.append(event)


async def test_lanes_take_the_instance_of_the_room() -> None:
    usual, loud = Notes("usual"), Curious("loud")
    both = like(ByRoom, Notes)(usual, {LOUD.room_id: loud, OFF.room_id: OffHandler(usual)})
    async with Lanes({"both": both}) as lanes:
        for board in (USUAL, LOUD, OFF):
            lanes.offer(DocumentUpdate(board, 1, None, b""))
            lanes.offer(CursorMoved(board, 2, None, "s", 0.0, 0.0))
            lanes.offer(BoardFound(board, 3))
        assert lanes.wants(CursorMoved)
        assert not lanes.wants(BoardFound)
    assert [event.board for event in usual.events] == [USUAL]
    assert [type(event) for event in loud.events] == [DocumentUpdate, CursorMoved]


class Durable(Notes):
    durable = True


async def recorded(here: Here, archive: Archive, key: BoardKey, data: bytes) -> None:
    await here.drawn(data, board=await archive.board_id(key, 1))


async def test_durable_lanes_too_and_what_happens_while_it_is_off_is_never_told(
    tmp_path: Path,
) -> None:
    usual, loud = Durable("usual"), Durable("loud")
    kind = like(ByRoom, Durable)
    both = kind(usual, {LOUD.room_id: loud, OFF.room_id: like(OffHandler, Durable)(usual)})
    assert both.durable
    async with running(tmp_path, both=both) as here:
        for number, key in enumerate((USUAL, LOUD, OFF)):
            await recorded(here, here.archive, key, b"%d" % number)
        await until(lambda: bool(usual.events and loud.events))
        await until_async(lambda: passed(here))
    assert [event.board for event in usual.events] == [USUAL]
    assert [event.board for event in loud.events] == [LOUD]

    again = Durable("usual")
    async with running(tmp_path, both=again) as here:  # on again
        await recorded(here, here.archive, OFF, b"3")
        await until(lambda: bool(again.events))
        await here.settled()
    assert [event.update for event in again.events] == [b"3"]  # type: ignore[attr-defined]


async def passed(here: Here) -> bool:
    return not await here.archive.backlog("both")


class Wanting(Durable):
    """Wants changes or cursors, as its settings say."""

    def wants(self) -> frozenset[type[Event]]:
        return frozenset({DocumentUpdate if self.settings == "changes" else CursorMoved})


async def test_a_replay_tells_an_instance_only_what_it_wants(tmp_path: Path) -> None:
    changes, cursors = Wanting("changes"), Wanting("cursors")
    both = like(ByRoom, Wanting)(changes, {LOUD.room_id: cursors})
    async with Archive(tmp_path) as archive:
        board = await archive.board_id(LOUD, 1)
        await archive.append([Entry(board, 1, Kind.UPDATE, None, None, b"1")])
    async with running(tmp_path, both=both) as here:
        await here.delivery.answer(
            {
                "action": "replay",
                "handler": "both",
                "board_id": board,
                "from_ts": 0,
                "until_ts": None,
                "speed": None,
            }
        )
        await here.settled()
    assert not changes.events
    assert not cursors.events
