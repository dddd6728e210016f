"""What became of an update."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """What became of an update."""

    CHANGED = "changed"
    KNOWN = "known"
    """It held nothing new."""
    WAITING = "waiting"
    """It is kept; what it builds on has not come yet."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict and, when refused, why; the reason never quotes the board."""

    verdict: Verdict
    reason: str = ""
