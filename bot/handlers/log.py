"""`log`: writes what happens on boards to the program's log; who and what kind, never content.

Of what happens while recording is paused it writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from bot.handlers.base import (
    BoardFound,
    BoardGone,
    DocumentUpdate,
    Event,
    Focused,
    Handler,
    Presented,
    RecordingChanged,
    SessionChanged,
    SnapshotSeen,
)
from bot.whiteboard.board import BoardKey


@dataclass(frozen=True)
class LogSettings:
    """Settings of the `log` handler.

    Attributes:
        strokes: one line for every change of a document as well.
    """

    strokes: bool = False


class Log(Handler):
    """Logs what happens on boards."""

    settings_type: ClassVar[type[Any]] = LogSettings
    asks_changes: ClassVar[bool] = False

    def __init__(self, settings: LogSettings) -> None:
        super().__init__(settings)
        self._paused: set[BoardKey] = set()

    def _say(self, text: str, event: Event, **extra: object) -> None:
        if event.board in self._paused:
            return
        self.context.log.info(
            text,
            extra={
                "room": event.board.room_id,
                "board": event.board.whiteboard_id,
                "at_ts": event.ts,
                **extra,
            },
        )

    async def on_board_found(self, event: BoardFound) -> None:
        """Log it."""
        self._say("board found", event)

    async def on_board_gone(self, event: BoardGone) -> None:
        """Log it."""
        self._paused.discard(event.board)
        self._say("board gone", event)

    async def on_session_changed(self, event: SessionChanged) -> None:
        """Log how many take part, and who."""
        users = sorted({participant.user_id for participant in event.participants})
        self._say("session changed", event, participants=len(event.participants), users=users)

    async def on_document_update(self, event: DocumentUpdate) -> None:
        """Log it if the settings say so."""
        if self.settings.strokes:
            self._say("stroke", event, sender=event.sender, bytes=len(event.update))

    async def on_snapshot_seen(self, event: SnapshotSeen) -> None:
        """Log it."""
        self._say("snapshot", event, sender=event.sender)

    async def on_focused(self, event: Focused) -> None:
        """Log it."""
        self._say("all were brought to a slide", event, sender=event.sender)

    async def on_presented(self, event: Presented) -> None:
        """Log it."""
        text = "presentation ended" if event.target is None else "presenting"
        self._say(text, event, sender=event.sender)

    async def on_recording_changed(self, event: RecordingChanged) -> None:
        """Log it."""
        if event.recording:
            self._paused.discard(event.board)
            self._say("recording resumed", event)
        else:
            self._say("recording paused", event)
            self._paused.add(event.board)
