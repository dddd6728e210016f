"""How often the homeserver lets us restart delayed events: found out by asking for too much.

No endpoint says it. Synapse counts a restart before it looks the delayed event up
(`rc_delayed_event_mgmt`), so restarts of an event that does not exist tell the limit and harm
nothing: 404 while allowed, then 429. A bucket leaks: how long it takes for one more to fit, right
after one did, is one by the rate.
"""

from __future__ import annotations

import asyncio
import secrets
from math import inf
from time import monotonic
from typing import Protocol

from bot.errors import NotFound, RateLimited

FIRST = 8
"""Calls that find Synapse's default (a burst of 5)."""
MORE = 16
"""Calls beside them that find the burst of 20 which operators of Element Call are told to set."""
UNTOLD = 1.0
"""Seconds for one restart where the server says no to one but not when to come back."""
LONGEST_WAIT = 2.0
ROUNDS = 3
MARGIN = 0.02
"""Seconds on top: hints are cut off at whole milliseconds."""


class Homeserver(Protocol):
    """The call needed here."""

    async def restart_delayed(self, delay_id: str) -> None:
        """Start a delayed event's time anew."""


async def restart_rate(homeserver: Homeserver) -> float:
    """Return how many restarts a second are allowed for long; infinite when nothing limits them.

    Ask before there is anything to restart: it uses the allowance up.

    Raises:
        ServerError: the homeserver does not answer as one does that has delayed events.
    """
    asked = monotonic()
    hints = await _burst(homeserver, FIRST)
    if not hints:
        asked = monotonic()
        hints = await _burst(homeserver, MORE)
    if not hints:
        return inf
    # These hints are anything up to the time for one, whatever was used before. Once that has
    # passed one fits, and the next one has to wait for all of it. Counted from the asking, since
    # Synapse takes half a second over a refusal: then it may be too late, and is done again.
    longest, newest = max(hints), max(hints)
    for _ in range(ROUNDS):
        wait = asked + min(newest, LONGEST_WAIT) + MARGIN - monotonic()
        await asyncio.sleep(max(0.0, wait))
        asked = monotonic()
        newest = max(await _burst(homeserver, 2), default=longest)
        longest = max(longest, newest)
        if wait > 0:
            break
    return 1 / max(longest, 0.001)


async def _burst(homeserver: Homeserver, count: int) -> list[float]:
    """Restart nothing, so many times at once; return the hints of those refused."""
    tries = [_hint(homeserver) for _ in range(count)]
    return [hint for hint in await asyncio.gather(*tries) if hint is not None]


async def _hint(homeserver: Homeserver) -> float | None:
    try:
        await homeserver.restart_delayed(f"boardkeeper{secrets.token_hex(16)}")
    except NotFound:
        return None
    except RateLimited as error:
        finest = error.exact if error.exact is not None else error.retry_after
        return UNTOLD if finest is None else finest
    return None
