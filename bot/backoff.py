"""How long to wait before the next try.

The one rule for every retry in the program (STYLE, habit 8): exponential with full jitter on
the first half, capped, and the server's own word (`Retry-After`) wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator


def backoff(
    random: Callable[[], float], *, first: float = 1.0, cap: float = 30.0, factor: float = 2.0
) -> Iterator[float]:
    """Yield the seconds to wait before each further try, for ever.

    Args:
        random: returns a float in [0, 1), such as `random.random`.
        first: the ceiling of the first wait.
        cap: the ceiling of every wait.
        factor: growth of the ceiling from one wait to the next.
    """
    ceiling = first
    while True:
        yield ceiling * (0.5 + random() / 2)
        ceiling = min(cap, ceiling * factor)
