"""Notes of what was touched, from where it happens to where it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bot.whiteboard.noting import note
from bot.whiteboard.replica import Replica
from bot.whiteboard.touched import Touched, compared, in_a_row
from bot.whiteboard.verdict import Outcome

Content = Callable[[], Mapping[str, Any]]
"""Reads a board (`Document.content`)."""


class Notes:
    """What was touched since it was last told.

    Attributes:
        on: whether notes are taken at all.
    """

    def __init__(self) -> None:
        self.on = False
        self._taken: list[Touched] = []

    def take(self, replica: Replica, began: Mapping[int, int]) -> None:
        """Note what was integrated; it is not final yet."""
        if self.on:
            self._taken.append(note(replica.root, replica.touched, began))

    def compare(self, before: Content, after: Content) -> None:
        """Note what is other when one document takes the place of another."""
        if self.on:
            self._taken.append(compared(before(), after()))

    def told(self, outcome: Outcome) -> Outcome:
        """Return an outcome with what was noted on the way to it."""
        if not self._taken:
            return outcome
        taken, self._taken = self._taken, []
        return replace(outcome, touched=in_a_row(taken))
