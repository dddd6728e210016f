"""Parts that are made from the configuration alone."""

from __future__ import annotations

from bot.fittings import noting
from bot.handlers.base import DocumentUpdate, Focused, Handler
from bot.handlers.log import Log, LogSettings
from bot.handlers.record import Record, RecordSettings


class Asks(Handler):
    async def on_document_update(self, event: DocumentUpdate) -> None:
        """It may ask."""


class Later(Asks):
    durable = True


class Never(Asks):
    asks_changes = False


class Elsewhere(Handler):
    async def on_focused(self, event: Focused) -> None:
        """It is told of no change."""


def test_changes_are_noted_only_where_a_live_handler_may_ask() -> None:
    silent = [
        Later(None),
        Never(None),
        Elsewhere(None),
        Log(LogSettings()),
        Record(RecordSettings()),
    ]
    assert not noting([])
    assert not noting(silent)
    assert noting([*silent, Asks(None)])
