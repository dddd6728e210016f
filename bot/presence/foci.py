"""The LiveKit services of our homeserver: where sessions go that nobody else has a place for.

By the homeserver's own word (`rtc/transports`, MSC4143), then by the well-known file of its name.
A source that cannot be read now keeps what it said last: a list that empties for a minute would
tear sessions apart (docs/matrixrtc.md, 6).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf
from typing import Any, Protocol

from bot.errors import NotFound, ServerError, Unsupported
from bot.rtc.focus import read_spelling, read_transports, read_well_known
from bot.rtc.membership import MAX_FOCI, Focus

EVERY = 60.0
"""Seconds between two readings, as NeoBoard does it."""
ABSENT_FOR = 86_400.0
"""Seconds until a homeserver without the endpoint is asked for it again."""

_log = logging.getLogger(__name__)


class Homeserver(Protocol):
    """The calls needed here."""

    async def rtc_transports(self) -> dict[str, Any]:
        """Return the homeserver's own list, raw."""

    async def well_known_foci(self, url_override: str | None = None) -> dict[str, Any] | None:
        """Return the well-known document, raw; None when there is none."""


class Foci:
    """Reads them, again and again.

    Args:
        homeserver: to read from.
        well_known: where the well-known file is, if not at the homeserver's name.
        clock: monotonic seconds.
        changed: told when the list is another one.

    Attributes:
        current: the best first.
        spelling: how the homeserver itself spells LiveKit in its list; empty without one.
    """

    def __init__(
        self,
        homeserver: Homeserver,
        well_known: str | None,
        *,
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.current: list[Focus] = []
        self.spelling = ""
        self._homeserver = homeserver
        self._well_known_url = well_known
        self._clock = clock
        self._changed = changed
        self._transports: list[Focus] = []
        self._well_known: list[Focus] = []
        self._ask_again_at = -inf

    async def read(self) -> None:
        """Read both sources once."""
        await self._read_transports()
        await self._read_well_known()
        found = list(dict.fromkeys([*self._transports, *self._well_known]))[:MAX_FOCI]
        if found != self.current:
            self.current = found
            self._changed()

    async def poll(self) -> None:
        """Read them every minute until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            await self.read()

    async def _read_transports(self) -> None:
        if self._clock() < self._ask_again_at:
            return
        try:
            document = await self._homeserver.rtc_transports()
        except (NotFound, Unsupported):
            # One that has answered before is only out of order: it keeps what it said.
            if not self._transports:
                self._ask_again_at = self._clock() + ABSENT_FOR
        except ServerError as error:
            _log.warning("the homeserver's transports cannot be read", extra={"why": str(error)})
        else:
            self._transports, self.spelling = read_transports(document), read_spelling(document)

    async def _read_well_known(self) -> None:
        try:
            document = await self._homeserver.well_known_foci(self._well_known_url)
        except ServerError as error:
            _log.warning("the well-known file cannot be read", extra={"why": str(error)})
        else:
            self._well_known = read_well_known(document)
