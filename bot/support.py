"""Whether the homeserver has delayed events, within which limits, and sticky ones."""

from __future__ import annotations

import asyncio
import logging
from math import inf
from typing import Protocol

from bot.errors import ServerError

EVERY = 60.0
"""Seconds between two looks while it has no delayed events."""

RARELY = 600.0
"""Seconds between two looks while it has no sticky ones, which few homeservers have."""

_log = logging.getLogger(__name__)


class Found(Protocol):
    """What the homeserver says of delayed events."""

    @property
    def supported(self) -> bool:
        """Whether it has them."""

    @property
    def max_delay_ms(self) -> int | None:
        """The longest delay; None when it does not say."""

    @property
    def max_scheduled(self) -> int | None:
        """How many an account may have; None likewise."""

    @property
    def sticky(self) -> bool:
        """Whether events may be sticky."""


class Homeserver(Protocol):
    """The call needed here."""

    async def delayed_support(self) -> Found:
        """Return what it says of delayed events."""


class Support:
    """What is known of the homeserver's delayed events.

    Attributes:
        delayed: whether it has them; without them we cannot promise that nothing stays behind.
        max_delay: seconds.
        max_scheduled: of one account; None when it does not say.
        sticky: whether it has sticky events; without them there is no sticky profile.
    """

    def __init__(self, homeserver: Homeserver) -> None:
        self.delayed = False
        self.max_delay = inf
        self.max_scheduled: int | None = None
        self.sticky = False
        self._homeserver = homeserver

    async def poll(self) -> None:
        """Look again now and then while it lacks something, until cancelled."""
        while True:
            await asyncio.sleep(RARELY if self.delayed else EVERY)
            if not (self.delayed and self.sticky):
                await self.read()

    async def read(self) -> None:
        """Ask it."""
        try:
            found = await self._homeserver.delayed_support()
        except ServerError as error:
            _log.warning("the homeserver does not say what it can do", extra={"why": str(error)})
            return
        self.delayed = found.supported
        self.max_scheduled = found.max_scheduled
        self.sticky = found.sticky
        self.max_delay = (found.max_delay_ms or 0) / 1000 or inf
        if not self.delayed:
            _log.error(
                "the homeserver has no delayed events: if the bot dies its memberships stay for"
                " minutes; set max_event_delay_duration in homeserver.yaml"
            )
