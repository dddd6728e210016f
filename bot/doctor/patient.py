"""The deployment that is examined, and what the checks have learned of it so far."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp

from bot.config import Config
from bot.errors import ServerError
from bot.matrix.client import Homeserver
from bot.matrix.survey import log_out

FORGET_WITHIN = 2.0
"""Seconds that logging out may take; another minute would not help either."""


class _Memory:
    """Keeps the doctor's token no longer than the doctor; the bot's own stays untouched."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    async def get(self, name: str) -> str | None:
        return self._values.get(name)

    async def set(self, name: str, value: str) -> None:
        self._values[name] = value


def throw_away_device() -> str:
    """Return a device id nobody has."""
    return f"DOCTOR{secrets.token_hex(4).upper()}"


@dataclass(slots=True)
class Patient:
    """What is examined; an async context manager that owns the connections.

    Attributes:
        config: of the deployment.
        homeserver: our client of it, with a device of the doctor's own.
        http: for everything that is not the homeserver.
        foci: service URLs of JWT services, and who names each.
        transports: those of them that the homeserver itself names, as the sticky profile has it.
        sticky: whether the homeserver has sticky events.
        let_in: the services that gave us a token of the legacy profile.
        let_in_sticky: those that gave us one of the sticky profile.
        sfu: addresses of LiveKit servers that a JWT service named.
        per_second: restarts of delayed events a second; None while not known.
        max_delay_ms: of delayed events; None while not known.
        scheduled: delayed events at a time; None while not known.
    """

    config: Config
    homeserver: Homeserver = field(init=False)
    http: aiohttp.ClientSession = field(init=False)
    foci: dict[str, str] = field(default_factory=dict)
    transports: list[str] = field(default_factory=list)
    sticky: bool = False
    let_in: list[str] = field(default_factory=list)
    let_in_sticky: list[str] = field(default_factory=list)
    sfu: set[str] = field(default_factory=set)
    per_second: float | None = None
    max_delay_ms: int | None = None
    scheduled: int | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _logged_in: bool = False

    async def __aenter__(self) -> Self:
        account = self.config.homeserver
        self.homeserver = await self._stack.enter_async_context(
            Homeserver(
                account.url,
                account.user_id,
                throw_away_device(),
                access_token=account.access_token.reveal() if account.access_token else None,
                password=account.password.reveal() if account.password else None,
                tokens=_Memory(),
            )
        )
        self.http = await self._stack.enter_async_context(aiohttp.ClientSession())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # A configured token is the running bot's: that is not ours to end.
            if self._logged_in and self.config.homeserver.access_token is None:
                await self._log_out()
        finally:
            await self._stack.aclose()

    async def log_in(self) -> None:
        """Log in with a device of our own, or use the configured token."""
        await self.homeserver.login()
        self._logged_in = True

    async def _log_out(self) -> None:
        try:
            await log_out(self.homeserver, FORGET_WITHIN)
        except ServerError:
            return  # a device more; it is named boardkeeper and can do no harm
