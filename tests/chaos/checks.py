"""What the bot's membership events in a room say: ghosts, gaps, how soon it was back.

Pure; all times are seconds since 1970 by the homeserver's clock, which is this machine's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Mark:
    """One membership event of the bot.

    Attributes:
        ts: when the homeserver says it was sent.
        joined: whether it says that the bot is there.
        focus: the first focus it names.
        member: its member id in the sticky profile, where one that was left is spent.
    """

    ts: float
    joined: bool
    focus: str = ""
    member: str = ""


@dataclass(frozen=True, slots=True)
class Life:
    """One process of the bot, from its start to its end by SIGKILL."""

    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without a membership, between two with one; `ended` is infinite for the last."""

    began: float
    ended: float

    @property
    def length(self) -> float:
        """Seconds."""
        return self.ended - self.began


def outlived(marks: Sequence[Mark], lives: Sequence[Life]) -> list[float]:
    """Return, for each membership that outlived its process, by how many seconds it did.

    A membership ends with the next event: a leave, or a later process's join. Infinite for one
    that stands for good. Only the process that wrote a membership restarts its delayed leave, so
    none may be outlived by more than one delay.

    Args:
        marks: of one room and profile, oldest first.
        lives: oldest first.
    """
    found = []
    for number, mark in enumerate(marks):
        life = next((one for one in reversed(lives) if one.began <= mark.ts), None)
        if not mark.joined or life is None:
            continue
        later = (one.ts for one in marks[number + 1 :] if one.member == mark.member)
        after = next(later, inf)
        if after > life.ended:
            found.append(after - life.ended)
    return found


def standing(marks: Iterable[Mark]) -> dict[str, float]:
    """Return when each membership that stands now was last sent, by its member id."""
    found: dict[str, float] = {}
    for mark in marks:
        found.pop(mark.member, None)
        if mark.joined:
            found[mark.member] = mark.ts
    return found


def gaps(marks: Sequence[Mark]) -> list[Gap]:
    """Return when the bot was not there, after it had been for the first time."""
    found = []
    left: float | None = None
    there: set[str] = set()
    for mark in marks:
        was = bool(there)
        (there.add if mark.joined else there.discard)(mark.member)
        if was and not there:
            left = mark.ts
        elif mark.joined and left is not None:
            found.append(Gap(left, mark.ts))
            left = None
    return found if left is None else [*found, Gap(left, inf)]


def within(gap: Gap, begun: float, ended: float) -> bool:
    """Whether a gap lies in a time."""
    return begun <= gap.began and gap.ended <= ended


def middle_and_worst(values: Iterable[float], digits: int = 2) -> dict[str, float | int | None]:
    """Return how many there are, their median and the largest."""
    ordered = sorted(values)
    if not ordered:
        return {"count": 0, "median": None, "worst": None}
    half = len(ordered) // 2
    median = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
    return {
        "count": len(ordered),
        "median": round(median, digits),
        "worst": round(ordered[-1], digits),
    }
