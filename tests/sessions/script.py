"""What happens in a session, made up from a seed: who comes and goes, what they do, what fails."""

from __future__ import annotations

import random
from dataclasses import dataclass

LENGTH = (15.0, 60.0)
"""Seconds in which people come."""
MAX_PEOPLE = 6
MAX_ACTIONS = 14
"""Of one visit."""

_KINDS = (
    ("draw", 50),
    ("move", 16),
    ("change", 8),
    ("delete", 8),
    ("reorder", 4),
    ("add_slide", 5),
    ("delete_slide", 3),
    ("lock", 3),
    ("unlock", 3),
)


@dataclass(frozen=True, slots=True)
class Action:
    """Something a person does `at` seconds after he began; `dice` decides to what."""

    at: float
    kind: str
    dice: float


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody has the board open.

    Attributes:
        person: his number.
        begin: when he opens it, seconds.
        end: when he closes it.
        orderly: whether the tab can say goodbye.
        cached: whether his browser still has what it held the last time.
        connects: seconds until he is connected.
        announced: seconds from then until the others can hear him.
    """

    person: int
    begin: float
    end: float
    orderly: bool
    cached: bool
    connects: float
    announced: float
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A session.

    Attributes:
        loss: of lossy packets between two people, together.
        duplicate: of those that arrive.
        reorder: likewise: come up to 0.6 s late.
        chunk_loss: of people's chunks.
        errors: of requests to the homeserver.
        chunk_bytes: small, so that small boards have several chunks too.
        big: share of strokes of some kilobytes.
    """

    seed: int
    visits: tuple[Visit, ...]
    loss: float
    duplicate: float
    reorder: float
    chunk_loss: float
    errors: float
    chunk_bytes: int
    big: float


def write(seed: int) -> Script:
    """Make up a session."""
    dice = random.Random(f"script {seed}")
    length = dice.uniform(*LENGTH)
    people = dice.randint(2, MAX_PEOPLE)
    visits = [visit for person in range(people) for visit in _visits(dice, person, length)]
    return Script(
        seed,
        tuple(sorted(visits, key=lambda visit: visit.begin)),
        loss=dice.choice((0.0, dice.uniform(0.0, 0.4), dice.uniform(0.0, 0.4))),
        duplicate=dice.choice((0.0, 0.1)),
        reorder=dice.choice((0.0, 0.05, 0.3)),
        chunk_loss=dice.choice((0.0, 0.0, 0.1, 0.3)),
        errors=dice.choice((0.0, 0.05, 0.2)),
        chunk_bytes=dice.choice((34_000, 3_000, 700)),
        big=dice.choice((0.0, 0.05)),
    )


def _visits(dice: random.Random, person: int, length: float) -> list[Visit]:
    begin = dice.choice((0.0, dice.uniform(0.0, length)))
    visits: list[Visit] = []
    while begin < length and len(visits) < 3:
        stay = dice.choice((dice.uniform(1.0, 8.0), dice.uniform(8.0, 40.0)))
        visits.append(
            Visit(
                person,
                begin,
                begin + stay,
                orderly=dice.random() < 0.5,
                cached=dice.random() < 0.5,
                connects=dice.uniform(0.2, 1.5),
                announced=dice.uniform(0.0, 3.0),
                actions=_actions(dice, stay),
            )
        )
        begin += stay + dice.choice((dice.uniform(0.5, 4.0), dice.uniform(5.0, 40.0)))
    return visits


def _actions(dice: random.Random, stay: float) -> tuple[Action, ...]:
    count = dice.choice((0, dice.randint(1, 4), dice.randint(1, MAX_ACTIONS)))
    # Often in the last moment.
    late = dice.random() < 0.4
    times = sorted(dice.uniform(0.5 * stay if late else 0.0, stay) for _ in range(count))
    names, weights = zip(*_KINDS, strict=True)
    return tuple(Action(at, dice.choices(names, weights)[0], dice.random()) for at in times)
