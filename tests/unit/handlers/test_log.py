"""Log: who and what kind, for every event; never content."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from bot.handlers.base import (
    METHODS,
    BoardFound,
    BoardGone,
    DocumentUpdate,
    Event,
    Focused,
    Participant,
    Presented,
    RecordingChanged,
    SessionChanged,
    SnapshotSeen,
)
from bot.handlers.log import Log, LogSettings
from bot.whiteboard.board import BoardKey
from tests.fakes.context import FakeContext

BOARD = BoardKey("!room", "w", "$d")
ALICE = "@alice:x"
TWICE = (Participant("@bob:x", "B"), Participant(ALICE, "A"), Participant(ALICE, "A2"))


async def said(
    caplog: pytest.LogCaptureFixture, event: Event, *, strokes: bool = False
) -> list[dict[str, Any]]:
    """Return what is logged of an event."""
    caplog.set_level(logging.INFO)
    log = Log(LogSettings(strokes))
    await log.start(FakeContext(log=logging.getLogger("boardkeeper.log")))
    await getattr(log, METHODS[type(event)])(event)
    return [vars(record) for record in caplog.records]


@pytest.mark.parametrize(
    ("event", "text", "extra"),
    [
        (BoardFound(BOARD, 5), "board found", {}),
        (BoardGone(BOARD, 5), "board gone", {}),
        (
            SessionChanged(BOARD, 5, TWICE),
            "session changed",
            {"participants": 3, "users": [ALICE, "@bob:x"]},
        ),
        (SnapshotSeen(BOARD, 5, ALICE, "$s"), "snapshot", {"sender": ALICE}),
        (Focused(BOARD, 5, ALICE, "slide"), "all were brought to a slide", {"sender": ALICE}),
        (Presented(BOARD, 5, ALICE, "slide", "s1", edit=False), "presenting", {"sender": ALICE}),
        (Presented(BOARD, 5, None, "slide", None, edit=False), "presentation ended", {}),
        (RecordingChanged(BOARD, 5, recording=True, sender=ALICE), "recording resumed", {}),
        (RecordingChanged(BOARD, 5, recording=False, sender=None), "recording paused", {}),
    ],
)
async def test_every_event_is_one_line(
    caplog: pytest.LogCaptureFixture, event: Event, text: str, extra: dict[str, Any]
) -> None:
    [line] = await said(caplog, event)
    assert line["message"] == text
    assert (line["room"], line["board"], line["at_ts"]) == ("!room", "w", 5)
    assert line["levelname"] == "INFO"
    assert extra.items() <= line.items()


async def test_strokes_only_when_asked_for_and_never_what_is_in_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stroke = DocumentUpdate(BOARD, 5, ALICE, b"secret words")
    assert not await said(caplog, stroke)
    [line] = await said(caplog, stroke, strokes=True)
    assert (line["message"], line["sender"], line["bytes"]) == ("stroke", ALICE, 12)
    assert "secret" not in str(line)


def test_cursors_are_not_even_offered_to_it() -> None:
    left = set(METHODS) - Log(LogSettings()).wants()
    assert {event.__name__ for event in left} == {"CursorMoved"}
