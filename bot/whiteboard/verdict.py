"""What became of an update."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from bot.whiteboard.touched import Touched


class Verdict(Enum):
    """What became of an update."""

    CHANGED = "changed"
    KNOWN = "known"
    """It held nothing new."""
    WAITING = "waiting"
    """It is kept; what it builds on has not come yet."""
    REFUSED = "refused"
    GIVEN_UP = "given_up"
    """It was not even tried; what it brings is missing until it comes by another way."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict and, when refused, why; the reason never quotes the board.

    Attributes:
        verdict: what became of the update.
        reason: why it was refused.
        other_version: whether it was refused because it is of another version than the document:
            there is nothing wrong with it, somebody has put it where it does not belong.
        beyond: whether it was refused for a bound of ours, or is what a newer NeoBoard may show:
            others may well have taken it in.
        touched: what became other on the board, by it and by what waited for it; empty unless the
            document notes that.
    """

    verdict: Verdict
    reason: str = ""
    other_version: bool = field(default=False, compare=False)
    beyond: bool = field(default=False, compare=False)
    touched: Touched = field(default_factory=Touched, compare=False, repr=False)
