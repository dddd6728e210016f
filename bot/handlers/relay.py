"""`relay`: what changes on one board appears on another; one way, or both.

It sends the difference between the two documents, not the packets: a lost packet, a restart or a
time without connection is made good by the next difference, and nothing is sent twice. So relays
may form any net, rings too: what has been everywhere is no difference any more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

from bot.handlers.base import (
    BoardFound,
    Context,
    DocumentUpdate,
    Handler,
    SnapshotSeen,
)
from bot.whiteboard.board import BoardKey


@dataclass(frozen=True)
class RelaySettings:
    """Settings of the `relay` handler.

    Attributes:
        from_room: id of the room to relay from.
        to_room: id of the room to relay to; the bot must be in both.
        from_board: id of the board there; the room's oldest when empty.
        to_board: likewise.
        both_ways: also from there to here.
    """

    from_room: str
    to_room: str
    from_board: str = ""
    to_board: str = ""
    both_ways: bool = False


class Relay(Handler):
    """Carries the changes of one board to another."""

    settings_type: ClassVar[type[Any]] = RelaySettings
    asks_changes: ClassVar[bool] = False
    settings: RelaySettings

    async def start(self, context: Context) -> None:
        """Begin; the first difference goes as soon as both boards are known."""
        await super().start(context)
        self._refused = False
        # Events of both boards call in from lanes of their own: one difference at a time.
        self._one = asyncio.Lock()

    async def on_board_found(self, event: BoardFound) -> None:
        """Catch up when either board appears."""
        if event.board in (self._source(), self._target()):
            await self._relay()

    async def on_document_update(self, event: DocumentUpdate) -> None:
        """Send what the other board lacks."""
        await self._changed(event.board)

    async def on_snapshot_seen(self, event: SnapshotSeen) -> None:
        """Send what the snapshot brought."""
        await self._changed(event.board)

    async def _changed(self, board: BoardKey) -> None:
        if board == self._source() or (self.settings.both_ways and board == self._target()):
            await self._relay()

    def _source(self) -> BoardKey | None:
        return self.context.find(self.settings.from_room, self.settings.from_board or None)

    def _target(self) -> BoardKey | None:
        return self.context.find(self.settings.to_room, self.settings.to_board or None)

    async def _relay(self) -> None:
        source_key, target_key = self._source(), self._target()
        if source_key is None or target_key is None:
            return
        async with self._one:
            source = await self.context.board(source_key)
            target = await self.context.board(target_key)
            if source is None or target is None:
                return
            # Unknown (None) means that nobody has drawn there yet: it becomes what is brought.
            if None not in {source.version, target.version} and source.version != target.version:
                self._say_refused()
                return
            self._refused = False
            await target.change(source.diff(target.state_vector()))
            if self.settings.both_ways:
                await source.change(target.diff(source.state_vector()))

    def _say_refused(self) -> None:
        if not self._refused:
            self._refused = True
            self.context.log.error(
                "not relayed: one board has slides, the other is an infinite canvas",
                extra={"from": self.settings.from_room, "to": self.settings.to_room},
            )
