"""Homeserver: everything the bot asks of its homeserver, except sync (sync.py)."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import aiohttp
from mautrix.api import Method, Path

import bot
from bot.errors import Transient
from bot.matrix.delayed import Delayed
from bot.matrix.login import Credentials, TokenStore, log_in
from bot.matrix.media import download, upload
from bot.matrix.relations import Absent
from bot.matrix.rooms import Rooms
from bot.matrix.transport import ONE_TRY, Transport
from bot.matrix.wellknown import address, well_known


class Homeserver(Rooms, Delayed):
    """Our account on its homeserver; an async context manager that owns one aiohttp session.

    Every failure is one of bot.errors. Ordinary calls are repeated for `patience` seconds,
    waiting as the homeserver asks, and raise `RateLimited` or another `Transient` after that.
    `patience=0` and the calls on delayed events try once: whoever keeps a membership decides.
    `timeout` bounds one try.

    Args:
        url: of the client API.
        user_id: our Matrix id.
        device_id: the device to be; None leaves the choice to the homeserver, once.
        access_token: used before all else.
        password: used when there is no token that works.
        tokens: keeps the token of a login across restarts.
        user_agent: as the homeserver's log shows us.
    """

    def __init__(
        self,
        url: str,
        user_id: str,
        device_id: str | None = None,
        *,
        access_token: str | None = None,
        password: str | None = None,
        tokens: TokenStore,
        user_agent: str = f"boardkeeper/{bot.__version__}",
    ) -> None:
        self.url = url
        self.user_id = user_id
        self.server_name = user_id.partition(":")[2]
        self.device_id = device_id or ""
        self._who = Credentials(user_id, device_id, access_token, password)
        self._tokens = tokens
        self._user_agent = user_agent
        self.absent = Absent()

    async def __aenter__(self) -> Self:
        session = aiohttp.ClientSession(
            headers={"User-Agent": self._user_agent},
            cookie_jar=aiohttp.DummyCookieJar(),
            # Whole requests are bounded by their callers; a long poll takes what it takes.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=ONE_TRY),
        )
        self.transport = Transport(self.url, session)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.transport.session.close()

    # --- ourselves

    async def login(self) -> None:
        """Resume the stored token, else log in with the password; sets `device_id`.

        Raises:
            AuthLost: neither works; the text says what to do.
            Transient: the homeserver cannot be reached for a minute.
        """
        self.device_id = await log_in(self.transport, self._who, self._tokens)

    async def openid_token(self, *, timeout: float = 10.0, patience: float = 0.0) -> dict[str, Any]:
        """Return a token by which others can ask the homeserver who we are: its four keys only."""
        path = Path.v3.user[self.user_id].openid.request_token
        reply = await self.transport.ask(
            "openid token", Method.POST, path, body={}, seconds=timeout, patience=patience
        )
        keys = ("access_token", "token_type", "matrix_server_name", "expires_in")
        if any(key not in reply for key in keys):
            raise Transient("openid token: the answer lacks a key")
        return {key: reply[key] for key in keys}

    @property
    def clock_offset(self) -> float:
        """Seconds to add to this machine's wall clock to get the homeserver's."""
        wall = time.time()
        return self.transport.clock.now(time.monotonic(), wall) - wall

    def server_ts(self) -> int:
        """Return the homeserver's time, ms since 1970; ours until it answered once."""
        return round(self.transport.clock.now(time.monotonic(), time.time()) * 1000)

    # --- documents

    async def download(self, mxc: str, max_bytes: int) -> bytes:
        """Return a file of the media repository; Refused when it is larger or no address."""
        return await download(self.transport, mxc, max_bytes)

    async def upload(self, data: bytes, mime: str) -> str:
        """Store a file in the media repository; return its mxc address."""
        return await upload(self.transport, data, mime)

    async def rtc_transports(self, *, timeout: float = 5.0) -> dict[str, Any]:
        """Return the LiveKit services by the homeserver's own word (MSC4143), raw.

        Raises:
            NotFound, Unsupported: it has no such endpoint.
            ServerError: one of the others; the last good list stays valid.
        """
        path = Path.unstable["org.matrix.msc4143"].rtc.transports
        return await self.transport.ask("transports", Method.GET, path, seconds=timeout)

    async def well_known_foci(self, url_override: str | None = None) -> dict[str, Any] | None:
        """Return our server name's client well-known document, raw; None when it has none.

        Args:
            url_override: where it is, if not at the server name.

        Raises:
            Transient: it cannot be read now; the last good one stays valid.
        """
        return await well_known(self.transport, url_override or address(self.server_name))
