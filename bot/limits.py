"""What the homeserver allows our account, found out at the start and while we run."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from math import inf
from typing import Protocol

from bot.backoff import backoff
from bot.errors import ServerError
from bot.matrix.probe import restart_rate
from bot.presence.admission import Admission, Limits

PROBES = 5
"""Tries to find out the limit of restarts."""

_log = logging.getLogger(__name__)


class Homeserver(Protocol):
    """What is needed of it."""

    restart_refused: Callable[[float | None], None] | None
    schedule_refused: Callable[[], None] | None

    async def restart_delayed(self, delay_id: str) -> None:
        """Start a delayed event's time anew."""


async def learn_limits(
    homeserver: Homeserver, admission: Admission, scheduled: int | None, *, probe: bool
) -> None:
    """Find out how many boards the homeserver carries; to be done before there is any.

    Args:
        homeserver: has delayed events.
        admission: is told.
        scheduled: how many delayed events may wait, as the homeserver says.
        probe: whether to find out how many restarts are allowed; else no limit is assumed.
    """
    rate = await _probe(homeserver) if probe else inf
    admission.learned(Limits(rate, scheduled))
    homeserver.restart_refused = admission.restart_refused
    homeserver.schedule_refused = admission.schedule_refused


async def _probe(homeserver: Homeserver) -> float:
    waits = backoff(random.random)
    for _ in range(PROBES):
        try:
            return await restart_rate(homeserver)
        except ServerError:
            await asyncio.sleep(next(waits))
    _log.warning("the limit of restarts could not be found out; it will show")
    return inf
